"""Master keys: which is in force, which is taking its place, and which processes have it."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_WORDS = {
    "sqlite": {"text": "TEXT", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
"""How each database writes the names in braces."""

_SQL = """
ALTER TABLE vault_checks ADD COLUMN identity {text} NOT NULL DEFAULT '';
ALTER TABLE vault_checks ADD COLUMN master_key_id {text} NOT NULL DEFAULT '';
ALTER TABLE vault_checks ADD COLUMN in_force_since BIGINT;
ALTER TABLE vault_checks ADD COLUMN source {text} NOT NULL DEFAULT '';
ALTER TABLE vault_checks ADD COLUMN next_key_id {text} NOT NULL DEFAULT '';
ALTER TABLE vault_checks ADD COLUMN next_in_use BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vault_checks ADD COLUMN next_wrapped_key {bytes};

CREATE TABLE master_key_holders (
    holder {text} NOT NULL,
    master_key_id {text} NOT NULL,
    CONSTRAINT master_key_holders_pk PRIMARY KEY (holder)
)
"""


def upgrade() -> None:
    """Make columns and table; the records keep the identity that their media know."""
    connection = op.get_bind()
    for statement in _SQL.format(**_WORDS[connection.dialect.name]).split(";"):
        connection.exec_driver_sql(statement)
    checks = sa.table("vault_checks", sa.column("name"), sa.column("wrapped_key"), sa.column("identity"))
    for name, wrapped_key in connection.execute(sa.select(checks.c.name, checks.c.wrapped_key)).all():
        identity = hashlib.sha256(wrapped_key).hexdigest()[:32]
        connection.execute(checks.update().where(checks.c.name == name).values(identity=identity))
