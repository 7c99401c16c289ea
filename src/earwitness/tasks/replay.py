"""Read a stream for one task: all of it as it comes, or after an interruption what holds speech and then the rest.

What belongs here: which fragments are read, and which samples of them count. What must never: decoding.
"""

import hashlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from earwitness.audio.channel import call_of
from earwitness.media.source import Source, StartPosition, StreamFragment
from earwitness.tasks.checkpoints import Checkpoint, StreamPosition
from earwitness.tasks.sent_again import SentAgain

JUMP_AFTER = timedelta(seconds=60)
"""A gap that is longer is jumped over, with a new connection where the source is far away; a shorter one, of a megabyte
at most in telephone quality, is sooner read."""

LOST = "the stream no longer had what came before the search was interrupted"
"""What a task says of itself from then on."""

LACKS = "some of the audio was missing from the stream"

ANOTHER_CALL = "another call has begun in the stream"

_CALL_CHARACTERS = 16

_log = logging.getLogger("earwitness.reading")


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentSlice:
    """Samples of a fragment that are to be heard, or a fragment of which none are."""

    fragment: StreamFragment
    start: int = 0
    """The first of the fragment's samples of the channel that counts."""

    end: int | None = None
    """The first that no longer does; None when all do."""

    begins: bool = False
    """It follows nothing that was heard: a passage begins with it."""

    ends_passage: bool = False
    """A passage is known to end with it."""

    @property
    def is_passed_over(self) -> bool:
        """Return whether there is nothing to do for it."""
        return self.end == 0 and not self.ends_passage


@dataclass(frozen=True, kw_only=True, slots=True)
class _Leg:
    start: StreamPosition | None
    """None where the source knows better."""

    end: StreamPosition | None
    """None where there is none."""


class Replay:
    """One reading of a stream."""

    def __init__(
        self, source: Source, *, start: StartPosition, checkpoint: Checkpoint | None, lost: bool = False
    ) -> None:
        """`start` is where a task begins that has no checkpoint; `lost`: an earlier attempt missed something."""
        self._source = source
        self._start = start
        self._legs: deque[_Leg] = deque()
        if checkpoint is not None:
            self._legs.extend(_Leg(start=each.start, end=each.end) for each in checkpoint.speech)
        self._legs.append(_Leg(start=None if checkpoint is None else checkpoint.listening, end=None))
        self._connected = False  # the last fragment was heard to its end, and this leg goes on
        self._catching_up = checkpoint is not None
        self._lost = lost
        self._lacks = False
        self._call = "" if checkpoint is None else checkpoint.call
        self._ended = False
        self._sent_again = SentAgain()

    @property
    def catching_up(self) -> bool:
        """Return whether what comes next is known to be there, or to have been: it was heard before."""
        return self._catching_up

    @property
    def lost(self) -> bool:
        """Return whether the stream no longer had all that was to be heard again."""
        return self._lost

    @property
    def lacks(self) -> bool:
        """Return whether audio that was to be heard is missing from the stream."""
        return self._lacks

    @property
    def call(self) -> str:
        """Return what tells this call from others (a hash); empty while nothing names it."""
        return self._call

    @property
    def ended(self) -> bool:
        """Return whether the call is over, because another one has begun in the stream."""
        return self._ended

    def remarks(self) -> list[str]:
        """Return what explains that less was heard than was said."""
        lost = self._lost or self._catching_up  # or nothing came at all
        said = {LOST: lost, LACKS: self._lacks, ANOTHER_CALL: self._ended}
        return [remark for remark, is_so in said.items() if is_so]

    async def pieces(self) -> AsyncGenerator[FragmentSlice]:
        """Yield what is to be heard, in its order, until the call ends. Raise what the source raises.

        Whoever stops early closes it.
        """
        first = self._legs[0].start
        start = self._start if first is None else self._at(first)
        while True:
            jump: StartPosition | None = None
            async with aclosing(self._source.fragments(start)) as fragments:
                async for fragment in fragments:
                    for piece in self._pieces_of(fragment):
                        if not piece.is_passed_over and self._is_of_another_call(fragment):
                            self._ended = True
                            return
                        yield piece
                    if (jump := self._jump_from(fragment)) is not None:
                        break
            if jump is None:
                return  # the source has ended, as a file does
            start = jump

    def _at(self, place: StreamPosition) -> StartPosition:
        return StartPosition(since=self._start.since, first_number=place.number, first_server_time=place.server_time)

    def _jump_from(self, fragment: StreamFragment) -> StartPosition | None:
        """Return where to go on instead of reading on, if anywhere."""
        place = None if self._connected else self._legs[0].start
        far = place is not None and place.server_time - fragment.server_time > JUMP_AFTER
        return self._at(place) if far and place is not None else None

    def _pieces_of(self, fragment: StreamFragment) -> list[FragmentSlice]:
        """Return all of a fragment, none of it, or several pieces where one leg ends in it and another begins.

        What a producer sent again is heard once. After an interruption that holds for all speech: what was heard before
        is read again from the first passage on, and so is known.
        """
        call = call_of(fragment.tags)
        if self._sent_again.is_known(fragment.producer_time, fragment.cluster, call=call) and not fragment.after_gap:
            return [FragmentSlice(fragment=fragment, end=0)]
        pieces: list[FragmentSlice] = []
        while (piece := self._piece_of(fragment)) is not None:
            pieces.append(piece)
            if not piece.ends_passage:
                return pieces
        return pieces or [FragmentSlice(fragment=fragment, end=0)]

    def _piece_of(self, fragment: StreamFragment) -> FragmentSlice | None:
        while not self._connected and (end := self._legs[0].end) is not None and _is_behind(fragment, end):
            self._legs.popleft()
            self._lose()
        leg, begins, start = self._legs[0], not self._connected, 0
        if fragment.after_gap and (self._connected or leg.start is None):
            self._lack(fragment)
        if begins and leg.start is not None:
            if _is_before(fragment, leg.start):
                return None
            start = leg.start.offset if fragment.number == leg.start.number else self._lose()
        self._connected = True
        if leg.end is None:
            self._catching_up = False
            return FragmentSlice(fragment=fragment, start=start, begins=begins)
        if fragment.number != leg.end.number and not _is_behind(fragment, leg.end):
            return FragmentSlice(fragment=fragment, start=start, begins=begins)
        self._legs.popleft()
        self._connected = False
        end = leg.end.offset if fragment.number == leg.end.number else self._lose()
        return FragmentSlice(fragment=fragment, start=start, end=end, begins=begins, ends_passage=True)

    def _is_of_another_call(self, fragment: StreamFragment) -> bool:
        """Return whether another call has begun: streams of a pool are used again. A fragment may name no call."""
        name = call_of(fragment.tags)
        if name is None:
            return False
        call = hashlib.sha256(name.encode()).hexdigest()[:_CALL_CHARACTERS]
        self._call = self._call or call
        return call != self._call

    def _lack(self, fragment: StreamFragment) -> None:
        context = {"before_fragment": fragment.number}
        _log.warning("audio is missing from a stream; the task goes on with what there is", extra=context)
        self._lacks = True

    def _lose(self) -> int:
        """Remember that something is gone. Return where to begin in what is there: at its first sample."""
        if not self._lost:
            _log.warning("a stream no longer has all that is to be heard again; the task goes on with what there is")
        self._lost = True
        return 0


def _is_before(fragment: StreamFragment, place: StreamPosition) -> bool:
    """Return whether a fragment comes before a position; by its time as well, in case a stream counts anew."""
    return int(fragment.number) < int(place.number) and fragment.server_time <= place.server_time


def _is_behind(fragment: StreamFragment, place: StreamPosition) -> bool:
    return int(fragment.number) > int(place.number) or fragment.server_time > place.server_time
