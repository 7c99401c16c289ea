"""Repeats: fingerprints of what calls said, and calls that said it again."""

from alembic import op

revision = "0016"
down_revision = "0015"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB", "real": "DOUBLE"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA", "real": "DOUBLE PRECISION"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE task_fingerprints (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    domain_id {text} NOT NULL,
    fingerprint_ciphertext {bytes} NOT NULL,
    CONSTRAINT task_fingerprints_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT task_fingerprints_task_voiceprints_fk FOREIGN KEY(account_id, region, task_id)
        REFERENCES task_voiceprints (account_id, region, task_id) ON DELETE CASCADE
);
CREATE INDEX task_fingerprints_by_domain ON task_fingerprints (account_id, region, domain_id);
CREATE TABLE task_repeats (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    of_task_id {text} NOT NULL,
    likeness {real} NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT task_repeats_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT task_repeats_speaker_search_tasks_fk FOREIGN KEY(account_id, region, task_id)
        REFERENCES speaker_search_tasks (account_id, region, task_id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
