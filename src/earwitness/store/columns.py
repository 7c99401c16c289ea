"""The kinds of columns: how a value lies in the database, and whether it lies there sealed or in clear.

Each kind turns Python's values into the database's and back: times into whole microseconds since 1970 (UTC), documents
into JSON text, words into members of an enum. Both databases write the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, TypeAlias

from sqlalchemy import BigInteger, Column, Dialect, Double, Integer, LargeBinary, String, Text, TypeDecorator
from sqlalchemy import text as sql_text
from sqlalchemy.types import TypeEngine

from earwitness.errors import BadRequest

JsonObject: TypeAlias = Mapping[str, object]
"""A JSON document: strings, finite numbers, booleans, None, lists and objects of such."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Stored(TypeDecorator[Any]):
    """What all kinds of columns do. `Any`: each kind has values of its own."""

    impl = Text
    cache_ok = True  # SQLAlchemy asks every class by itself
    lies_as: ClassVar[type] = str
    """The type of a value in the database. SQLite keeps any other as well; then the file is damaged."""

    def encode(self, value: Any) -> Any:
        """Return the value as it lies in the database."""
        return value

    def decode(self, value: Any) -> Any:
        """Return the value of what lies in the database; raise ValueError when nobody can have written it."""
        return value

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002  SQLAlchemy's signature
        """Encode a value, for SQLAlchemy."""
        return None if value is None else self.encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002  SQLAlchemy's signature
        """Decode a value, for SQLAlchemy."""
        if value is None:
            return None
        if type(value) is not self.lies_as:
            raise ValueError("a column holds another kind of value")
        return self.decode(value)


class PlainText(Stored):
    """Text that both databases can hold, sorted by code point.

    PostgreSQL cannot hold U+0000 and neither can encode half of a surrogate pair, though JSON can carry both; such a
    value is a BadRequest, in a search as in an insert.
    """

    cache_ok = True

    # `Any`: SQLAlchemy's own signature.
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return text, which PostgreSQL is told to sort as SQLite does."""
        return dialect.type_descriptor(String(collation="C") if dialect.name == "postgresql" else Text())

    def encode(self, value: str) -> str:
        """Return the text unchanged; raise BadRequest when a database could not hold it."""
        if "\0" in value or not _is_unicode(value):
            raise BadRequest("a text holds a NUL character or half of a surrogate pair; leave it out")
        return value


class Word(PlainText):
    """A member of an enum, by its value."""

    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def encode(self, value: str) -> str:
        """Return the member's value."""
        return self.words(value).value

    def decode(self, value: str) -> StrEnum:
        """Return the member of this value."""
        return self.words(value)


class Document(PlainText):
    """A JSON object or a list of them, as compact text in ASCII."""

    cache_ok = True

    def encode(self, value: Any) -> str:
        """Return its text; raise BadRequest when a number in it is not finite."""
        return to_json(value)

    def decode(self, value: str) -> Any:
        """Return the document again."""
        return from_json(value)


class Time(Stored):
    """A time that knows its zone, as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True
    lies_as = int

    def encode(self, value: datetime) -> int:
        """Return its microseconds."""
        return to_microseconds(value)

    def decode(self, value: int) -> datetime:
        """Return the time in UTC."""
        return from_microseconds(value)


class Whole(Stored):
    """A whole number."""

    impl = BigInteger
    cache_ok = True
    lies_as = int


class Real(Stored):
    """A real number: a duration in seconds, a score."""

    impl = Double
    cache_ok = True
    lies_as = float


class Binary(Stored):
    """Bytes: a ciphertext, a wrapped key, a digest."""

    impl = LargeBinary
    cache_ok = True
    lies_as = bytes


class Form(StrEnum):
    """How a value is written."""

    SEALED = "sealed"
    """Encrypted and authenticated under the data key of its owner, bound to its row (`vault/`)."""

    WRAPPED = "wrapped key"
    """A data key, encrypted under the master key."""

    DIGEST = "digest"
    """A hash that cannot be turned back."""

    CLEAR = "in clear"


@dataclass(frozen=True, kw_only=True)
class ColumnSecrecy:
    """Who can read a column."""

    form: Form
    #: What is in the column; for one in clear also why it is.
    says: str


_TIME = "a time; lists are sorted and expiry is found by it"
EVERYWHERE = {
    "account_id": "the account; every read is by it",
    "region": "the Region; every read is by it",
    **dict.fromkeys(("created_at", "updated_at", "started_at", "ended_at", "expires_at"), _TIME),
    "wrapped_key": "the data key of this row and of what hangs on it",
}
"""What columns say that mean the same in every table that has them."""


def secrecy(column: Column[Any]) -> ColumnSecrecy:
    """Return how a column of ours lies."""
    return column.info["secrecy"]


def _column(
    kind: TypeEngine[Any],
    name: str,
    says: str = "",
    *,
    form: Form = Form.CLEAR,
    nullable: bool = False,
    primary_key: bool = False,
    default: str | None = None,
) -> Column[Any]:  # `Any`: SQLAlchemy infers a column's type at each use
    """Return a column that says what it holds; without words of its own, what it says everywhere.

    `default`, in SQL, is for rows that were there before the column.
    """
    info = {"secrecy": ColumnSecrecy(form=form, says=says or EVERYWHERE[name])}
    given = None if default is None else sql_text(default)
    return Column(name, kind, nullable=nullable, primary_key=primary_key, server_default=given, info=info)


# Each makes a column of a kind, by name and by what it says of itself.
text = partial(_column, PlainText())
document = partial(_column, Document())
time = partial(_column, Time(), says=_TIME)
whole = partial(_column, Whole())
seconds = partial(_column, Real())
score = partial(_column, Real())
digest = partial(_column, Binary(), form=Form.DIGEST)
sealed = partial(_column, Binary(), form=Form.SEALED)
wrapped_key = partial(_column, Binary(), "wrapped_key", form=Form.WRAPPED)
wrapped_again = partial(_column, Binary(), form=Form.WRAPPED, nullable=True)
# A primary key that the database counts up itself. SQLite does so only when the column's type is exactly INTEGER.
numbered = partial(_column, BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)


def word(words: type[StrEnum], name: str, says: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of an enum's members."""
    return _column(Word(words), name, says, nullable=nullable)


def scope() -> tuple[Column[Any], Column[Any]]:
    """Return the columns of the Scope: account and Region."""
    return text("account_id"), text("region")


def where(condition: str) -> dict[str, Any]:
    """Return the options of an index that holds only the rows of this condition."""
    return {"sqlite_where": sql_text(condition), "postgresql_where": sql_text(condition)}


def to_microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 of a time that knows its zone."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the time in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_json(document: JsonObject | Sequence[JsonObject]) -> str:
    """Return compact JSON in ASCII; raise BadRequest when a number in it is not finite."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise BadRequest("a number is not finite; give one that JSON can carry") from error


# `Any`: what json.loads gives; it was written by to_json from the declared type.
def from_json(text: str) -> Any:
    """Return the document of a text that `to_json` made."""
    return json.loads(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
