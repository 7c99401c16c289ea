"""Voice Connectors and their calls, which have events without a pipeline, and summaries that are still to be told.

SQLite cannot drop a constraint, so both tables of the outbox are written anew there. Their rows keep their numbers, and
the count goes on where it was: the number of a purged event is never given to another.
"""

from alembic import op
from sqlalchemy import Connection

revision = "0005"
down_revision = "0004"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE voice_connectors (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    connector_id {text} NOT NULL,
    arn {text} NOT NULL,
    name {text} NOT NULL,
    body {text} NOT NULL,
    streaming {text},
    door {text} NOT NULL,
    secrets_ciphertext {bytes},
    wrapped_key {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT voice_connectors_pk PRIMARY KEY (account_id, region, connector_id),
    CONSTRAINT voice_connectors_connector_id_unique UNIQUE (connector_id),
    CONSTRAINT voice_connectors_account_id_region_arn_unique UNIQUE (account_id, region, arn)
);
CREATE INDEX voice_connectors_by_time ON voice_connectors (account_id, region, created_at, connector_id);

CREATE TABLE announced_calls (
    call_digest {bytes} NOT NULL,
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    connector_id {text} NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT announced_calls_pk PRIMARY KEY (call_digest),
    CONSTRAINT announced_calls_voice_connectors_fk FOREIGN KEY(account_id, region, connector_id)
        REFERENCES voice_connectors (account_id, region, connector_id) ON DELETE CASCADE
);
CREATE INDEX announced_calls_by_time ON announced_calls (expires_at);

CREATE TABLE connector_calls (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    transaction_id {text} NOT NULL,
    connector_id {text} NOT NULL,
    call_id {text} NOT NULL,
    door {text} NOT NULL,
    direction {text} NOT NULL,
    pipeline_id {text},
    status {text} NOT NULL,
    reason {text},
    numbers_ciphertext {bytes} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT connector_calls_pk PRIMARY KEY (account_id, region, transaction_id)
);
CREATE UNIQUE INDEX connector_calls_one_active ON connector_calls (account_id, region, connector_id, call_id)
    WHERE ended_at IS NULL;
CREATE INDEX connector_calls_running ON connector_calls (account_id, region, transaction_id) WHERE ended_at IS NULL;
CREATE INDEX connector_calls_by_time ON connector_calls (account_id, region, started_at, transaction_id);
CREATE INDEX connector_calls_by_end ON connector_calls (ended_at);

CREATE TABLE connector_call_legs (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    transaction_id {text} NOT NULL,
    label {text} NOT NULL,
    is_caller BIGINT NOT NULL,
    coding {text} NOT NULL,
    rate BIGINT NOT NULL,
    stream_arn {text} NOT NULL,
    channel_id BIGINT NOT NULL,
    start_fragment_number {text} NOT NULL,
    started_at BIGINT NOT NULL,
    CONSTRAINT connector_call_legs_pk PRIMARY KEY (account_id, region, transaction_id, label),
    CONSTRAINT connector_call_legs_connector_calls_fk FOREIGN KEY(account_id, region, transaction_id)
        REFERENCES connector_calls (account_id, region, transaction_id) ON DELETE CASCADE
);

CREATE TABLE connector_call_streams (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    stream_arn {text} NOT NULL,
    ended_at BIGINT,
    CONSTRAINT connector_call_streams_pk PRIMARY KEY (account_id, region, stream_arn),
    CONSTRAINT connector_call_streams_kinesis_streams_fk FOREIGN KEY(account_id, region, stream_arn)
        REFERENCES kinesis_streams (account_id, region, arn) ON DELETE CASCADE
);
CREATE INDEX connector_call_streams_ended ON connector_call_streams (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE connector_call_tasks (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    transaction_id {text} NOT NULL,
    call_leg {text} NOT NULL,
    CONSTRAINT connector_call_tasks_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT connector_call_tasks_speaker_search_tasks_fk FOREIGN KEY(account_id, region, task_id)
        REFERENCES speaker_search_tasks (account_id, region, task_id) ON DELETE CASCADE
);
CREATE INDEX connector_call_tasks_by_transaction ON connector_call_tasks (account_id, region, transaction_id);

CREATE TABLE post_call_summaries (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    pipeline_id {text} NOT NULL,
    due_at BIGINT NOT NULL,
    CONSTRAINT post_call_summaries_pk PRIMARY KEY (account_id, region, pipeline_id),
    CONSTRAINT post_call_summaries_pipelines_fk FOREIGN KEY(account_id, region, pipeline_id)
        REFERENCES pipelines (account_id, region, pipeline_id) ON DELETE CASCADE
);
CREATE INDEX post_call_summaries_by_time ON post_call_summaries (due_at);

CREATE INDEX profile_voiceprints_by_source ON profile_voiceprints (account_id, region, source_task_id)
    WHERE source_task_id IS NOT NULL;
"""

_SQLITE_OUTBOX = """
ALTER TABLE outbox_events RENAME TO former_events;
ALTER TABLE outbox_deliveries RENAME TO former_deliveries;
DROP INDEX outbox_events_by_pipeline;
DROP INDEX outbox_events_by_time;
DROP INDEX outbox_deliveries_due;
DROP INDEX outbox_deliveries_queue;
CREATE TABLE outbox_events (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    event_id TEXT NOT NULL,
    pipeline_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body_ciphertext BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT outbox_events_account_id_region_event_id_unique UNIQUE (account_id, region, event_id)
);
INSERT INTO outbox_events (sequence, account_id, region, event_id, pipeline_id, kind, body_ciphertext, created_at)
    SELECT sequence, account_id, region, event_id, pipeline_id, kind, body_ciphertext, created_at FROM former_events;
DELETE FROM sqlite_sequence WHERE name = 'outbox_events';
INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox_events', seq FROM sqlite_sequence WHERE name = 'former_events';
CREATE TABLE outbox_deliveries (
    sequence BIGINT NOT NULL,
    target TEXT NOT NULL,
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    pipeline_id TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_error TEXT,
    delivered_at BIGINT,
    CONSTRAINT outbox_deliveries_pk PRIMARY KEY (sequence, target),
    CONSTRAINT outbox_deliveries_outbox_events_fk FOREIGN KEY(sequence) REFERENCES outbox_events (sequence)
        ON DELETE CASCADE
);
INSERT INTO outbox_deliveries (sequence, target, account_id, region, pipeline_id, state, attempts, next_attempt_at,
        last_error, delivered_at)
    SELECT sequence, target, account_id, region, pipeline_id, state, attempts, next_attempt_at, last_error, delivered_at
    FROM former_deliveries;
DROP TABLE former_deliveries;
DROP TABLE former_events;
CREATE INDEX outbox_events_by_pipeline ON outbox_events (account_id, region, pipeline_id, sequence);
CREATE INDEX outbox_events_by_time ON outbox_events (created_at);
CREATE INDEX outbox_deliveries_due ON outbox_deliveries (next_attempt_at, sequence) WHERE state = 'pending';
CREATE INDEX outbox_deliveries_queue
    ON outbox_deliveries (account_id, region, pipeline_id, target, sequence) WHERE state = 'pending';
"""

_OUTBOX = {
    "sqlite": _SQLITE_OUTBOX,
    "postgresql": "ALTER TABLE outbox_events DROP CONSTRAINT outbox_events_pipelines_fk",
}


def upgrade() -> None:
    """Make the tables, and let events belong to a call."""
    connection = op.get_bind()
    kind = connection.dialect.name
    _run(connection, _SQL.format(**_WORDS[kind]))
    _run(connection, _OUTBOX[kind])


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
