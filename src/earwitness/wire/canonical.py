"""The canonical request of Signature Version 4: one text that client and server must both arrive at.

As botocore and the SDKs make it for services other than S3: the path loses its dot segments and repeated slashes and is
percent-encoded once more, the query keeps its encoding and is sorted, header values lose superfluous blanks.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import quote

from earwitness.wire.messages import Request

_CANONICAL_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
"""Paths as most are: no segment empty or of dots, nothing that is percent-encoded a second time."""


def canonical_request(request: Request, signed_headers: Iterable[str], payload_hash: str) -> bytes:
    """The canonical request. Raises KeyError for a signed header that the request does not have."""
    names = list(signed_headers)
    lines = [
        request.method,
        canonical_path(request.raw_path),
        canonical_query(request.raw_query),
        *[f"{name}:{_header_value(request.header_values[name])}" for name in names],
        "",
        ";".join(names),
        payload_hash,
    ]
    return "\n".join(lines).encode("latin-1", "replace")


def canonical_path(raw_path: str) -> str:
    """The path as received, without dot segments and empty ones (RFC 3986, 5.2.4), encoded a second time."""
    if _CANONICAL_PATH.fullmatch(raw_path):
        return raw_path
    kept: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    trailing = "/" if kept and raw_path.endswith("/") else ""
    return quote(("/" + "/".join(kept) + trailing).encode("latin-1", "replace"), safe="/~")


def canonical_query(raw_query: str) -> str:
    """The query's fields as received, sorted; a field without `=` gets one."""
    if not raw_query:
        return ""
    fields = sorted(field.partition("=")[::2] for field in raw_query.split("&"))
    return "&".join(f"{name}={value}" for name, value in fields)


def _header_value(values: list[str]) -> str:
    if len(values) == 1 and " " not in values[0] and values[0].isprintable():
        return values[0]  # no blank of any kind, since the others do not print
    # Bytes, because text would also be split at blanks outside ASCII, which are no blanks to a client.
    return ",".join(b" ".join(value.encode("latin-1", "replace").split()).decode("latin-1") for value in values)


def body_hash(body: bytes) -> str:
    """SHA-256 of a body in hexadecimal, as the canonical request ends."""
    return sha256(body).hexdigest()
