"""The tables, one schema for both databases: keys and resources here, those of the live search in schema_search.py.

Times are whole microseconds since 1970 (UTC), documents are JSON text, and only the vault reads what is in a
`ciphertext`. Text sorts by code point in both databases, so that a page ends at the same row in either. Every index of
a list begins with account and Region.
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

from earwitness.store.schema_base import binary, metadata, numbered, scope, text, time, where, whole

HEAD = "0003"
"""The revision of the migrations that makes this schema."""

vault_checks = Table(
    "vault_checks",
    metadata,
    text("name"),
    binary("wrapped_key"),
    PrimaryKeyConstraint("name"),
)

service_leaders = Table(
    "service_leaders",
    metadata,
    text("name"),
    text("holder"),
    text("host"),
    whole("process"),
    time("since"),
    time("expires_at"),
    PrimaryKeyConstraint("name"),
    # In a unique key, so that PostgreSQL lets nobody change it while a transaction of the holder holds the row's key.
    UniqueConstraint("holder"),
)
"""Which process serves these records. Used on PostgreSQL alone; SQLite's leader holds a lock on a file."""

access_keys = Table(
    "access_keys",
    metadata,
    text("key_id"),
    text("account_id"),
    text("role"),
    text("name"),
    text("state"),
    binary("secret_ciphertext"),
    binary("wrapped_key"),
    time("created_at"),
    PrimaryKeyConstraint("key_id"),
    Index("access_keys_by_time", "account_id", "created_at", "key_id"),
)

bearer_tokens = Table(
    "bearer_tokens",
    metadata,
    binary("token_sha256"),
    text("token_id"),
    text("account_id"),
    text("role"),
    text("name"),
    text("state"),
    time("created_at"),
    PrimaryKeyConstraint("token_sha256"),
    UniqueConstraint("account_id", "token_id"),
    Index("bearer_tokens_by_time", "account_id", "created_at", "token_id"),
)

configurations = Table(
    "configurations",
    metadata,
    *scope(),
    text("configuration_id"),
    text("name"),
    text("arn"),
    text("body"),
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
    text("pipeline_id"),
    text("arn"),
    text("configuration_arn"),
    text("configuration"),
    text("status"),
    text("element_statuses"),
    text("source"),
    binary("runtime_metadata_ciphertext", nullable=True),
    binary("wrapped_key"),
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

voice_profile_domains = Table(
    "voice_profile_domains",
    metadata,
    *scope(),
    text("domain_id"),
    text("arn"),
    text("name"),
    text("description"),
    text("kms_key_arn"),
    text("band"),
    binary("wrapped_key"),
    whole("version"),
    time("created_at"),
    time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("voice_profile_domains_by_time", "account_id", "region", "created_at", "domain_id"),
)

voice_profiles = Table(
    "voice_profiles",
    metadata,
    *scope(),
    text("profile_id"),
    text("domain_id"),
    text("arn"),
    time("created_at"),
    time("updated_at"),
    time("expires_at"),
    PrimaryKeyConstraint("account_id", "region", "profile_id"),
    UniqueConstraint("account_id", "region", "arn"),
    ForeignKeyConstraint(
        ["account_id", "region", "domain_id"],
        [
            "voice_profile_domains.account_id",
            "voice_profile_domains.region",
            "voice_profile_domains.domain_id",
        ],
        ondelete="CASCADE",
    ),
    Index("voice_profiles_by_time", "account_id", "region", "domain_id", "created_at", "profile_id"),
)

kinesis_streams = Table(
    "kinesis_streams",
    metadata,
    *scope(),
    text("name"),
    text("arn"),
    text("version"),
    text("device_name", nullable=True),
    text("media_type", nullable=True),
    text("kms_key_id", nullable=True),
    whole("retention_hours"),
    text("status"),
    binary("wrapped_key"),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "name"),
    UniqueConstraint("account_id", "region", "arn"),
)

tags = Table(
    "tags",
    metadata,
    *scope(),
    text("resource_arn"),
    text("tag_key"),
    text("tag_value"),
    PrimaryKeyConstraint("account_id", "region", "resource_arn", "tag_key"),
)

idempotency_tokens = Table(
    "idempotency_tokens",
    metadata,
    *scope(),
    text("operation"),
    binary("token_digest"),
    binary("request_digest"),
    text("reference"),
    time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "operation", "token_digest"),
    Index("idempotency_tokens_by_time", "created_at"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    numbered("entry_id"),
    *scope(),
    text("key_id"),
    text("operation"),
    text("resource_arn"),
    text("outcome"),
    text("request_id"),
    time("time"),
    Index("audit_entries_by_account", "account_id", "region", "entry_id"),
    Index("audit_entries_by_time", "time"),
)

alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), primary_key=True),
)
"""Alembic's own table; read here, never made."""
