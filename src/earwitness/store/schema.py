"""The tables, one schema for both databases. Each column says here what it is called, what it holds, and how it lies.

Text sorts by code point in both databases, so that a page ends at the same row in either. Every index of a list begins
with account and Region. docs/records.md is printed from what the columns say of themselves.

What is sealed of tasks and voiceprints is sealed under the domain's key, so that nothing of it outlives the domain;
bodies of events are sealed under the key of what they belong to, because they repeat what it knows of a call. What
belongs to a pipeline or a profile is deleted with it. A task stays when its domain goes, because somebody may still ask
what became of it. Tables of Voice Connectors are in `connector_schema.py`, those of jobs in `job_schema.py`,
of labels in `label_schema.py`, of calibrations in `calibration_schema.py`, of consents in `consent_schema.py`, of the
audit trail in `audit_schema.py`.
"""

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

from earwitness.store.audit_schema import audit_chains, audit_entries
from earwitness.store.calibration_schema import calibration_versions
from earwitness.store.columns import (
    digest,
    document,
    numbered,
    scope,
    score,
    sealed,
    seconds,
    text,
    time,
    where,
    whole,
    word,
    wrapped_key,
)
from earwitness.store.connector_schema import connector_calls
from earwitness.store.consent_schema import CONSENT_TABLES, SUBJECT
from earwitness.store.deletion_schema import backups, deletion_items, deletions, ledger_places
from earwitness.store.job_schema import job_items, job_recordings, jobs
from earwitness.store.label_schema import task_labels
from earwitness.store.master_key_schema import master_key_holders, vault_checks
from earwitness.store.node_schema import NODE
from earwitness.store.records import DeliveryState
from earwitness.store.repeat_schema import task_fingerprints, task_repeats
from earwitness.store.retention_schema import expiry_runs, profile_contacts, retention_schedules
from earwitness.store.tables import (
    ADDRESSES,
    ARN,
    COUNT,
    ID,
    KMS_KEY,
    NAMED,
    SHOWN,
    STATE,
    belongs_to,
    metadata,
)
from earwitness.store.withdrawal_schema import media_erasures, withdrawals
from earwitness.voice.band import Band
from earwitness.voice.line import Codec, LineChange, LineHealth, LineLearning
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

HEAD = "0019"
"""The revision of the migrations that makes this schema."""

_NET_SPEECH = "how much speech there was; lists show it"
_QUALITY = "levels of the recording in dB; lists show them"
_CODEC = "how the audio was encoded; a domain has a line for each, found by it"
_NAMES_A_SUBJECT = where("subject_digest IS NOT NULL")
_KEPT_AUDIO = "the speech behind it, where `keep_enrolment_audio` is on"

service_leaders = Table(
    "service_leaders",
    metadata,
    text("name", "a word of the service's own: `housekeeping`"),
    text("holder", "a random text that a process made at its start"),
    text("host", "the name of the machine that serves"),
    whole("process", "the number of the process that serves"),
    time("since", says="a time"),
    time("expires_at"),
    PrimaryKeyConstraint("name"),
    # In a unique key, so that PostgreSQL lets nobody change it while a transaction of the holder holds the row's key.
    UniqueConstraint("holder"),
)
"""Which node does what is done once for all nodes. Used on PostgreSQL alone."""

access_keys = Table(
    "access_keys",
    metadata,
    text("key_id", "the id of the key; a request names it"),
    text("account_id"),
    text("role", STATE),
    text("name", "what the operator calls the key; shown by `earwitness keys list`"),
    text("state", STATE),
    sealed("secret_ciphertext", "the secret of the key"),
    wrapped_key(),
    time("created_at"),
    PrimaryKeyConstraint("key_id"),
    Index("access_keys_by_time", "account_id", "created_at", "key_id"),
)

bearer_tokens = Table(
    "bearer_tokens",
    metadata,
    digest("token_sha256", "SHA-256 of the token, which is random"),
    text("token_id", ID),
    text("account_id"),
    text("role", STATE),
    text("name", "what the operator calls the token; shown by `earwitness keys list`"),
    text("state", STATE),
    time("created_at"),
    PrimaryKeyConstraint("token_sha256"),
    UniqueConstraint("account_id", "token_id"),
    Index("bearer_tokens_by_time", "account_id", "created_at", "token_id"),
)

configurations = Table(
    "configurations",
    metadata,
    *scope(),
    text("configuration_id", ID),
    text("name", NAMED),
    text("arn", ARN),
    document("body", ADDRESSES),
    time("created_at"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "configuration_id"),
    UniqueConstraint("account_id", "region", "name"),
    UniqueConstraint("account_id", "region", "arn"),
)

pipelines = Table(
    "pipelines",
    metadata,
    *scope(),
    text("pipeline_id", ID),
    text("arn", ARN),
    text("configuration_arn", ARN),
    document("configuration", f"a copy of the configuration: {ADDRESSES}"),
    text("status", STATE),
    document("element_statuses", STATE),
    document("source", "streams, channels and first fragments that the client gave; found by stream"),
    sealed("runtime_metadata_ciphertext", "`MediaInsightsRuntimeMetadata`", nullable=True),
    wrapped_key(),
    time("created_at"),
    time("paused_at", nullable=True),
    time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "pipeline_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("pipelines_by_time", "account_id", "region", "created_at", "pipeline_id"),
    Index("pipelines_active", "account_id", "region", "ended_at", "configuration_arn"),
    Index("pipelines_by_end", "ended_at"),
    Index("pipelines_running", "account_id", "region", "pipeline_id", **where("ended_at IS NULL")),
)

domains = Table(
    "voice_profile_domains",
    metadata,
    *scope(),
    text("domain_id", ID),
    text("arn", ARN),
    text("name", SHOWN),
    text("description", SHOWN),
    text("kms_key_arn", f"the ARN {KMS_KEY}"),
    word(Band, "band", STATE),
    wrapped_key(),
    whole("version", COUNT),
    time("created_at"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("voice_profile_domains_by_time", "account_id", "region", "created_at", "domain_id"),
)

profiles = Table(
    "voice_profiles",
    metadata,
    *scope(),
    text("profile_id", ID),
    text("domain_id", ID),
    text("arn", ARN),
    time("created_at"),
    time("updated_at"),
    time("expires_at"),
    digest("subject_digest", SUBJECT, nullable=True),
    PrimaryKeyConstraint("account_id", "region", "profile_id"),
    UniqueConstraint("account_id", "region", "arn"),
    belongs_to("voice_profile_domains", "domain_id"),
    Index("voice_profiles_by_time", "account_id", "region", "domain_id", "created_at", "profile_id"),
    Index("voice_profiles_by_subject", "account_id", "region", "subject_digest", **_NAMES_A_SUBJECT),
)

kinesis_streams = Table(
    "kinesis_streams",
    metadata,
    *scope(),
    text("name", NAMED),
    text("arn", ARN),
    text("version", COUNT),
    text("device_name", SHOWN, nullable=True),
    text("media_type", "a media type that the client gave", nullable=True),
    text("kms_key_id", f"the id {KMS_KEY}", nullable=True),
    whole("retention_hours", COUNT),
    text("status", STATE),
    wrapped_key(),
    time("created_at"),
    text("home_node", NODE, nullable=True),
    whole("home_epoch", "how often it has moved", default="0"),
    whole("sequence_end", "all sequences below it may have been given out", default="1"),
    PrimaryKeyConstraint("account_id", "region", "name"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("kinesis_streams_by_home", "home_node", **where("home_node IS NOT NULL")),
)

tags = Table(
    "tags",
    metadata,
    *scope(),
    text("resource_arn", ARN),
    text("tag_key", SHOWN),
    text("tag_value", SHOWN),
    PrimaryKeyConstraint("account_id", "region", "resource_arn", "tag_key"),
)

idempotency_tokens = Table(
    "idempotency_tokens",
    metadata,
    *scope(),
    text("operation", STATE),
    digest("token_digest", "of the client's request token, keyed"),
    digest("request_digest", "of the whole request, keyed"),
    text("reference", "the id or ARN of what the request made"),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "operation", "token_digest"),
    Index("idempotency_tokens_by_time", "created_at"),
)

tasks = Table(
    "speaker_search_tasks",
    metadata,
    *scope(),
    text("task_id", ID),
    text("pipeline_id", ID),
    text("stream_arn", "the ARN of the stream, which holds its name; two tasks on one channel are refused by it"),
    whole("channel_id", COUNT),
    text("domain_id", ID),
    text("domain_arn", ARN),
    text("start_fragment_number", "a number of a fragment", nullable=True),
    word(TaskStatus, "status", STATE),
    whole("attempt", COUNT),
    word(StopReason, "stop_reason", STATE, nullable=True),
    text("status_message", "a sentence of the service's own", nullable=True),
    word(VoiceprintStatus, "voiceprint_status", STATE, nullable=True),
    text(
        "profile_id",
        "the profile that was made from this task; found by it when the profile is deleted",
        nullable=True,
    ),
    sealed("checkpoint_ciphertext", "where in the call there was speech", nullable=True),
    sealed("identification_ciphertext", "who was found, and how sure", nullable=True),
    time("created_at"),
    time("updated_at"),
    time("started_at", nullable=True),
    time("ended_at", nullable=True),
    text("node_id", f"{NODE}; it runs the task", nullable=True),
    digest("subject_digest", SUBJECT, nullable=True),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("pipelines", "pipeline_id"),
    # One active task per stream, channel and domain; both databases refuse a second.
    Index(
        "speaker_search_tasks_one_active",
        "account_id",
        "region",
        "stream_arn",
        "channel_id",
        "domain_id",
        unique=True,
        **where("ended_at IS NULL"),
    ),
    Index("speaker_search_tasks_running", "account_id", "region", "task_id", **where("ended_at IS NULL")),
    Index("speaker_search_tasks_by_node", "node_id", **where("ended_at IS NULL")),
    Index("speaker_search_tasks_by_time", "account_id", "region", "pipeline_id", "created_at", "task_id"),
    # Nearly all tasks have stopped: an index by status for the others only is small, and lists of those that have
    # stopped are read in the order of creation.
    Index("speaker_search_tasks_by_creation", "account_id", "region", "created_at", "task_id"),
    Index(
        "speaker_search_tasks_by_rare_status",
        "account_id",
        "region",
        "status",
        "created_at",
        "task_id",
        **where("status <> 'Stopped'"),
    ),
    Index("speaker_search_tasks_by_domain", "account_id", "region", "domain_id", "profile_id"),
    Index("speaker_search_tasks_by_end", "ended_at"),
    Index("speaker_search_tasks_by_subject", "account_id", "region", "subject_digest", **_NAMES_A_SUBJECT),
)

task_voiceprints = Table(
    "task_voiceprints",
    metadata,
    *scope(),
    text("task_id", ID),
    text("domain_id", ID),
    text("encoder_id", "the voice model"),
    seconds("net_speech_seconds", _NET_SPEECH),
    document("quality", _QUALITY),
    time("created_at"),
    time("keep_until"),
    sealed("vector_ciphertext", "the voiceprint"),
    sealed("audio_ciphertext", _KEPT_AUDIO, nullable=True),
    PrimaryKeyConstraint("account_id", "region", "task_id"),
    belongs_to("speaker_search_tasks", "task_id"),
    Index("task_voiceprints_by_domain", "account_id", "region", "domain_id"),
    Index("task_voiceprints_by_time", "keep_until"),
)

profile_voiceprints = Table(
    "profile_voiceprints",
    metadata,
    *scope(),
    text("domain_id", ID),
    text("profile_id", ID),
    text("voiceprint_id", ID),
    text("encoder_id", "the voice model; found by it"),
    seconds("net_speech_seconds", _NET_SPEECH),
    document("quality", _QUALITY),
    text("source_task_id", ID, nullable=True),
    time("created_at"),
    time("expires_at"),
    sealed("consent_ciphertext", "of enrolments before 0.3: where the consent is recorded", nullable=True),
    sealed("vector_ciphertext", "the voiceprint"),
    sealed("audio_ciphertext", _KEPT_AUDIO, nullable=True),
    text("consent_id", "the consent that it was enrolled with", nullable=True),
    # In the order in which a gallery is loaded.
    PrimaryKeyConstraint("account_id", "region", "domain_id", "profile_id", "voiceprint_id"),
    belongs_to("voice_profiles", "profile_id"),
    Index("profile_voiceprints_by_profile", "account_id", "region", "profile_id"),
    Index("profile_voiceprints_by_expiry", "expires_at"),
    Index(
        "profile_voiceprints_by_source", "account_id", "region", "source_task_id", **where("source_task_id IS NOT NULL")
    ),
    Index("profile_voiceprints_by_encoder", "account_id", "region", "domain_id", "encoder_id"),
)

voiceprint_changes = Table(
    "voiceprint_changes",
    metadata,
    *scope(),
    text("domain_id", ID),
    whole("version", "the version of the domain that the change made"),
    sealed("profile_id_ciphertext", "the profile whose voiceprints came or went; it may be deleted since"),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "version"),
    belongs_to("voice_profile_domains", "domain_id"),
    Index("voiceprint_changes_by_time", "created_at"),
)
"""What a gallery in memory has to read again."""

line_switches = Table(
    "line_switches",
    metadata,
    *scope(),
    text("domain_id", ID),
    word(LineLearning, "learning", STATE),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    belongs_to("voice_profile_domains", "domain_id"),
)
"""Domains that were told whether to learn their lines; all others do as the settings say."""

line_votes = Table(
    "line_votes",
    metadata,
    *scope(),
    text("domain_id", ID),
    word(Codec, "codec", _CODEC),
    whole("number", COUNT),
    text("encoder_id", "the voice model"),
    seconds("net_speech_seconds", "how much speech there was; what a score means depends on it"),
    text("profile_id", "the profile that the search named; found by it when the profile is deleted", nullable=True),
    text("task_id", "the task that heard the voice; found by it when its profile is deleted", nullable=True),
    time("created_at"),
    sealed("vector_ciphertext", "a voice that the line is learnt from"),
    digest("subject_digest", SUBJECT, nullable=True),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "codec", "number"),
    belongs_to("voice_profile_domains", "domain_id"),
    Index("line_votes_by_time", "created_at"),
)

line_versions = Table(
    "line_versions",
    metadata,
    *scope(),
    text("domain_id", ID),
    word(Codec, "codec", _CODEC),
    whole("number", COUNT),
    word(LineChange, "why", STATE),
    whole("voices", "how many voices the mean is of, ten at least; 0 without a mean"),
    text("encoder_id", "the voice model; null without a mean", nullable=True),
    whole("reverted_to", COUNT, nullable=True),
    text("key_id", "the id of the key that asked; null when it was learnt", nullable=True),
    time("created_at"),
    sealed("mean_ciphertext", "where the voices of this line lie, as one vector", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "codec", "number"),
    belongs_to("voice_profile_domains", "domain_id"),
)

line_monitors = Table(
    "line_monitors",
    metadata,
    *scope(),
    text("domain_id", ID),
    word(Codec, "codec", _CODEC),
    whole("searches", "how many searches were counted"),
    score(
        "voiceprints_mean", "mean score of voiceprints that did not match, over about twenty searches", nullable=True
    ),
    score("voiceprints_spread", "standard deviation of the same scores", nullable=True),
    score("callers_mean", "mean score between the voices of the last searches", nullable=True),
    word(LineHealth, "health", STATE),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id", "codec"),
    belongs_to("voice_profile_domains", "domain_id"),
)

events = Table(
    "outbox_events",
    metadata,
    numbered("sequence", COUNT),
    *scope(),
    text("event_id", ID),
    text("pipeline_id", "the pipeline it belongs to, or the call that has none; found by it"),
    text("kind", STATE),
    sealed("body_ciphertext", "the event, with the metadata and the profiles that it names"),
    time("created_at"),
    UniqueConstraint("account_id", "region", "event_id"),
    Index("outbox_events_by_pipeline", "account_id", "region", "pipeline_id", "sequence"),
    Index("outbox_events_by_time", "created_at"),
    sqlite_autoincrement=True,  # the number of a purged event is never given to another
)

EVENT_OWNERS = {pipelines: pipelines.c.pipeline_id, connector_calls: connector_calls.c.transaction_id}
"""What events belong to and are sealed under the keys of, and the column that their `pipeline_id` names it by."""

deliveries = Table(
    "outbox_deliveries",
    metadata,
    whole("sequence", COUNT),
    text(
        "target",
        "the ARN of the sink, as the configuration has it, or `webhook` or `file`; each sink has a queue by it",
    ),
    *scope(),
    text("pipeline_id", ID),
    word(DeliveryState, "state", STATE),
    whole("attempts", COUNT),
    time("next_attempt_at"),
    text("last_error", "why the sink did not take the event", nullable=True),
    time("delivered_at", nullable=True),
    PrimaryKeyConstraint("sequence", "target"),
    ForeignKeyConstraint(["sequence"], [events.c.sequence], ondelete="CASCADE"),
    # Both hold only what waits, so that looking for it costs the same beside any number of delivered rows.
    Index("outbox_deliveries_due", "next_attempt_at", "sequence", **where("state = 'pending'")),
    Index(
        "outbox_deliveries_queue",
        "account_id",
        "region",
        "pipeline_id",
        "target",
        "sequence",
        **where("state = 'pending'"),
    ),
)

AUDIT_TABLES = (audit_entries, audit_chains)

DELETION_TABLES = (deletions, deletion_items, ledger_places, backups)
MASTER_KEY_TABLES = (vault_checks, master_key_holders)
TABLES_BESIDE = (jobs, job_items, job_recordings, *CONSENT_TABLES, withdrawals, media_erasures, task_labels)
CALIBRATION_TABLES = (calibration_versions,)
RETENTION_TABLES = (retention_schedules, profile_contacts, expiry_runs, task_fingerprints, task_repeats)
"""They belong to the schema as the others do, wherever it is loaded."""

alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as Alembic makes it."""
