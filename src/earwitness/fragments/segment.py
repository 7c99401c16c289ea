"""The index of one segment file: what is in it and where, in columns of plain numbers.

A fragment costs 44 bytes, a tags record 12: at one fragment a second that is 3.8 MB a day and stream.

What belongs here: look-ups within one segment. What must never: files.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import TypeAlias

from earwitness.fragments.interface import FragmentInfo, TimeAxis
from earwitness.fragments.numbers import FragmentNumber
from earwitness.fragments.record import HEAD_BYTES, Kind, RecordHead
from earwitness.fragments.times import from_ms
from earwitness.vault.data_key import OVERHEAD_BYTES

Column: TypeAlias = "array[int]"

COLUMNS = "QqqIIIII"
"""Types of a fragment's columns: sequence, server ms, producer ms, random, duration, offset, body bytes, first tags."""

TAGS_COLUMNS = "III"
"""Types of a tags record's columns: offset, body bytes, next tags of the same fragment."""

NO_TAGS = 0
"""Where a chain of tags ends; links count from 1."""


class Segment:
    """Fragments of one file in ascending order. The oldest may be hidden: they have expired before their file does."""

    __slots__ = (
        "_bodies",
        "_durations",
        "_offsets",
        "_randoms",
        "_spans",
        "_tags_bodies",
        "_tags_links",
        "_tags_next",
        "_tags_offsets",
        "first_sequence",
        "hidden",
        "producer_ms",
        "sequences",
        "server_ms",
    )

    def __init__(self, first_sequence: int, columns: tuple[Column, ...] | None = None) -> None:
        given = columns or tuple(array(kind) for kind in COLUMNS + TAGS_COLUMNS)
        (self.sequences, self.server_ms, self.producer_ms, self._randoms, self._durations) = given[:5]
        (self._offsets, self._bodies, self._tags_links) = given[5:8]
        (self._tags_offsets, self._tags_bodies, self._tags_next) = given[8:]
        self.first_sequence = first_sequence
        """The file's name."""
        self.hidden = 0
        """Fragments at its beginning that are not shown any longer."""
        self._spans: dict[TimeAxis, tuple[int, int]] = {}
        if self.sequences:
            self._spans = {axis: self._measured(axis) for axis in TimeAxis}

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def shown(self) -> range:
        """Indices of the fragments that are not hidden."""
        return range(self.hidden, len(self.sequences))

    @property
    def bytes(self) -> int:
        """Bytes of all records in it, hidden ones too."""
        records = len(self._bodies) + len(self._tags_bodies)
        return sum(self._bodies) + sum(self._tags_bodies) + records * HEAD_BYTES

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, for a file."""
        fragments = (self.sequences, self.server_ms, self.producer_ms, self._randoms, self._durations)
        tags = (self._tags_offsets, self._tags_bodies, self._tags_next)
        return (*fragments, self._offsets, self._bodies, self._tags_links, *tags)

    def add(self, head: RecordHead, offset: int) -> None:
        """A fragment at this offset; its sequence is greater than all others."""
        values = (head.number.sequence, head.number.server_ms, head.producer_ms, head.number.random)
        places = (head.duration_ms, offset, head.body_bytes, NO_TAGS)
        for column, value in zip(self.columns[: len(COLUMNS)], values + places, strict=True):
            column.append(value)
        for axis in TimeAxis:
            start, end = self._start_and_end(len(self) - 1, axis)
            earliest, latest = self._spans.get(axis, (start, end))
            self._spans[axis] = (min(start, earliest), max(end, latest))

    def add_tags(self, index: int, head: RecordHead, offset: int) -> None:
        """Tags at this offset, of the fragment with this index; after those it has."""
        self._tags_offsets.append(offset)
        self._tags_bodies.append(head.body_bytes)
        self._tags_next.append(NO_TAGS)
        added, links = len(self._tags_offsets), list(self._chain(index))
        if links:
            self._tags_next[links[-1] - 1] = added
        else:
            self._tags_links[index] = added

    def index_of(self, number: FragmentNumber) -> int | None:
        """The index of this fragment, when it is shown."""
        index = self.index_after(number.sequence) - 1
        return index if index >= self.hidden and self.number(index) == number else None

    def index_after(self, sequence: int) -> int:
        """The first shown index whose sequence is greater; the length when there is none."""
        return max(self.hidden, bisect_right(self.sequences, sequence))

    def number(self, index: int) -> FragmentNumber:
        """Its number."""
        return FragmentNumber(
            sequence=self.sequences[index], server_ms=self.server_ms[index], random=self._randoms[index]
        )

    def info(self, index: int) -> FragmentInfo:
        """What is known of it without reading it."""
        return FragmentInfo(
            number=str(self.number(index)),
            server_timestamp=from_ms(self.server_ms[index]),
            producer_timestamp=from_ms(self.producer_ms[index]),
            duration_ms=self._durations[index],
            size_bytes=self._bodies[index] - OVERHEAD_BYTES,
        )

    def records(self, index: int) -> list[tuple[Kind, int, int]]:
        """Kind, offset and size of its record and of its tags' records, in order."""
        tags = [(self._tags_offsets[link - 1], self._tags_bodies[link - 1]) for link in self._chain(index)]
        fragment = (Kind.FRAGMENT, self._offsets[index], HEAD_BYTES + self._bodies[index])
        return [fragment, *((Kind.TAGS, offset, HEAD_BYTES + body) for offset, body in tags)]

    def size(self, index: int) -> int:
        """Bytes that it takes in the file, tags included."""
        return sum(size for _, _, size in self.records(index))

    def containing(self, axis: TimeAxis, time_ms: int) -> int | None:
        """The first shown fragment that contains this time."""
        if not self._overlaps(axis, time_ms, time_ms):
            return None
        for index in self.shown:
            start, end = self._start_and_end(index, axis)
            if start == time_ms or start < time_ms < end:
                return index
        return None

    def soonest(self, axis: TimeAxis, time_ms: int, *, sooner_than: float) -> tuple[int, int] | None:
        """When the shown fragment begins that begins soonest after this time, and its index.

        It may be left out when it does not begin before `sooner_than`, which spares looking for it.
        """
        if not self._spans or self._spans[axis][1] < time_ms or self._spans[axis][0] >= sooner_than:
            return None
        starts = self._starts(axis)
        later = [(starts[index], index) for index in self.shown if starts[index] > time_ms]
        return min(later, default=None)

    def starting(self, axis: TimeAxis, *, start_ms: int, end_ms: int, after: int) -> Iterator[int]:
        """Indices of shown fragments after this sequence that begin in the range, ends included."""
        if self._overlaps(axis, start_ms, end_ms):
            starts = self._starts(axis)
            for index in range(self.index_after(after), len(self)):
                if start_ms <= starts[index] <= end_ms:
                    yield index

    def _starts(self, axis: TimeAxis) -> Column:
        return self.server_ms if axis is TimeAxis.SERVER else self.producer_ms

    def _start_and_end(self, index: int, axis: TimeAxis) -> tuple[int, int]:
        start = self._starts(axis)[index]
        return start, start + self._durations[index]

    def _measured(self, axis: TimeAxis) -> tuple[int, int]:
        starts = self._starts(axis)
        return min(starts), max(map(int.__add__, starts, self._durations))

    def _overlaps(self, axis: TimeAxis, start_ms: int, end_ms: int) -> bool:
        if not self._spans:
            return False
        earliest, latest = self._spans[axis]
        return earliest <= end_ms and start_ms <= latest

    def _chain(self, index: int) -> Iterator[int]:
        link = self._tags_links[index]
        while link != NO_TAGS:
            yield link
            link = self._tags_next[link - 1]
