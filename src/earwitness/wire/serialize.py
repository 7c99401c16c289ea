"""The result of an operation as a response, by the output shape.

A result is trusted less than it may seem: a member that the model does not have, a value of another type, NaN or a time
without a zone raises ValueError or TypeError, since a client would otherwise lose it silently. That is a bug of ours,
and the client sees a service failure. None means absent.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from earwitness.wire.messages import Response
from earwitness.wire.shapes import Member, Operation, Service
from earwitness.wire.write_values import Write, member_writer, structure_writer

_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Refuse what the writers should have turned into JSON's own types."""

# `Any`: operations return plain dictionaries; the writer of each shape finds out whether a value fits.
Result = Mapping[str, Any]


def serialize(service: Service, operation: Operation, result: Result, *, request_id: str) -> Response:
    """Write a result with the success status of the operation.

    A streaming payload is sent after this by whoever holds the stream: leave its member out, or give it as bytes.
    """
    headers = request_id_headers(service, request_id)
    status, body = _output_writer(operation).write(result, headers)
    return Response(status=status, headers=headers, body=body)


def request_id_headers(service: Service, request_id: str) -> dict[str, str]:
    """The headers that carry a request's id: SDKs read the first, the pages about Kinesis Video name the second."""
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
        self._write_body = structure_writer(operation.name, inside)
        self._apart = [(member, member_writer(member)) for member in members if member.location != "body"]

    def write(self, result: Result, headers: dict[str, str]) -> tuple[int, bytes]:
        """The status and the body; headers are added to those given."""
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
