"""How Python values lie in columns: text, times, documents."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Dialect, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from earwitness.errors import BadRequest

JsonObject: TypeAlias = Mapping[str, object]
"""A JSON document: strings, finite numbers, booleans, None, lists and objects of such."""

DOCUMENTS_KEPT = 1_000
"""Pipelines in progress, about two kilobytes each."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PlainText(TypeDecorator[str]):
    """Text that both databases can hold, sorted by code point.

    PostgreSQL cannot hold U+0000 and neither can encode half of a surrogate pair, though JSON can carry both; such a
    value is a BadRequest, in a search as in an insert.
    """

    impl = Text
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """What a value of the column is."""
        return str

    # `Any`: SQLAlchemy's own signature.
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text, which PostgreSQL is told to sort as SQLite does."""
        return dialect.type_descriptor(String(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  its signature
        """The text unchanged, or BadRequest."""
        return None if value is None else require_plain(value)

    def process_result_value(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002  its signature
        """The text unchanged. ValueError for anything else, which SQLite keeps in any column: the file is damaged."""
        if value is None or isinstance(value, str):
            return value
        raise ValueError("a column of text holds something else")


def require_plain(text: str) -> str:
    """The text, or BadRequest when a database could not hold it."""
    if "\0" in text or not _encodes(text):
        raise BadRequest("a text holds a NUL character or half of a surrogate pair; leave it out")
    return text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_microseconds(time: datetime) -> int:
    """Microseconds since 1970; the time must know its zone."""
    return (time - _EPOCH) // _MICROSECOND


def to_optional_microseconds(time: datetime | None) -> int | None:
    """The same, of a time that may not have come yet."""
    return None if time is None else to_microseconds(time)


def from_microseconds(microseconds: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def from_optional_microseconds(microseconds: int | None) -> datetime | None:
    """The same, of a time that may not have come yet."""
    return None if microseconds is None else from_microseconds(microseconds)


def to_json(document: JsonObject | Sequence[JsonObject]) -> str:
    """Compact JSON in ASCII; BadRequest when a number in it is not finite."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise BadRequest("a number is not finite; give one that JSON can carry") from error


# `Any`: what json.loads gives; it was written by to_json from the declared type.
def from_json(text: str) -> Any:
    """The document again."""
    return json.loads(text)


@lru_cache(DOCUMENTS_KEPT)
def from_kept_json(text: str) -> Any:
    """The same, for documents without personal data that are read again and again; nobody may change what it gives."""
    return json.loads(text)
