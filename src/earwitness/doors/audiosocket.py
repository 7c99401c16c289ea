"""Asterisk's AudioSocket: frames of a type, a length and a payload, over TCP. Bytes in, events out, and the encoders.

From docs.asterisk.org, "AudioSocket" (the protocol, as of Asterisk 22): the first frame is the call's UUID, audio is
signed 16-bit little-endian in one channel, and the frame's type says its rate. One party's audio comes: the channel's.

What belongs here: the protocol. What must never: sockets, who may call.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias
from uuid import UUID

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf, Leg, LegStarted
from earwitness.errors import BadRequest
from earwitness.voice.call import RATES

LABEL = "caller"
"""What the one leg is called."""

CHUNK_SECONDS = 0.02
"""How much Asterisk puts into a frame of audio."""

_HEAD = Struct(">BH")
_UUID_BYTES = 16
IDENTITY_BYTES = _HEAD.size + _UUID_BYTES
"""The first frame: all that is read of a connection before it is known whether it may call."""


class FrameType(IntEnum):
    """What a frame holds. Audio is in `RATE_OF_TYPE`."""

    HANG_UP = 0x00
    UUID = 0x01
    DTMF = 0x03
    ERROR = 0xFF


RATE_OF_TYPE = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
"""Hz of audio, by the type of its frame."""

TYPE_OF_RATE = {rate: kind for kind, rate in RATE_OF_TYPE.items()}

HANG_UP = _HEAD.pack(FrameType.HANG_UP, 0)
"""The frame that ends a call, from either side."""


@dataclass(frozen=True, slots=True)
class CallNamed:
    """The first frame: which call this is. Who sends it has to be allowed to before anything else is read."""

    call_id: str


@dataclass(frozen=True, slots=True)
class UnknownFrame:
    """A frame of a type that nobody knows. It is passed over."""

    type: int


AudioSocketEvent: TypeAlias = CallNamed | CallStarted | LegStarted | Audio | Dtmf | CallEnded | UnknownFrame


class AudioSocketReader:
    """Takes the bytes of one connection, cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._call_id = ""
        self._rate = 0
        self._is_over = False

    def feed(self, data: bytes) -> list[AudioSocketEvent]:
        """Return what the bytes tell. Raise BadRequest for what is no AudioSocket, or of a rate that is not heard.

        A call begins with its first audio: only then its rate is known. What comes behind its end is dropped.
        """
        buffer = self._rest + data if self._rest else data
        found: list[AudioSocketEvent] = []
        at, size = 0, len(buffer)
        while not self._is_over and size - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer, at)
            if not self._call_id and (kind != FrameType.UUID or length != _UUID_BYTES):
                raise BadRequest("an AudioSocket begins with the UUID of its call; send that frame first")
            if size - at - _HEAD.size < length:
                break
            at += _HEAD.size + length
            self._take(kind, buffer[at - length : at], found)
        self._rest = b"" if self._is_over else buffer[at:]
        return found

    def close(self) -> list[AudioSocketEvent]:
        """Return what the end of the connection tells, should no frame have ended the call."""
        if self._is_over:
            return []
        self._is_over = True
        return [CallEnded("the connection was closed without a hang-up", failed=True)]

    def _take(self, kind: int, payload: bytes, found: list[AudioSocketEvent]) -> None:
        if not self._call_id:
            self._call_id = str(UUID(bytes=payload))
            found.append(CallNamed(self._call_id))
        elif kind in RATE_OF_TYPE:
            self._take_audio(RATE_OF_TYPE[kind], payload, found)
        elif kind == FrameType.DTMF:
            found.append(Dtmf(LABEL))
        elif kind in (FrameType.HANG_UP, FrameType.ERROR):
            self._is_over = True
            failed = kind == FrameType.ERROR
            found.append(CallEnded("Asterisk reported an error" if failed else "hung up", failed=failed))
        else:
            found.append(UnknownFrame(kind))

    def _take_audio(self, rate: int, payload: bytes, found: list[AudioSocketEvent]) -> None:
        if rate != self._rate:
            if rate not in RATES:
                raise BadRequest(f"audio of {rate} Hz is not heard; send {RATES[0]} to {RATES[-1]} Hz")
            leg = Leg(label=LABEL, is_caller=True, coding=AudioCoding.L16, rate=rate)
            found.append(LegStarted(leg) if self._rate else CallStarted(call_id=self._call_id, legs=(leg,)))
            self._rate = rate
        if payload:
            found.append(Audio(LABEL, payload))


def write_frame(kind: int, payload: bytes = b"") -> bytes:
    """Return a frame. Raise ValueError for more than 65,535 bytes."""
    if len(payload) > 0xFFFF:
        raise ValueError("a frame holds 65,535 bytes; send several")
    return _HEAD.pack(kind, len(payload)) + payload


def write_identity(call_id: str) -> bytes:
    """Return the first frame of a connection. Raise BadRequest for what is no UUID."""
    try:
        return write_frame(FrameType.UUID, UUID(call_id).bytes)
    except ValueError:
        raise BadRequest("the call's id is no UUID; give one as in 8c8b5d2e-2c1b-4a7e-9f4f-7a1f6a3f0f11") from None


def write_audio(data: bytes, *, rate: int) -> bytes:
    """Return 16-bit samples as a frame. Raise BadRequest for a rate that has none."""
    if rate not in TYPE_OF_RATE:
        raise BadRequest(f"AudioSocket has no frame for {rate} Hz; it has {', '.join(map(str, TYPE_OF_RATE))}")
    return write_frame(TYPE_OF_RATE[rate], data)
