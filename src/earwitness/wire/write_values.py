"""Results as JSON values, by their shape. One writer is compiled per shape.

A writer raises TypeError for a value of another type than the shape's and ValueError for one that cannot travel; the
messages name the shape and never quote the value.
"""

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from earwitness.wire.shapes import Member, Shape
from earwitness.wire.timestamps import write_timestamp

# `Any`: results are whatever operations return; the writer of each shape finds out whether it fits.
Write = Callable[[Any], Any]
_Known = dict[Shape, Write]
_Fields = dict[str, tuple[str, Write, type | None]]
"""By name: how the member is called on the wire, its writer, and the type whose values are written as they are."""

_AS_IT_IS: dict[str, type] = {"string": str, "boolean": bool, "integer": int, "long": int}

_TIMESTAMP_DEFAULTS = {"header": "rfc822", "headers": "rfc822"}
"""REST-JSON's format by location, where the model names none; everywhere else it is seconds since 1970."""


def member_writer(member: Member) -> Write:
    """The writer of one member, wherever it travels."""
    return _member(member, {})


def structure_writer(name: str, members: Iterable[Member]) -> Write:
    """The writer of some members of a structure as a JSON object. None is left out, an unknown name refused."""
    return _object(name, {member.name: _field(member, {}) for member in members})


def _member(member: Member, known: _Known) -> Write:
    if member.shape.type == "timestamp":
        default = _TIMESTAMP_DEFAULTS.get(member.location, "unixTimestamp")
        return _timestamp(member.shape, member.timestamp_format or default)
    return _writer(member.shape, known)


def _writer(shape: Shape, known: _Known) -> Write:
    """`known` holds the writers already made, so that a shape may contain itself."""
    if shape not in known:
        if shape.type == "structure":
            return _structure(shape, known)
        known[shape] = _MAKERS[shape.type](shape, known)
    return known[shape]


def _structure(shape: Shape, known: _Known) -> Write:
    fields: _Fields = {}
    known[shape] = write = _object(shape.name, fields)
    fields.update({member.name: _field(member, known) for member in shape.members.values()})
    return write


def _field(member: Member, known: _Known) -> tuple[str, Write, type | None]:
    return member.wire_name, _member(member, known), _AS_IT_IS.get(member.shape.type)


def _object(shape_name: str, fields: _Fields) -> Write:
    def write(value: object) -> dict[str, object]:
        entries = _entries(value, shape_name)
        written: dict[str, object] = {}
        for name, item in entries.items():
            field = fields.get(name)
            if field is None:
                raise ValueError(f"{shape_name} has no member {name}")
            if item is not None:
                wire_name, inner, as_it_is = field
                written[wire_name] = item if type(item) is as_it_is else inner(item)
        return written

    return write


def _list(shape: Shape, known: _Known) -> Write:
    inner = _writer(shape.inner["member"], known)

    def write(value: object) -> list[object]:
        items: Iterable[object] = _expect(value, (list, tuple), shape.name)
        return [inner(item) for item in items]

    return write


def _map(shape: Shape, known: _Known) -> Write:
    inner = _writer(shape.inner["value"], known)

    def write(value: object) -> dict[str, object]:
        entries = _entries(value, shape.name)
        return {_expect(key, str, shape.name): inner(item) for key, item in entries.items() if item is not None}

    return write


def _string(shape: Shape, _known: _Known) -> Write:
    return lambda value: value if type(value) is str else _expect(value, str, shape.name)


def _boolean(shape: Shape, _known: _Known) -> Write:
    return lambda value: _expect(value, bool, shape.name)


def _integer(shape: Shape, _known: _Known) -> Write:
    return lambda value: _expect_number(value, int, shape.name)


def _float(shape: Shape, _known: _Known) -> Write:
    def write(value: object) -> float:
        number = _expect_number(value, int | float, shape.name)
        if not math.isfinite(number):
            raise ValueError(f"{shape.name} is not finite")
        return number

    return write


def _blob(shape: Shape, _known: _Known) -> Write:
    return lambda value: base64.b64encode(_expect(value, bytes, shape.name)).decode("ascii")


def _timestamp(shape: Shape, timestamp_format: str) -> Write:
    return lambda value: write_timestamp(_expect(value, datetime, shape.name), timestamp_format)


def _timestamp_inside(shape: Shape, _known: _Known) -> Write:
    """In a list or map, where no member can name a format."""
    return _timestamp(shape, shape.timestamp_format or "unixTimestamp")


_MAKERS: dict[str, Callable[[Shape, _Known], Write]] = {
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "blob": _blob,
    "timestamp": _timestamp_inside,
}


def _entries(value: object, shape_name: str) -> Mapping[str, object]:
    # To ask an abstract class takes ten times as long.
    return cast("dict[str, object]", value) if type(value) is dict else _expect(value, Mapping, shape_name)


def _expect(value: object, kind: Any, shape_name: str) -> Any:  # `Any`: the kind is a class or some of them
    if not isinstance(value, kind):
        raise TypeError(f"{shape_name} cannot be written from {type(value).__name__}")
    return value


def _expect_number(value: object, kind: Any, shape_name: str) -> Any:  # `Any`: as above
    if isinstance(value, bool):
        raise TypeError(f"{shape_name} cannot be written from bool")
    return _expect(value, kind, shape_name)
