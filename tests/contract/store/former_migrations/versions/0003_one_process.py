"""Which process serves the records."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
"""Text by code point, as schema.py says; written out, because a migration never changes."""


def upgrade() -> None:
    """Make the table of the process that serves."""
    op.create_table(
        "service_leaders",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("process", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="service_leaders_pk"),
        sa.UniqueConstraint("holder", name="service_leaders_holder_unique"),
    )
