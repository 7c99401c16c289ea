"""One stream on disk: the rules over index, reservations, lane and readers.

What belongs here: checks, order, retention of one stream. What must never: file work on the event loop.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from functools import partial

from earwitness.errors import BadRequest, Gone, NotFound
from earwitness.fragments.appender import GONE
from earwitness.fragments.folder import pack_index
from earwitness.fragments.index import Located
from earwitness.fragments.interface import (
    FRAGMENT_BYTES_MAX,
    LIST_LENGTH_MAX,
    TAGS_BYTES_MAX,
    AfterFragment,
    Fragment,
    FragmentInfo,
    MissingFragment,
    Position,
    Reservation,
    StreamStatus,
    TimeAxis,
)
from earwitness.fragments.lanes import Outcome
from earwitness.fragments.numbers import FragmentNumber, read_number
from earwitness.fragments.reader import FragmentReader, sequence_before
from earwitness.fragments.record import HEAD_BYTES, Kind, Record
from earwitness.fragments.reservations import Reservations
from earwitness.fragments.retention import Retention
from earwitness.fragments.segment import Segment
from earwitness.fragments.state import StreamState
from earwitness.fragments.times import from_ms, to_ms
from earwitness.vault.data_key import OVERHEAD_BYTES

_DURATION_MS_MAX = 2**32 - 1
_TAGS_OF_NOTHING = "the fragment these tags belong to is not kept; drop them"


class FragmentStream:
    """One stream, used from one event loop.

    Every call raises Gone once it is deleted, FragmentLogUnavailable when the medium fails.
    """

    def __init__(self, state: StreamState, *, next_sequence: int) -> None:
        newest = state.index.last()
        self._state = state
        self._reservations = Reservations(
            next_sequence=next_sequence,
            newest_ms=newest.number.server_ms if newest else 0,
            remember=lambda end: state.lane.call(lambda: state.appender.write_sequence(end)),
        )
        self._in_flight = 0
        self._arriving: set[FragmentNumber] = set()
        self._arriving_tags: Counter[FragmentNumber] = Counter()
        self._doomed: list[int] = []

    async def reserve(self) -> Reservation:
        """The next number, for a fragment that begins to arrive. Greater than all given out before, restarts or not."""
        self._state.require_open()
        workshop = self._state.workshop
        number = await self._reservations.reserve(now_ms=to_ms(workshop.clock()), random_bits=workshop.random_bits)
        return Reservation(number=str(number), server_timestamp=from_ms(number.server_ms))

    async def append(
        self,
        number: str,
        *,
        producer_timestamp: datetime,
        duration_ms: int,
        header: bytes,
        cluster: bytes,
        tags: bytes = b"",
    ) -> None:
        """Keep a fragment; it is durable, and readers see it, when this returns. It waits while too many others do.

        Numbers are appended in their order. Conflict when this one was not reserved here, or a later one was appended:
        readers are past it, so drop it. BadRequest above the limits. FragmentLogUnavailable: nothing of it is kept;
        the same number may be tried again. A call that is cancelled may be kept or not.
        """
        self._state.require_open()
        _require_tags_size(len(tags))
        record = Record(
            kind=Kind.FRAGMENT,
            number=read_number(number),
            producer_ms=to_ms(producer_timestamp),
            duration_ms=duration_ms,
            header=header,
            cluster=cluster,
            tags=tags,
        )
        if record.media_bytes > FRAGMENT_BYTES_MAX:
            raise BadRequest(f"a fragment has {record.media_bytes} bytes; at most {FRAGMENT_BYTES_MAX} are kept")
        if not 0 <= duration_ms <= _DURATION_MS_MAX:
            raise BadRequest(f"a fragment cannot last {duration_ms} ms")
        self._reservations.claim(record.number)
        self._arriving.add(record.number)
        try:
            await self._write(record)
        finally:
            self._arriving.discard(record.number)

    async def append_tags(self, number: str, tags: bytes) -> None:
        """Keep tags that came after their fragment; durable when this returns.

        Readers who already had the fragment do not get them. NotFound when the fragment is not kept, BadRequest when
        those that came later are more than TAGS_BYTES_MAX.
        """
        self._state.require_open()
        read = read_number(number)
        located = self._state.index.find(read)
        if located is None and read not in self._arriving:
            raise NotFound(_TAGS_OF_NOTHING)
        _require_tags_size(len(tags) + self._arriving_tags[read] + _late_tags_bytes(located))
        self._arriving_tags[read] += len(tags)
        try:
            await self._write(Record(kind=Kind.TAGS, number=read, tags=tags))
        finally:
            self._arriving_tags[read] -= len(tags)
            self._arriving_tags += Counter()  # drops what is zero

    async def read(self, position: Position) -> FragmentReader:
        """A reader that begins there."""
        self._state.require_open()
        if not isinstance(position, AfterFragment):
            return FragmentReader(self._state, after=sequence_before(self._state, position))
        number = read_number(position.number)
        if number.sequence >= self._reservations.next_sequence:
            raise BadRequest("this stream has not given out such a fragment number; is it another stream's?")
        return FragmentReader(self._state, after=number.sequence)

    async def list(
        self,
        axis: TimeAxis,
        *,
        start: datetime,
        end: datetime,
        after: str | None = None,
        limit: int = LIST_LENGTH_MAX,
    ) -> tuple[FragmentInfo, ...]:
        """Fragments that begin from `start` to `end`, both included, by number; those after `after`."""
        if not 1 <= limit <= LIST_LENGTH_MAX:
            raise BadRequest(f"a list has 1 to {LIST_LENGTH_MAX} fragments, not {limit}")
        sequence = 0 if after is None else read_number(after).sequence
        start_ms, end_ms = to_ms(start), to_ms(end)
        found: list[FragmentInfo] = []
        for segment in self._state.index.segments_after(sequence):
            self._state.require_open()
            for index in segment.starting(axis, start_ms=start_ms, end_ms=end_ms, after=sequence):
                if segment.sequences[index] not in self._state.damaged:
                    found.append(segment.info(index))
                if len(found) == limit:
                    return tuple(found)
            await asyncio.sleep(0)  # a long index must not hold up the event loop
        return tuple(found)

    async def get(self, numbers: Iterable[str]) -> AsyncIterator[Fragment | MissingFragment]:
        """These fragments in the order asked for, one at a time. BadRequest when one is no fragment number."""
        for number in [read_number(text) for text in numbers]:
            self._state.require_open()
            located = self._state.index.find(number)
            fragment = None if located is None else await self._state.fetch(located)
            sequence = number.sequence
            damaged = self._state.index.is_lost(sequence) if located is None else sequence in self._state.damaged
            yield fragment or MissingFragment(number=str(number), damaged=damaged)

    async def status(self) -> StreamStatus:
        """How much is kept, and the times of the oldest and newest."""
        self._state.require_open()
        index = self._state.index
        first, last = index.first(), index.last()
        return StreamStatus(
            fragments=index.fragments,
            bytes=index.bytes,
            first=first and first.segment.info(first.index),
            last=last and last.segment.info(last.index),
        )

    async def set_retention(self, retention: Retention) -> None:
        """Keep this much from now on. What is too old or too much by it is gone from the medium when this returns."""
        self._state.require_open()
        self._state.retention = retention
        await self.expire(to_ms(self._state.workshop.clock()))
        hidden = self._state.index.hidden_records()
        if hidden is not None:
            first, records = hidden[0].first_sequence, hidden[1]
            await self._state.lane.call(lambda: self._state.appender.erase(first, records))

    async def expire(self, now_ms: int) -> None:
        """Remove what the retention no longer covers."""
        self._hide(now_ms)
        doomed = self._doomed
        if doomed:
            await self._state.lane.call(lambda: self._state.appender.remove_segments(doomed))
            self._doomed = [first for first in self._doomed if first not in doomed]

    async def close(self) -> None:
        """Finish what is being written; leave what makes the next opening quick, and the sequence without a gap."""
        state, next_sequence = self._state, self._reservations.next_sequence
        state.closed = True
        state.tell()
        await state.lane.call(lambda: state.appender.write_sequence(next_sequence))
        if state.index.current is not None:
            self._keep_index(state.index.current)

    async def delete(self) -> None:
        """Remove all of it; readers get Gone before this returns."""
        state, work = self._state, self._state.appender.remove_all
        if state.deleted:
            await state.lane.call(lambda: None)  # another call removes it; wait until it has
            return
        state.deleted = True
        state.tell()
        await state.lane.call(work)

    async def _write(self, record: Record) -> None:
        """Append when there is room; nothing once it is durable and in the index."""
        state, size = self._state, record.media_bytes
        await state.workshop.room.enter(size)
        try:
            state.require_open()
        except BaseException:
            state.workshop.room.leave(size)
            raise
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_flight += 1
        settle = partial(self._settle, record, done)
        state.lane.write(state.appender, record, span_ms=state.retention.lag_ms, settle=settle)
        await done

    def _settle(self, record: Record, done: "asyncio.Future[None]", outcome: Outcome) -> None:
        self._in_flight -= 1
        self._state.workshop.room.leave(record.media_bytes)
        error = self._take_in(record, outcome)
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def _take_in(self, record: Record, outcome: Outcome) -> Exception | None:
        """Put what was written into the index; why it is not in there, otherwise."""
        state = self._state
        if state.deleted:
            return Gone(GONE)
        if isinstance(outcome, Exception):
            if record.kind is Kind.FRAGMENT:
                self._reservations.give_back(record.number)
            return outcome
        if record.kind is Kind.TAGS:
            kept = state.index.add_tags(outcome.head, offset=outcome.offset)
            return None if kept else NotFound(_TAGS_OF_NOTHING)
        closed = state.index.add(outcome.head, first_sequence=outcome.first_sequence, offset=outcome.offset)
        if closed is not None:
            self._keep_index(closed)
        if state.index.bytes > state.retention.bytes_kept:
            self._trim()
        state.tell()
        return None

    def _keep_index(self, segment: Segment) -> None:
        first, content = segment.first_sequence, pack_index(segment, segment_bytes=segment.bytes)
        self._state.lane.post(lambda: self._state.appender.write_index(first, content))

    def _trim(self) -> None:
        """Make room for what has just come, without waiting for the next expiry."""
        self._hide(to_ms(self._state.workshop.clock()))
        doomed = self._doomed
        if doomed:
            self._doomed = []
            self._state.lane.post(lambda: self._state.appender.remove_segments(doomed))

    def _hide(self, now_ms: int) -> None:
        keep_current = self._in_flight > 0
        gone = self._state.index.expire(self._state.retention, now_ms=now_ms, keep_current=keep_current)
        self._doomed = [*self._doomed, *(segment.first_sequence for segment in gone)]
        self._state.damaged -= {sequence for segment in gone for sequence in segment.sequences}


def _late_tags_bytes(located: Located | None) -> int:
    """Bytes of the tags that came after this fragment."""
    if located is None:
        return 0
    tags = located.segment.records(located.index)[1:]
    return sum(size - HEAD_BYTES - OVERHEAD_BYTES for _, _, size in tags)


def _require_tags_size(size: int) -> None:
    if size > TAGS_BYTES_MAX:
        raise BadRequest(f"the tags of a fragment have {size} bytes; at most {TAGS_BYTES_MAX} are kept")
