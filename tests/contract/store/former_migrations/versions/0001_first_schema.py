"""The first schema: keys, the resources of the three services, tags, request tokens, the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
"""Text by code point, as schema.py says; written out, because a migration never changes."""


def upgrade() -> None:
    """Make all tables."""
    _access_keys()
    _audit_entries()
    _bearer_tokens()
    _configurations()
    _idempotency_tokens()
    _kinesis_streams()
    _pipelines()
    _tags()
    _vault_checks()
    _voice_profile_domains()
    _voice_profiles()


def _access_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("secret_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="access_keys_pk"),
    )
    op.create_index("access_keys_by_time", "access_keys", ["account_id", "created_at", "key_id"], unique=False)


def _audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("operation", _TEXT, nullable=False),
        sa.Column("resource_arn", _TEXT, nullable=False),
        sa.Column("outcome", _TEXT, nullable=False),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="audit_entries_pk"),
    )
    op.create_index("audit_entries_by_account", "audit_entries", ["account_id", "region", "entry_id"], unique=False)
    op.create_index("audit_entries_by_time", "audit_entries", ["time"], unique=False)


def _bearer_tokens() -> None:
    op.create_table(
        "bearer_tokens",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", _TEXT, nullable=False),
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name="bearer_tokens_pk"),
        sa.UniqueConstraint("account_id", "token_id", name="bearer_tokens_account_id_token_id_unique"),
    )
    op.create_index("bearer_tokens_by_time", "bearer_tokens", ["account_id", "created_at", "token_id"], unique=False)


def _configurations() -> None:
    op.create_table(
        "configurations",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("configuration_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "configuration_id", name="configurations_pk"),
        sa.UniqueConstraint("account_id", "region", "arn", name="configurations_account_id_region_arn_unique"),
        sa.UniqueConstraint("account_id", "region", "name", name="configurations_account_id_region_name_unique"),
    )


def _idempotency_tokens() -> None:
    op.create_table(
        "idempotency_tokens",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("operation", _TEXT, nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("reference", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "operation", "token_digest", name="idempotency_tokens_pk"),
    )
    op.create_index("idempotency_tokens_by_time", "idempotency_tokens", ["created_at"], unique=False)


def _kinesis_streams() -> None:
    op.create_table(
        "kinesis_streams",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("device_name", _TEXT, nullable=True),
        sa.Column("media_type", _TEXT, nullable=True),
        sa.Column("kms_key_id", _TEXT, nullable=True),
        sa.Column("retention_hours", sa.BigInteger(), nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "name", name="kinesis_streams_pk"),
        sa.UniqueConstraint("account_id", "region", "arn", name="kinesis_streams_account_id_region_arn_unique"),
    )


def _pipelines() -> None:
    op.create_table(
        "pipelines",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("configuration_arn", _TEXT, nullable=False),
        sa.Column("configuration", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("element_statuses", _TEXT, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("runtime_metadata_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "region", "pipeline_id", name="pipelines_pk"),
        sa.UniqueConstraint("account_id", "region", "arn", name="pipelines_account_id_region_arn_unique"),
    )
    op.create_index(
        "pipelines_active", "pipelines", ["account_id", "region", "ended_at", "configuration_arn"], unique=False
    )
    op.create_index("pipelines_by_end", "pipelines", ["ended_at"], unique=False)
    op.create_index(
        "pipelines_by_time", "pipelines", ["account_id", "region", "created_at", "pipeline_id"], unique=False
    )


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("resource_arn", _TEXT, nullable=False),
        sa.Column("tag_key", _TEXT, nullable=False),
        sa.Column("tag_value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "resource_arn", "tag_key", name="tags_pk"),
    )


def _vault_checks() -> None:
    op.create_table(
        "vault_checks",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="vault_checks_pk"),
    )


def _voice_profile_domains() -> None:
    op.create_table(
        "voice_profile_domains",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("domain_id", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("kms_key_arn", _TEXT, nullable=False),
        sa.Column("band", _TEXT, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "domain_id", name="voice_profile_domains_pk"),
        sa.UniqueConstraint("account_id", "region", "arn", name="voice_profile_domains_account_id_region_arn_unique"),
    )
    op.create_index(
        "voice_profile_domains_by_time",
        "voice_profile_domains",
        ["account_id", "region", "created_at", "domain_id"],
        unique=False,
    )


def _voice_profiles() -> None:
    op.create_table(
        "voice_profiles",
        sa.Column("account_id", _TEXT, nullable=False),
        sa.Column("region", _TEXT, nullable=False),
        sa.Column("profile_id", _TEXT, nullable=False),
        sa.Column("domain_id", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "region", "domain_id"],
            ["voice_profile_domains.account_id", "voice_profile_domains.region", "voice_profile_domains.domain_id"],
            name="voice_profiles_voice_profile_domains_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "region", "profile_id", name="voice_profiles_pk"),
        sa.UniqueConstraint("account_id", "region", "arn", name="voice_profiles_account_id_region_arn_unique"),
    )
    op.create_index(
        "voice_profiles_by_time",
        "voice_profiles",
        ["account_id", "region", "domain_id", "created_at", "profile_id"],
        unique=False,
    )
