"""How each column lies in the database: sealed, or readable by whoever can read the database.

docs/records.md prints these tables, and a test refuses a column that is not in them. Whoever adds one says here what it
is and, where it is in clear, why.
"""

from dataclasses import dataclass
from enum import StrEnum

from earwitness.store import schema, schema_search

TABLES = tuple({**schema.metadata.tables, **schema_search.metadata.tables}.values())
"""All tables of the records. Both modules fill one metadata; naming both loads both."""


class Form(StrEnum):
    """How a value is written."""

    SEALED = "sealed"
    """Encrypted and authenticated under the data key of its owner, bound to its row (`vault/`)."""

    WRAPPED = "wrapped key"
    """A data key, encrypted under the master key."""

    DIGEST = "digest"
    """A hash that cannot be turned back."""

    CLEAR = "in clear"


@dataclass(frozen=True, kw_only=True)
class Column:
    """What is in a column."""

    form: Form
    says: str
    """What it is; for a column in clear also why it is."""


def _sealed(says: str) -> Column:
    return Column(form=Form.SEALED, says=says)


def _clear(says: str) -> Column:
    return Column(form=Form.CLEAR, says=says)


_KEY = Column(form=Form.WRAPPED, says="the data key of this row and of what hangs on it")
_ID = "an identifier that the service made; found and joined by it"
_STATE = "a word of the service's own; found by it"
_SORTED = "a time; lists are sorted and expiry is found by it"
_COUNT = "a number of the service's own"
_NAMED = "a name that the client chose; found by it, and unique"
_ARN = "an ARN, of account, Region and an identifier; found by it"
_ADDRESSES = "the addresses and settings that the client gave; read without any key when a configuration is in use"
_SHOWN = "words that the client chose; answered by lists, which open no data key. Write nothing about a person here"

EVERYWHERE = {
    "account_id": _clear("the account; every read is by it"),
    "region": _clear("the Region; every read is by it"),
    **dict.fromkeys(("created_at", "updated_at", "started_at", "ended_at", "expires_at"), _clear(_SORTED)),
    "wrapped_key": _KEY,
}
"""Columns that say the same in every table that has them."""

COLUMNS = {
    "vault_checks": {"name": _clear("a word of the service's own: `check`")},
    "service_leaders": {
        "name": _clear("a word of the service's own: `serve`"),
        "holder": _clear("a random text that a process made at its start"),
        "host": _clear("the name of the machine that serves; told to a second process"),
        "process": _clear("the number of the process that serves; told to a second process"),
        "since": _clear("a time"),
    },
    "access_keys": {
        "key_id": _clear("the id of the key; a request names it"),
        "role": _clear(_STATE),
        "name": _clear("what the operator calls the key; shown by `earwitness keys list`"),
        "state": _clear(_STATE),
        "secret_ciphertext": _sealed("the secret of the key"),
    },
    "bearer_tokens": {
        "token_sha256": Column(form=Form.DIGEST, says="SHA-256 of the token, which is random"),
        "token_id": _clear(_ID),
        "role": _clear(_STATE),
        "name": _clear("what the operator calls the token; shown by `earwitness keys list`"),
        "state": _clear(_STATE),
    },
    "configurations": {
        "configuration_id": _clear(_ID),
        "name": _clear(_NAMED),
        "arn": _clear(_ARN),
        "body": _clear(_ADDRESSES),
    },
    "pipelines": {
        "pipeline_id": _clear(_ID),
        "arn": _clear(_ARN),
        "configuration_arn": _clear(_ARN),
        "configuration": _clear(f"a copy of the configuration: {_ADDRESSES}"),
        "status": _clear(_STATE),
        "element_statuses": _clear(_STATE),
        "source": _clear("streams, channels and first fragments that the client gave; found by stream"),
        "runtime_metadata_ciphertext": _sealed("`MediaInsightsRuntimeMetadata`"),
        "paused_at": _clear(_SORTED),
    },
    "voice_profile_domains": {
        "domain_id": _clear(_ID),
        "arn": _clear(_ARN),
        "name": _clear(_SHOWN),
        "description": _clear(_SHOWN),
        "kms_key_arn": _clear("the ARN of a KMS key that the client gave; answered, and used for nothing"),
        "band": _clear(_STATE),
        "version": _clear(_COUNT),
    },
    "voice_profiles": {
        "profile_id": _clear(_ID),
        "domain_id": _clear(_ID),
        "arn": _clear(_ARN),
    },
    "kinesis_streams": {
        "name": _clear(_NAMED),
        "arn": _clear(_ARN),
        "version": _clear(_COUNT),
        "device_name": _clear(_SHOWN),
        "media_type": _clear("a media type that the client gave"),
        "kms_key_id": _clear("the id of a KMS key that the client gave; answered, and used for nothing"),
        "retention_hours": _clear(_COUNT),
        "status": _clear(_STATE),
    },
    "tags": {
        "resource_arn": _clear(_ARN),
        "tag_key": _clear(_SHOWN),
        "tag_value": _clear(_SHOWN),
    },
    "idempotency_tokens": {
        "operation": _clear(_STATE),
        "token_digest": Column(form=Form.DIGEST, says="of the client's request token, keyed"),
        "request_digest": Column(form=Form.DIGEST, says="of the whole request, keyed"),
        "reference": _clear("the id or ARN of what the request made"),
    },
    "audit_entries": {
        "entry_id": _clear(_COUNT),
        "key_id": _clear("the id of the key that asked"),
        "operation": _clear(_STATE),
        "resource_arn": _clear("the ARN of what was asked for; a stream's holds its name"),
        "outcome": _clear(_STATE),
        "request_id": _clear(_ID),
        "time": _clear(_SORTED),
    },
    "speaker_search_tasks": {
        "task_id": _clear(_ID),
        "pipeline_id": _clear(_ID),
        "stream_arn": _clear("the ARN of the stream, which holds its name; two tasks on one channel are refused by it"),
        "channel_id": _clear(_COUNT),
        "domain_id": _clear(_ID),
        "domain_arn": _clear(_ARN),
        "start_fragment_number": _clear("a number of a fragment"),
        "status": _clear(_STATE),
        "attempt": _clear(_COUNT),
        "stop_reason": _clear(_STATE),
        "status_message": _clear("a sentence of the service's own"),
        "voiceprint_status": _clear(_STATE),
        "profile_id": _clear("the profile that was made from this task; found by it when the profile is deleted"),
        "checkpoint_ciphertext": _sealed("where in the call there was speech"),
        "identification_ciphertext": _sealed("who was found, and how sure"),
    },
    "task_voiceprints": {
        "task_id": _clear(_ID),
        "domain_id": _clear(_ID),
        "encoder_id": _clear("the voice model"),
        "net_speech_seconds": _clear("how much speech there was; lists show it"),
        "quality": _clear("levels of the recording in dB; lists show them"),
        "keep_until": _clear(_SORTED),
        "vector_ciphertext": _sealed("the voiceprint"),
        "audio_ciphertext": _sealed("the speech behind it, where `keep_enrolment_audio` is on"),
    },
    "profile_voiceprints": {
        "domain_id": _clear(_ID),
        "profile_id": _clear(_ID),
        "voiceprint_id": _clear(_ID),
        "encoder_id": _clear("the voice model; found by it"),
        "net_speech_seconds": _clear("how much speech there was; lists show it"),
        "quality": _clear("levels of the recording in dB; lists show them"),
        "source_task_id": _clear(_ID),
        "consent_ciphertext": _sealed("where the consent of the person is recorded"),
        "vector_ciphertext": _sealed("the voiceprint"),
        "audio_ciphertext": _sealed("the speech behind it, where `keep_enrolment_audio` is on"),
    },
    "outbox_events": {
        "sequence": _clear(_COUNT),
        "event_id": _clear(_ID),
        "pipeline_id": _clear(_ID),
        "kind": _clear(_STATE),
        "body_ciphertext": _sealed("the event, with the metadata and the profiles that it names"),
    },
    "outbox_deliveries": {
        "sequence": _clear(_COUNT),
        "target": _clear("the address of the sink, as the configuration has it; each sink has a queue by it"),
        "pipeline_id": _clear(_ID),
        "state": _clear(_STATE),
        "attempts": _clear(_COUNT),
        "next_attempt_at": _clear(_SORTED),
        "last_error": _clear("why the sink did not take the event"),
        "delivered_at": _clear(_SORTED),
    },
}
"""By table: its other columns."""


def column(table: str, name: str) -> Column:
    """How a column lies. Raise KeyError for one that nobody has declared."""
    return COLUMNS[table][name] if name in COLUMNS[table] else EVERYWHERE[name]
