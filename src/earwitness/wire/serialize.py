"""The result of an operation as a response, by the output shape.

A result is trusted less than it may seem: a member that the model does not have, a value of another type, NaN or a time
without a zone raises ValueError or TypeError, since a client would otherwise lose it silently. That is a bug of ours,
and the client sees a service failure. None means absent.
"""

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast

import orjson

from earwitness.wire.messages import Response
from earwitness.wire.service_models import Member, Operation, ServiceModel, Shape
from earwitness.wire.timestamps import write_timestamp

_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Refuse what the writers should have turned into JSON's own types."""

# `Any`: results are whatever operations return; the writer of each shape finds out whether it fits.
Write = Callable[[Any], Any]
_Known = dict[Shape, Write]
_Fields = dict[str, tuple[str, Write, type | None]]
"""By name: how the member is called on the wire, its writer, and the type whose values are written as they are."""

_AS_IT_IS: dict[str, type] = {"string": str, "boolean": bool, "integer": int, "long": int}

_TIMESTAMP_DEFAULTS = {"header": "rfc822", "headers": "rfc822"}
"""REST-JSON's format by location, where the model names none; everywhere else it is seconds since 1970."""

# `Any`: operations return plain dictionaries; the writer of each shape finds out whether a value fits.
Result = Mapping[str, Any]


def serialize(service: ServiceModel, operation: Operation, result: Result, *, request_id: str) -> Response:
    """Write a result with the success status of the operation.

    A streaming payload is sent after this by whoever holds the stream: leave its member out, or give it as bytes.
    """
    headers = request_id_headers(service, request_id)
    status, body = _output_writer(operation).write(result, headers)
    return Response(status=status, headers=headers, body=body)


def request_id_headers(service: ServiceModel, request_id: str) -> dict[str, str]:
    """Return the headers with a request's id: SDKs read the first, the pages about Kinesis Video name the second."""
    headers = {"x-amzn-RequestId": request_id}
    if service.signing_name == "kinesisvideo":
        headers["x-amz-RequestId"] = request_id
    return headers


def write_json(value: object) -> bytes:
    """Compact JSON in UTF-8. Numbers must be finite, which the writers see to."""
    return orjson.dumps(value, option=_STRICT)


class _OutputWriter:
    """Writes the results of one operation."""

    def __init__(self, operation: Operation) -> None:
        shape = operation.output
        members = list(shape.members.values()) if shape else []
        self._status = operation.status
        self._bodiless = shape is None or operation.status == 204  # HTTP forbids a body with 204
        self._payload = shape.members[shape.payload] if shape and shape.payload else None
        self._raw = self._payload.name if self._payload and self._payload.shape.type == "blob" else None
        inside = [member for member in members if member.location == "body" and member.name != self._raw]
        self._write_body = _object(operation.name, {member.name: _field(member, {}) for member in inside})
        self._apart = [(member, _member(member, {})) for member in members if member.location != "body"]

    def write(self, result: Result, headers: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and the body; headers are added to those given."""
        inside = dict(result)
        status = self._status
        for member, write in self._apart:
            value = inside.pop(member.name, None)
            if value is not None and member.location == "statusCode":
                status = write(value)
            elif value is not None:
                headers.update(_header_lines(member, write, value))
        return status, self._body(inside, headers)

    def _body(self, inside: dict[str, object], headers: dict[str, str]) -> bytes:
        raw = inside.pop(self._raw, None) if self._raw else None
        written = self._write_body(inside)
        if self._raw or self._bodiless:
            return _bytes(raw)
        headers.setdefault("Content-Type", "application/json")
        return write_json(written.get(self._payload.wire_name, {}) if self._payload else written)


_output_writer = cache(_OutputWriter)


def _bytes(payload: object) -> bytes:
    if payload is not None and not isinstance(payload, bytes):
        raise TypeError("a payload is not bytes")
    return payload or b""


def _header_lines(member: Member, write: Write, value: object) -> dict[str, str]:
    written = write(value)
    if isinstance(value, Mapping):
        return {f"{member.wire_name}{name}": _header_text(text) for name, text in written.items()}
    return {member.wire_name: _header_text(written)}


def _header_text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isprintable()):
        raise ValueError("a header value holds a line break or a character outside ASCII")
    return text


# Values as JSON, by their shape; one writer is compiled per shape. A writer raises TypeError for a value of another
# type than the shape's and ValueError for one that cannot travel; messages name the shape and never quote the value.


def _member(member: Member, known: _Known) -> Write:
    default = _TIMESTAMP_DEFAULTS.get(member.location, "unixTimestamp")
    return _writer(member.shape, known, member.timestamp_format or default)


def _writer(shape: Shape, known: _Known, timestamp_format: str = "") -> Write:
    """`known` holds the writers already made, so that a shape may contain itself.

    In a list or map, where no member can name a format of timestamps, the shape's counts.
    """
    if shape.type not in _MAKERS:
        return _scalar(shape, timestamp_format or shape.timestamp_format or "unixTimestamp")
    return known[shape] if shape in known else _MAKERS[shape.type](shape, known)


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


def _scalar(shape: Shape, timestamp_format: str) -> Write:
    kind = _KINDS[shape.type]

    def write(value: object) -> object:
        _expect(value, kind, shape.name)
        if isinstance(value, datetime):
            return write_timestamp(value, timestamp_format)
        if isinstance(value, bytes):
            return base64.b64encode(value).decode("ascii")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{shape.name} is not finite")
        return value

    return write


_MAKERS: dict[str, Callable[[Shape, _Known], Write]] = {"structure": _structure, "list": _list, "map": _map}

# `Any`: a class or some of them.
_KINDS: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "blob": bytes,
    "timestamp": datetime,
}


def _entries(value: object, shape_name: str) -> Mapping[str, object]:
    # To ask an abstract class takes ten times as long.
    return cast("dict[str, object]", value) if type(value) is dict else _expect(value, Mapping, shape_name)


def _expect(value: object, kind: Any, shape_name: str) -> Any:  # `Any`: the kind, as above, and a value of it
    if not isinstance(value, kind) or (type(value) is bool and kind is not bool):
        raise TypeError(f"{shape_name} cannot be written from {type(value).__name__}")
    return value
