"""Session descriptions (RFC 4566): what a recording client offers, and our answer (RFC 3264, RFC 7866 section 7.1).

What belongs here: the offer's audio lines, the answer with as many lines in the same order. What must never: sockets.
G.711 is what a Voice Connector takes; everything else is declined before anybody sends it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from earwitness.doors.events import AudioCoding
from earwitness.doors.siprec.srtp import SrtpKey, read_crypto
from earwitness.errors import SessionDescriptionInvalid

LINES_MAX = 2_000
MEDIA_MAX = 32
"""Media lines of one description; a recorded call has two."""

SDP_BYTES_MAX = 65_536

_STATIC = {0: AudioCoding.PCMU, 8: AudioCoding.PCMA}
_DIRECTIONS = ("sendonly", "sendrecv", "recvonly", "inactive")
_ANSWERED = {"sendonly": "recvonly", "sendrecv": "recvonly", "recvonly": "inactive", "inactive": "inactive"}
_RTPMAP = re.compile(r"(\d{1,3})\s+([A-Za-z0-9.\-]+)/(\d{1,6})(?:/1)?\s*")
_MEDIA = re.compile(r"(\S+) (\d{1,5})(?:/\d+)? (\S+)((?: \S+)*)")

Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaLine:
    """One media line of an offer."""

    kind: str
    port: int
    #: `RTP/AVP`, or `RTP/SAVP` for encrypted media.
    profile: str
    formats: tuple[str, ...]
    #: What the line is called in the metadata (RFC 4574); empty when it has none.
    label: str
    direction: str
    #: None for a name, which nobody resolves: any address that is allowed may send.
    address: Address | None = field(repr=False)
    #: Payload types of G.711, as the sender prefers them.
    codings: tuple[tuple[int, AudioCoding], ...]
    #: The payload type of telephone events (RFC 4733).
    event_type: int | None
    keys: tuple[SrtpKey, ...] = field(repr=False)

    @property
    def is_encrypted(self) -> bool:
        """Say whether the line has encrypted media."""
        return self.profile.startswith(("RTP/SAVP", "UDP/TLS/RTP/SAVP"))

    @property
    def is_usable(self) -> bool:
        """Say whether the line has audio that we take."""
        return self.kind == "audio" and self.port != 0 and bool(self.codings) and self._has_usable_profile

    @property
    def _has_usable_profile(self) -> bool:
        """Say whether the transport is one that we speak; encrypted lines need a key of theirs."""
        if self.profile in ("RTP/SAVP", "RTP/SAVPF"):
            return bool(self.keys)
        return self.profile in ("RTP/AVP", "RTP/AVPF")


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredLine:
    """What we answer to one media line: a port and, if it is encrypted, our key; port 0 declines it."""

    line: MediaLine
    port: int
    key: SrtpKey | None = field(default=None, repr=False)


def read_offer(body: bytes) -> tuple[MediaLine, ...]:
    """Return the media lines of a session description, in order.

    Raise SessionDescriptionInvalid when it cannot be read, or has no media line or too many.
    """
    if len(body) > SDP_BYTES_MAX:
        raise SessionDescriptionInvalid("the session description is longer than 64 KB")
    lines = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > LINES_MAX or not lines[0].startswith("v=0"):
        raise SessionDescriptionInvalid("the session description does not begin with v=0, or is too long")
    head, sections = list[str](), list[list[str]]()
    for line in lines:
        if line.startswith("m="):
            sections.append([line])
        elif line[1:2] == "=":
            (sections[-1] if sections else head).append(line)
    if not 0 < len(sections) <= MEDIA_MAX:
        raise SessionDescriptionInvalid(f"a session description has 1 to {MEDIA_MAX} media lines, not {len(sections)}")
    return tuple(_media_line(section, head) for section in sections)


def read_label(text: str) -> str:
    """Return a label (RFC 4574: a token) as legs have it: what stands in no token becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9!#$%&'*+.^_`{|}~@:=-]", "_", text.strip()[:64])


def write_answer(answered: Sequence[AnsweredLine], *, address: str, session: int, version: int) -> bytes:
    """Return the answer: every line of the offer in its order, with its label, received or declined.

    `session` and `version` are numbers of the origin line; the version grows with every answer of one call.
    """
    family = "IP6" if ":" in address else "IP4"
    lines = ["v=0", f"o=- {session} {version} IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0"]
    for each in answered:
        lines += _answer_lines(each)
    return ("\r\n".join(lines) + "\r\n").encode()


def _answer_lines(answered: AnsweredLine) -> list[str]:
    line = answered.line
    if answered.port == 0:
        lines = [f"m={line.kind} 0 {line.profile} {' '.join(line.formats[:8])}"]
    else:
        kind, coding = line.codings[0]
        formats = [str(kind)] + ([str(line.event_type)] if line.event_type is not None else [])
        lines = [f"m=audio {answered.port} {line.profile} {' '.join(formats)}", f"a=rtpmap:{kind} {coding}/8000"]
        if line.event_type is not None:
            lines += [f"a=rtpmap:{line.event_type} telephone-event/8000", f"a=fmtp:{line.event_type} 0-15"]
        if answered.key is not None:
            lines.append(f"a=crypto:{answered.key.written}")
        lines.append(f"a={_ANSWERED[line.direction]}")
    return lines + ([f"a=label:{line.label}"] if line.label else [])


def _media_line(section: list[str], head: list[str]) -> MediaLine:
    matched = _MEDIA.fullmatch(" ".join(section[0][2:].split()))
    if matched is None or int(matched[2]) > 65_535:
        raise SessionDescriptionInvalid("a media line cannot be read")
    attributes = [line[2:].strip() for line in section if line.startswith("a=")]
    formats = tuple(matched[4].split())
    names = _formats(attributes)
    numbers = [int(each) for each in formats if each.isascii() and each.isdecimal() and int(each) < 128]
    return MediaLine(
        kind=matched[1].lower(),
        port=int(matched[2]),
        profile=matched[3].upper(),
        formats=formats,
        label=read_label(_value(attributes, "label")),
        direction=_direction(attributes) or _direction([line[2:].strip() for line in head]) or "sendrecv",
        address=_connection(section) or _connection(head),
        codings=tuple((number, coding) for number in numbers if (coding := _coding(number, names)) is not None),
        event_type=next((number for number in numbers if names.get(number) == ("TELEPHONE-EVENT", 8_000)), None),
        keys=tuple(key for value in _values(attributes, "crypto") if (key := read_crypto(value)) is not None),
    )


def _formats(attributes: list[str]) -> dict[int, tuple[str, int]]:
    found = dict[int, tuple[str, int]]()
    for value in _values(attributes, "rtpmap"):
        if matched := _RTPMAP.fullmatch(value):
            found[int(matched[1])] = (matched[2].upper(), int(matched[3]))
    return found


def _coding(number: int, names: dict[int, tuple[str, int]]) -> AudioCoding | None:
    if number not in names:
        return _STATIC.get(number)
    name, rate = names[number]
    return AudioCoding(name) if name in ("PCMU", "PCMA") and rate == 8_000 else None


def _direction(attributes: list[str]) -> str:
    return next((each for each in attributes if each in _DIRECTIONS), "")


def _connection(lines: list[str]) -> Address | None:
    for line in lines:
        if line.startswith("c="):
            words = line[2:].split()
            try:
                return ip_address(words[2].partition("/")[0]) if len(words) == 3 else None
            except ValueError:
                return None
    return None


def _values(attributes: list[str], name: str) -> list[str]:
    return [each[len(name) + 1 :].strip() for each in attributes if each.startswith(name + ":")]


def _value(attributes: list[str], name: str) -> str:
    found = _values(attributes, name)
    return found[0][:128] if found else ""
