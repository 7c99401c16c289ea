"""One HTTP POST to a webhook: its URL, which of its addresses may be connected to, and the request itself.

A caller of the API chooses the host, so it must not lead inside. The name is resolved once, and the connection goes to
an address that was checked: a name server that answers differently the second time gains nothing. A POST is bounded in
time and size, follows no redirect and reuses no connection. The body of the answer is not read: the status is enough.
"""

import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPResponse
from typing import TypeAlias, cast
from urllib.parse import SplitResult, urlsplit

from earwitness.errors import ConfigurationError, SinkUnavailable

ANSWER_BYTES_MAX = 64 * 1024
"""Status line and headers; servers accept 8 to 32 KiB of them themselves."""

_PORTS = {"http": 80, "https": 443}

_LABEL_CHARACTERS_MAX = 63  # DNS's

_OTHER_NAME = frozenset({62, 64})
_EXPIRED = 10
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH, and CERT_HAS_EXPIRED."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Host and port to IP addresses; raises OSError when there are none."""


@dataclass(frozen=True, kw_only=True)
class WebhookUrl:
    """Where a webhook listens. Messages name its host alone: path and query may hold a secret."""

    is_secure: bool
    host: str
    port: int
    request_target: str
    """Path and query, as they stand in the request line."""

    @property
    def host_header(self) -> str:
        """Host and, unless it is the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_secure else "http"] else f"{host}:{self.port}"


def read_webhook_url(text: str) -> WebhookUrl:
    """Return the parts of an http or https URL. Raise ConfigurationError for any other text."""
    if (
        not text.isascii() or not text.isprintable() or " " in text
    ):  # would end the request line, or mean something else
        raise ConfigurationError("a webhook's URL has spaces or characters beyond ASCII; write them percent-encoded")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("a webhook's URL has a host or port that cannot be read; correct it") from None
    _require_usable(parts, host)
    path = parts.path or "/"
    return WebhookUrl(
        is_secure=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        request_target=f"{path}?{parts.query}" if parts.query else path,
    )


def _require_usable(parts: SplitResult, host: str) -> None:
    if parts.scheme not in _PORTS:
        raise ConfigurationError("a webhook's URL begins with http:// or https://")
    if not all(0 < len(label) <= _LABEL_CHARACTERS_MAX for label in host.removesuffix(".").split(".")):
        raise ConfigurationError("a webhook's URL names no host that could exist; correct it")
    if parts.username is not None or parts.fragment:
        raise ConfigurationError("a webhook's URL holds a user or a fragment, which are not sent; leave them out")


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the operating system knows. How long this may take is a setting of the system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def judged_addresses(host: str, port: int, *, allow_private: bool, resolver: Resolver) -> Sequence[str]:
    """Return the addresses of a host, all of which may be connected to.

    Raise SinkUnavailable when the name cannot be resolved, or when any of its addresses is inside: a name that leads to
    both is a mistake or a trick, and names and settings are put right.
    """
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise SinkUnavailable("the webhook's host cannot be found; see its name and the name servers") from error
    if not addresses:
        raise SinkUnavailable("the webhook's host has no address; see its name and the name servers")
    for address in addresses:
        if not may_connect(address, allow_private=allow_private):
            raise SinkUnavailable(
                "the webhook's host has an address that is private, of this machine or for several receivers; "
                "give a public one, or set webhook_private_addresses (EARWITNESS_WEBHOOK_PRIVATE_ADDRESSES=on)"
            )
    return addresses


def may_connect(address: str, *, allow_private: bool) -> bool:
    """Return whether the address is public; with `allow_private`, whether it is that of one receiver."""
    return all(_is_allowed(form, allow_private=allow_private) for form in _forms(ipaddress.ip_address(address)))


def _is_allowed(address: IpAddress, *, allow_private: bool) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    if allow_private:
        return True
    # fec0::/10 was the private network of early IPv6; Python calls it global.
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_reserved and not is_site_local


def _forms(address: IpAddress) -> list[IpAddress]:
    """Return the address, and the IPv4 addresses inside it: the network may unpack them."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    tunnelled = [address.sixtofour, *(address.teredo or ())]
    return [address, *(inner for inner in tunnelled if inner is not None)]


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
        raise SinkUnavailable(_certificate_fault(url.host, error)) from error
    except (OSError, HTTPException) as error:
        raise SinkUnavailable(f"the webhook does not answer ({type(error).__name__}); see that it runs") from error


def _certificate_fault(host: str, error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with a webhook's certificate, and what to do."""
    if error.verify_code in _OTHER_NAME:
        return (
            f"the webhook at {host} shows a certificate of another name; give a certificate of {host}, or its own name"
        )
    if error.verify_code == _EXPIRED:
        return f"the webhook at {host} shows a certificate that has expired; renew it there"
    return (
        f"the webhook at {host} shows a certificate that is not trusted here ({error.verify_message}); have it signed "
        "by an authority that this machine trusts, or let this machine trust its authority (SSL_CERT_FILE)"
    )


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Return what is left. Raise TimeoutError when nothing is."""
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
