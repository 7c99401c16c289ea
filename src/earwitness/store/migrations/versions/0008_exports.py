"""Exports: what a job has made of a domain, until it is fetched."""

from alembic import op

revision = "0008"
down_revision = "0007"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE job_parts (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    job_id {text} NOT NULL,
    number BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    piece_ciphertext {bytes} NOT NULL,
    CONSTRAINT job_parts_pk PRIMARY KEY (account_id, region, job_id, number, piece),
    CONSTRAINT job_parts_job_items_fk FOREIGN KEY(account_id, region, job_id, number)
        REFERENCES job_items (account_id, region, job_id, number) ON DELETE CASCADE
)
"""


def upgrade() -> None:
    """Make the table."""
    connection = op.get_bind()
    connection.exec_driver_sql(_SQL.format(**_WORDS[connection.dialect.name]))
