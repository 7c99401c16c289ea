"""Where readers begin, how they go on, and what can be asked of what is kept."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from fragments_examples import (
    HOUR,
    LIVE,
    SECOND,
    START,
    World,
    everything,
    from_position,
    identity,
    next_of,
    numbers_of,
    turns,
)

from earwitness.errors import BadRequest, FragmentLogUnavailable, Gone
from earwitness.fragments.interface import (
    LIVE_GAP_MS,
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    MissingFragment,
    Now,
    Position,
    TimeAxis,
)
from earwitness.fragments.numbers import FragmentNumber, read_number
from earwitness.fragments.stream import FragmentStream

pytestmark = pytest.mark.anyio

MS = timedelta(milliseconds=1)


async def _is_next_to_come(world: World, stream: FragmentStream, position: Position) -> bool:
    """Whether a reader from there waits, and gets the next fragment that is appended."""
    waiting = asyncio.create_task(next_of(await stream.read(position)))
    await turns()
    assert not waiting.done()
    number = await world.append(stream, b"came later")
    return (await waiting).fragment.info.number == number


async def test_earliest_is_the_oldest_and_goes_on_for_ever(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 3)
    reader = await stream.read(Earliest())
    assert [(await next_of(reader)).fragment.info.number for _ in range(3)] == numbers
    waiting = asyncio.create_task(next_of(reader))
    await turns()
    assert not waiting.done()
    later = await world.append(stream)
    assert (await waiting).fragment.info.number == later


async def test_now_is_the_newest_fragment_of_a_live_stream(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 3)
    world.now += timedelta(milliseconds=LIVE_GAP_MS)
    assert (await from_position(stream, Now())).fragment.info.number == numbers[-1]


async def test_now_is_the_next_fragment_when_the_producer_is_gone(world: World) -> None:
    stream = await world.stream()
    await world.append_many(stream, 3)
    world.now += timedelta(milliseconds=LIVE_GAP_MS + 1)
    assert await _is_next_to_come(world, stream, Now())


@pytest.mark.parametrize("position", [Now(), Earliest(), AtTime(axis=TimeAxis.SERVER, time=START)])
async def test_in_an_empty_stream_every_position_is_the_next_fragment(world: World, position: Position) -> None:
    assert await _is_next_to_come(world, await world.stream(), position)


async def test_after_a_fragment_that_is_kept_comes_the_next(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 3)
    delivery = await from_position(stream, AfterFragment(numbers[0]))
    assert (delivery.fragment.info.number, delivery.gap) == (numbers[1], False)
    assert await _is_next_to_come(world, stream, AfterFragment(numbers[2]))


async def test_after_a_fragment_that_is_still_being_received(world: World) -> None:
    stream = await world.stream()
    await world.append(stream)
    reservation = await stream.reserve()
    waiting = asyncio.create_task(next_of(await stream.read(AfterFragment(reservation.number))))
    await stream.append(reservation.number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")
    await turns()
    assert not waiting.done()
    later = await world.append(stream)
    assert (await waiting).fragment.info.number == later


async def test_after_a_number_that_was_never_appended(world: World) -> None:
    stream = await world.stream()
    skipped = (await stream.reserve()).number
    number = await world.append(stream)
    assert (await from_position(stream, AfterFragment(skipped))).fragment.info.number == number


async def test_after_a_number_that_expired_comes_the_oldest_and_says_so(world: World) -> None:
    stream = await world.stream()
    old = await world.append_many(stream, 3)
    world.now += 24 * HOUR
    number = await world.append(stream)
    await world.log.expire(world.now)
    for after, gap in [(old[0], True), (old[1], True), (old[2], False)]:
        delivery = await from_position(stream, AfterFragment(after))
        assert (delivery.fragment.info.number, delivery.gap) == (number, gap)
    assert (await from_position(stream, Earliest())).gap is False


async def test_after_a_number_that_was_not_given_out_is_refused(world: World) -> None:
    stream = await world.stream()
    await world.append(stream)
    for number in [str(FragmentNumber(sequence=9_999_999, server_ms=0, random=0)), "1", "", "9" * 48, "٣" * 47]:
        with pytest.raises(BadRequest):
            await stream.read(AfterFragment(number))


@pytest.mark.parametrize("axis", TimeAxis)
async def test_a_time_is_the_fragment_that_contains_it(world: World, axis: TimeAxis) -> None:
    stream = await world.stream()
    numbers = [await world.append(stream, duration_ms=1_000, lasting=2 * SECOND) for _ in range(3)]
    expected = {
        START - HOUR: 0,
        START: 0,
        START + 999 * MS: 0,
        START + 1_000 * MS: 1,  # between two: the one that begins soonest
        START + 2_000 * MS: 1,
        START + 4_999 * MS: 2,
    }
    for time, index in expected.items():
        delivery = await from_position(stream, AtTime(axis=axis, time=time))
        assert delivery.fragment.info.number == numbers[index], time
    assert await _is_next_to_come(world, stream, AtTime(axis=axis, time=START + 5 * SECOND))


async def test_producer_times_may_go_back_from_session_to_session(world: World) -> None:
    stream = await world.stream()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    real = [await world.append(stream, producer=START + number * SECOND) for number in range(3)]
    since_1970 = [await world.append(stream, producer=epoch + number * SECOND) for number in range(3)]
    for time, number in [
        (epoch + 1_500 * MS, since_1970[1]),
        (epoch - SECOND, since_1970[0]),
        (START + 1_500 * MS, real[1]),
        (START - HOUR, real[0]),
    ]:
        found = await from_position(stream, AtTime(axis=TimeAxis.PRODUCER, time=time))
        assert found.fragment.info.number == number


async def test_a_reader_knows_how_far_it_is_behind(world: World) -> None:
    stream = await world.stream()
    await world.append_many(stream, 4)
    behind = [delivery.millis_behind_now for delivery in await everything(stream)]
    assert behind == [3_000, 2_000, 1_000, 0]


async def test_a_cancelled_wait_takes_nothing(world: World) -> None:
    stream = await world.stream()
    reader = await stream.read(Earliest())
    for turn_count in range(12):
        waiting = asyncio.create_task(anext(reader))
        await turns(turn_count)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    numbers = await world.append_many(stream, 12)
    received: list[str] = []
    while len(received) < len(numbers):
        waiting = asyncio.create_task(anext(reader))
        await turns(len(received) % 5)
        waiting.cancel()
        try:
            received.append((await waiting).fragment.info.number)
        except asyncio.CancelledError:
            received.append((await next_of(reader)).fragment.info.number)
    assert received == numbers


async def test_a_reader_that_retention_overtakes_goes_on_and_says_so(world: World) -> None:
    stream = await world.stream(retention=LIVE)
    reader = await stream.read(Earliest())
    await world.append_many(stream, 3)
    assert (await next_of(reader)).gap is False
    world.now += 10 * 60 * SECOND
    numbers = await world.append_many(stream, 2)
    await world.log.expire(world.now)
    deliveries = [await next_of(reader) for _ in range(2)]
    assert [delivery.fragment.info.number for delivery in deliveries] == numbers
    assert [delivery.gap for delivery in deliveries] == [True, False]


@pytest.mark.parametrize("waiting_first", [True, False])
async def test_readers_of_a_deleted_stream_get_gone(world: World, waiting_first: bool) -> None:
    stream = await world.stream()
    if not waiting_first:
        await world.append(stream)
    reader = await stream.read(Earliest())
    waiting = asyncio.create_task(next_of(reader)) if waiting_first else None
    await turns()
    await world.log.delete_stream(identity("a"))
    with pytest.raises(Gone):
        await (waiting or next_of(reader))
    with pytest.raises(Gone):
        await next_of(reader)


async def test_readers_of_a_log_that_closes_are_told(world: World) -> None:
    stream = await world.stream()
    waiting = asyncio.create_task(next_of(await stream.read(Earliest())))
    await turns()
    await world.close()
    with pytest.raises(FragmentLogUnavailable):
        await waiting
    with pytest.raises(FragmentLogUnavailable):
        await stream.reserve()


async def test_a_list_holds_what_begins_in_the_range_ends_included(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 5)
    for axis in TimeAxis:
        found = await stream.list(axis, start=START + SECOND, end=START + 3 * SECOND)
        assert [info.number for info in found] == numbers[1:4]
        assert await stream.list(axis, start=START + 1 * MS, end=START + 999 * MS) == ()
        assert await stream.list(axis, start=START - HOUR, end=START - MS) == ()
        assert await stream.list(axis, start=START + HOUR, end=START + 2 * HOUR) == ()


async def test_a_list_is_read_in_pages(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 5)
    pages: list[list[str]] = []
    after: str | None = None
    while not pages or len(pages[-1]) == 2:
        page = await stream.list(TimeAxis.SERVER, start=START, end=START + HOUR, after=after, limit=2)
        pages.append([info.number for info in page])
        after = pages[-1][-1] if pages[-1] else after
    assert pages == [numbers[:2], numbers[2:4], numbers[4:]]
    for limit in (0, 1_001):
        with pytest.raises(BadRequest):
            await stream.list(TimeAxis.SERVER, start=START, end=START, limit=limit)


async def test_get_gives_what_is_there_and_names_what_is_missing(world: World) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 3)
    unknown = read_number(numbers[1])
    foreign = str(FragmentNumber(sequence=2, server_ms=unknown.server_ms, random=unknown.random ^ 1))
    found = [item async for item in stream.get([numbers[2], foreign, numbers[0]])]
    assert isinstance(found[0], Fragment) and isinstance(found[2], Fragment)
    assert [found[0].cluster, found[2].cluster] == [b"media 2", b"media 0"]
    assert found[1] == MissingFragment(number=foreign, damaged=False)
    with pytest.raises(BadRequest):
        _ = [item async for item in stream.get([numbers[0], "17"])]


async def test_under_another_key_nothing_is_served(world: World) -> None:
    stream = await world.stream()
    (number,) = await world.append_many(stream, 1)
    await world.reopen()
    stream = await world.stream(key="another")
    assert [item async for item in stream.get([number])] == [MissingFragment(number=number, damaged=True)]
    later = await world.append(stream)
    delivery = await from_position(stream, Earliest())
    assert (delivery.fragment.info.number, delivery.gap) == (later, True)


async def test_many_readers_and_writers_at_once(world: World) -> None:
    streams = [await world.stream(f"s{number}") for number in range(8)]
    readers = [(stream, await stream.read(Earliest())) for stream in streams for _ in range(3)]

    async def write(stream: FragmentStream, name: int) -> list[bytes]:
        media = [b"stream %d fragment %d " % (name, number) * 50 for number in range(12)]
        for each in media:
            await world.append(stream, each)
        return media

    async def read(reader: object) -> list[bytes]:
        return [(await next_of(reader)).fragment.cluster for _ in range(12)]  # type: ignore[arg-type]

    written, *received = await asyncio.gather(
        asyncio.gather(*(write(stream, name) for name, stream in enumerate(streams))),
        *(read(reader) for _, reader in readers),
    )
    for place, media in enumerate(received):
        assert media == written[place // 3]
    assert [len(await numbers_of(stream)) for stream in streams] == [12] * 8
