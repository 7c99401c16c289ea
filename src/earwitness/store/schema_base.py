"""What all tables are made of: one way to name constraints, one maker for each kind of column."""

from typing import Any

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, MetaData
from sqlalchemy import text as sql_text

from earwitness.store.columns import PlainText

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "fk": "%(table_name)s_%(referred_table_name)s_fk",
    }
)


# `Any`: a column's Python type; SQLAlchemy infers it from the column type at each use.
def text(name: str, *, nullable: bool = False) -> Column[Any]:
    """Text by code point."""
    return Column(name, PlainText(), nullable=nullable)


def time(name: str, *, nullable: bool = False) -> Column[Any]:
    """A time: microseconds since 1970."""
    return Column(name, BigInteger, nullable=nullable)


def binary(name: str, *, nullable: bool = False) -> Column[Any]:
    """Bytes: a ciphertext, a wrapped key, a digest."""
    return Column(name, LargeBinary, nullable=nullable)


def whole(name: str) -> Column[Any]:
    """A whole number."""
    return Column(name, BigInteger, nullable=False)


def scope() -> tuple[Column[Any], Column[Any]]:
    """The columns of the Scope: account and Region."""
    return text("account_id"), text("region")


def seconds(name: str) -> Column[Any]:
    """A duration, in seconds."""
    return Column(name, Double, nullable=False)


def numbered(name: str) -> Column[Any]:
    """A primary key that the database counts up itself."""
    # SQLite numbers rows itself only when the column's type is exactly INTEGER.
    return Column(name, BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)


# `Any`: SQLAlchemy's own word for the options of a dialect.
def where(condition: str) -> dict[str, Any]:
    """The options of an index that holds only the rows of this condition."""
    return {"sqlite_where": sql_text(condition), "postgresql_where": sql_text(condition)}
