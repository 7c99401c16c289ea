"""Nodes: which processes serve the records, where a stream's media lie, and which node runs a task or has a call."""

from alembic import op

revision = "0007"
down_revision = "0006"

_WORDS = {
    "sqlite": {"text": "TEXT", "number": "INTEGER NOT NULL CONSTRAINT node_notes_pk PRIMARY KEY"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "number": "BIGSERIAL NOT NULL CONSTRAINT node_notes_pk PRIMARY KEY"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE nodes (
    node_id {text} NOT NULL,
    run {text} NOT NULL,
    host {text} NOT NULL,
    process BIGINT NOT NULL,
    version {text} NOT NULL,
    internal_url {text} NOT NULL,
    node_url {text} NOT NULL,
    tasks BIGINT NOT NULL,
    room BIGINT NOT NULL,
    is_draining BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    alive_until BIGINT NOT NULL,
    dead_at BIGINT,
    CONSTRAINT nodes_pk PRIMARY KEY (node_id),
    CONSTRAINT nodes_run_unique UNIQUE (run)
);

CREATE TABLE node_notes (
    number {number},
    node_id {text} NOT NULL,
    kind {text} NOT NULL,
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    subject {text} NOT NULL
);
CREATE INDEX node_notes_by_node ON node_notes (node_id, number);

ALTER TABLE kinesis_streams ADD COLUMN home_node {text};
ALTER TABLE kinesis_streams ADD COLUMN home_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE kinesis_streams ADD COLUMN sequence_end BIGINT NOT NULL DEFAULT 1;
CREATE INDEX kinesis_streams_by_home ON kinesis_streams (home_node) WHERE home_node IS NOT NULL;

CREATE TABLE stream_extents (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    stream_arn {text} NOT NULL,
    epoch BIGINT NOT NULL,
    node_id {text} NOT NULL,
    first_sequence BIGINT NOT NULL,
    CONSTRAINT stream_extents_pk PRIMARY KEY (account_id, region, stream_arn, epoch),
    CONSTRAINT stream_extents_kinesis_streams_fk FOREIGN KEY(account_id, region, stream_arn)
        REFERENCES kinesis_streams (account_id, region, arn) ON DELETE CASCADE
);
CREATE INDEX stream_extents_by_node ON stream_extents (node_id);

ALTER TABLE speaker_search_tasks ADD COLUMN node_id {text};
CREATE INDEX speaker_search_tasks_by_node ON speaker_search_tasks (node_id) WHERE ended_at IS NULL;

ALTER TABLE connector_calls ADD COLUMN node_id {text};
"""


def upgrade() -> None:
    """Make the tables and columns."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
