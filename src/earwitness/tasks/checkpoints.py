"""Where a task is in its stream: what of it holds speech and must be heard again, and where listening goes on.

What belongs here: positions, the document that is kept of them, and when it is written. What must never: audio, or the
state of a model.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from earwitness.audio.passages import PassageEnd
from earwitness.errors import StoreUnavailable
from earwitness.media.source import StreamFragment
from earwitness.store.columns import JsonObject
from earwitness.tasks.attempt import Attempt
from earwitness.tasks.heard import net_speech_kept

VERSION = 2
"""Of the document. The first had only the first fragment, and still says as much as that."""

RANGES_MAX = 50
"""A checkpoint of so many ranges takes 13.5 KB. A further one is joined to the last, and the silence between them is
heard again: there are more only where speech comes in snatches of less than half a second."""

_NUMBER_DIGITS_MAX = 128
"""Of a fragment; ours have 47."""

_UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)

_log = logging.getLogger("earwitness.checkpoint")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPosition:
    """A sample of the channel that is listened to."""

    number: str
    """The fragment it is in."""

    server_time: datetime
    """When that fragment began to arrive."""

    offset: int = 0
    """Which of the fragment's samples of this channel; as many as it has mean the first one behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRange:
    """A stretch that holds speech, from the beginning of a passage to the end of one."""

    start: StreamPosition
    end: StreamPosition


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """From where a call can be heard on as if it had been heard without interruption."""

    first: StreamPosition
    """Where the task began."""

    speech: tuple[SpeechRange, ...]
    """What is to be heard again before it, in its order."""

    listening: StreamPosition
    """Where everything is heard from on."""

    call: str = ""
    """Tells the call from others in the stream; empty while nothing names it."""

    net_speech_seconds: float = 0.0
    """Heard before it, for those who watch; a task that goes on counts its speech itself."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A fragment among the samples."""

    position: StreamPosition
    begins_at: int
    whole: bool
    """False when its first byte lies inside a sample that began in the fragment before: nobody can begin here."""


class PassageLog:
    """Follows the passages of a call through its fragments."""

    def __init__(self) -> None:
        self._marks: list[_Mark] = []
        self._ranges: list[SpeechRange] = []
        self._listening: StreamPosition | None = None
        self._spoken = False  # since there

    @property
    def speech(self) -> tuple[SpeechRange, ...]:
        """The ranges so far."""
        return tuple(self._ranges)

    @property
    def listening(self) -> StreamPosition | None:
        """The beginning of the current passage; None before the first fragment."""
        return self._listening

    def arrive(self, fragment: StreamFragment, *, begins_at: int, whole: bool) -> None:
        """Note that a fragment's first sample is number `begins_at` of those that are fed."""
        place = StreamPosition(number=fragment.number, server_time=fragment.server_time)
        self._marks.append(_Mark(place, begins_at, whole))

    def begin_anew(self, position: int) -> None:
        """Begin a passage that is not connected with what was heard before. Call this after `arrive`."""
        del self._marks[:-1]
        self._listening, self._spoken = self._place_of(position), False

    def passages_ended(self, ends: list[PassageEnd], *, settled: int) -> None:
        """Note that passages have ended; the next one will end behind `settled`."""
        for end in ends:
            self._spoken = self._spoken or end.spoken
            place = self._place_of(end.position)
            if place is None or self._listening is None:
                continue  # what follows is heard again together with what came before
            if self._spoken:
                self._add(SpeechRange(start=self._listening, end=place))
            self._listening, self._spoken = place, False
        while len(self._marks) > 1 and self._marks[1].begins_at <= settled:
            del self._marks[0]

    def _add(self, found: SpeechRange) -> None:
        if self._ranges and (self._ranges[-1].end == found.start or len(self._ranges) == RANGES_MAX):
            found = SpeechRange(start=self._ranges.pop().start, end=found.end)
        self._ranges.append(found)

    def _place_of(self, position: int) -> StreamPosition | None:
        mark = next(mark for mark in reversed(self._marks) if mark.begins_at <= position)
        if not mark.whole:
            return None
        place = mark.position
        return StreamPosition(number=place.number, server_time=place.server_time, offset=position - mark.begins_at)


def document_of(checkpoint: Checkpoint) -> JsonObject:
    """Return what is kept. A service of an earlier version reads its first fragment, and hears the call from there."""
    return {
        "version": VERSION,
        "firstFragmentNumber": checkpoint.first.number,
        "firstServerTime": checkpoint.first.server_time.isoformat(),
        "speech": [{"from": _place(each.start), "to": _place(each.end)} for each in checkpoint.speech],
        "listening": _place(checkpoint.listening),
        "call": checkpoint.call,
        "netSpeechSeconds": round(checkpoint.net_speech_seconds, 1),
    }


# `Any`: what `document_of` made, of this version or of another, or what became of it, here and below.
def checkpoint_of(document: Mapping[str, Any]) -> Checkpoint | None:
    """Read what was kept. If it is of another version or damaged, the call is to be heard from its start.

    Return None when not even its start can be read: the task begins as if it had heard nothing. This never raises,
    because a task whose checkpoint raises would be taken up again for ever.
    """
    try:
        first = _place_read(document["firstFragmentNumber"], document["firstServerTime"], 0)
        version = document.get("version")
    except _UNREADABLE:
        _log.warning("a checkpoint cannot be read, and where its task began neither; the task begins anew")
        return None
    from_start = Checkpoint(first=first, speech=(), listening=first)
    if version != VERSION:
        _log.warning("a checkpoint is of another version; its call is heard again from the start")
        return from_start
    try:
        ranges = [SpeechRange(start=_read(each["from"]), end=_read(each["to"])) for each in document["speech"]]
        call = document.get("call", "")  # earlier services wrote none
        if not isinstance(call, str):
            raise TypeError("not the name of a call")
        return Checkpoint(
            first=first,
            speech=tuple(ranges),
            listening=_read(document["listening"]),
            call=call,
            net_speech_seconds=net_speech_kept(document) or 0.0,
        )
    except _UNREADABLE:
        _log.warning("a checkpoint cannot be read; its call is heard again from the start")
        return from_start


def _place(place: StreamPosition) -> JsonObject:
    return {"number": place.number, "serverTime": place.server_time.isoformat(), "offset": place.offset}


def _read(place: Mapping[str, Any]) -> StreamPosition:
    return _place_read(place["number"], place["serverTime"], place["offset"])


# `Any`: whatever stands there.
def _place_read(number: Any, server_time: Any, offset: Any) -> StreamPosition:
    """Return a position that can be compared with a fragment. Raise ValueError or TypeError for anything else."""
    if not (isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) <= _NUMBER_DIGITS_MAX):
        raise ValueError("not the number of a fragment")
    if not isinstance(offset, int) or offset < 0:
        raise ValueError("not a sample of a fragment")
    time = datetime.fromisoformat(server_time)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return StreamPosition(number=number, server_time=time.astimezone(UTC), offset=offset)


CHECKPOINT_SECONDS = 10.0
"""Audio between two checkpoints of a task, at least: two hundred silent calls write twenty times a second."""


class CheckpointWriter:
    """Writes the checkpoints of one attempt at one task."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        checkpoint = attempt.task.checkpoint
        self.kept = None if checkpoint is None else checkpoint_of(checkpoint)
        """The latest; None before the first fragment has come, and when it cannot be read."""

        self._kept_at = 0.0  # seconds of audio before it, in this attempt

    def begin(self, fragment: StreamFragment, *, call: str) -> JsonObject:
        """Return the document to begin with: an earlier attempt's, or that this is the task's first fragment."""
        if self.kept is None:
            first = StreamPosition(number=fragment.number, server_time=fragment.server_time)
            self.kept = Checkpoint(first=first, speech=(), listening=first, call=call)
        return document_of(self.kept)

    async def keep(self, passages: PassageLog, *, call: str, heard_seconds: float, net_speech_seconds: float) -> None:
        """Write where the task is and in which call, if it is time.

        Raise AttemptSuperseded when another attempt has begun, NotFound when the domain was deleted.
        """
        kept, listening = self.kept, passages.listening
        if kept is None or listening is None or heard_seconds - self._kept_at < CHECKPOINT_SECONDS:
            return
        now = Checkpoint(
            first=kept.first,
            speech=passages.speech,
            listening=listening,
            call=call,
            net_speech_seconds=net_speech_seconds,
        )
        if now == kept:
            return
        try:
            await self._attempt.keep(document_of(now))
        except StoreUnavailable as error:
            _log.warning("a checkpoint was not written; a later one will be", extra={"reason": str(error)})
            return
        self.kept, self._kept_at = now, heard_seconds
