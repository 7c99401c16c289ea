"""What a browser may do here: under which names the console answers, from whose pages forms come, what a page may load.

What belongs here: decisions from headers, and the headers of answers. What must never: records, who has signed in.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import Request

from earwitness.errors import Forbidden
from earwitness.server.connections import Networks

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_SAME_SITE = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Where the console is reached, as the settings say."""

    #: Empty: as it is dialled.
    public_url: str = ""
    #: Further names, in lower case.
    names: frozenset[str] = field(default_factory=frozenset[str])
    trusted_proxies: Networks = ()

    def require_known(self, request: Request) -> None:
        """Raise Forbidden for a name that is none of ours.

        A page elsewhere may let its own name lead to this machine, and would be let in as one of ours (DNS rebinding).
        """
        host = host_of(request)
        if host in LOOPBACK_NAMES or host in self.names or host == self._public_host:
            return
        raise Forbidden(
            "the console does not answer under this name; open it by the address that `public_url` has, or add the "
            "name to the setting `console_hosts`"
        )

    def is_encrypted(self, request: Request) -> bool:
        """Return whether nobody on the way reads along: our own TLS, or that of a proxy that we were told of."""
        if request.url.scheme == "https":
            return True
        if not self._is_proxy(request):
            return False
        told = request.headers.get("x-forwarded-proto", "").lower()
        return told == "https" if told else urlsplit(self.public_url).scheme == "https"

    def is_here(self, request: Request) -> bool:
        """Return whether the browser is on this machine: a loopback name, dialled from a loopback address."""
        client = request.client
        return host_of(request) in LOOPBACK_NAMES and client is not None and _is_loopback(client.host)

    def require_private(self, request: Request) -> None:
        """Raise Forbidden where a token or a session would travel in clear."""
        if not self.is_encrypted(request) and not self.is_here(request):
            raise Forbidden(
                "nobody signs in over plain HTTP from another machine: give the service a certificate "
                "(`tls_certificate`), or a proxy with one (`public_url` and `trusted_proxies`)"
            )

    def origins_of(self, request: Request) -> frozenset[str]:
        """Return what browsers call the origin of our own pages."""
        scheme = "https" if self.is_encrypted(request) else "http"
        found = {f"{scheme}://{request.headers.get('host', '').lower()}"}
        if self.public_url:
            public = urlsplit(self.public_url)
            found.add(f"{public.scheme}://{public.netloc}".lower())
        return frozenset(found)

    def require_own_page(self, request: Request) -> None:
        """Raise Forbidden for a form of another site, or of nobody knows whom."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is not None:
            is_own = origin.lower() in self.origins_of(request)
        else:
            is_own = site is not None
        if not is_own or (site is not None and site not in _SAME_SITE):
            raise Forbidden("this form was sent by another site, or by a program; open the console and send it there")

    @property
    def _public_host(self) -> str | None:
        return urlsplit(self.public_url).hostname if self.public_url else None

    def _is_proxy(self, request: Request) -> bool:
        if request.client is None:
            return False
        try:
            address = ipaddress.ip_address(request.client.host)
        except ValueError:
            return False
        return any(address in network for network in self.trusted_proxies)


def host_of(request: Request) -> str:
    """Return the name that the browser dialled, in lower case, without the port; "" when it is none."""
    try:
        return urlsplit("//" + request.headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """How the cookie of a session is called and kept, by how the browser reached us."""

    name: str
    attributes: str

    @classmethod
    def of(cls, request: Request, hosts: Hosts) -> "Cookie":
        """Return the strictest that this browser takes here.

        Over plain HTTP on this machine there is no `__Host-`, which asks for `Secure`. Cookies do not know ports, so
        the name tells services of one machine apart.
        """
        kept = "HttpOnly; SameSite=Strict"
        if hosts.is_encrypted(request):
            return cls(name="__Host-earwitness", attributes=f"Path=/; Secure; {kept}")
        return cls(name=f"earwitness-session-{request.url.port or 80}", attributes=f"Path=/console; {kept}")

    def set(self, value: str, *, seconds: int) -> str:
        """Return the header that makes the browser keep a value."""
        return f"{self.name}={value}; Max-Age={seconds}; {self.attributes}"

    def forget(self) -> str:
        """Return the header that makes the browser forget it."""
        return self.set("", seconds=0)


def page_headers(nonce: str, *, microphone: bool = False) -> Mapping[str, str]:
    """Return the headers of a page: it loads scripts with this nonce and styles of ours, and nothing of anybody else.

    `microphone` is for the one page that records.
    """
    policy = (
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types htmx",
    )
    return {
        **PLAIN_HEADERS,
        "Content-Security-Policy": "; ".join(policy),
        "Permissions-Policy": _PERMISSIONS + (", microphone=(self)" if microphone else ", microphone=()"),
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


PLAIN_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms (Fetch, "append a request `Origin`").
    "Referrer-Policy": "same-origin",
}
"""Of every answer."""

_PERMISSIONS = "accelerometer=(), camera=(), display-capture=(), geolocation=(), payment=(), usb=()"
