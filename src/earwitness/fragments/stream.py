"""One stream: the rules over its index, its numbers, its writer thread and the readers' threads.

What belongs here: checks, order, positions, retention of one stream. What must never: file work on the event loop.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.errors import BadRequest, FragmentLogUnavailable, Gone, NotFound
from earwitness.fragments.appender import GONE, Appender, Written
from earwitness.fragments.budget import Budget
from earwitness.fragments.folder import StreamFiles, pack_index
from earwitness.fragments.index import IndexEntry, Segment, StreamIndex
from earwitness.fragments.interface import (
    FRAGMENT_BYTES_MAX,
    LIST_LENGTH_MAX,
    LIVE_GAP_MS,
    TAGS_BYTES_MAX,
    WHOLE_STREAM,
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    KeySource,
    MissingFragment,
    Now,
    Position,
    ReadResult,
    Reservation,
    Retention,
    SequenceRange,
    StreamIdentity,
    StreamStatus,
    TimeAxis,
)
from earwitness.fragments.names import disk_errors, path_text, segment_path
from earwitness.fragments.numbers import FragmentNumber, from_ms, read_number, to_ms
from earwitness.fragments.record import HEAD_BYTES, RecordHead, RecordKind, RecordPlace, read_fragment
from earwitness.fragments.reservations import Reservations
from earwitness.fragments.writer import Append, AppendLimiter, WriterThread
from earwitness.vault.data_key import OVERHEAD_BYTES

if TYPE_CHECKING:
    from earwitness.metrics.reported import MediaMetrics

_DURATION_MS_MAX = 2**32 - 1
_TAGS_OF_NOTHING = "the fragment these tags belong to is not kept; drop them"

_log = logging.getLogger("earwitness.fragments")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogContext:
    """What all streams of a log share."""

    clock: Callable[[], datetime]
    limiter: AppendLimiter
    budget: Budget
    readers: Executor
    #: Counts what comes; None where nobody asks.
    metrics: "MediaMetrics | None" = None

    @property
    def now_ms(self) -> int:
        """Return the time by the log's clock."""
        return to_ms(self.clock())


class FragmentReader:
    """Follows a stream, in the order of numbers, forever or to the end of a part. A call that is cancelled takes
    nothing: call again.

    It remembers one number and looks its fragment up when it is asked for it, so it holds no fragment, and no writer
    waits for it. Where retention overtakes it, it goes on at the oldest fragment. Raises Gone when the stream is
    deleted, FragmentLogUnavailable when the disk fails or the log is closed.
    """

    def __init__(self, next_after: Callable[[int], Awaitable[tuple[int, ReadResult] | None]], *, after: int) -> None:
        self._next_after = next_after
        self.after = after
        """The sequence of the last fragment that it has passed."""

    def __aiter__(self) -> AsyncIterator[ReadResult]:
        return self

    async def __anext__(self) -> ReadResult:
        """Return the next fragment, when there is one."""
        found = await self._next_after(self.after)
        if found is None:
            raise StopAsyncIteration
        self.after, result = found
        return result


class FragmentStream:
    """One stream, used from one event loop.

    Every call raises Gone once it is deleted, FragmentLogUnavailable when the disk fails or the log is closed.
    """

    def __init__(
        self,
        identity: StreamIdentity,
        folder: Path,
        found: StreamFiles,
        *,
        key: KeySource,
        retention: Retention,
        writer: WriterThread,
        context: LogContext,
    ) -> None:
        segments = [segment.first_sequence for segment in found.segments]
        self._identity = identity
        self._folder = folder
        self._key = key
        self._retention = retention
        self._writer = writer
        self._context = context
        self._appender = Appender(folder, identity, key=key, segments=segments, budget=context.budget)
        self._index = StreamIndex(found.segments, next_sequence=found.next_sequence, lost_after=found.lost_after)
        newest = self._index.last()
        self._reservations = Reservations(
            next_sequence=found.next_sequence,
            newest_ms=newest.number.server_ms if newest else 0,
            remember=lambda end: writer.call(lambda: self._appender.write_sequence(end)),
        )
        #: Sequences that were found not to open; each is logged once.
        self._damaged: set[int] = set()
        self._erased: set[int] = set()  # overwritten on purpose since the stream was opened
        self._in_flight = 0
        self._arriving: set[FragmentNumber] = set()
        self._arriving_tags: Counter[FragmentNumber] = Counter()
        #: First sequences of segments that hold nothing any longer, and whose files are not removed yet.
        self._doomed: list[int] = []
        self._news = asyncio.Event()
        self._closed = self._deleted = False

    @property
    def next_sequence(self) -> int:
        """Return the sequence that the next number would have."""
        return self._reservations.next_sequence

    def give_sequences(self, first: int, *, through: Callable[[int], Awaitable[None]]) -> None:
        """Give out sequences from `first` on, those that were given out already left out.

        `through` is called before any below its argument are given out; what it raises reaches who reserves.
        """
        self._reservations.begin(first, through=through)

    async def reserve(self) -> Reservation:
        """Return the next number, for a fragment that begins to arrive.

        It is greater than all given out before, restarts or not.
        """
        self._require_open()
        number = await self._reservations.reserve(now_ms=self._context.now_ms)
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

        Numbers are appended in their order. Raise Conflict when this one was not reserved here, or a later one was
        appended: readers are past it, so drop it. Raise BadRequest above the limits. FragmentLogUnavailable: nothing
        of it is kept; the same number may be tried again. A call that is cancelled may be kept or not.
        """
        self._require_open()
        _require_tags_size(len(tags))
        size = len(header) + len(cluster) + len(tags)
        if size > FRAGMENT_BYTES_MAX:
            raise BadRequest(f"a fragment has {size} bytes; at most {FRAGMENT_BYTES_MAX} are kept")
        if not 0 <= duration_ms <= _DURATION_MS_MAX:
            raise BadRequest(f"a fragment cannot last {duration_ms} ms")
        head = RecordHead(
            kind=RecordKind.FRAGMENT,
            number=read_number(number),
            producer_ms=to_ms(producer_timestamp),
            duration_ms=duration_ms,
            header_bytes=len(header),
            tags_bytes=len(tags),
            body_bytes=size + OVERHEAD_BYTES,
        )
        self._reservations.claim(head.number)
        self._arriving.add(head.number)
        began, metrics = time.monotonic(), self._context.metrics
        try:
            await self._write(head, header, cluster, tags)
        except FragmentLogUnavailable:
            if metrics is not None:
                metrics.failed()
            raise
        finally:
            self._arriving.discard(head.number)
        if metrics is not None:
            metrics.persisted(time.monotonic() - began)

    async def append_tags(self, number: str, tags: bytes) -> None:
        """Keep tags that came after their fragment; durable when this returns.

        Readers who already had the fragment do not get them. Raise NotFound when the fragment is not kept, BadRequest
        when those that came later are more than TAGS_BYTES_MAX.
        """
        self._require_open()
        read = read_number(number)
        entry = self._index.find(read)
        if entry is None and read not in self._arriving:
            raise NotFound(_TAGS_OF_NOTHING)
        kept = sum(place.size - HEAD_BYTES - OVERHEAD_BYTES for place in entry.places[1:]) if entry else 0
        _require_tags_size(len(tags) + self._arriving_tags[read] + kept)
        self._arriving_tags[read] += len(tags)
        body_bytes = len(tags) + OVERHEAD_BYTES
        try:
            await self._write(
                RecordHead(kind=RecordKind.TAGS, number=read, tags_bytes=len(tags), body_bytes=body_bytes), tags
            )
        finally:
            self._arriving_tags[read] -= len(tags)
            self._arriving_tags += Counter()  # drops what is zero

    async def read(self, position: Position, *, part: SequenceRange = WHOLE_STREAM) -> FragmentReader:
        """Return a reader that begins there, within a part of the stream.

        Where the part has an end, it ends there, or when nothing more of the part is kept.
        """
        self._require_open()
        next_after = partial(self._next_after, end=part.end)
        if not isinstance(position, AfterFragment):
            return FragmentReader(next_after, after=max(self._sequence_before(position), part.first - 1))
        number = read_number(position.number)
        if number.sequence >= max(self._reservations.next_sequence, part.first):
            raise BadRequest("this stream has not given out such a fragment number; is it another stream's?")
        return FragmentReader(next_after, after=max(number.sequence, part.first - 1))

    async def list(
        self,
        axis: TimeAxis,
        *,
        start: datetime,
        end: datetime,
        after: str | None = None,
        limit: int = LIST_LENGTH_MAX,
    ) -> tuple[FragmentInfo, ...]:
        """Return fragments that begin from `start` to `end`, both included, by number; those after `after`."""
        if not 1 <= limit <= LIST_LENGTH_MAX:
            raise BadRequest(f"a list has 1 to {LIST_LENGTH_MAX} fragments, not {limit}")
        sequence = 0 if after is None else read_number(after).sequence
        start_ms, end_ms = to_ms(start), to_ms(end)
        found: list[FragmentInfo] = []
        for segment in self._index.segments_after(sequence):
            self._require_open()
            for entry in segment.starting(axis, start_ms=start_ms, end_ms=end_ms, after=sequence):
                if entry.sequence not in self._damaged | self._erased:
                    found.append(entry.info)
                if len(found) == limit:
                    return tuple(found)
            await asyncio.sleep(0)  # a long index must not hold up the event loop
        return tuple(found)

    async def get(self, numbers: Iterable[str]) -> AsyncIterator[Fragment | MissingFragment]:
        """Yield these fragments in the order asked for. Raise BadRequest when one is no fragment number."""
        for number in [read_number(text) for text in numbers]:
            self._require_open()
            entry = self._index.find(number)
            fragment = None if entry is None else await self._fetch(entry)
            sequence = number.sequence
            damaged = self._index.is_lost(sequence) if entry is None else sequence in self._damaged
            yield fragment or MissingFragment(number=str(number), damaged=damaged)

    async def status(self) -> StreamStatus:
        """Return how much is kept, and the times of the oldest and newest."""
        self._require_open()
        first, last = self._index.first(), self._index.last()
        return StreamStatus(
            fragments=self._index.fragments,
            bytes=self._index.bytes,
            first=first and first.info,
            last=last and last.info,
        )

    async def set_retention(self, retention: Retention) -> None:
        """Keep this much from now on. What is too old or too much by it is gone from the disk when this returns."""
        self._require_open()
        self._retention = retention
        await self.expire(self._context.now_ms)
        hidden = self._index.hidden_records()
        if hidden is not None:
            await self._writer.call(partial(self._appender.erase, hidden[0].first_sequence, hidden[1]))

    async def erase(self, *, start: datetime, end: datetime) -> int:
        """Overwrite all fragments that began to arrive from `start` to `end`, both included, all their channels, and
        return how many; they are gone from the disk when this returns. Readers pass over them, and are told of a gap.
        """
        self._require_open()
        count = 0
        for segment in self._index.segments_after(0):
            arrived = segment.arrived(start_ms=to_ms(start), end_ms=to_ms(end))
            found = [entry for entry in arrived if entry.sequence not in self._erased]
            if not found:
                continue
            places = [place for entry in found for place in entry.places]
            await self._writer.call(partial(self._appender.erase, segment.first_sequence, places))
            self._erased |= {entry.sequence for entry in found}
            count += len(found)
        return count

    @property
    def holds_media(self) -> bool:
        """Return whether there is something to expire, or to remove that has expired."""
        return self._index.holds_segments or bool(self._doomed)

    async def expire(self, now_ms: int) -> None:
        """Remove what the retention no longer covers."""
        self._hide(now_ms)
        doomed = self._doomed
        if doomed:
            await self._writer.call(lambda: self._appender.remove_segments(doomed))
            self._doomed = [first for first in self._doomed if first not in doomed]

    async def close(self) -> None:
        """Finish what is being written; leave what makes the next opening quick, and the sequence without a gap."""
        next_sequence = self._reservations.next_sequence
        self._closed = True
        self._notify()
        await self._writer.call(lambda: self._appender.write_sequence(next_sequence))
        if self._index.current is not None:
            self._keep_index(self._index.current)

    async def delete(self) -> None:
        """Remove all of it; readers get Gone before this returns."""
        first, self._deleted = not self._deleted, True
        self._notify()
        # Where another call removes it, wait until it has.
        await self._writer.call(self._appender.remove_all if first else lambda: None)

    def _require_open(self) -> None:
        if self._deleted:
            raise Gone(GONE)
        if self._closed:
            raise FragmentLogUnavailable("the media log is closing; try again")

    def _notify(self) -> None:
        """Wake everybody who waits for something to come, or for the end."""
        self._news.set()
        self._news = asyncio.Event()

    def _sequence_before(self, position: Now | Earliest | AtTime) -> int:
        """Return the sequence after which a reader from this position begins."""
        if isinstance(position, Earliest):
            return self._index.expired_through
        newest = self._index.last()
        if isinstance(position, AtTime):
            entry = self._index.at(position)
        else:
            entry = newest if newest and self._is_live(newest) else None
        if entry is not None:
            return entry.sequence - 1
        return self._index.expired_through if newest is None else newest.sequence

    def _is_live(self, newest: IndexEntry) -> bool:
        """Return whether the producer of the newest fragment may still be connected."""
        return self._context.now_ms <= newest.number.server_ms + newest.info.duration_ms + LIVE_GAP_MS

    async def _next_after(self, after: int, *, end: int | None = None) -> tuple[int, ReadResult] | None:
        """Return the first fragment behind this sequence that opens, when there is one, after its own sequence.

        None where none is kept before the sequence `end`, if given.
        """
        passed = after
        while True:
            self._require_open()
            entry = self._index.after(passed)
            if end is not None and (entry is None or entry.sequence >= end):
                return None
            if entry is None:
                await self._news.wait()
                continue
            number = entry.number
            fragment = await self._fetch(entry)
            if fragment is not None:
                gap = passed > after or self._index.is_gap(after, number.sequence)
                newest = self._index.last()
                behind = newest.number.server_ms - number.server_ms if newest else 0
                return number.sequence, ReadResult(fragment=fragment, millis_behind_now=max(0, behind), gap=gap)
            if number.sequence in self._damaged or number.sequence in self._erased:
                passed = number.sequence

    async def _fetch(self, entry: IndexEntry) -> Fragment | None:
        """Return the fragment; None when it expired meanwhile or is damaged (`_damaged` knows)."""
        sequence, info = entry.number.sequence, entry.info
        if sequence in self._damaged or sequence in self._erased:
            return None
        path = segment_path(self._folder, entry.segment.first_sequence)
        read = partial(self._read, path, info, entry.places)
        fragment = await asyncio.get_running_loop().run_in_executor(self._context.readers, read)
        self._require_open()
        if fragment is None and sequence > self._index.expired_through and sequence not in self._erased:
            self._damaged.add(sequence)
            if self._context.metrics is not None:
                self._context.metrics.damaged.inc()
            _log.error("a fragment is damaged", extra={"file": path_text(self._folder), "number": info.number})
        return fragment

    def _read(self, path: Path, info: FragmentInfo, places: Sequence[RecordPlace]) -> Fragment | None:
        key = self._key()
        with disk_errors():
            return read_fragment(path, info, places, key=key, stream=self._identity)

    async def _write(self, head: RecordHead, *media: bytes) -> None:
        """Append when there is room; return once it is durable and in the index."""
        await self._context.limiter.enter(head.media_bytes)
        try:
            self._require_open()
        except BaseException:
            self._context.limiter.leave(head.media_bytes)
            raise
        done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._in_flight += 1
        self._writer.append(
            Append(
                appender=self._appender,
                head=head,
                media=media,
                span_ms=self._retention.lag_ms,
                settle=partial(self._settle, head, done),
            )
        )
        if error := await done:
            raise error

    def _settle(self, head: RecordHead, done: "asyncio.Future[Exception | None]", outcome: Written | Exception) -> None:
        self._in_flight -= 1
        self._context.limiter.leave(head.media_bytes)
        error = self._take_in(head, outcome)
        if not done.done():
            done.set_result(error)

    def _take_in(self, head: RecordHead, outcome: Written | Exception) -> Exception | None:
        """Put what was written into the index; otherwise return why it is not in there."""
        if self._deleted:
            return Gone(GONE)
        if isinstance(outcome, Exception):
            if head.kind is RecordKind.FRAGMENT:
                self._reservations.give_back(head.number)
            return outcome
        if head.kind is RecordKind.TAGS:
            kept = self._index.add_tags(head, offset=outcome.offset)
            return None if kept else NotFound(_TAGS_OF_NOTHING)
        closed = self._index.add(head, first_sequence=outcome.first_sequence, offset=outcome.offset)
        if closed is not None:
            self._keep_index(closed)
        if self._index.bytes > self._retention.bytes_kept:
            self._trim()
        self._notify()
        return None

    def _keep_index(self, segment: Segment) -> None:
        if not self._erased.isdisjoint(segment.sequences):
            return  # the next opening reads the file itself, and so does not find them
        content = pack_index(segment, segment_bytes=segment.bytes)
        self._writer.post(partial(self._appender.write_index, segment.first_sequence, content))

    def _trim(self) -> None:
        """Make room for what has just come, without waiting for the next expiry."""
        self._hide(self._context.now_ms)
        if self._doomed:
            doomed, self._doomed = self._doomed, []
            self._writer.post(partial(self._appender.remove_segments, doomed))

    def _hide(self, now_ms: int) -> None:
        keep_current = self._in_flight > 0
        gone = self._index.expire(self._retention, now_ms=now_ms, keep_current=keep_current)
        self._doomed = [*self._doomed, *(segment.first_sequence for segment in gone)]
        gone_sequences = {sequence for segment in gone for sequence in segment.sequences}
        self._damaged -= gone_sequences
        self._erased -= gone_sequences


def _require_tags_size(size: int) -> None:
    if size > TAGS_BYTES_MAX:
        raise BadRequest(f"the tags of a fragment have {size} bytes; at most {TAGS_BYTES_MAX} are kept")
