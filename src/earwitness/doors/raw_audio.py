"""WebSockets of raw 16-bit audio: one text message that says what comes, then nothing but samples.

jambonz (docs.jambonz.org, listen), FreeSWITCH's mod_audio_fork and mod_audio_stream, Vonage (developer.vonage.com,
WebSockets) and Sinch (developers.sinch.com, Voice Stream). What a first message leaves out may stand in the query:
`call`, `rate`, `channels`, `from`, `to`. What belongs here: these messages. What must never: proofs, sockets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Dtmf
from earwitness.doors.socket_core import (
    HangUp,
    JsonMessage,
    Opening,
    Output,
    Presented,
    Send,
    caller_among,
    leg_of,
    object_in,
    rate_in,
    read_json,
    text_in,
    token_in,
    whole_number,
)
from earwitness.errors import BadRequest

MONO, STEREO = ("audio",), ("left", "right")
"""Labels. Of a call that is forked, the left one is the party whose channel it is: the caller, as a rule."""

_CHANNELS = {"mono": 1, "mixed": 1, "stereo": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Preamble:
    """What one system's first message is like."""

    #: Whether it may be anything, or missing: what is to be known then stands in the query.
    is_free: bool = False
    #: Where Vonage writes the rate: `audio/l16;rate=16000`.
    content_type: bool = False
    #: What is to be answered; empty: nothing.
    answer: str = ""
    #: What the first message has to say of itself, as name and value; empty: nothing.
    says: tuple[str, str] = ("", "")


class RawAudioSocket:
    """One socket."""

    def __init__(self, preamble: Preamble, opening: Opening) -> None:
        self._preamble = preamble
        self._opening = opening
        self._labels: tuple[str, ...] = ()
        self._rest = b""
        self._ended = False

    def receive(self, message: str | bytes) -> list[Output]:
        """Return what a message says. Raise BadRequest for what the protocol has not."""
        if self._ended:
            return []
        if isinstance(message, bytes):
            return self._audio(message)
        if not self._labels:
            return self._start(self._read_first(message))
        return self._later(message)

    def stop(self) -> list[Output]:
        """There is nothing to say."""
        return []

    def _read_first(self, message: str) -> JsonMessage:
        try:
            told = read_json(message)
        except BadRequest:
            if not self._preamble.is_free:
                raise
            return {}
        name, value = self._preamble.says
        if name and told.get(name) != value:
            raise BadRequest(f"the first message is to say that its {name} is {value}")
        return told

    def _start(self, told: JsonMessage) -> list[Output]:
        query = self._opening.query
        rate = self._rate(told, query)
        channels = _CHANNELS.get(text_in(told, "mixType", "mix-type", "mix").lower()) or whole_number(
            told.get("channels")
        )
        channels = channels or whole_number(query.get("channels", "")) or _CHANNELS.get(query.get("mix", ""), 1)
        if channels not in (1, 2):
            raise BadRequest("a call has one channel, or two")
        self._labels = MONO if channels == 1 else STEREO
        caller = caller_among(self._labels, self._opening.caller_label)
        token = token_in({**told, **_headers_of(told), **object_in(told, "metadata", "customerData")})
        outputs: list[Output] = [Presented(token)] if token else []
        if self._preamble.answer:
            outputs.append(Send(self._preamble.answer))
        outputs.append(
            CallStarted(
                call_id=text_in(told, "callSid", "call_sid", "callId", "call_id", "uuid")
                or text_in(query, "call")
                or self._opening.call_id,
                legs=tuple(leg_of(label, caller=caller, coding=AudioCoding.L16, rate=rate) for label in self._labels),
                from_number=text_in(told, "from", "caller") or text_in(query, "from"),
                to_number=text_in(told, "to", "called") or text_in(query, "to"),
                is_inbound="outbound" not in text_in(told, "direction").lower(),
            )
        )
        return outputs

    def _rate(self, told: JsonMessage, query: Mapping[str, str]) -> int:
        if self._preamble.content_type:
            kind, _, options = text_in(told, "content-type").partition(";")
            if kind.strip().lower() != "audio/l16":
                raise BadRequest("audio of this content-type is not heard; choose audio/l16")
            return rate_in({"rate": options.strip().removeprefix("rate=")}, "rate", default=8000)
        if told.get("codec") not in (None, "", "PCM", "L16"):
            raise BadRequest("audio of this codec is not heard; choose 16-bit PCM")
        return rate_in({**query, **told}, "sampleRate", "sample_rate", "rate", default=8000)

    def _audio(self, data: bytes) -> list[Output]:
        outputs: list[Output] = []
        if not self._labels:
            if not (self._preamble.is_free and self._opening.query.get("call")):
                raise BadRequest("audio before the first message says what it is; or name the call in the query")
            outputs += self._start({})
        if self._rest:
            data, self._rest = self._rest + data, b""
        size = 2 * len(self._labels)
        if len(data) % size:
            whole = len(data) - len(data) % size
            data, self._rest = data[:whole], data[whole:]
        if len(self._labels) == 1:
            outputs.append(Audio(self._labels[0], data))
        elif data:
            samples = memoryview(data).cast("H")
            outputs += [Audio(label, samples[place::2].tobytes()) for place, label in enumerate(self._labels)]
        return outputs

    def _later(self, message: str) -> list[Output]:
        """Events in a call. What is no JSON, or not known, is for others."""
        try:
            told = read_json(message)
        except BadRequest:
            return []
        event = text_in(told, "event", "type", "command")
        if event in ("dtmf", "websocket:dtmf"):
            return [Dtmf(self._labels[0])]
        if event in ("websocket:disconnected", "hangup"):
            self._ended = True
            return [CallEnded("its phone system hung up"), HangUp()]
        return []


def _headers_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers of a call, which are an object or a list of keys and values."""
    headers = told.get("callHeaders")
    if isinstance(headers, dict):
        return {str(name): value for name, value in cast("JsonMessage", headers).items()}
    if isinstance(headers, list):
        pairs = [cast("JsonMessage", each) for each in cast("list[object]", headers)[:100] if isinstance(each, dict)]
        return {text_in(pair, "key"): pair.get("value") for pair in pairs}
    return {}
