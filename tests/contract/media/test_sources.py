"""What every source owes, over our own media log, a file, and a service reached as AWS is."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from source_streams import Stream, heard, take, until

from earwitness.errors import AudioUnreadable, StreamGone
from earwitness.media.source import StartPosition, StreamFragment
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def from_first(stream: Stream, number: str, count: int) -> list[StreamFragment]:
    """Fragments from the first one on."""
    async with aclosing(stream.source().fragments(_from_first(number))) as fragments:
        return await take(fragments, count)


def _from_first(number: str) -> StartPosition:
    return StartPosition(since=_LONG_AGO, first_number=number, first_server_time=_LONG_AGO)


async def test_fragments_come_in_order_and_once(stream: Stream) -> None:
    first = await stream.put(range(5))
    fragments = await from_first(stream, first, 5)
    assert [heard(fragment) for fragment in fragments] == [0, 1, 2, 3, 4]
    numbers = [int(fragment.number) for fragment in fragments]
    assert numbers == sorted(set(numbers))
    times = [fragment.server_time for fragment in fragments]
    assert times == sorted(times)


async def test_reading_begins_behind_a_number(stream: Stream) -> None:
    first = await stream.put(range(5))
    second = (await from_first(stream, first, 5))[1]
    async with aclosing(stream.source().fragments(StartPosition(since=_LONG_AGO, after_number=second.number))) as rest:
        assert [heard(fragment) for fragment in await take(rest, 3)] == [2, 3, 4]


async def test_reading_begins_with_a_fragment_that_was_first_before(stream: Stream) -> None:
    first = await stream.put(range(5))
    third = (await from_first(stream, first, 5))[2]
    start = StartPosition(since=_LONG_AGO, first_number=third.number, first_server_time=third.server_time)
    async with aclosing(stream.source().fragments(start)) as again:
        fragments = await take(again, 3)
    assert [heard(fragment) for fragment in fragments] == [2, 3, 4]
    assert fragments[0] == third


async def test_two_readers_do_not_disturb_each_other(stream: Stream) -> None:
    first = await stream.put(range(4))
    both = await asyncio.gather(from_first(stream, first, 4), from_first(stream, first, 4))
    assert both[0] == both[1]


async def test_a_reader_waits_for_what_comes(live_stream: Stream) -> None:
    first = await live_stream.put([0])
    (only,) = await from_first(live_stream, first, 1)
    async with aclosing(
        live_stream.source().fragments(StartPosition(since=_LONG_AGO, after_number=only.number))
    ) as fragments:
        upcoming = asyncio.ensure_future(take(fragments, 2))
        await live_stream.reading()
        await live_stream.put([1, 2])
        assert [heard(fragment) for fragment in await upcoming] == [1, 2]


async def test_without_a_number_reading_begins_at_a_time(live_stream: Stream) -> None:
    before = await live_stream.put([0, 1])
    since = (await from_first(live_stream, before, 2))[1].server_time + timedelta(milliseconds=1)
    await until(lambda: datetime.now(UTC) > since)
    await live_stream.put([2])
    async with aclosing(live_stream.source().fragments(StartPosition(since=since))) as fragments:
        upcoming = asyncio.ensure_future(take(fragments, 3))
        await live_stream.put([3, 4])
        assert [heard(fragment) for fragment in await upcoming] == [2, 3, 4]


async def test_a_reader_that_waits_can_be_cancelled(stream: Stream) -> None:
    first = await stream.put([0])
    (only,) = await from_first(stream, first, 1)
    fragments = stream.source().fragments(StartPosition(since=_LONG_AGO, after_number=only.number))
    upcoming = asyncio.ensure_future(anext(fragments, None))
    await stream.reading()
    upcoming.cancel()
    await asyncio.wait({upcoming}, timeout=PATIENCE_SECONDS)
    assert upcoming.cancelled()
    await fragments.aclose()


async def test_the_deletion_of_a_stream_is_told(live_stream: Stream) -> None:
    first = await live_stream.put([0, 1])
    async with aclosing(live_stream.source().fragments(_from_first(first))) as fragments:
        await take(fragments, 2)
        upcoming = asyncio.ensure_future(take(fragments, 1))
        await live_stream.reading()
        await live_stream.delete()
        with pytest.raises(StreamGone):
            await upcoming


async def test_a_whole_recording_ends_and_no_time_leaves_anything_out(whole_stream: Stream) -> None:
    await whole_stream.put(range(3))
    since = datetime.now(UTC) + timedelta(days=1)
    async with aclosing(whole_stream.source().fragments(StartPosition(since=since))) as fragments:
        assert [heard(fragment) async for fragment in fragments] == [0, 1, 2]


async def test_a_whole_recording_that_is_gone_cannot_be_read(whole_stream: Stream) -> None:
    first = await whole_stream.put([0, 1])
    await whole_stream.delete()
    with pytest.raises(AudioUnreadable, match="cannot be read"):
        await from_first(whole_stream, first, 1)
