"""Whom the data keys of records belong to, and where their ciphertexts lie."""

from earwitness.store.records import Scope
from earwitness.vault.data_key import Place
from earwitness.vault.vault import owner_of

CHECK_OWNER = owner_of(account_id="", table="vault_checks", row_id="check")
"""The key that proves the master key at every start, and keys the digests of idempotency tokens."""


def access_key_owner(*, account_id: str, key_id: str) -> str:
    """The owner of the data key of an access key's secret."""
    return owner_of(account_id=account_id, table="access_keys", row_id=key_id)


def access_key_secret_place(*, account_id: str, key_id: str) -> Place:
    """Where an access key's secret lies."""
    return Place(account_id=account_id, table="access_keys", row_id=key_id, column="secret_ciphertext")


def pipeline_owner(scope: Scope, pipeline_id: str) -> str:
    """The owner of the data key of a pipeline."""
    return owner_of(account_id=scope.account_id, table="pipelines", row_id=f"{scope.region}/{pipeline_id}")


def pipeline_metadata_place(scope: Scope, pipeline_id: str) -> Place:
    """Where a pipeline's runtime metadata lies."""
    return Place(
        account_id=scope.account_id,
        table="pipelines",
        row_id=f"{scope.region}/{pipeline_id}",
        column="runtime_metadata_ciphertext",
    )


def domain_owner(scope: Scope, domain_id: str) -> str:
    """The owner of the data key of a voice profile domain."""
    return owner_of(account_id=scope.account_id, table="voice_profile_domains", row_id=f"{scope.region}/{domain_id}")


def stream_owner(scope: Scope, arn: str) -> str:
    """The owner of the data key of a stream; its ARN, because a name is taken again after a deletion."""
    return owner_of(account_id=scope.account_id, table="kinesis_streams", row_id=f"{scope.region}/{arn}")


def task_place(scope: Scope, task_id: str, column: str) -> Place:
    """Where the checkpoint or the identification of a task lies; under the key of its domain."""
    return Place(
        account_id=scope.account_id, table="speaker_search_tasks", row_id=f"{scope.region}/{task_id}", column=column
    )


def task_voiceprint_place(scope: Scope, task_id: str, column: str) -> Place:
    """Where the vector or the audio of a task's voiceprint lies; under the key of its domain."""
    return Place(
        account_id=scope.account_id, table="task_voiceprints", row_id=f"{scope.region}/{task_id}", column=column
    )


def profile_voiceprint_place(scope: Scope, profile_id: str, voiceprint_id: str, column: str) -> Place:
    """Where the vector, the audio or the consent of a profile's voiceprint lies; under the key of its domain."""
    row_id = f"{scope.region}/{profile_id}/{voiceprint_id}"
    return Place(account_id=scope.account_id, table="profile_voiceprints", row_id=row_id, column=column)


def event_body_place(scope: Scope, event_id: str) -> Place:
    """Where the body of an event lies; under the key of its pipeline."""
    return Place(
        account_id=scope.account_id,
        table="outbox_events",
        row_id=f"{scope.region}/{event_id}",
        column="body_ciphertext",
    )
