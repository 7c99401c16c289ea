"""Addresses in SIP headers (RFC 3261, 19.1 and 20): URIs, names with addresses, and Via.

Each reader returns None, or nothing, for what cannot be read: whoever asks knows which status that has.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9.\-_]+)"
_SIP_URI = re.compile(
    rf"(sips?):(?:(?P<user>[^@\s<>\"]+)@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?(?P<rest>[;?][^\s<>]*)?",
    re.IGNORECASE,
)
_ANY_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>]+")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_NAME_ADDRESS = re.compile(rf"\s*(?P<name>{_QUOTED}|[^<\",]*?)\s*<(?P<uri>[^<>\s][^<>]*)>(?P<rest>.*)", re.DOTALL)
_VIA = re.compile(
    rf"SIP\s*/\s*2\.0\s*/\s*(?P<transport>[A-Za-z0-9\-.!%*_+`'~]+)\s+(?P<host>{_HOST})"
    r"\s*(?::\s*(?P<port>\d{1,5}))?\s*(?P<rest>;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_MARKS = {each: re.compile(rf'"(?:[^"\\]+|\\.?)*"?|<[^>]*>?|{each}', re.DOTALL) for each in ",;"}
"""What is quoted, what is in angle brackets, and separators."""

_PARTS_MAX = 64
_CHARACTERS_MAX = 4_096
"""Of one header with addresses. Whoever sends longer ones, which nobody has to prove anything for, sends no address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SipUri:
    """A SIP URI. The user part is unescaped."""

    user: str = field(repr=False)
    host: str = field(repr=False)
    port: int | None
    parameters: Mapping[str, str]

    @property
    def address_of_record(self) -> str:
        """Return what is compared of two URIs to see whether they name one party: user and host, in lower case."""
        return f"{self.user}@{self.host}".lower() if self.user else self.host.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class NameAddress:
    """A URI with parameters of its header, as From, To and Contact hold it."""

    uri: str = field(repr=False)
    parameters: Mapping[str, str]

    @property
    def tag(self) -> str:
        """Return the tag of From or To; empty when there is none."""
        return self.parameters.get("tag", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Via:
    """A hop that a request came over."""

    transport: str
    host: str
    port: int | None
    parameters: Mapping[str, str]


def read_uri(text: str) -> SipUri | None:
    """Return a SIP or SIPS URI; None when it is another one, or malformed."""
    matched = _SIP_URI.fullmatch(text)
    if matched is None:
        return None
    port = int(matched["port"]) if matched["port"] else None
    if port is not None and not 0 < port < 65_536:
        return None
    user = (matched["user"] or "").partition(":")[0]  # what follows a colon is a password
    parameters = (matched["rest"] or "").partition("?")[0]
    return SipUri(
        user=unquote(user, errors="replace"), host=matched["host"], port=port, parameters=_parameters(parameters)
    )


def read_name_address(text: str) -> NameAddress | None:
    """Return the first address of a header's value; None when it is malformed."""
    if len(text) > _CHARACTERS_MAX:
        return None
    first = next(_split(_squeezed(text), ","), "")
    matched = _NAME_ADDRESS.fullmatch(first)
    if matched is None:
        uri, _, rest = first.partition(";")
        uri = uri.strip()
        if not _ANY_URI.fullmatch(uri) or "?" in uri or "," in uri:
            return None
        return NameAddress(uri=uri, parameters=_parameters(";" + rest))
    uri, rest = matched["uri"], matched["rest"].strip()
    if re.search(r"\s", uri) or not _ANY_URI.fullmatch(uri) or (rest and not rest.startswith(";")):
        return None
    return NameAddress(uri=uri, parameters=_parameters(rest))


def read_vias(text: str) -> list[Via]:
    """Return the hops of one Via header, topmost first; none when one of them is malformed."""
    if len(text) > _CHARACTERS_MAX:
        return []
    hops = list[Via]()
    for part in _split(_squeezed(text), ","):
        matched = _VIA.fullmatch(part.strip())
        if matched is None:
            return []
        port = int(matched["port"]) if matched["port"] else None
        if port is not None and not 0 < port < 65_536:
            return []
        hops.append(
            Via(
                transport=matched["transport"].upper(),
                host=matched["host"],
                port=port,
                parameters=_parameters(matched["rest"] or ""),
            )
        )
    return hops


def addresses(values: list[str]) -> list[str]:
    """Return each address of headers that hold lists of them, as Record-Route, as it was written."""
    return [part.strip() for value in values for part in _split(value, ",") if part.strip()]


def _squeezed(text: str) -> str:
    """Return the text with single spaces: long runs of them would have the patterns try everything."""
    return " ".join(text.split())


def _parameters(text: str) -> dict[str, str]:
    found = dict[str, str]()
    for part in _split(text, ";"):
        name, _, value = part.partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _split(text: str, separator: str) -> Iterator[str]:
    """Cut at separators outside quotes and angle brackets."""
    begin, parts = 0, 0
    for found in _MARKS[separator].finditer(text):
        if found[0] == separator:
            yield text[begin : found.start()]
            begin, parts = found.end(), parts + 1
            if parts == _PARTS_MAX:
                break
    yield text[begin:]
