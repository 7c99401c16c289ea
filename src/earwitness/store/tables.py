"""What all tables have in common: their register, what columns of one sort say, and rows that hang on others.

What belongs here: what more than one module of tables needs. What must never: a table.
"""

from sqlalchemy import ForeignKeyConstraint, MetaData

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "fk": "%(table_name)s_%(referred_table_name)s_fk",
    }
)

ID = "an identifier that the service made; found and joined by it"
STATE = "a word of the service's own; found by it"
COUNT = "a number of the service's own"
NAMED = "a name that the client chose; found by it, and unique"
ARN = "an ARN, of account, Region and an identifier; found by it"
ADDRESSES = "the addresses and settings that the client gave; read without any key when a configuration is in use"
SHOWN = "words that the client chose; answered by lists, which open no data key. Write nothing about a person here"
KMS_KEY = "of a KMS key that the client gave; answered, and used where `kms_keys` names it"


def belongs_to(table: str, row_id: str) -> ForeignKeyConstraint:
    """Return the constraint that a row goes with the row of another table that it names."""
    names = ["account_id", "region", row_id]
    return ForeignKeyConstraint(names, [f"{table}.{name}" for name in names], ondelete="CASCADE")
