"""Calibrations of domains: what is installed while the service runs."""

from alembic import op

revision = "0018"
down_revision = "0017"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
CREATE TABLE calibration_versions (
    account_id {text} NOT NULL,
    region {text} NOT NULL,
    domain_id {text} NOT NULL,
    number BIGINT NOT NULL,
    calibration_id {text},
    encoder_id {text},
    key_id {text} NOT NULL,
    created_at BIGINT NOT NULL,
    document_ciphertext {bytes},
    CONSTRAINT calibration_versions_pk PRIMARY KEY (account_id, region, domain_id, number),
    CONSTRAINT calibration_versions_voice_profile_domains_fk FOREIGN KEY(account_id, region, domain_id)
        REFERENCES voice_profile_domains (account_id, region, domain_id) ON DELETE CASCADE
)
"""


def upgrade() -> None:
    """Make the table."""
    connection = op.get_bind()
    connection.exec_driver_sql(_SQL.format(**_WORDS[connection.dialect.name]))
