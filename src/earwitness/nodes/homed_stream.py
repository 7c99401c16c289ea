"""Read a stream whose parts lie on several nodes: one after the other, and its live end where that is.

A part whose node is dead is passed over, and the next fragment says that something is missing before it. Where a node
does not answer and is not known to be dead, it is asked again: what it has is not lost.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from earwitness.errors import BadRequest, Unavailable
from earwitness.fragments.interface import (
    LIST_LENGTH_MAX,
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    MissingFragment,
    Position,
    ReadResult,
    SequenceRange,
    TimeAxis,
)
from earwitness.fragments.interface import Now as NowPosition
from earwitness.fragments.numbers import last_of_sequence, read_number
from earwitness.fragments.stream import FragmentStream
from earwitness.nodes.frames import Head, position_head, read_got, read_info, read_result
from earwitness.nodes.homes import StreamHomes, StreamKey
from earwitness.store.node_records import Node, StreamExtent
from earwitness.store.records import KinesisStream

READ, LIST, GET = "/internal/fragments/read", "/internal/fragments/list", "/internal/fragments/get"

_LOOK_SECONDS = 1.0
"""How often a stream without a home is looked at by those who read it, and a home that does not answer is asked."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a stream, and which node has it."""

    node_id: str
    epoch: int
    range: SequenceRange

    def holds(self, sequence: int) -> bool:
        return self.range.first <= sequence and (self.range.end is None or sequence < self.range.end)


class HomedStream:
    """The reading half of a stream, as `FragmentStream` has it."""

    def __init__(self, homes: StreamHomes, key: StreamKey, stream: KinesisStream, *, looks: bool) -> None:
        """`looks`: learn of a move to another node by looking; a task need not, which moves along."""
        self._homes = homes
        self._looks = looks
        self._key = key
        self._stream = stream

    async def read(self, position: Position) -> AsyncIterator[ReadResult]:
        """Return a reader that begins there. Raise BadRequest for a number that this stream has not given out."""
        news = self._homes.news(self._key)
        parts = await self._parts()
        if isinstance(position, AfterFragment):
            await self._require_given(position, parts)
        return self._follow(position, parts, news)

    async def list(
        self,
        axis: TimeAxis,
        *,
        start: datetime,
        end: datetime,
        after: str | None = None,
        limit: int = LIST_LENGTH_MAX,
    ) -> tuple[FragmentInfo, ...]:
        """Return fragments as `FragmentStream.list`; those of dead nodes are left out."""
        sequence = 0 if after is None else read_number(after).sequence
        found: list[FragmentInfo] = []
        for part in await self._parts():
            if part.range.end is not None and part.range.end <= sequence + 1:
                continue
            behind = last_of_sequence(max(sequence, part.range.first - 1))
            local, node = await self._place(part)
            if local is not None:
                infos = await local.list(axis, start=start, end=end, after=behind, limit=limit)
            elif node is not None:
                times = {"axis": axis.value, "start": start.isoformat(), "end": end.isoformat()}
                body = {**self._named(), **times, "after": behind, "limit": limit}
                infos = [read_info(head) for head in await self._homes.peers.ask(node, LIST, body)]
            else:
                continue
            found += [info for info in infos if part.holds(read_number(info.number).sequence)]
            if len(found) >= limit:
                break
        return tuple(found[:limit])

    async def get(self, numbers: Iterable[str]) -> AsyncIterator[Fragment | MissingFragment]:
        """Yield fragments as `FragmentStream.get`; those of dead nodes are missing."""
        parts = await self._parts()
        for number in numbers:
            sequence = read_number(number).sequence
            part = next((one for one in parts if one.holds(sequence)), None)
            local, node = (None, None) if part is None else await self._place(part)
            if local is not None:
                async for got in local.get([number]):
                    yield got
            elif node is not None:
                frames = self._homes.peers.frames(node, GET, {**self._named(), "numbers": [number]})
                async with aclosing(frames):
                    async for head, content in frames:
                        yield read_got(head, content)
            else:
                yield MissingFragment(number=number, damaged=False)

    async def _follow(
        self, position: Position, parts: Sequence[_Part], news: asyncio.Event | None
    ) -> AsyncGenerator[ReadResult]:
        """Yield what comes, from part to part, and from home to home. `news` was there before `parts` were read; None
        when they may be others by now."""
        missing, place = False, _first_place(position, parts)
        while True:
            if place >= len(parts):
                parts, news = await self._next_parts(len(parts), news)
                if isinstance(position, NowPosition):
                    position = Earliest()  # of the new part: all of it came after the reader did
                continue
            part = parts[place]
            try:
                results = await self._results(part, position)
                if results is None:
                    missing = True
                else:
                    async with aclosing(results):
                        async for result in results:
                            yield replace(result, gap=True) if missing else result
                            missing, position = False, AfterFragment(result.fragment.info.number)
            except Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)
                news = self._homes.news(self._key)
                parts = await self._parts()
                place = _first_place(position, parts)
                continue
            place, news = place + 1, None

    async def _next_parts(self, known: int, news: asyncio.Event | None) -> tuple[Sequence[_Part], asyncio.Event]:
        """Return the parts when there are more than are known, and what is set by news of later ones."""
        while True:
            if news is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS if self._looks else None):
                        await news.wait()
            news = self._homes.news(self._key)
            parts = await self._parts()
            if len(parts) > known:
                return parts, news

    async def _results(self, part: _Part, position: Position) -> AsyncGenerator[ReadResult] | None:
        """Return what a part has from a position on; None when its node is dead."""
        local, node = await self._place(part)
        if local is not None:
            return self._local_results(local, part, position)
        return None if node is None else self._far_results(node, part, position)

    async def _local_results(self, log: FragmentStream, part: _Part, position: Position) -> AsyncGenerator[ReadResult]:
        """Yield what this node has of a part; of the last one, until another node is the home."""
        results = results_until_moved(self._homes, self._key, log, position, part.range, epoch=part.epoch)
        async with aclosing(results):
            async for result in results:
                if result is not None:
                    yield result

    async def _far_results(self, node: Node, part: _Part, position: Position) -> AsyncGenerator[ReadResult]:
        body = {
            **self._named(),
            "position": position_head(position),
            "first": part.range.first,
            "end": part.range.end,
            "epoch": part.epoch,
        }
        ended = False
        frames = self._homes.peers.frames(node, READ, body)
        try:
            async with aclosing(frames):
                async for head, content in frames:
                    if head["kind"] == "fragment":
                        yield read_result(head, content)
                    elif head["kind"] == "alive":
                        self._homes.note_producer(self._key.arn, is_there=bool(head["producing"]))
                    ended = head["kind"] == "end"
        finally:
            self._homes.note_producer(self._key.arn, is_there=False)
        if not ended:
            raise Unavailable("another node's answer was cut off; it is asked again")

    async def _require_given(self, position: AfterFragment, parts: Sequence[_Part]) -> None:
        """Raise BadRequest for a number that cannot have been given out: where that is here, one that was not."""
        sequence = read_number(position.number).sequence
        if not parts or not parts[-1].holds(sequence):
            return
        local, _ = await self._place(parts[-1])
        if local is not None and sequence >= local.next_sequence:
            raise BadRequest("this stream has not given out such a fragment number; is it another stream's?")

    async def _parts(self) -> Sequence[_Part]:
        extents = await self._homes.extents(self._key)
        return [_part(extents, place) for place in range(len(extents))]

    async def _place(self, part: _Part) -> tuple[FragmentStream | None, Node | None]:
        """Return the log of a part that lies here, or the node that has it; nothing when that is dead."""
        if part.node_id == self._homes.node_id:
            return await self._homes.open_local(self._key.scope, self._stream), None
        node = await self._homes.node(part.node_id)
        return None, None if node is None or node.dead_at is not None else node

    def _named(self) -> Head:
        return {"account": self._key.scope.account_id, "region": self._key.scope.region, "arn": self._key.arn}


KeptStream = FragmentStream | HomedStream
"""What can be read of a stream: all of it is here, or who knows where."""


async def results_until_moved(
    homes: StreamHomes,
    key: StreamKey,
    log: FragmentStream,
    position: Position,
    part: SequenceRange,
    *,
    epoch: int,
    tick_seconds: float | None = None,
) -> AsyncGenerator[ReadResult | None]:
    """Yield what this node has of a part; of the last one what is to come, until the stream moves.

    What came before it moved is yielded then, and nothing of what comes after it has come back, which is another part
    with a greater `epoch`. With `tick_seconds`, None is yielded whenever nothing came for so long.
    """
    reader = await log.read(position, part=part)
    if part.end is None:
        after, coming = reader.after, None
        try:
            while homes.is_home(key, epoch=epoch):
                news = homes.news(key)
                moved = asyncio.ensure_future(news.wait())
                coming = coming or asyncio.ensure_future(anext(reader))
                try:
                    await asyncio.wait({coming, moved}, timeout=tick_seconds, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    moved.cancel()
                if news.is_set():
                    continue  # what is coming may have come after the stream had left and come back
                if coming.done():
                    result, coming = coming.result(), None
                    after = read_number(result.fragment.info.number).sequence
                    yield result
                else:
                    yield None
        finally:
            if coming is not None:
                coming.cancel()
        end = await _end_of(homes, key, log, epoch=epoch)
        reader = await log.read(AfterFragment(last_of_sequence(after)), part=SequenceRange(first=part.first, end=end))
    async for result in reader:
        yield result


async def _end_of(homes: StreamHomes, key: StreamKey, log: FragmentStream, *, epoch: int) -> int:
    """Return the sequence before which a part of this node ends that its stream has left."""
    later = [extent.first_sequence for extent in await homes.extents(key) if extent.epoch > epoch]
    return min(later, default=log.next_sequence)


def _part(extents: Sequence[StreamExtent], place: int) -> _Part:
    end = extents[place + 1].first_sequence if place + 1 < len(extents) else None
    extent = extents[place]
    return _Part(extent.node_id, extent.epoch, SequenceRange(first=extent.first_sequence, end=end))


def _first_place(position: Position, parts: Sequence[_Part]) -> int:
    """Return which part a position is in; behind the last where there is none."""
    if not parts or isinstance(position, Earliest | AtTime):
        return 0
    if isinstance(position, NowPosition):
        return len(parts) - 1
    following = read_number(position.number).sequence + 1
    return max((place for place, part in enumerate(parts) if part.range.first <= following), default=0)
