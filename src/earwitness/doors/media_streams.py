"""Twilio's Media Streams and what others made after them: JSON, audio in base64, a track for each party.

Sources: twilio.com/docs/voice/media-streams/websocket-messages; developers.telnyx.com, "Stream call media over
WebSocket"; signalwire.com cXML `<Stream>`; plivo.com audio streaming; exotel.com AgentStream. They differ in how names
are written, in which fields there are, and in that Telnyx keeps no order: a chunk's time says where it belongs.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import cast

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf, Leg, LegStarted
from earwitness.doors.socket_core import (
    Account,
    HangUp,
    JsonMessage,
    Opening,
    Output,
    Presented,
    leg_of,
    object_in,
    rate_in,
    read_json,
    text_in,
    token_in,
    whole_number,
)
from earwitness.errors import BadRequest

TRACKS = ("inbound", "outbound")
"""What comes from the party at the other end of the line, and what goes to it. So the first is the caller, unless the
connector says otherwise, as for calls that one's own system makes."""

CODINGS = {
    "audio/x-mulaw": AudioCoding.PCMU,
    "audio/mulaw": AudioCoding.PCMU,
    "mulaw": AudioCoding.PCMU,
    "ulaw": AudioCoding.PCMU,
    "pcmu": AudioCoding.PCMU,
    "audio/x-alaw": AudioCoding.PCMA,
    "alaw": AudioCoding.PCMA,
    "pcma": AudioCoding.PCMA,
    "audio/x-l16": AudioCoding.L16,
    "audio/l16": AudioCoding.L16,
    "l16": AudioCoding.L16,
    "raw/slin": AudioCoding.L16,
    "slin": AudioCoding.L16,
    "base64": AudioCoding.L16,  # Exotel's name for its 16 bits
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamShape:
    """What one provider's streams have that others' have not."""

    #: Used where the stream does not say it.
    coding: AudioCoding = AudioCoding.PCMU
    #: Whether its 16-bit samples are known to be little-endian; others would be heard as noise.
    has_l16: bool = False


class ChunkPlaces:
    """Where chunks belong by their time in milliseconds, without gaps where that is only rounded or jitters."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._first_ms: int | None = None
        self._next = 0

    def place(self, at_ms: int | None, samples: int) -> int | None:
        """Return the place of a chunk in samples since the track's first one; None when its time is not known."""
        if at_ms is None:
            return None
        if self._first_ms is None:
            self._first_ms = at_ms
        at = (at_ms - self._first_ms) * self._rate // 1000
        if abs(at - self._next) <= samples // 2:
            at = self._next
        if at < 0:
            return None  # before the first one: the clock was set back, or it overtook it
        self._next = max(self._next, at + samples)
        return at


class MediaStreamSocket:
    """One stream."""

    def __init__(self, shape: StreamShape, opening: Opening) -> None:
        self._shape = shape
        self._opening = opening
        self._caller = opening.caller_label if opening.caller_label in TRACKS else TRACKS[0]
        self._stream = ""
        self._coding, self._rate, self._sample_bytes = shape.coding, 8000, 1
        self._announced: tuple[str, ...] | None = None
        self._places: dict[str, ChunkPlaces] = {}
        self._started, self._ended = False, False

    def receive(self, message: str | bytes) -> list[Output]:
        """Return what a message says. Raise BadRequest for what the protocol has not."""
        if self._ended:
            return []
        if isinstance(message, bytes):
            raise BadRequest("a binary message; media come as JSON here")
        told = read_json(message)
        event = told.get("event")
        if event == "media":
            return self._media(told)
        if event == "start":
            return self._start(told)
        if event == "dtmf":
            return [Dtmf(self._track(object_in(told, "dtmf")))] if self._started else []
        if event in ("stop", "closed", "error"):
            return self._stop("its phone system stopped the stream", failed=event == "error")
        return []

    def stop(self) -> list[Output]:
        """There is nothing to say: these streams expect no answers."""
        return []

    def _start(self, told: JsonMessage) -> list[Output]:
        if self._started:
            raise BadRequest("a second start in one stream")
        start = object_in(told, "start")
        self._stream = _stream_of(told) or _stream_of(start)
        self._read_format(object_in(start, "mediaFormat", "media_format"))
        self._announced = _tracks(start.get("tracks"))
        attached = object_in(start, "customParameters", "custom_parameters", "extra_headers")
        token = token_in(attached)
        numbers = {name.lower(): value for name, value in attached.items()}
        self._started = True
        outputs: list[Output] = [Presented(token)] if token else []
        account = text_in(start, "accountSid", "account_sid", "accountId", "account_id")
        if account:
            outputs.append(Account(account))
        outputs.append(
            CallStarted(
                call_id=text_in(start, "callSid", "call_sid", "callId", "call_id", "call_control_id")
                or self._stream
                or self._opening.call_id,
                legs=tuple(self._leg(track) for track in self._announced or TRACKS[:1]),
                from_number=text_in(start, "from") or text_in(numbers, "from", "caller"),
                to_number=text_in(start, "to") or text_in(numbers, "to", "called"),
                is_inbound="outbound" not in text_in(start, "direction").lower(),
            )
        )
        return outputs

    def _read_format(self, media_format: JsonMessage) -> None:
        encoding, _, options = text_in(media_format, "encoding").lower().partition(";")
        coding = CODINGS.get(encoding.strip()) if encoding else self._shape.coding
        if coding is None or (coding is AudioCoding.L16 and not self._shape.has_l16):
            raise BadRequest("audio of this encoding is not heard; send mu-law or A-law")
        self._coding, self._sample_bytes = coding, coding.sample_bytes
        self._rate = rate_in(media_format, "sampleRate", "sample_rate", default=8000)
        if options.strip().startswith("rate="):
            self._rate = rate_in({"rate": options.strip()[5:]}, "rate", default=8000)
        if whole_number(media_format.get("channels", 1)) not in (1, None):
            raise BadRequest("a track has one channel")

    def _media(self, told: JsonMessage) -> list[Output]:
        if not self._started:
            raise BadRequest("media before the start")
        stream = _stream_of(told)
        if stream and self._stream and stream != self._stream:
            raise BadRequest("media of another stream; a socket has one")
        media = object_in(told, "media")
        track = self._track(media)
        if track not in TRACKS or (self._announced is not None and track not in self._announced):
            return []
        payload = media.get("payload")
        if not isinstance(payload, str):
            raise BadRequest("media without a payload")
        try:
            data = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("a payload that is no base64") from None
        outputs: list[Output] = []
        places = self._places.get(track)
        if places is None:
            places = self._places[track] = ChunkPlaces(self._rate)
            if self._announced is None and track != TRACKS[0]:
                outputs.append(LegStarted(self._leg(track)))
        samples = len(data) // self._sample_bytes
        outputs.append(Audio(track, data, places.place(whole_number(media.get("timestamp")), samples)))
        return outputs

    def _stop(self, reason: str, *, failed: bool) -> list[Output]:
        self._ended = True
        return [CallEnded(reason, failed=failed), HangUp()] if self._started else [HangUp()]

    def _track(self, holder: JsonMessage) -> str:
        return _bare(text_in(holder, "track")) or TRACKS[0]

    def _leg(self, track: str) -> Leg:
        return leg_of(track, caller=self._caller, coding=self._coding, rate=self._rate)


def _stream_of(holder: JsonMessage) -> str:
    return text_in(holder, "streamSid", "stream_sid", "streamId", "stream_id")


def _tracks(announced: object) -> tuple[str, ...] | None:
    """Return the tracks that a start names; None when it names none, or none that there are."""
    if not isinstance(announced, list):
        return None
    names = [_bare(each) for each in cast("list[object]", announced)[:8] if isinstance(each, str)]
    return tuple(track for track in TRACKS if track in names) or None


def _bare(track: str) -> str:
    """Return a track's name; some messages write `inbound_track`."""
    return track.removesuffix("_track")
