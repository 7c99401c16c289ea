"""The index of a stream: its segments in order, what is in them and where, and how far it has expired.

A fragment costs 44 bytes, a tags record 12: at one fragment a second that is 3.8 MB a day and stream. Only the event
loop touches the index of an open stream, so nothing here locks. What is in it is durable.

What belongs here: look-ups. What must never: files, clocks.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from earwitness.fragments.interface import AtTime, FragmentInfo, Retention, TimeAxis
from earwitness.fragments.numbers import FragmentNumber, from_ms, to_ms
from earwitness.fragments.record import HEAD_BYTES, RecordHead, RecordKind, RecordPlace
from earwitness.vault.data_key import OVERHEAD_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = "QqqIIIII"
"""Types of a fragment's columns: sequence, server ms, producer ms, random, duration, offset, body bytes, first tags."""

TAGS_COLUMNS = "III"
"""Types of a tags record's columns: offset, body bytes, next tags of the same fragment. Links count from 1."""

_NO_TAGS = 0


class Segment:
    """Fragments of one file in ascending order. The oldest may be hidden: they have expired before their file does."""

    def __init__(self, first_sequence: int, columns: "Sequence[array[int]] | None" = None) -> None:
        """`first_sequence` is the file's name."""
        self.columns = columns or [array(kind) for kind in COLUMNS + TAGS_COLUMNS]
        (self.sequences, self.server_ms, self.producer_ms, self.randoms, self.durations) = self.columns[:5]
        (self.offsets, self.bodies, self._tags_links) = self.columns[5:8]
        (self._tags_offsets, self._tags_bodies, self._tags_next) = self.columns[8:]
        self.first_sequence = first_sequence
        self.hidden = 0

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def bytes(self) -> int:
        """Return the bytes of all records in it, hidden ones too."""
        records = len(self.bodies) + len(self._tags_bodies)
        return sum(self.bodies) + sum(self._tags_bodies) + records * HEAD_BYTES

    def add(self, head: RecordHead, offset: int) -> None:
        """Add a fragment whose sequence is greater than all others."""
        number = head.number
        values = (number.sequence, number.server_ms, head.producer_ms, number.random, head.duration_ms)
        for column, value in zip(self.columns, (*values, offset, head.body_bytes, _NO_TAGS), strict=False):
            column.append(value)

    def add_tags(self, index: int, head: RecordHead, offset: int) -> None:
        """Add tags to the fragment with this index, after those it has."""
        for column, value in zip(self.columns[8:], (offset, head.body_bytes, _NO_TAGS), strict=True):
            column.append(value)
        added, links = len(self._tags_offsets), list(self._chain(index))
        if links:
            self._tags_next[links[-1] - 1] = added
        else:
            self._tags_links[index] = added

    def index_after(self, sequence: int) -> int:
        """Return the first shown index whose sequence is greater; the length when there is none."""
        return max(self.hidden, bisect_right(self.sequences, sequence))

    def at(self, axis: TimeAxis, time_ms: int) -> "tuple[float, IndexEntry] | None":
        """Return the first shown fragment that contains this time, after minus infinity as its time.

        If there is none, return the one that begins soonest after it, after the time when it begins.
        """
        import numpy as np  # here and below: a start need not wait for what looks for times

        starts = self._starts(axis, self.hidden)
        ends = starts + np.asarray(self.durations)[self.hidden :]
        containing = np.flatnonzero((starts == time_ms) | ((starts < time_ms) & (time_ms < ends)))
        if containing.size:
            return -math.inf, IndexEntry(self, self.hidden + int(containing[0]))
        later = np.flatnonzero(starts > time_ms)
        if not later.size:
            return None
        index = int(later[np.argmin(starts[later])])
        return int(starts[index]), IndexEntry(self, self.hidden + index)

    def starting(self, axis: TimeAxis, *, start_ms: int, end_ms: int, after: int) -> "list[IndexEntry]":
        """Return shown fragments after this sequence that begin in the range, ends included."""
        import numpy as np

        first = self.index_after(after)
        starts = self._starts(axis, first)
        found = np.flatnonzero((start_ms <= starts) & (starts <= end_ms))
        return [IndexEntry(self, first + int(index)) for index in found]

    def arrived(self, *, start_ms: int, end_ms: int) -> "list[IndexEntry]":
        """Return fragments that began to arrive in the range, ends included, and those that are hidden."""
        import numpy as np

        starts = self._starts(TimeAxis.SERVER, 0)
        return [IndexEntry(self, int(index)) for index in np.flatnonzero((start_ms <= starts) & (starts <= end_ms))]

    def tags_of(self, index: int) -> list[RecordPlace]:
        """Return where the tags are that came after a fragment, in order."""
        links = self._chain(index)
        places = [(self._tags_offsets[link - 1], self._tags_bodies[link - 1]) for link in links]
        return [RecordPlace(RecordKind.TAGS, offset, HEAD_BYTES + body) for offset, body in places]

    def _starts(self, axis: TimeAxis, first: int) -> "NDArray[np.int64]":
        import numpy as np

        # A view: while it is held the columns cannot grow, so no caller hands it on.
        return np.asarray(self.server_ms if axis is TimeAxis.SERVER else self.producer_ms)[first:]

    def _chain(self, index: int) -> Iterator[int]:
        link = self._tags_links[index]
        while link != _NO_TAGS:
            yield link
            link = self._tags_next[link - 1]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A fragment in the index, for as long as nobody else has touched it."""

    segment: Segment
    index: int

    @property
    def sequence(self) -> int:
        """Return the fragment's place in the stream."""
        return self.segment.sequences[self.index]

    @property
    def number(self) -> FragmentNumber:
        """Return the fragment's number."""
        segment, index = self.segment, self.index
        return FragmentNumber(sequence=self.sequence, server_ms=segment.server_ms[index], random=segment.randoms[index])

    @property
    def info(self) -> FragmentInfo:
        """Return what is known of the fragment without reading it."""
        segment, index = self.segment, self.index
        return FragmentInfo(
            number=str(self.number),
            server_timestamp=from_ms(segment.server_ms[index]),
            producer_timestamp=from_ms(segment.producer_ms[index]),
            duration_ms=segment.durations[index],
            size_bytes=segment.bodies[index] - OVERHEAD_BYTES,
        )

    @property
    def places(self) -> list[RecordPlace]:
        """Return where the fragment's record and its tags' records are, in order."""
        segment, index = self.segment, self.index
        size = HEAD_BYTES + segment.bodies[index]
        return [RecordPlace(RecordKind.FRAGMENT, segment.offsets[index], size), *segment.tags_of(index)]


class StreamIndex:
    """Segments of one stream, ascending; fragments in them likewise."""

    def __init__(self, segments: Sequence[Segment], *, next_sequence: int, lost_after: Sequence[int]) -> None:
        """`lost_after`: sequences behind which something is lost, ascending."""
        self._segments = list(segments)
        self.fragments = sum(map(len, self._segments))
        self.bytes = sum(segment.bytes for segment in self._segments)
        #: The greatest sequence that may have been lost at the beginning.
        self.expired_through = (self._segments[0].sequences[0] if self._segments else next_sequence) - 1
        self._lost_after = list(lost_after)
        self._begun_at = next_sequence

    def add(self, head: RecordHead, *, first_sequence: int, offset: int) -> Segment | None:
        """Add a fragment in the file of this name. Return the segment before it, when the file is new."""
        closed = None
        if self.current is None or self.current.first_sequence != first_sequence:
            closed = self.current
            self._segments.append(Segment(first_sequence))
        self._segments[-1].add(head, offset)
        self.fragments += 1
        self.bytes += head.size
        return closed

    def add_tags(self, head: RecordHead, *, offset: int) -> bool:
        """Add tags; False when their fragment is not there (any longer)."""
        entry = self.find(head.number)
        if entry is None:
            return False
        entry.segment.add_tags(entry.index, head, offset)
        self.bytes += head.size
        return True

    @property
    def current(self) -> Segment | None:
        """Return the segment that is, or was last, written to."""
        return self._segments[-1] if self._segments else None

    def first(self) -> IndexEntry | None:
        """Return the oldest fragment."""
        return self.after(0)

    def last(self) -> IndexEntry | None:
        """Return the newest fragment."""
        return IndexEntry(self._segments[-1], len(self._segments[-1]) - 1) if self.fragments else None

    def after(self, sequence: int) -> IndexEntry | None:
        """Return the first fragment with a greater sequence."""
        for segment in self.segments_after(sequence):
            index = segment.index_after(sequence)
            if index < len(segment):
                return IndexEntry(segment, index)
        return None

    def find(self, number: FragmentNumber) -> IndexEntry | None:
        """Return this very fragment."""
        entry = self.after(number.sequence - 1)
        return entry if entry is not None and entry.number == number else None

    def at(self, position: AtTime) -> IndexEntry | None:
        """Return the fragment that `AtTime` says."""
        time_ms = to_ms(position.time)
        soonest: tuple[float, IndexEntry] | None = None
        for segment in self._segments:
            found = segment.at(position.axis, time_ms)
            if found is not None and (soonest is None or found[0] < soonest[0]):
                soonest = found
        return soonest and soonest[1]

    def segments_after(self, sequence: int) -> list[Segment]:
        """Return segments that may hold greater sequences."""
        return self._segments[max(0, self._place_of(sequence)) :]

    def is_gap(self, after: int, sequence: int) -> bool:
        """Return whether something expired, or is lost, between these two neighbours."""
        expired_through = min(self.expired_through, sequence - 1)  # the second may have expired while it was read
        place = bisect_left(self._lost_after, sequence) - 1
        return after < expired_through or (place >= 0 and self._behind_loss(place) == sequence)

    def is_lost(self, sequence: int) -> bool:
        """Return whether a fragment of this sequence that is not there would lie where something is lost."""
        place = bisect_left(self._lost_after, sequence) - 1
        return place >= 0 and sequence < self._begun_at and sequence < self._behind_loss(place)

    @property
    def holds_segments(self) -> bool:
        """Return whether there are segments, be all in them hidden or not."""
        return bool(self._segments)

    def expire(self, retention: Retention, *, now_ms: int, keep_current: bool) -> list[Segment]:
        """Hide what the retention does not cover; take out and return the segments of which nothing is left.

        `keep_current`: something is on its way to the newest segment, so its file must stay.
        """
        oldest_ms = now_ms - retention.window_ms
        while entry := self.first():
            segment, index = entry.segment, entry.index
            if segment.server_ms[index] >= oldest_ms and self.bytes <= retention.bytes_kept:
                break
            self.bytes -= sum(place.size for place in entry.places)
            self.fragments -= 1
            self.expired_through = segment.sequences[index]
            segment.hidden = index + 1
            del self._lost_after[: bisect_left(self._lost_after, self.expired_through)]
        free: list[Segment] = []
        while self._segments and self._segments[0].hidden == len(self._segments[0]):
            if keep_current and len(self._segments) == 1:
                break
            free.append(self._segments.pop(0))
        return free

    def hidden_records(self) -> tuple[Segment, list[RecordPlace]] | None:
        """Return the segment that is hidden in part, with the place of each hidden record."""
        if not self._segments or self._segments[0].hidden == 0:
            return None
        segment = self._segments[0]
        return segment, [place for index in range(segment.hidden) for place in IndexEntry(segment, index).places]

    def _behind_loss(self, place: int) -> float:
        """Return the sequence of the first fragment behind a loss."""
        entry = self.after(self._lost_after[place])
        return math.inf if entry is None else entry.sequence

    def _place_of(self, sequence: int) -> int:
        """Return which segment holds this sequence if any does; -1 when all begin later."""
        return bisect_right(self._segments, sequence, key=lambda segment: segment.first_sequence) - 1
