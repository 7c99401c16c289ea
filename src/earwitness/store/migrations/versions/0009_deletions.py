"""Deletions, the ledgers that know of them, and backups."""

from alembic import op

revision = "0009"
down_revision = "0008"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE deletions (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    deletion_id {text} NOT NULL,
    request_id {text} NOT NULL,
    who {text} NOT NULL,
    why {text} NOT NULL,
    created_at BIGINT NOT NULL,
    position BIGINT,
    entry_digest {bytes},
    CONSTRAINT deletions_pk PRIMARY KEY (account_id, region, deletion_id),
    CONSTRAINT deletions_position_unique UNIQUE (position)
);
CREATE INDEX deletions_by_request ON deletions (account_id, region, request_id);
CREATE INDEX deletions_by_time ON deletions (created_at);
CREATE INDEX deletions_waiting ON deletions (created_at, deletion_id) WHERE position IS NULL;

CREATE TABLE deletion_items (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    deletion_id {text} NOT NULL,
    number BIGINT NOT NULL,
    kind {text} NOT NULL,
    identity_digest {bytes} NOT NULL,
    destroyed_key_id {text},
    voiceprints BIGINT NOT NULL,
    CONSTRAINT deletion_items_pk PRIMARY KEY (account_id, region, deletion_id, number),
    CONSTRAINT deletion_items_deletions_fk FOREIGN KEY(account_id, region, deletion_id)
        REFERENCES deletions (account_id, region, deletion_id) ON DELETE CASCADE
);
CREATE INDEX deletion_items_by_identity ON deletion_items (account_id, region, identity_digest);

CREATE TABLE ledger_places (
    place {text} NOT NULL,
    position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    told_at BIGINT,
    last_error {text},
    CONSTRAINT ledger_places_pk PRIMARY KEY (place)
);

CREATE TABLE backups (
    backup_id {text} NOT NULL,
    place {text} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    with_media BIGINT NOT NULL,
    position BIGINT NOT NULL,
    deleted_at BIGINT,
    CONSTRAINT backups_pk PRIMARY KEY (backup_id)
);
CREATE INDEX backups_by_time ON backups (created_at);
"""


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
