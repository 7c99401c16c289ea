"""The index of a stream: its segments in order, and how far it has expired.

Only the event loop touches it, so nothing here locks. What is in it is durable.

What belongs here: look-ups over segments. What must never: files, clocks.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.fragments.interface import AtTime
from earwitness.fragments.numbers import FragmentNumber
from earwitness.fragments.record import RecordHead
from earwitness.fragments.retention import Retention
from earwitness.fragments.segment import Segment
from earwitness.fragments.times import to_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A fragment in the index, for as long as nobody else has touched it."""

    segment: Segment
    index: int

    @property
    def number(self) -> FragmentNumber:
        return self.segment.number(self.index)


class StreamIndex:
    """Segments of one stream, ascending; fragments in them likewise."""

    def __init__(self, segments: list[Segment], *, next_sequence: int, lost_after: Sequence[int] = ()) -> None:
        """`lost_after`: sequences behind which something is lost, ascending."""
        self._segments = [segment for segment in segments if len(segment)]
        self.fragments = sum(map(len, self._segments))
        self.bytes = sum(segment.bytes for segment in self._segments)
        first = self._segments[0].sequences[0] if self._segments else next_sequence
        self.expired_through = first - 1
        """The greatest sequence that may have been lost at the beginning."""
        self._lost_after = list(lost_after)
        self._begun_at = next_sequence

    def add(self, head: RecordHead, *, first_sequence: int, offset: int) -> Segment | None:
        """A fragment in the file of this name. The segment before it, when the file is new."""
        closed = None
        if not self._segments or self._segments[-1].first_sequence != first_sequence:
            closed = self._segments[-1] if self._segments else None
            self._segments.append(Segment(first_sequence))
        self._segments[-1].add(head, offset)
        self.fragments += 1
        self.bytes += head.size
        return closed

    def add_tags(self, head: RecordHead, *, offset: int) -> bool:
        """Tags; False when their fragment is not there (any longer)."""
        located = self.find(head.number)
        if located is None:
            return False
        located.segment.add_tags(located.index, head, offset)
        self.bytes += head.size
        return True

    def first(self) -> Located | None:
        """The oldest fragment."""
        return self.after(0)

    def last(self) -> Located | None:
        """The newest fragment."""
        if self.fragments == 0:
            return None
        return Located(segment=self._segments[-1], index=len(self._segments[-1]) - 1)

    def after(self, sequence: int) -> Located | None:
        """The first fragment with a greater sequence."""
        for place in range(max(0, self._place_of(sequence)), len(self._segments)):
            segment = self._segments[place]
            index = segment.index_after(sequence)
            if index < len(segment):
                return Located(segment=segment, index=index)
        return None

    def is_loss_before(self, sequence: int) -> bool:
        """Whether something is lost between this fragment and the one before it."""
        place = bisect_left(self._lost_after, sequence) - 1
        following = self.after(self._lost_after[place]) if place >= 0 else None
        return following is not None and following.number.sequence == sequence

    def is_lost(self, sequence: int) -> bool:
        """Whether a fragment of this sequence that is not there would lie where something is lost."""
        place = bisect_left(self._lost_after, sequence) - 1
        if place < 0 or sequence >= self._begun_at:  # nothing that came since is lost
            return False
        following = self.after(self._lost_after[place])
        return following is None or sequence < following.number.sequence

    def find(self, number: FragmentNumber) -> Located | None:
        """This very fragment."""
        place = self._place_of(number.sequence)
        index = self._segments[place].index_of(number) if place >= 0 else None
        return None if index is None else Located(segment=self._segments[place], index=index)

    def at(self, position: AtTime) -> Located | None:
        """The fragment that `AtTime` says."""
        axis, time_ms = position.axis, to_ms(position.time)
        soonest: tuple[int, int, Segment] | None = None
        for segment in self._segments:
            index = segment.containing(axis, time_ms)
            if index is not None:
                return Located(segment=segment, index=index)
            begins = math.inf if soonest is None else soonest[0]
            later = segment.soonest(axis, time_ms, sooner_than=begins)
            if later is not None and later[0] < begins:
                soonest = (*later, segment)
        return None if soonest is None else Located(segment=soonest[2], index=soonest[1])

    def segments_after(self, sequence: int) -> list[Segment]:
        """Segments that may hold greater sequences."""
        return self._segments[max(0, self._place_of(sequence)) :]

    @property
    def current(self) -> Segment | None:
        """The segment that is, or was last, written to."""
        return self._segments[-1] if self._segments else None

    def expire(self, retention: Retention, *, now_ms: int, keep_current: bool) -> list[Segment]:
        """Hide what the retention does not cover; the segments of which nothing is left, taken out.

        `keep_current`: something is on its way to the newest segment, so its file must stay.
        """
        oldest_ms = now_ms - retention.window_ms
        while (located := self.first()) and self._is_over(located, oldest_ms, retention.bytes_kept):
            segment, index = located.segment, located.index
            self.bytes -= segment.size(index)
            self.fragments -= 1
            self.expired_through = segment.sequences[index]
            segment.hidden = index + 1
            del self._lost_after[: bisect_left(self._lost_after, self.expired_through)]
        free: list[Segment] = []
        while self._segments and self._is_free(self._segments[0], keep_current=keep_current):
            free.append(self._segments.pop(0))
        return free

    def hidden_records(self) -> tuple[Segment, list[tuple[int, int]]] | None:
        """The segment that is hidden in part, with offset and size of each hidden record."""
        segment = self._segments[0] if self._segments else None
        if segment is None or segment.hidden == 0:
            return None
        places = [place[1:] for index in range(segment.hidden) for place in segment.records(index)]
        return segment, places

    def _is_free(self, segment: Segment, *, keep_current: bool) -> bool:
        return segment.hidden == len(segment) and not (keep_current and segment is self._segments[-1])

    def _is_over(self, located: Located, oldest_ms: int, bytes_kept: int) -> bool:
        return located.segment.server_ms[located.index] < oldest_ms or self.bytes > bytes_kept

    def _place_of(self, sequence: int) -> int:
        """Which segment holds this sequence if any does; -1 when all begin later."""
        return bisect_right(self._segments, sequence, key=lambda segment: segment.first_sequence) - 1
