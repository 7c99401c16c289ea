"""Numbers are given out in order for ever, and what is appended under them is kept as it was."""

import asyncio
from dataclasses import replace

import pytest
from fragments_examples import DAY, HOUR, SECOND, START, World, everything, identity, key_of, numbers_of, turns

from earwitness.errors import BadRequest, Conflict, Gone, NotFound
from earwitness.fragments.interface import FRAGMENT_BYTES_MAX, TAGS_BYTES_MAX, Earliest
from earwitness.fragments.numbers import read_number
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


async def test_a_fragment_comes_back_as_it_was(world: World) -> None:
    stream = await world.stream()
    reservation = await stream.reserve()
    producer = START - 20 * HOUR
    await stream.append(
        reservation.number,
        producer_timestamp=producer,
        duration_ms=1_234,
        header=b"h\0",
        cluster=b"c" * 70_000,
        tags=b"t",
    )
    for _ in range(2):
        (delivery,) = await everything(stream)
        fragment = delivery.fragment
        assert (fragment.header, fragment.cluster, fragment.tags) == (b"h\0", b"c" * 70_000, b"t")
        assert (fragment.info.number, fragment.info.server_timestamp) == (reservation.number, START)
        assert (fragment.info.producer_timestamp, fragment.info.duration_ms) == (producer, 1_234)
        assert fragment.info.size_bytes == 70_003
        await world.reopen()
        stream = await world.stream()


async def test_parts_may_be_empty(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    await stream.append(number, producer_timestamp=START, duration_ms=0, header=b"", cluster=b"")
    (delivery,) = await everything(stream)
    assert (delivery.fragment.header, delivery.fragment.cluster, delivery.fragment.tags) == (b"", b"", b"")


async def test_numbers_grow_by_one_and_hold_the_time_of_the_server(world: World) -> None:
    stream = await world.stream()
    numbers = [(await stream.reserve()).number for _ in range(3)]
    assert [read_number(number).sequence for number in numbers] == [1, 2, 3]
    assert {read_number(number).server_ms for number in numbers} == {int(START.timestamp() * 1000)}
    assert len({read_number(number).random for number in numbers}) > 1


async def test_numbers_of_streams_are_their_own(world: World) -> None:
    for name in "ab":
        assert read_number((await (await world.stream(name)).reserve()).number).sequence == 1


async def test_numbers_go_on_where_the_log_was_closed(world: World) -> None:
    stream = await world.stream()
    await world.append(stream)
    given_out = (await stream.reserve()).number  # told to a producer, and never appended
    await world.reopen()
    later = (await (await world.stream()).reserve()).number
    assert read_number(later).sequence == read_number(given_out).sequence + 1
    assert later > given_out


async def test_numbers_go_on_when_all_fragments_have_expired(world: World) -> None:
    stream = await world.stream()
    last = (await world.append_many(stream, 3))[-1]
    world.now += 48 * HOUR
    await world.log.expire(world.now)
    await world.reopen()
    assert read_number((await (await world.stream()).reserve()).number).sequence == read_number(last).sequence + 1


async def test_a_clock_that_is_set_back_does_not_set_numbers_back(world: World) -> None:
    stream = await world.stream()
    before = await stream.reserve()
    await stream.append(before.number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")
    world.now -= HOUR
    await world.reopen()
    after = await (await world.stream()).reserve()
    assert after.server_timestamp == before.server_timestamp
    assert after.number > before.number


async def test_reservations_at_the_same_time_are_different_numbers(world: World) -> None:
    stream = await world.stream()
    reservations = await asyncio.gather(*(stream.reserve() for _ in range(2_500)))
    sequences = [read_number(reservation.number).sequence for reservation in reservations]
    assert sorted(sequences) == list(range(1, 2_501))


async def test_a_number_that_is_passed_over_cannot_be_appended_later(world: World) -> None:
    stream = await world.stream()
    passed_over = (await stream.reserve()).number
    await world.append(stream)
    with pytest.raises(Conflict):
        await stream.append(passed_over, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")


async def test_a_number_is_appended_once(world: World) -> None:
    stream = await world.stream()
    number = await world.append(stream)
    with pytest.raises(Conflict):
        await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")


async def test_a_number_of_another_stream_or_of_nobody_is_refused(world: World) -> None:
    stream, other = await world.stream("a"), await world.stream("b")
    theirs = (await other.reserve()).number
    await stream.reserve()
    for number, error in [(theirs, Conflict), ("17", BadRequest), ("9" * 47, Conflict)]:
        with pytest.raises(error):
            await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")
    assert await numbers_of(stream) == []


async def test_a_fragment_above_the_limit_is_refused_and_its_number_still_good(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    for cluster, tags in [(bytes(FRAGMENT_BYTES_MAX), b"t"), (b"", bytes(TAGS_BYTES_MAX + 1))]:
        with pytest.raises(BadRequest, match="at most"):
            await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=cluster, tags=tags)
    await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    assert await numbers_of(stream) == [number]


async def test_appends_that_wait_together_keep_their_order(world: World) -> None:
    stream = await world.stream()
    numbers = [(await stream.reserve()).number for _ in range(40)]
    appends = [
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=number.encode())
        for number in numbers
    ]
    await asyncio.gather(*appends)
    delivered = await everything(stream)
    assert [delivery.fragment.info.number for delivery in delivered] == numbers
    assert [delivery.fragment.cluster.decode() for delivery in delivered] == numbers


async def test_tags_that_come_later_belong_to_their_fragment(world: World) -> None:
    stream = await world.stream()
    first = await world.append(stream, b"one", tags=b"<0>")
    second = await world.append(stream, b"two")
    await stream.append_tags(second, b"<3>")
    await stream.append_tags(first, b"<1>")
    await stream.append_tags(first, b"<2>")
    for _ in range(2):
        assert [delivery.fragment.tags for delivery in await everything(stream)] == [b"<0><1><2>", b"<3>"]
        await world.reopen()
        stream = await world.stream()
    await stream.append_tags(first, b"<4>")
    await world.append(stream, b"three")
    assert [delivery.fragment.tags for delivery in await everything(stream)] == [b"<0><1><2><4>", b"<3>", b""]


async def test_tags_may_follow_a_fragment_that_is_still_being_written(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    append = asyncio.create_task(
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    )
    await asyncio.sleep(0)
    await asyncio.gather(append, stream.append_tags(number, b"<tags>"))
    assert [delivery.fragment.tags for delivery in await everything(stream)] == [b"<tags>"]


async def test_tags_of_what_is_not_kept_are_refused(world: World) -> None:
    stream = await world.stream()
    reserved = (await stream.reserve()).number
    kept = await world.append(stream)
    world.now += 48 * HOUR
    await world.log.expire(world.now)
    for number in (reserved, kept):
        with pytest.raises(NotFound):
            await stream.append_tags(number, b"<tags>")


async def test_tags_that_come_later_have_one_limit_together(world: World) -> None:
    stream = await world.stream()
    number = await world.append(stream, tags=bytes(TAGS_BYTES_MAX))
    await stream.append_tags(number, bytes(TAGS_BYTES_MAX - 10))
    with pytest.raises(BadRequest, match="at most"):
        await stream.append_tags(number, bytes(11))
    await stream.append_tags(number, bytes(10))


async def test_an_open_stream_is_one_object(world: World) -> None:
    first, second = await asyncio.gather(world.stream(), world.stream())
    assert first is second


async def test_accounts_do_not_share_streams(world: World) -> None:
    mine = await world.stream()
    await world.append(mine)
    theirs = replace(identity("a"), account_id="999988887777")
    other = await world.log.open_stream(theirs, key=lambda: key_of("a"), retention=DAY)
    assert (await other.status()).fragments == 0


async def test_a_cancelled_append_harms_nobody(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    append = asyncio.create_task(
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    )
    await asyncio.sleep(0)
    append.cancel()
    later = await world.append(stream)
    assert (await numbers_of(stream))[-1] == later


async def test_what_is_appended_wakes_readers_once_it_is_durable(world: World) -> None:
    stream = await world.stream()
    reader = await stream.read(Earliest())
    waiting = asyncio.create_task(anext(reader))
    number = (await stream.reserve()).number
    await turns()
    assert not waiting.done()
    await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).fragment.info.number == number


async def test_status_tells_the_first_the_last_and_how_much(world: World) -> None:
    stream = await world.stream()
    empty = await stream.status()
    assert (empty.fragments, empty.bytes, empty.first, empty.last) == (0, 0, None, None)
    numbers = await world.append_many(stream, 3)
    status = await stream.status()
    assert status.first is not None and status.last is not None
    assert (status.fragments, status.first.number, status.last.number) == (3, numbers[0], numbers[-1])
    assert status.last.server_timestamp == START + 2 * SECOND
    before = status.bytes
    await stream.append_tags(numbers[0], bytes(1_000))
    assert (await stream.status()).bytes >= before + 1_000
    after = await stream.status()
    await world.reopen()
    assert await (await world.stream()).status() == after


async def test_a_deleted_stream_answers_gone(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    await world.log.delete_stream(identity("a"))
    calls = [
        stream.reserve(),
        stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b""),
        stream.append_tags(number, b""),
        stream.status(),
        stream.read(Earliest()),
        stream.set_retention(DAY),
    ]
    for call in calls:
        with pytest.raises(Gone):
            await call
