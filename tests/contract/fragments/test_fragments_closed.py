"""What is done to streams that nobody has open: expiry, and the deletion of what no record knows."""

import asyncio

import pytest
from fragments_examples import DAY, HOUR, LIVE, SECOND, World, identity, numbers_of

from earwitness.errors import Gone
from earwitness.fragments.interface import LIVE_WINDOW_BYTES, Retention

pytestmark = pytest.mark.anyio


async def expire(world: World, name: str = "a", *, retention: Retention = DAY) -> None:
    await world.log.expire_closed(identity(name), retention=retention, now=world.now)


async def test_what_is_stored_is_told_whether_open_or_not(world: World) -> None:
    assert await world.log.stored() == frozenset()
    for name in ("a", "b"):
        await world.append(await world.stream(name))
    both = frozenset(identity(name).digest for name in ("a", "b"))
    assert await world.log.stored() == both
    await world.reopen()
    await world.stream("a")
    assert await world.log.stored() == both
    await world.log.delete_stream(identity("b"))
    assert await world.log.stored() == {identity("a").digest}


async def test_a_stream_that_nobody_opened_expires(world: World) -> None:
    numbers = [await world.append(await world.stream(), lasting=2 * HOUR) for _ in range(20)]
    await world.reopen()
    await expire(world)
    kept = await numbers_of(await world.stream(retention=Retention(hours=10_000)))
    assert kept == numbers[-len(kept) :]
    assert len(kept) == 12  # begun at most 24 hours ago; a file spans an hour, so each holds one


async def test_nothing_is_taken_that_the_retention_covers(world: World) -> None:
    numbers = await world.append_many(await world.stream(), 3)
    await world.reopen()
    world.now += 24 * HOUR - 3 * SECOND
    await expire(world)
    assert await numbers_of(await world.stream(retention=Retention(hours=48))) == numbers


async def test_all_of_it_goes_when_all_is_too_old(world: World) -> None:
    await world.append_many(await world.stream(retention=LIVE), 3)
    await world.reopen()
    world.now += 6 * 60 * SECOND
    await expire(world, retention=LIVE)
    stream = await world.stream(retention=Retention(hours=48))
    assert (await stream.status()).fragments == 0
    assert await world.append(stream) > "9"


async def test_too_much_goes_oldest_first(world: World) -> None:
    numbers = [await world.append(await world.stream(), bytes(1_000), lasting=2 * HOUR) for _ in range(4)]
    await world.reopen()
    await expire(world, retention=Retention(hours=48, bytes_max=2_500))
    assert await numbers_of(await world.stream(retention=Retention(hours=48))) == numbers[1:]
    assert LIVE_WINDOW_BYTES > 2_500


async def test_an_open_stream_is_left_to_its_own_retention(world: World) -> None:
    stream = await world.stream(retention=Retention(hours=48))
    numbers = await world.append_many(stream, 2)
    world.now += 30 * HOUR
    await expire(world)
    await world.log.delete_stored(identity("a").digest)
    assert await numbers_of(stream) == numbers


async def test_a_stream_that_is_opened_meanwhile_is_whole(world: World) -> None:
    await world.append_many(await world.stream(), 2)
    await world.reopen()
    world.now += 30 * HOUR
    _, stream = await asyncio.gather(expire(world), world.stream(retention=Retention(hours=48)))
    number = await world.append(stream)
    assert (await numbers_of(stream))[-1] == number
    _, other = await asyncio.gather(world.log.delete_stored(identity("b").digest), world.stream("b"))
    number = await world.append(other)
    assert await numbers_of(other) == [number]


async def test_what_nobody_knows_is_deleted_once_and_for_all(world: World) -> None:
    await world.append(await world.stream())
    await world.reopen()
    for _ in range(2):
        await world.log.delete_stored(identity("a").digest)
        assert await world.log.stored() == frozenset()
    stream = await world.stream()
    assert (await stream.status()).fragments == 0
    await world.log.delete_stream(identity("a"))
    with pytest.raises(Gone):
        await stream.status()


async def test_expiry_of_what_is_not_there_makes_nothing(world: World) -> None:
    await expire(world, "never made")
    assert await world.log.stored() == frozenset()
