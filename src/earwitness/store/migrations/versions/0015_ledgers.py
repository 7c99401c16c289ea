"""Ledgers have a name, which changes when records are restored that do not know how theirs goes on."""

from alembic import op

revision = "0015"
down_revision = "0014"

_WORDS = {"sqlite": "TEXT", "postgresql": 'VARCHAR COLLATE "C"'}
"""How each database writes text."""


def upgrade() -> None:
    """Make the table anew: it was never written before."""
    connection = op.get_bind()
    text = _WORDS[connection.dialect.name]
    connection.exec_driver_sql("DROP TABLE ledger_places")
    connection.exec_driver_sql(
        f"CREATE TABLE ledger_places (place {text} NOT NULL, ledger {text} NOT NULL, position BIGINT NOT NULL, "
        f"created_at BIGINT NOT NULL, told_at BIGINT, last_error {text}, "
        "CONSTRAINT ledger_places_pk PRIMARY KEY (place))"
    )
