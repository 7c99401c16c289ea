"""What a phone system asks for when it dials, and whether it proves that it may: before anything is let in.

What belongs here: one decision, from values. What must never: sockets, records, waiting.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from earwitness.doors.allowed import AllowList, plain_address
from earwitness.doors.desk import DoorAccess
from earwitness.doors.proof import Dialled, Verdict
from earwitness.doors.socket_kinds import SocketKind
from earwitness.server.connections import Networks
from earwitness.voice.connector import DoorSecret

_FORWARDED = ("forwarded", "x-forwarded-", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip")
"""How headers begin that proxies add: who sends one does not come from this machine, wherever its connection comes
from."""

_AUTHORITY = re.compile(r"[\w.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", re.ASCII)
"""A host and perhaps a port, and nothing that would make another URL of what stands behind it."""

_HERE = ("localhost", "127.0.0.1", "::1")
"""Hosts of pages that this machine itself serves. Browsers name a page's; phone systems hardly name any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """An upgrade, as it came."""

    path: str = field(repr=False)
    #: Path and query as they were sent.
    target: str = field(repr=False)
    #: By name in lower case.
    headers: Mapping[str, str] = field(repr=False)
    client: str
    is_encrypted: bool

    @property
    def parts(self) -> list[str]:
        """The path behind `/doors/`: connector, kind, and a token where there is one."""
        return self.path.split("/")[2:]

    @property
    def query(self) -> dict[str, str]:
        """What stands behind the path, by name; nothing when it is too much."""
        try:
            return dict(parse_qsl(self.target.partition("?")[2], max_num_fields=50))
        except ValueError:
            return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """How this service looks from outside."""

    #: Where it is reached, as the settings say; empty: as it is dialled.
    public_url: str = ""
    trusted_proxies: Networks = ()

    def dialled(self, asked: Asked) -> Dialled:
        """Return what a phone system dialled, as far as proofs look at it."""
        host = asked.headers.get("host", "")
        if not _AUTHORITY.fullmatch(host):
            host = ""
        scheme = "wss" if self.is_encrypted(asked) else "ws"
        places = [(scheme, host, asked.target)]
        public = urlsplit(self.public_url) if self.public_url else None
        if public is not None:
            scheme = "wss" if public.scheme == "https" else "ws"
            places.insert(0, (scheme, public.netloc, public.path.rstrip("/") + asked.target))
        token = asked.parts[2] if len(asked.parts) == 3 else asked.query.get("token", "")
        return Dialled(
            urls=tuple(f"{scheme}://{authority}{target}" for scheme, authority, target in places),
            targets=tuple((authority.lower(), target) for _, authority, target in places),
            headers=asked.headers,
            token=token,
        )

    def is_encrypted(self, asked: Asked) -> bool:
        """Return whether nobody on the way could read it: our own TLS, or that of a proxy that we were told of."""
        if asked.is_encrypted:
            return True
        if self._is_proxy(asked.client):
            told = asked.headers.get("x-forwarded-proto", "").lower()
            return told in ("https", "wss") if told else self._is_public_encrypted
        return False

    def is_here(self, asked: Asked) -> bool:
        """Return whether it comes from this machine: not through a proxy, nor from a page in a browser on it."""
        address = plain_address(asked.client)
        return address is not None and address.is_loopback and not self.is_forwarded(asked) and not self.is_page(asked)

    def is_page(self, asked: Asked) -> bool:
        """Return whether it may come from a page in a browser, which anybody may have written: its address proves
        nothing then.

        Browsers say whose page it is (RFC 6455, 10.2); some phone systems name what they dial. That counts where it is
        an address or our public name: any other name may have been made to lead here by the page's owner. Who has a
        secret need not be asked: no browser adds one by itself.
        """
        origin = asked.headers.get("origin", "")
        if not origin:
            return False
        host = _hostname(origin)
        own = {_hostname(self.public_url)} if self.public_url else set[str]()
        if plain_address(host) is not None:
            own.add(_hostname("//" + asked.headers.get("host", "")))
        return host not in own and host not in _HERE

    def is_forwarded(self, asked: Asked) -> bool:
        """Return whether it comes through a proxy, so that its address says nothing of who sends it."""
        return self._is_proxy(asked.client) or any(name.startswith(_FORWARDED) for name in asked.headers)

    @property
    def _is_public_encrypted(self) -> bool:
        return self.public_url.startswith("https:")

    def _is_proxy(self, client: str) -> bool:
        address = plain_address(client)
        return address is not None and any(address in network for network in self.trusted_proxies)


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """What becomes of an upgrade."""

    #: Of HTTP; 0: it is let in.
    status: int = 0
    #: For the log and for who is refused: the same words for all of one kind.
    reason: str = ""
    #: Whether somebody may be guessing.
    is_wrong: bool = False
    #: Whether it has proved who it is; otherwise its first messages have to.
    is_proved: bool = False


NOT_FOUND = Admission(status=404, reason="there is no such door", is_wrong=True)
"""Also of a connector that nobody has: names are not to be found out."""


def admit(kind: SocketKind, access: DoorAccess, asked: Asked, outside: Outside, *, now: float) -> Admission:
    """Return whether an upgrade is let in. `now` is Unix time."""
    is_here = outside.is_here(asked)
    if not is_here and (kind.is_public or access.require_encryption) and not outside.is_encrypted(asked):
        return Admission(status=403, reason="it came unencrypted; dial wss://")
    dialled = outside.dialled(asked)
    verdicts = [proof.judge(dialled, access.secrets, now=now) for proof in kind.proofs]
    if Verdict.PROVED in verdicts:
        return _unless_disabled(access, Admission(is_proved=True))
    if Verdict.WRONG in verdicts:
        return Admission(status=403, reason="what it proves itself with is wrong", is_wrong=True)
    if kind.token_in_message and access.secrets.get(DoorSecret.TOKEN):
        return _unless_disabled(access, Admission())
    if any(access.secrets.get(secret) for secret in kind.secrets):
        return Admission(status=403, reason="it proves itself with nothing", is_wrong=True)
    allowed = AllowList(access.allowed_networks)
    # Without a list this machine alone may send, as `is_here` has judged.
    is_near = bool(access.allowed_networks) and not outside.is_forwarded(asked) and allowed.allows(asked.client)
    if is_here or (is_near and not outside.is_page(asked)):
        return _unless_disabled(access, Admission(is_proved=True))
    if is_near:
        return Admission(status=403, reason="it comes from a page in a browser; give its connector a secret")
    return Admission(status=403, reason="its connector has no secret for this door, and does not allow its address")


def _hostname(url: str) -> str:
    """Return the host of a URL; empty when it has none, or is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unless_disabled(access: DoorAccess, admission: Admission) -> Admission:
    return Admission(status=403, reason="the connector is disabled") if access.disabled else admission
