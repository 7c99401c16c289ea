"""What an INVITE carries (RFC 7866, 9.1): a session description and recording metadata, in one body or in parts.

What belongs here: taking parts apart. What must never: what they say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from earwitness.doors.siprec.message import SipRequest
from earwitness.errors import BodyNotUsable

PARTS_MAX = 16

_DESCRIPTION = "application/sdp"
_METADATA = ("application/rs-metadata+xml", "application/rs-metadata")
_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]{1,100})\"|([^\s;\"]{1,100}))", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionBody:
    """The parts that a recording server reads; None for those that are not there."""

    description: bytes | None = field(default=None, repr=False)
    metadata: bytes | None = field(default=None, repr=False)


def read_body(request: SipRequest) -> SessionBody:
    """Return the parts of a request's body. Raise BodyNotUsable when it is of a type or coding that is not read."""
    if not request.body.strip():
        return SessionBody()
    if (request.headers.get("content-encoding") or "identity").strip().lower() != "identity":
        raise BodyNotUsable("the body is compressed")
    kind = request.headers.get("content-type") or ""
    name = _name(kind)
    if not name.startswith("multipart/"):
        parts = [(name, request.body)]
    else:
        boundary = _BOUNDARY.search(kind)
        if boundary is None:
            raise BodyNotUsable("a body of several parts names no boundary")
        parts = list(_parts(request.body, (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")))
    description = next((data for each, data in parts if each == _DESCRIPTION), None)
    metadata = next((data for each, data in parts if each in _METADATA), None)
    if description is None and metadata is None:
        raise BodyNotUsable("the body has neither a session description nor metadata")
    return SessionBody(description=description, metadata=metadata)


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield type and content of each part (RFC 2046, 5.1). What follows the last complete part is left out."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    begin: int | None = None
    for count, matched in enumerate(delimiter.finditer(b"\n" + body)):
        if begin is not None:
            yield _part((b"\n" + body)[begin : matched.start()])
        begin = matched.end()
        if matched[1] or count >= PARTS_MAX:
            return


def _part(data: bytes) -> tuple[str, bytes]:
    if data.startswith((b"\r\n", b"\n")):  # no headers
        return "text/plain", data.lstrip(b"\r\n")
    matched = re.search(rb"\r?\n\r?\n", data)
    head, content = (data[: matched.start()], data[matched.end() :]) if matched else (data, b"")
    for line in head.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return _name(value), content
    return "text/plain", content


def _name(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()
