"""Jobs: searches and enrolments of many recordings, run by whoever serves the records."""

from alembic import op

revision = "0006"
down_revision = "0005"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE jobs (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    job_id {text} NOT NULL,
    kind {text} NOT NULL,
    state {text} NOT NULL,
    domain_id {text} NOT NULL,
    domain_arn {text} NOT NULL,
    source_ciphertext {bytes},
    items BIGINT NOT NULL,
    done BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    key_id {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT jobs_pk PRIMARY KEY (account_id, region, job_id)
);
CREATE INDEX jobs_by_time ON jobs (account_id, region, created_at, job_id);
CREATE INDEX jobs_by_domain ON jobs (account_id, region, domain_id);
CREATE INDEX jobs_open ON jobs (account_id, region, job_id) WHERE ended_at IS NULL;
CREATE INDEX jobs_by_end ON jobs (ended_at);

CREATE TABLE job_items (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    job_id {text} NOT NULL,
    number BIGINT NOT NULL,
    state {text} NOT NULL,
    attempt BIGINT NOT NULL,
    holder {text},
    leased_until BIGINT NOT NULL,
    reason {text},
    bytes BIGINT NOT NULL,
    input_ciphertext {bytes} NOT NULL,
    result_ciphertext {bytes},
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT job_items_pk PRIMARY KEY (account_id, region, job_id, number),
    CONSTRAINT job_items_jobs_fk FOREIGN KEY(account_id, region, job_id)
        REFERENCES jobs (account_id, region, job_id) ON DELETE CASCADE
);
CREATE INDEX job_items_waiting ON job_items (account_id, region, job_id, number, bytes) WHERE state = 'waiting';

CREATE TABLE job_recordings (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    job_id {text} NOT NULL,
    number BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    piece_ciphertext {bytes} NOT NULL,
    CONSTRAINT job_recordings_pk PRIMARY KEY (account_id, region, job_id, number, piece),
    CONSTRAINT job_recordings_job_items_fk FOREIGN KEY(account_id, region, job_id, number)
        REFERENCES job_items (account_id, region, job_id, number) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
