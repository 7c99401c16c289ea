"""Labels: what people say of results."""

from alembic import op

revision = "0010"
down_revision = "0009"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE task_labels (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    task_id {text} NOT NULL,
    domain_id {text} NOT NULL,
    profile_id {text},
    label_ciphertext {bytes} NOT NULL,
    key_id {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT task_labels_pk PRIMARY KEY (account_id, region, task_id),
    CONSTRAINT task_labels_speaker_search_tasks_fk FOREIGN KEY(account_id, region, task_id)
        REFERENCES speaker_search_tasks (account_id, region, task_id) ON DELETE CASCADE
);
CREATE INDEX task_labels_by_domain ON task_labels (account_id, region, domain_id, task_id);
CREATE INDEX task_labels_by_profile ON task_labels (account_id, region, profile_id) WHERE profile_id IS NOT NULL
"""


def upgrade() -> None:
    """Make the table."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        connection.exec_driver_sql(statement)
