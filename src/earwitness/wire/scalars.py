"""Single values of a request: from JSON, where the type is the sender's, and from text, where there is only text.

Each reader takes a value and returns it as the shape's Python type, or raises a BadRequest whose message begins with a
colon: whoever knows the member's name puts it in front. Values are never quoted, since they may be personal.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from earwitness.errors import BadRequest
from earwitness.wire.json_body import KINDS
from earwitness.wire.shapes import Shape
from earwitness.wire.timestamps import read_timestamp

# `Any`: what a reader takes is whatever the client sent; what it gives back depends on the shape, known at run time.
Read = Callable[[Any], Any]
Params = dict[str, Any]
"""The members of a structure or the entries of a map, by name."""

_BITS = {"integer": 32, "long": 64}
_INTEGER_TEXT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT_TEXT = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,4})?")


def wrong_kind(value: object, wanted: str) -> BadRequest:
    """The error for a JSON value of another type than `wanted` (with its article)."""
    return BadRequest(f": is {KINDS.get(type(value), 'an object')}; give {wanted}")


def json_scalar(shape: Shape) -> Read:
    """The reader of a JSON value that is no structure, list or map."""
    if shape.type in _BITS:
        return _integer(_BITS[shape.type])
    return _JSON_SCALARS[shape.type]


def text_scalar(shape: Shape) -> Read:
    """The reader of a value that travels as text: in a path, a query or a header."""
    read = json_scalar(shape)
    if shape.type in _BITS:
        return lambda text: read(_integer_from_text(text))
    if shape.type in ("float", "double"):
        return lambda text: read(_float_from_text(text))
    return _boolean_from_text if shape.type == "boolean" else read


def read_string(value: object) -> str:
    """Text that every store can keep: no half of a surrogate pair, which UTF-8 lacks, and no NUL (PostgreSQL)."""
    if type(value) is not str:
        raise wrong_kind(value, "a string")
    if "\0" in value:
        raise BadRequest(": holds a NUL character; leave it out")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadRequest(": holds half of a surrogate pair; send whole characters") from None
    return value


def _integer(bits: int) -> Read:
    limit = 1 << (bits - 1)

    def read(value: object) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)  # 5.0 is how languages without integers may write 5
        if type(value) is float:
            raise BadRequest(": is no whole number; give one without a fraction")
        if type(value) is not int:
            raise wrong_kind(value, "a whole number")
        if not -limit <= value < limit:
            raise BadRequest(f": does not fit {bits} bits; give a smaller number")
        return value

    return read


def _float(value: object) -> float:
    if type(value) is not float and type(value) is not int:
        raise wrong_kind(value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadRequest(": is too large; give a finite number")
    return number


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise wrong_kind(value, "true or false")
    return value


def _blob(value: object) -> bytes:
    try:
        return base64.b64decode(read_string(value), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(": is not base64; encode the bytes with standard base64 and its padding") from None


def _timestamp(value: object) -> datetime:
    try:
        return read_timestamp(value)
    except (ValueError, TypeError):
        raise BadRequest(": is no timestamp; give seconds since 1970 as a number, or ISO 8601 text") from None


_JSON_SCALARS: dict[str, Read] = {
    "string": read_string,
    "boolean": _boolean,
    "float": _float,
    "double": _float,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _integer_from_text(text: str) -> int:
    if not _INTEGER_TEXT.fullmatch(text):
        raise BadRequest(": is no whole number; give digits only")
    return int(text)


def _float_from_text(text: str) -> float:
    if not _FLOAT_TEXT.fullmatch(text):
        raise BadRequest(": is no number; give digits with a point")
    return float(text)


def _boolean_from_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise BadRequest(": is neither true nor false; give one of them")
    return text == "true"
