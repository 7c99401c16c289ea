"""The tables, one schema for both databases.

Times are whole microseconds since 1970 (UTC), documents are JSON text, and only the vault reads what is in a
`ciphertext`. Text sorts by code point in both databases, so that a page ends at the same row in either. Every index of
a list begins with account and Region.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

from earwitness.store.columns import PlainText

HEAD = "0001"
"""The revision of the migrations that makes this schema."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "fk": "%(table_name)s_%(referred_table_name)s_fk",
    }
)


# `Any`: a column's Python type; SQLAlchemy infers it from the column type at each use.
def _text(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, PlainText(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, LargeBinary, nullable=nullable)


def _whole(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False)


def _scope() -> tuple[Column[Any], Column[Any]]:
    return _text("account_id"), _text("region")


vault_checks = Table(
    "vault_checks",
    metadata,
    _text("name"),
    _bytes("wrapped_key"),
    PrimaryKeyConstraint("name"),
)

access_keys = Table(
    "access_keys",
    metadata,
    _text("key_id"),
    _text("account_id"),
    _text("role"),
    _text("name"),
    _text("state"),
    _bytes("secret_ciphertext"),
    _bytes("wrapped_key"),
    _time("created_at"),
    PrimaryKeyConstraint("key_id"),
    Index("access_keys_by_time", "account_id", "created_at", "key_id"),
)

bearer_tokens = Table(
    "bearer_tokens",
    metadata,
    _bytes("token_sha256"),
    _text("token_id"),
    _text("account_id"),
    _text("role"),
    _text("name"),
    _text("state"),
    _time("created_at"),
    PrimaryKeyConstraint("token_sha256"),
    UniqueConstraint("account_id", "token_id"),
    Index("bearer_tokens_by_time", "account_id", "created_at", "token_id"),
)

configurations = Table(
    "configurations",
    metadata,
    *_scope(),
    _text("configuration_id"),
    _text("name"),
    _text("arn"),
    _text("body"),
    _time("created_at"),
    _time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "configuration_id"),
    UniqueConstraint("account_id", "region", "name"),
    UniqueConstraint("account_id", "region", "arn"),
)

pipelines = Table(
    "pipelines",
    metadata,
    *_scope(),
    _text("pipeline_id"),
    _text("arn"),
    _text("configuration_arn"),
    _text("configuration"),
    _text("status"),
    _text("element_statuses"),
    _text("source"),
    _bytes("runtime_metadata_ciphertext", nullable=True),
    _bytes("wrapped_key"),
    _time("created_at"),
    _time("paused_at", nullable=True),
    _time("ended_at", nullable=True),
    PrimaryKeyConstraint("account_id", "region", "pipeline_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("pipelines_by_time", "account_id", "region", "created_at", "pipeline_id"),
    Index("pipelines_active", "account_id", "region", "ended_at", "configuration_arn"),
    Index("pipelines_by_end", "ended_at"),
)

voice_profile_domains = Table(
    "voice_profile_domains",
    metadata,
    *_scope(),
    _text("domain_id"),
    _text("arn"),
    _text("name"),
    _text("description"),
    _text("kms_key_arn"),
    _text("band"),
    _bytes("wrapped_key"),
    _whole("version"),
    _time("created_at"),
    _time("updated_at"),
    PrimaryKeyConstraint("account_id", "region", "domain_id"),
    UniqueConstraint("account_id", "region", "arn"),
    Index("voice_profile_domains_by_time", "account_id", "region", "created_at", "domain_id"),
)

voice_profiles = Table(
    "voice_profiles",
    metadata,
    *_scope(),
    _text("profile_id"),
    _text("domain_id"),
    _text("arn"),
    _time("created_at"),
    _time("updated_at"),
    _time("expires_at"),
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
    *_scope(),
    _text("name"),
    _text("arn"),
    _text("version"),
    _text("device_name", nullable=True),
    _text("media_type", nullable=True),
    _text("kms_key_id", nullable=True),
    _whole("retention_hours"),
    _text("status"),
    _bytes("wrapped_key"),
    _time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "name"),
    UniqueConstraint("account_id", "region", "arn"),
)

tags = Table(
    "tags",
    metadata,
    *_scope(),
    _text("resource_arn"),
    _text("tag_key"),
    _text("tag_value"),
    PrimaryKeyConstraint("account_id", "region", "resource_arn", "tag_key"),
)

idempotency_tokens = Table(
    "idempotency_tokens",
    metadata,
    *_scope(),
    _text("operation"),
    _bytes("token_digest"),
    _bytes("request_digest"),
    _text("reference"),
    _time("created_at"),
    PrimaryKeyConstraint("account_id", "region", "operation", "token_digest"),
    Index("idempotency_tokens_by_time", "created_at"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    # SQLite numbers rows itself only when the column's type is exactly INTEGER.
    Column("entry_id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    *_scope(),
    _text("key_id"),
    _text("operation"),
    _text("resource_arn"),
    _text("outcome"),
    _text("request_id"),
    _time("time"),
    Index("audit_entries_by_account", "account_id", "region", "entry_id"),
    Index("audit_entries_by_time", "time"),
)

alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), primary_key=True),
)
"""Alembic's own table; read here, never made."""
