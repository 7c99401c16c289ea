"""Single values of a request: read as the shape's Python type and checked against the model's constraints.

In JSON a value has the sender's type; in a path, a query or a header there is only text. A value that cannot be read
raises a BadRequest whose message begins with a colon. A value outside its constraints is read, and what is wrong with
it is added to the problems. Whoever knows the member's name puts it in front. Messages never quote a value, since it
may be personal.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from earwitness.errors import BadRequest
from earwitness.wire.messages import KINDS
from earwitness.wire.service_models import Shape
from earwitness.wire.timestamps import read_timestamp

# `Any`: what a reader takes is whatever the client sent; what it gives back depends on the shape, known at run time.
Read = Callable[[Any, list[str]], Any]
"""Takes a value and the list of problems found so far, and returns the value in its Python type."""

Params = dict[str, Any]
"""The members of a structure or the entries of a map, by name."""

_Convert = Callable[[Any], Any]

_BITS = {"integer": 32, "long": 64}
_INTEGER_TEXT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT_TEXT = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,4})?")
_CHOICES_SHOWN_MAX = 12


def wrong_kind(value: object, wanted: str) -> BadRequest:
    """Return the error for a JSON value of another type than `wanted` (with its article)."""
    return BadRequest(f": is {KINDS.get(type(value), 'an object')}; give {wanted}")


def json_scalar(shape: Shape) -> Read:
    """Return the reader of a JSON value that is no structure, list or map."""
    return checked(shape, _conversion(shape))


def text_scalar(shape: Shape) -> Read:
    """Return the reader of a value that travels as text: in a path, a query or a header."""
    convert, from_text = _conversion(shape), _FROM_TEXT.get(shape.type)
    return checked(shape, convert if from_text is None else lambda text: convert(from_text(text)))


def _conversion(shape: Shape) -> _Convert:
    return _integer(_BITS[shape.type]) if shape.type in _BITS else _CONVERSIONS[shape.type]


def checked(shape: Shape, convert: _Convert) -> Read:
    """Return the reader that converts a value and then checks it against the constraints of a scalar shape."""
    check = _check(shape)
    if check is None:
        return lambda value, _problems: convert(value)

    def read(value: object, problems: list[str]) -> object:
        value = convert(value)
        problem = check(value)
        if problem:
            problems.append(problem)
        return value

    return read


def read_string(value: object) -> str:
    """Return text that every store can keep: no half of a surrogate pair (UTF-8) and no NUL (PostgreSQL)."""
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


def _integer(bits: int) -> _Convert:
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


_CONVERSIONS: dict[str, _Convert] = {
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


_FROM_TEXT: dict[str, _Convert] = {
    "integer": _integer_from_text,
    "long": _integer_from_text,
    "float": _float_from_text,
    "double": _float_from_text,
    "boolean": _boolean_from_text,
}

# What is wrong with a value of the right type; "" for a good one.


def _check(shape: Shape) -> Callable[[Any], str] | None:
    """Return the check of a scalar shape; None where the model says nothing."""
    if shape.type == "string":
        return _string_check(shape)
    if shape.minimum is None and shape.maximum is None:
        return None
    if shape.type == "blob":
        size = size_check(shape, "bytes")
        return lambda value: size(len(value))
    return _range_check(shape)


def _string_check(shape: Shape) -> Callable[[str], str] | None:
    if not shape.choices and shape.pattern is None and shape.minimum is None and shape.maximum is None:
        return None
    size = size_check(shape, "characters")
    match = shape.pattern.fullmatch if shape.pattern else None
    mismatch = f": must match {shape.pattern.pattern}" if shape.pattern else ""
    choices = frozenset(shape.choices)
    no_choice = f": must be one of {_shown(shape.choices)}"

    def check(value: str) -> str:
        if choices and value not in choices:
            return no_choice
        problem = size(len(value))
        if problem:
            return problem  # a pattern may take long on a text that is too long
        return mismatch if match and not match(value) else ""

    return check


def _range_check(shape: Shape) -> Callable[[float], str]:
    low, high = shape.minimum, shape.maximum
    problem = f": must be {_bounds(low, high)}"
    return lambda value: problem if (low is not None and value < low) or (high is not None and value > high) else ""


def size_check(shape: Shape, unit: str) -> Callable[[int], str]:
    """Return the check of how many characters, bytes or entries a value of the shape has."""
    low, high = shape.minimum or 0, shape.maximum
    bounds = _bounds(low or None, high)
    return lambda size: (
        "" if low <= size and (high is None or size <= high) else f": has {size} {unit} and must have {bounds}"
    )


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"exactly {low}" if low == high else f"{low} to {high}"


def _shown(choices: Sequence[str]) -> str:
    more = " …" if len(choices) > _CHOICES_SHOWN_MAX else ""
    return ", ".join(choices[:_CHOICES_SHOWN_MAX]) + more
