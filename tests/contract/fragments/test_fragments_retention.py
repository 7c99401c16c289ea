"""What is too old or too much goes, and nothing else does."""

import asyncio

import pytest
from fragments_examples import (
    DAY,
    HOUR,
    LIVE,
    SECOND,
    START,
    World,
    everything,
    from_position,
    identity,
    numbers_of,
)

from earwitness.errors import Gone
from earwitness.fragments.interface import LIVE_WINDOW_BYTES, Earliest, MissingFragment, Retention, TimeAxis
from earwitness.fragments.numbers import read_number

pytestmark = pytest.mark.anyio


async def test_fragments_go_when_their_hours_are_over(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=1))
    numbers = [await world.append(stream, lasting=20 * 60 * SECOND) for _ in range(6)]
    await world.log.expire(START + 2 * HOUR)
    assert await numbers_of(stream) == numbers[3:]
    await world.log.expire(START + 2 * HOUR)
    assert await numbers_of(stream) == numbers[3:]
    assert [item async for item in stream.get(numbers[:1])] == [MissingFragment(number=numbers[0], damaged=False)]
    listed = await stream.list(TimeAxis.SERVER, start=START, end=START + 9 * HOUR)
    assert [info.number for info in listed] == numbers[3:]
    await world.reopen()
    assert await numbers_of(await world.stream(retention=Retention(hours=1))) == numbers[3:]


async def test_a_stream_without_retention_keeps_five_minutes(world: World) -> None:
    stream = await world.stream(retention=LIVE)
    numbers = [await world.append(stream, lasting=60 * SECOND) for _ in range(10)]
    await world.log.expire(world.now)
    assert await numbers_of(stream) == numbers[5:]


async def test_another_live_window(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=0, live_minutes=2.0))
    numbers = [await world.append(stream, lasting=60 * SECOND) for _ in range(10)]
    await world.log.expire(world.now)
    assert await numbers_of(stream) == numbers[8:]


async def test_a_stream_without_retention_keeps_200_megabytes() -> None:
    assert LIVE.bytes_kept == LIVE_WINDOW_BYTES == 200_000_000
    assert Retention(hours=0, bytes_max=1_000).bytes_kept == 1_000
    assert Retention(hours=1, bytes_max=10**12).bytes_kept == 10**12


async def test_the_oldest_go_when_there_is_too_much(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=1, bytes_max=50_000))
    numbers = [await world.append(stream, bytes(10_000)) for _ in range(8)]
    assert await numbers_of(stream) == numbers[4:]  # at once, not at the next expiry
    assert (await stream.status()).bytes <= 50_000


async def test_one_fragment_above_the_cap_takes_all_room_and_goes(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=1, bytes_max=5_000))
    await world.append(stream, bytes(10_000))
    assert await numbers_of(stream) == []
    number = await world.append(stream, bytes(1_000))
    assert await numbers_of(stream) == [number]


async def test_less_retention_takes_effect_at_once_and_more_brings_nothing_back(world: World) -> None:
    stream = await world.stream(retention=DAY)
    numbers = [await world.append(stream, lasting=HOUR) for _ in range(10)]
    await stream.set_retention(Retention(hours=3))
    assert await numbers_of(stream) == numbers[7:]
    await stream.set_retention(DAY)
    assert await numbers_of(stream) == numbers[7:]
    await world.reopen()
    assert await numbers_of(await world.stream()) == numbers[7:]


async def test_the_retention_at_opening_counts(world: World) -> None:
    stream = await world.stream(retention=DAY)
    numbers = [await world.append(stream, lasting=HOUR) for _ in range(4)]
    await world.reopen()
    assert await numbers_of(await world.stream(retention=Retention(hours=2))) == numbers[2:]


async def test_what_has_all_expired_makes_room_for_new_fragments(world: World) -> None:
    stream = await world.stream(retention=LIVE)
    for _ in range(3):
        await world.append_many(stream, 3)
        world.now += HOUR
        await world.log.expire(world.now)
        assert (await stream.status()).fragments == 0
        assert (await stream.status()).bytes == 0
    number = await world.append(stream, b"new")
    assert [delivery.fragment.cluster for delivery in await everything(stream)] == [b"new"]
    await world.reopen()
    assert await numbers_of(await world.stream(retention=LIVE)) == [number]


async def test_what_is_on_its_way_survives_the_expiry_of_all_else(world: World) -> None:
    """The newest piece of the medium holds nothing but expired fragments, and something is being written to it."""
    stream = await world.stream(retention=DAY)
    await world.append(stream)
    world.now = START + HOUR / 2
    number = (await stream.reserve()).number
    append = asyncio.create_task(
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"on its way")
    )
    await asyncio.sleep(0)
    await asyncio.gather(append, stream.set_retention(LIVE))
    for _ in range(2):
        assert [delivery.fragment.cluster for delivery in await everything(stream)] == [b"on its way"]
        await world.reopen()
        stream = await world.stream(retention=LIVE)


async def test_appends_that_a_deletion_overtakes_get_gone(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    append = asyncio.create_task(
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    )
    reserve = asyncio.create_task(stream.reserve())
    await asyncio.sleep(0)
    await world.log.delete_stream(identity("a"))
    with pytest.raises(Gone):
        await append
    assert (await asyncio.gather(reserve, return_exceptions=True))[0] is not None
    assert (await (await world.stream()).status()).fragments == 0


async def test_deletion_takes_one_stream_and_leaves_the_others(world: World) -> None:
    one, other = await world.stream("one"), await world.stream("other")
    await world.append(one)
    kept = await world.append(other)
    await asyncio.gather(*(world.log.delete_stream(identity("one")) for _ in range(3)))
    await world.log.delete_stream(identity("one"))  # again: nothing happens
    assert await numbers_of(other) == [kept]
    anew = await world.stream("one")
    assert (await anew.status()).fragments == 0
    assert read_number((await anew.reserve()).number).sequence == 1


async def test_a_stream_that_is_not_open_can_be_deleted(world: World) -> None:
    await world.append(await world.stream("one"))
    await world.reopen()
    await world.log.delete_stream(identity("one"))
    assert (await (await world.stream("one")).status()).fragments == 0


async def test_late_tags_expire_with_their_fragment(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=1))
    first = await world.append(stream, lasting=90 * 60 * SECOND)
    await stream.append_tags(first, b"<tags>")
    second = await world.append(stream)
    await world.log.expire(world.now)
    delivery = await from_position(stream, Earliest())
    assert (delivery.fragment.info.number, delivery.fragment.tags) == (second, b"")
