"""One HTTP POST to an address that was judged, within a time and a size; no redirect is followed, nothing is reused.

The body of the answer is not read: its status says everything.
"""

import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPResponse
from typing import cast

from earwitness.errors import SinkUnavailable
from earwitness.sinks.webhook_url import WebhookUrl

ANSWER_BYTES_MAX = 64 * 1024
"""Status line and headers; servers accept 8 to 32 KiB of them themselves."""


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """What came back."""

    status: int
    retry_after: str | None
    """The header as it was sent."""


def post(
    url: WebhookUrl, addresses: Sequence[str], body: bytes, *, headers: Mapping[str, str], seconds: float
) -> HttpResponse:
    """Connect to the first of the addresses that answers, and send.

    `seconds` bounds everything from here on. Raises SinkUnavailable when no answer came.
    """
    deadline = _Deadline(seconds)
    try:
        with _connected(url, addresses, deadline) as connection:
            # A server may answer and hang up before it has read everything; its answer counts.
            with suppress(BrokenPipeError, ConnectionResetError):
                _send(connection, _request(url, body, headers), deadline)
            return _answer(connection, deadline)
    except ssl.SSLCertVerificationError as error:
        raise SinkUnavailable("the webhook's certificate is not valid here; see its issuer, name and dates") from error
    except (OSError, HTTPException) as error:
        raise SinkUnavailable(f"the webhook does not answer ({type(error).__name__}); see that it runs") from error


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """What is left; TimeoutError when nothing is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the webhook is over")
        return left


class _Incoming(io.RawIOBase):
    """A connection's bytes, up to a time and a size; both would otherwise hold for a single read only."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = ANSWER_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  io's own call
        if self._left <= 0:
            raise HTTPException("the answer's headers are too long")
        self._connection.settimeout(self._deadline.remaining_seconds())
        count = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count

    def makefile(self, _: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)


def _connected(url: WebhookUrl, addresses: Sequence[str], deadline: _Deadline) -> socket.socket:
    connection = _first_connected(addresses, url.port, deadline)
    if not url.is_secure:
        return connection
    connection.settimeout(deadline.remaining_seconds())
    try:
        return _tls().wrap_socket(
            connection, server_hostname=url.host
        )  # the certificate is the name's, not the address's
    except OSError:
        connection.close()
        raise


def _first_connected(addresses: Sequence[str], port: int, deadline: _Deadline) -> socket.socket:
    failure = OSError("no address to connect to")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=deadline.remaining_seconds())
        except OSError as error:
            failure = error
    raise failure


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities; reading them takes a while."""
    return ssl.create_default_context()


def _request(url: WebhookUrl, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"POST {url.request_target} HTTP/1.1",
        f"host: {url.host_header}",
        "user-agent: earwitness",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _send(connection: socket.socket, data: bytes, deadline: _Deadline) -> None:
    rest = memoryview(data)
    while rest:
        connection.settimeout(deadline.remaining_seconds())
        rest = rest[connection.send(rest) :]


def _answer(connection: socket.socket, deadline: _Deadline) -> HttpResponse:
    incoming = _Incoming(connection, deadline)
    # http.client wants of a socket only makefile.
    with HTTPResponse(cast("socket.socket", incoming), method="POST") as response:
        response.begin()
        return HttpResponse(status=response.status, retry_after=response.getheader("retry-after"))
