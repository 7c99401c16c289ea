"""SIP messages (RFC 3261): bytes to requests and responses and back, within bounds.

What belongs here: syntax. What must never: sockets, time, what a request means. Reading is tolerant where RFC 4475 is,
and `fault_of` says with which status a request is refused whose syntax is wrong: such a request still has an answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from earwitness.doors.siprec.addresses import NameAddress, SipUri, Via, read_name_address, read_uri, read_vias
from earwitness.errors import SipUnreadable

HEAD_BYTES_MAX = 32_768
"""Start line and headers. A datagram has at most 65,535 bytes; nginx allows 32 KB of headers."""

BODY_BYTES_MAX = 262_144
"""Session description and metadata; a call of two parties has about 4 KB."""

HEADERS_MAX = 256

VIAS_MAX = 70
"""Via headers of a request: as many hops as Max-Forwards begins with (RFC 3261, 8.1.1.6)."""

_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "e": "content-encoding", "f": "from", "i":
    "call-id", "k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s":
    "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "j": "reject-contact", "d":
    "request-disposition", "y": "identity",
}  # fmt: skip
_ONCE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "session-expires")
_REQUEST_LINE = re.compile(r"(\S+) (.*?) (SIP/\d{1,4}\.\d{1,4})", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 (\d{3})(?: (.*))?", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_HEADER_NAME = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:(.*)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in the order they came, by their long names in lower case; several of one name may be there."""

    fields: tuple[tuple[str, str], ...] = field(repr=False)

    def get(self, name: str) -> str | None:
        """Return the first value of this name."""
        return next((value for each, value in self.fields if each == name), None)

    def all(self, name: str) -> list[str]:
        """Return every value of this name, unsplit."""
        return [value for each, value in self.fields if each == name]

    def tokens(self, name: str) -> set[str]:
        """Return the words of a list of tokens, as of Require and Supported, in lower case."""
        return {word.strip().lower() for value in self.all(name) for word in value.split(",") if word.strip()}


@dataclass(frozen=True, kw_only=True, slots=True)
class SipRequest:
    """A request as it came. `fault_of` says whether it can be used."""

    method: str
    uri: str = field(repr=False)
    headers: Headers
    body: bytes = field(default=b"", repr=False)
    #: What the start line or the framing already shows to be wrong: status and reason.
    broken: "SipFault | None" = None

    @property
    def call_id(self) -> str:
        """Return the Call-ID; empty when there is none."""
        return self.headers.get("call-id") or ""

    @property
    def sequence(self) -> int:
        """Return the number of CSeq. Only for requests without a fault."""
        return int((self.headers.get("cseq") or "0").split()[0])

    @property
    def sender(self) -> NameAddress:
        """Return From. Only for requests without a fault."""
        return _address(self, "from")

    @property
    def receiver(self) -> NameAddress:
        """Return To. Only for requests without a fault."""
        return _address(self, "to")

    @property
    def via(self) -> Via:
        """Return the topmost Via, where the answer goes. Only for requests without a fault."""
        vias = read_vias(self.headers.get("via") or "")
        if not vias:
            raise SipUnreadable("there is no Via")
        return vias[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class SipResponse:
    """An answer to a request of ours, or one of ours before it is sent."""

    status: int
    reason: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)

    @property
    def branch(self) -> str:
        """Return the transaction's name that the topmost Via has; empty when it has none."""
        vias = read_vias(self.headers.get("via") or "")
        return vias[0].parameters.get("branch", "") if vias else ""


SipMessage: TypeAlias = SipRequest | SipResponse


@dataclass(frozen=True, slots=True)
class SipFault:
    """Why a request is refused."""

    status: int
    reason: str


REASONS = {
    100: "Trying", 180: "Ringing", 200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 413: "Request Entity Too Large", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "Version Not Supported",
}  # fmt: skip


def read_datagram(data: bytes) -> SipMessage:
    """Return the message that a datagram holds. What follows its Content-Length is ignored (RFC 3261, 18.3).

    Raise SipUnreadable when it holds none that could be answered.
    """
    head, body = split_head(data.lstrip(b"\r\n"))
    if head is None:
        raise SipUnreadable("a datagram has no end of headers")
    message = read_head(head)
    length = content_length(message.headers)
    if length is None:
        length = len(body)
    if length < 0 or length > len(body):
        return with_body(message, body, SipFault(400, "Content-Length Is Wrong"))
    return with_body(message, body[:length], None)


def split_head(data: bytes) -> tuple[bytes | None, bytes]:
    """Return the headers and what follows the empty line; None and everything when that line is not there."""
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := data.find(mark)) >= 0]
    if not ends:
        return None, data
    at, length = min(ends)
    return data[:at], data[at + length :]


def read_head(head: bytes) -> SipMessage:
    """Return a message without its body. Raise SipUnreadable when it cannot be one."""
    if len(head) > HEAD_BYTES_MAX:
        raise SipUnreadable("the headers are too long")
    lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")
    headers, broken = _read_headers(lines[1:])
    if status := _STATUS_LINE.fullmatch(lines[0]):
        if broken:
            raise SipUnreadable("a response has malformed headers")
        return SipResponse(status=int(status[1]), reason=status[2] or "", headers=headers)
    squeezed = " ".join(lines[0].split())
    line = _REQUEST_LINE.fullmatch(squeezed)
    if line is None:
        raise SipUnreadable("neither a request nor a response begins so")
    method, uri, version = line.groups()
    if version.upper() != "SIP/2.0":
        broken = SipFault(505, REASONS[505])
    elif squeezed != lines[0]:
        broken = SipFault(400, "Malformed Request-Line")
    return SipRequest(method=method, uri=uri, headers=headers, broken=broken)


def content_length(headers: Headers) -> int | None:
    """Return Content-Length: None when there is none, -1 when it is not a number, or there are several."""
    lengths = {value.strip() for value in headers.all("content-length")}
    if not lengths:
        return None
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdecimal()) or len(text) > 10:
        return -1
    return int(text)


def fault_of(request: SipRequest) -> SipFault | None:
    """Return why a request cannot be used, as far as syntax and RFC 3261, 8.1.1 say; None when it can."""
    if request.broken is not None:
        return request.broken
    return next((fault for fault in _faults(request) if fault is not None), None)


def write(message: SipMessage) -> bytes:
    """Return the bytes of a message. Content-Length is that of its body, whatever its headers say."""
    if isinstance(message, SipRequest):
        start = f"{message.method} {message.uri} SIP/2.0"
    else:
        start = f"SIP/2.0 {message.status} {message.reason}"
    lines = [start]
    lines += [f"{_written(name)}: {value}" for name, value in message.headers.fields if name != "content-length"]
    lines += [f"Content-Length: {len(message.body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + message.body


def answer(
    request: SipRequest,
    status: int,
    *,
    reason: str = "",
    to_tag: str = "",
    more: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> SipResponse:
    """Return an answer with what RFC 3261, 8.2.6 has it copy. `to_tag` is added to a To that has none."""
    copied = [(name, value) for name, value in request.headers.fields if name in ("via", "from", "call-id", "cseq")]
    to = request.headers.get("to")
    if to is not None:
        parsed = read_name_address(to)
        needs_tag = to_tag and parsed is not None and "tag" not in parsed.parameters
        copied.append(("to", f"{to};tag={to_tag}" if needs_tag else to))
    return SipResponse(
        status=status, reason=reason or REASONS.get(status, ""), headers=Headers((*copied, *more)), body=body
    )


def _faults(request: SipRequest) -> Iterator[SipFault | None]:
    headers = request.headers
    if not _TOKEN.fullmatch(request.method):
        yield SipFault(400, "Malformed Method")
    for name in ("via", "from", "to", "call-id", "cseq"):
        if not headers.get(name):
            yield SipFault(400, f"Missing {_written(name)}")
    for name in _ONCE:
        if len(headers.all(name)) > 1:
            yield SipFault(400, f"Several {_written(name)}")
    yield _uri_fault(request.uri)
    yield _number_fault(request)
    if len(headers.all("via")) > VIAS_MAX:
        yield SipFault(483, REASONS[483])
    vias = [read_vias(value) for value in headers.all("via")]
    if not vias or not all(vias):
        yield SipFault(400, "Malformed Via")
    for name in ("from", "to"):
        if read_name_address(headers.get(name) or "") is None:
            yield SipFault(400, f"Malformed {_written(name)}")
    yield _contact_fault(request)


def _contact_fault(request: SipRequest) -> SipFault | None:
    contact = request.headers.get("contact")
    if contact is None:
        return SipFault(400, "Missing Contact") if request.method == "INVITE" else None
    if contact.strip() == "*" or request.method not in ("INVITE", "UPDATE", "REGISTER"):
        return None
    return SipFault(400, "Malformed Contact") if read_name_address(contact) is None else None


def _uri_fault(uri: str) -> SipFault | None:
    scheme, colon, rest = uri.partition(":")
    if not colon or not rest or re.search(r"[\s<>\"]", uri) or not _SCHEME.fullmatch(scheme):
        return SipFault(400, "Malformed Request-URI")
    if scheme.lower() not in ("sip", "sips"):
        return SipFault(416, REASONS[416])
    if read_uri(uri) is None or "?" in uri.rpartition("@")[2]:
        return SipFault(400, "Malformed Request-URI")  # headers have no place there (RFC 3261, 19.1.1)
    return None


def _number_fault(request: SipRequest) -> SipFault | None:
    words = (request.headers.get("cseq") or "").split()
    if len(words) != 2 or not _is_number(words[0], 2**31 - 1):
        return SipFault(400, "Malformed CSeq")
    if words[1] != request.method:
        return SipFault(400, "CSeq Names Another Method")
    hops = request.headers.get("max-forwards")
    if hops is not None and not _is_number(hops.strip(), 255):
        return SipFault(400, "Malformed Max-Forwards")
    return None


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= most


def _address(request: SipRequest, name: str) -> NameAddress:
    found = read_name_address(request.headers.get(name) or "")
    if found is None:
        raise SipUnreadable(f"{name} cannot be read")
    return found


def with_body(message: SipMessage, body: bytes, broken: SipFault | None) -> SipMessage:
    """Return a message with its body, and with a fault if it has none yet."""
    if len(body) > BODY_BYTES_MAX:
        body, broken = b"", broken or SipFault(413, REASONS[413])
    if isinstance(message, SipResponse):
        return SipResponse(status=message.status, reason=message.reason, headers=message.headers, body=body)
    return SipRequest(
        method=message.method,
        uri=message.uri,
        headers=message.headers,
        body=body,
        broken=message.broken or broken,
    )


def _read_headers(lines: list[str]) -> tuple[Headers, SipFault | None]:
    unfolded = list[str]()
    for line in lines:
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    if len(unfolded) > HEADERS_MAX:
        raise SipUnreadable("there are too many headers")
    fields, broken = list[tuple[str, str]](), None
    for line in unfolded:
        matched = _HEADER_NAME.fullmatch(line)
        if matched is None or "\r" in line:
            broken = SipFault(400, "Malformed Header")
            continue
        name = matched[1].lower()
        fields.append((_COMPACT.get(name, name), matched[2].strip()))
    return Headers(tuple(fields)), broken


def _written(name: str) -> str:
    special = {"call-id": "Call-ID", "cseq": "CSeq", "min-se": "Min-SE", "mime-version": "MIME-Version"}
    return special.get(name) or "-".join(word.capitalize() for word in name.split("-"))


def uri_of(request: SipRequest) -> SipUri:
    """Return the Request-URI. Only for requests without a fault."""
    uri = read_uri(request.uri)
    if uri is None:
        raise SipUnreadable("the Request-URI cannot be read")
    return uri
