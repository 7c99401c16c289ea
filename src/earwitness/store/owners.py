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
