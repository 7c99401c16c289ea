"""A call as a phone system tells of it: its legs, what they carry, how it began, changed and ended. Values alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

RATES = range(8_000, 48_001)
"""Sample rates that are heard, in Hz. A door refuses legs of others."""

LEGS_MAX = 8
"""Legs of one call. Each is a stream of its own, so whoever takes a call cuts it before anything is written of it."""


class AudioCoding(StrEnum):
    """How a leg's samples are coded. G.711 (RFC 3551) is kept as it came: half the bytes of 16 bits."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    L16 = "L16"
    """Signed 16-bit samples, little-endian, whatever order they had on the way."""

    @property
    def sample_bytes(self) -> int:
        """Return the bytes of one sample of one channel."""
        return 2 if self is AudioCoding.L16 else 1

    @property
    def silence(self) -> bytes:
        """Return one sample of silence."""
        return {AudioCoding.PCMU: b"\xff", AudioCoding.PCMA: b"\xd5", AudioCoding.L16: b"\0\0"}[self]


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """The audio of one party of a call. Each becomes a stream of its own."""

    #: What the protocol calls it; unique in its call.
    label: str
    #: Whether it is who called. A Voice Connector says CUSTOMER of the caller and AGENT of the other one.
    is_caller: bool
    coding: AudioCoding
    #: Hz, of RATES.
    rate: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStarted:
    """A call began. Nothing of it is kept before its door knows who sends it."""

    #: The phone system's name for it.
    call_id: str
    #: Those that are known by now; `LegStarted` tells of others.
    legs: tuple[Leg, ...]
    #: Telephone numbers or addresses; empty when the protocol does not tell. They are personal.
    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    is_inbound: bool = True
    #: Whether its phone system goes on, over another connection, with a call of this id that it has lost.
    is_continued: bool = False
    #: The metadata document of SIPREC (RFC 7865), as it came.
    siprec_metadata: str = field(default="", repr=False)
    #: Headers of the INVITE that AWS programs may read.
    invite_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallUpdated:
    """The phone system says other things of a call than before: a transfer, new metadata of SIPREC."""

    from_number: str = field(default="", repr=False)
    to_number: str = field(default="", repr=False)
    siprec_metadata: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call is over."""

    #: For people: why.
    reason: str
    #: Whether it broke off, as after a lost connection, and did not end.
    failed: bool = False
