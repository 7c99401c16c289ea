"""Genesys AudioHook, version 2: JSON messages with sequence numbers, and mu-law of both parties, interleaved.

Source: the reference implementation, github.com/purecloudlabs/audiohook-reference-implementation (protocol/message.ts,
server/serversessionimpl.ts). The channel `external` is the customer. A conversation whose id is all zeros is a probe:
it is answered, and is no call. A session that goes on with others names them as `continuedSessions`; it has an id of
its own, and the conversation of those. What belongs here: the protocol, from both sides. What must never: sockets, the
signature of the handshake.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from earwitness.doors.events import Audio, AudioCoding, CallEnded, CallStarted, Leg
from earwitness.doors.socket_core import (
    HangUp,
    JsonMessage,
    Opening,
    Output,
    Send,
    object_in,
    read_json,
    text_in,
    whole_number,
)
from earwitness.errors import BadRequest

RATE = 8000
PROBE = "00000000-0000-0000-0000-000000000000"

_DURATION = re.compile(r"PT(\d{1,9})(?:\.(\d{1,9}))?S")
"""As Genesys writes a time: `PT12.34S`."""

_CHANNELS = (["external", "internal"], ["external"], ["internal"])
"""What is taken, what we like best first."""


class AudioHookSocket:
    """One session."""

    def __init__(self, opening: Opening) -> None:
        self._organization = opening.headers.get("audiohook-organization-id", "")
        self._id = opening.headers.get("audiohook-session-id", "")
        self._swapped = opening.caller_label == "internal"
        self._sent, self._received = 0, 0
        self._labels: tuple[str, ...] = ()
        self._opened, self._is_probe, self._closed = False, False, False
        #: Samples of each leg so far, those that were discarded too.
        self._place = 0

    def receive(self, message: str | bytes) -> list[Output]:
        """Return what a message says and its answer. Raise BadRequest for what the protocol has not."""
        if self._closed:
            return []
        if isinstance(message, bytes):
            return self._audio(message)
        told = self._numbered(read_json(message))
        parameters = object_in(told, "parameters")
        match told["type"]:
            case "open":
                return self._open(parameters)
            case "close":
                return self._close(parameters)
            case "ping":
                return [self._say("pong")]
            case "update":
                return [self._say("updated")]
            case "discarded" | "resumed":
                self._place += round(_seconds(parameters.get("discarded")) * RATE)
            case "paused" | "error":
                pass
            case _:
                raise BadRequest("a message of a type that AudioHook's version 2 has not")
        return []

    def stop(self) -> list[Output]:
        """Ask the client to dial again: another of us may take the rest of the call."""
        if self._closed:
            return []
        if not self._opened:
            return [self._say("disconnect", reason="error", info="the service is stopping")]
        return [self._say("reconnect", info="the service is stopping")]

    def _numbered(self, told: JsonMessage) -> JsonMessage:
        """Return a message whose head is as it must be."""
        if told.get("version") != "2" or not isinstance(told.get("type"), str):
            raise BadRequest("no message of AudioHook's version 2")
        if told.get("seq") != self._received + 1:
            raise BadRequest("a message is missing: seq is not one more than before")
        serverseq = whole_number(told.get("serverseq"))
        if serverseq is None or not 0 <= serverseq <= self._sent:
            raise BadRequest("serverseq names a message that was not sent")
        if not self._id:
            self._id = text_in(told, "id")
        if told.get("id") != self._id:
            raise BadRequest("the message names another session than the handshake")
        self._received += 1
        return told

    def _open(self, parameters: JsonMessage) -> list[Output]:
        if self._opened:
            raise BadRequest("a second open in one session")
        if self._organization and parameters.get("organizationId") != self._organization:
            raise BadRequest("the message names another organization than the handshake")
        self._opened = True
        conversation = text_in(parameters, "conversationId")
        self._is_probe = conversation == PROBE
        media = self._choose(parameters.get("media"))
        if media is None:
            if self._is_probe:
                return [self._say("opened", media=[])]
            raise BadRequest("no media of 8 kHz PCMU was offered")
        answer = self._say("opened", startPaused=False, media=[media])
        if self._is_probe:
            return [answer]
        self._labels = tuple(cast("list[str]", media["channels"]))
        participant = object_in(parameters, "participant")
        caller = "internal" if self._swapped and "internal" in self._labels else self._labels[0]
        legs = tuple(
            Leg(label=label, is_caller=label == caller, coding=AudioCoding.PCMU, rate=RATE) for label in self._labels
        )
        started = CallStarted(
            call_id=conversation or self._id,
            legs=legs,
            from_number=text_in(participant, "ani"),
            to_number=text_in(participant, "dnis"),
            is_continued=bool(parameters.get("continuedSessions")),
        )
        return [started, answer]

    def _choose(self, offered: object) -> JsonMessage | None:
        """Return what we take of the media that were offered."""
        listed = cast("list[object]", offered)[:50] if isinstance(offered, list) else []
        media = [cast("JsonMessage", each) for each in listed if isinstance(each, dict)]
        usable = [
            each
            for each in media
            if each.get("type") == "audio" and each.get("format") == "PCMU" and each.get("rate") == RATE
        ]
        for channels in _CHANNELS:
            for each in usable:
                if each.get("channels") == channels:
                    return {"type": "audio", "format": "PCMU", "channels": channels, "rate": RATE}
        return None

    def _close(self, parameters: JsonMessage) -> list[Output]:
        self._closed = True
        reason = text_in(parameters, "reason")
        ended = CallEnded("its phone system closed the session", failed=reason == "error")
        return [*([ended] if self._labels else []), self._say("closed"), HangUp()]

    def _audio(self, data: bytes) -> list[Output]:
        if not self._opened:
            raise BadRequest("audio before the session is open")
        count = len(self._labels)
        if not count:
            return []  # a probe's
        if len(data) % count:
            raise BadRequest("audio of two channels with an odd number of bytes")
        place = self._place
        self._place += len(data) // count
        if count == 1:
            return [Audio(self._labels[0], data, place)]
        return [Audio(label, data[channel::2], place) for channel, label in enumerate(self._labels)]

    # `Any`: parameters differ by message.
    def _say(self, kind: str, **parameters: Any) -> Send:
        self._sent += 1
        message = {
            "version": "2",
            "type": kind,
            "seq": self._sent,
            "clientseq": self._received,
            "id": self._id,
            "parameters": parameters,
        }
        return Send(orjson.dumps(message).decode())


@dataclass
class AudioHookClient:
    """Genesys's side of one session: what it says, numbered, and what it is told."""

    session: str
    organization: str
    #: The customer's first.
    channels: Sequence[str]
    _sent: int = field(default=0, init=False)
    _received: int = field(default=0, init=False)
    #: Samples of each channel so far.
    _place: int = field(default=0, init=False)

    def open(self, conversation: str, *, former: "AudioHookClient | None" = None) -> str:
        """Return the first message, which offers PCMU at 8 kHz. No numbers are told.

        `former` is the session that this one goes on with, after its connection was lost.
        """
        participant = {"id": conversation, "ani": "", "aniName": "", "dnis": ""}
        return self._say(
            "open",
            organizationId=self.organization,
            conversationId=conversation,
            participant=participant,
            media=[self._media],
            language="en-US",
            **({} if former is None else {"continuedSessions": [former.continued]}),
        )

    @property
    def continued(self) -> JsonMessage:
        """How a later session names this one."""
        return {"id": self.session, "serverseq": self._received, "clientseq": self._sent}

    def ping(self) -> str:
        """Return the question that `pong` answers."""
        return self._say("ping")

    def close(self) -> str:
        """Return the last message, at the end of a call."""
        return self._say("close", reason="end")

    def audio(self, channels: Sequence[bytes]) -> bytes:
        """Return a frame of mu-law: the channels, equally long, a sample of each after another."""
        count, size = len(channels), len(channels[0])
        self._place += size
        frame = bytearray(count * size)
        for channel, samples in enumerate(channels):
            frame[channel::count] = samples
        return bytes(frame)

    def receive(self, message: str | bytes) -> tuple[str, JsonMessage]:
        """Return the type and the parameters of what was told.

        Raise BadRequest for what the protocol has not, and for an `opened` that takes other media than were offered.
        """
        told = {} if isinstance(message, bytes) else read_json(message)
        if told.get("version") != "2" or told.get("id") != self.session or told.get("seq") != self._received + 1:
            raise BadRequest("no message of AudioHook's version 2 in its order")
        self._received += 1
        kind, parameters = text_in(told, "type"), object_in(told, "parameters")
        if kind == "opened" and parameters.get("media") != [self._media]:
            raise BadRequest("AudioHook's opened takes other media than were offered")
        return kind, parameters

    @property
    def _media(self) -> JsonMessage:
        return {"type": "audio", "format": "PCMU", "channels": [*self.channels], "rate": RATE}

    # `Any`: parameters differ by message.
    def _say(self, kind: str, **parameters: Any) -> str:
        self._sent += 1
        message = {
            "version": "2",
            "type": kind,
            "seq": self._sent,
            "serverseq": self._received,
            "id": self.session,
            "position": f"PT{self._place / RATE:.3f}S",
            "parameters": parameters,
        }
        return orjson.dumps(message).decode()


def _seconds(duration: object) -> float:
    """Return a duration in seconds. Raise BadRequest for what is none."""
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None:
        raise BadRequest("a duration is written like PT12.34S")
    return float(f"{found[1]}.{found[2] or 0}")
