"""The chain over the audit trail. Entries of before have no place in it; its beginning says how many there were."""

import hashlib
import json
import time

from alembic import op
from sqlalchemy import text

revision = "0014"
down_revision = "0013"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
ALTER TABLE audit_entries ADD COLUMN node {text};
ALTER TABLE audit_entries ADD COLUMN number BIGINT;
ALTER TABLE audit_entries ADD COLUMN digest {bytes};
CREATE UNIQUE INDEX audit_entries_by_chain ON audit_entries (node, number) WHERE number IS NOT NULL;
CREATE INDEX audit_entries_unsealed ON audit_entries (node, entry_id) WHERE number IS NULL AND node IS NOT NULL;

CREATE TABLE audit_chains (
    node {text} NOT NULL,
    start_number BIGINT NOT NULL,
    start_digest {bytes} NOT NULL,
    before BIGINT NOT NULL,
    cut {text},
    created_at BIGINT NOT NULL,
    CONSTRAINT audit_chains_pk PRIMARY KEY (node)
)
"""

_BEGIN = text(
    "INSERT INTO audit_chains (node, start_number, start_digest, before, created_at) "
    "VALUES ('', 0, :digest, :before, :now)"
)


def upgrade() -> None:
    """Make columns and table; begin the chain of what no node writes behind the entries that are there."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        connection.exec_driver_sql(statement)
    before = connection.exec_driver_sql("SELECT count(*) FROM audit_entries").scalar_one()
    if before:
        values = {"digest": _genesis(before), "before": before, "now": time.time_ns() // 1_000}
        connection.execute(_BEGIN, values)


def _genesis(before: int) -> bytes:
    """Return what `store/audit_chain.py` calls the genesis, as it was when this migration was written."""
    document = json.dumps({"before": before, "node": ""}, separators=(",", ":")).encode()
    return hashlib.sha256(b"earwitness audit chain 1\0" + document).digest()
