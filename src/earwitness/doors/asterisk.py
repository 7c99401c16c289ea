"""Asterisk's chan_websocket: MEDIA_START says what comes, as text or JSON, then audio in the channel's codec.

Source: docs.asterisk.org, "WebSocket" channel driver. Plain text is deprecated there and still the default of many
releases. A channel carries one party. What belongs here: these messages. What must never: proofs, sockets.
"""

from earwitness.doors.events import Audio, AudioCoding, CallStarted, Dtmf
from earwitness.doors.socket_core import (
    JsonMessage,
    Opening,
    Output,
    Presented,
    Send,
    leg_of,
    object_in,
    read_json,
    text_in,
    token_in,
)
from earwitness.errors import BadRequest

FORMATS = {
    "ulaw": (AudioCoding.PCMU, 8000),
    "alaw": (AudioCoding.PCMA, 8000),
    "slin": (AudioCoding.L16, 8000),
    "slin12": (AudioCoding.L16, 12000),
    "slin16": (AudioCoding.L16, 16000),
    "slin24": (AudioCoding.L16, 24000),
    "slin32": (AudioCoding.L16, 32000),
    "slin44": (AudioCoding.L16, 44100),
    "slin48": (AudioCoding.L16, 48000),
}

LABEL = "caller"

_PARTS_MAX = 100


class AsteriskSocket:
    """One channel."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._sample_bytes = 0
        self._is_json = False
        self._rest = b""

    def receive(self, message: str | bytes) -> list[Output]:
        """Return what a message says. Raise BadRequest for what the protocol has not."""
        if isinstance(message, bytes):
            return self._audio(message)
        told = self._read(message)
        event = text_in(told, "event")
        if event == "MEDIA_START":
            return self._start(told)
        if event in ("DTMF_END", "DTMF"):
            return [Dtmf(LABEL)] if self._sample_bytes else []
        return []  # MEDIA_XOFF and MEDIA_XON are for those who send, STATUS for those who asked

    def stop(self) -> list[Output]:
        """Say that the channel may end."""
        if not self._sample_bytes:
            return []
        return [Send('{"command":"HANGUP"}' if self._is_json else "HANGUP")]

    def _read(self, message: str) -> JsonMessage:
        if message.lstrip().startswith("{"):
            self._is_json = True
            return read_json(message)
        event, *parts = message.split(maxsplit=_PARTS_MAX) or [""]
        pairs = (part.partition(":") for part in parts)
        return {"event": event, **{name: value for name, colon, value in pairs if colon}}

    def _start(self, told: JsonMessage) -> list[Output]:
        if self._sample_bytes:
            raise BadRequest("a second MEDIA_START in one channel")
        found = FORMATS.get(text_in(told, "format").lower())
        if found is None:
            raise BadRequest("audio of this format is not heard; dial with c(ulaw), c(alaw), c(slin) or c(slin16)")
        coding, rate = found
        self._sample_bytes = coding.sample_bytes
        variables, query = object_in(told, "channel_variables"), self._opening.query
        token = token_in(variables)
        started = CallStarted(
            call_id=text_in(query, "call")
            or text_in(told, "channel_id", "channel", "connection_id")
            or self._opening.call_id,
            legs=(leg_of(LABEL, caller=LABEL, coding=coding, rate=rate),),
            from_number=text_in(query, "from") or text_in(variables, "CALLERID(num)", "CALLERIDNUM"),
            to_number=text_in(query, "to") or text_in(variables, "EXTEN", "CALLERID(dnid)"),
        )
        return [Presented(token), started] if token else [started]

    def _audio(self, data: bytes) -> list[Output]:
        if not self._sample_bytes:
            raise BadRequest("audio before MEDIA_START says what it is")
        if self._sample_bytes == 2:
            data, self._rest = self._rest + data, b""
            if len(data) % 2:
                data, self._rest = data[:-1], data[-1:]
        return [Audio(LABEL, data)] if data else []
