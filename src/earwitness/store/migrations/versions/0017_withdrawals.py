"""Withdrawals of consents: how far each is, and which media are still to be erased."""

from alembic import op

revision = "0017"
down_revision = "0016"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE withdrawals (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    withdrawal_id {text} NOT NULL,
    state {text} NOT NULL,
    key_id {text} NOT NULL,
    sought_ciphertext {bytes},
    wrapped_key {bytes},
    is_searched BIGINT NOT NULL,
    counts {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT withdrawals_pk PRIMARY KEY (account_id, region, withdrawal_id)
);
CREATE INDEX withdrawals_open ON withdrawals (account_id, region, withdrawal_id) WHERE ended_at IS NULL;

CREATE TABLE media_erasures (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    withdrawal_id {text} NOT NULL,
    stream_arn {text} NOT NULL,
    node_id {text} NOT NULL,
    pipeline_id {text},
    from_at BIGINT NOT NULL,
    until_at BIGINT,
    fragments BIGINT NOT NULL,
    done_at BIGINT,
    CONSTRAINT media_erasures_pk PRIMARY KEY (account_id, region, withdrawal_id, stream_arn, node_id),
    CONSTRAINT media_erasures_withdrawals_fk FOREIGN KEY(account_id, region, withdrawal_id)
        REFERENCES withdrawals (account_id, region, withdrawal_id) ON DELETE CASCADE
);
CREATE INDEX media_erasures_due ON media_erasures (node_id) WHERE done_at IS NULL;
"""


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
