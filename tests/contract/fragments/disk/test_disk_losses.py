"""A record that is damaged costs itself and nothing else, and readers are told that something is missing."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fragments_examples import HOUR, ReadResult, World, everything, from_position, next_of, numbers_of

from earwitness.fragments.folder import load_losses
from earwitness.fragments.interface import AfterFragment, Earliest
from earwitness.fragments.record import HEAD_BYTES, RecordKind, read_head

pytestmark = pytest.mark.anyio

MEDIA = [bytes([letter]) * 8 for letter in b"ABC"]

Damage = Callable[[bytes], bytes]


def flip(offset: int, bit: int = 0) -> Damage:
    return lambda content: bytes([*content[:offset], content[offset] ^ (1 << bit), *content[offset + 1 :]])


class Log:
    """A closed log of three fragments, whose one segment is damaged again and again."""

    def __init__(self, world: World, files: Path, numbers: list[str]) -> None:
        self._world = world
        self._files = files
        (self.path,) = files.glob("*.segment")
        self._kept = {path: path.read_bytes() for path in files.iterdir()}
        self.numbers = numbers
        self.content = self.path.read_bytes()
        self.record_bytes = len(self.content) // 3

    async def reread(self, damage: Damage, *, indexed: bool) -> list[ReadResult]:
        """What is read after the segment was damaged and one more fragment has come; then all is as it was."""
        self.path.write_bytes(damage(self.content))
        if not indexed:
            self.path.with_suffix(".index").unlink()
        await self._world.open()
        stream = await self._world.stream()
        await self._world.append(stream, b"last")
        found = await everything(stream)
        await self._world.close()
        for path in self._files.iterdir():
            path.unlink()
        for path, content in self._kept.items():
            path.write_bytes(content)
        return found


@pytest.fixture
async def closed(world: World, files: Path) -> Log:
    stream = await world.stream()
    numbers = [await world.append(stream, media) for media in MEDIA]
    await world.close()
    return Log(world, files, numbers)


def whole(deliveries: list[ReadResult]) -> dict[bytes, bool]:
    """By media: whether a gap was told before it."""
    return {delivery.fragment.cluster: delivery.gap for delivery in deliveries}


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [True, False], ids=["after a close", "after a crash"])
async def test_a_flipped_bit_costs_the_fragment_it_is_in_and_a_gap_is_told(closed: Log, indexed: bool) -> None:
    for offset in range(len(closed.content)):
        hit = offset // closed.record_bytes
        found = whole(await closed.reread(flip(offset, offset % 8), indexed=indexed))
        expected = [media for number, media in enumerate(MEDIA) if number != hit] + [b"last"]
        assert list(found) == expected, offset
        assert [media for media, gap in found.items() if gap] == [expected[hit]], offset


@pytest.mark.parametrize("hit", range(3), ids=["first", "middle", "last"])
async def test_the_gap_is_told_at_every_later_opening(world: World, files: Path, closed: Log, hit: int) -> None:
    closed.path.write_bytes(flip(hit * closed.record_bytes)(closed.content))
    closed.path.with_suffix(".index").unlink()
    await world.open()
    await world.append(await world.stream(), b"last")
    before = closed.numbers[hit - 1] if hit else closed.numbers[1]
    for _ in range(3):
        found = await everything(await world.stream())
        assert [delivery.gap for delivery in found] == [number == hit for number in range(3)]
        assert (await from_position(await world.stream(), AfterFragment(before))).gap is (hit > 0)
        await world.reopen()
    assert len(load_losses(files)) == 1


async def test_whoever_had_one_of_several_lost_fragments_hears_of_the_others(world: World, files: Path) -> None:
    stream = await world.stream()
    numbers = [await world.append(stream, media) for media in [*MEDIA, b"D" * 8]]
    await world.close()
    (path,) = files.glob("*.segment")
    size = path.stat().st_size // 4
    path.write_bytes(flip(size)(flip(2 * size)(path.read_bytes())))
    path.with_suffix(".index").unlink()
    await world.open()
    stream = await world.stream()
    for number in numbers[:3]:
        delivery = await from_position(stream, AfterFragment(number))
        assert (delivery.fragment.info.number, delivery.gap) == (numbers[3], True)


async def test_a_file_that_lost_its_end_is_noticed(world: World, closed: Log) -> None:
    """Its index file knows how long it was."""
    for length in (0, 1, closed.record_bytes, 2 * closed.record_bytes + HEAD_BYTES + 1):
        found = whole(await closed.reread(lambda content, length=length: content[:length], indexed=True))
        assert list(found) == [*MEDIA[: length // closed.record_bytes], b"last"]
        assert [media for media, gap in found.items() if gap] == [b"last"]


async def test_what_a_crash_leaves_is_no_loss(closed: Log) -> None:
    """Nothing of it was acknowledged: a whole head without its body, part of a head, room that was never filled."""
    for length in (HEAD_BYTES, HEAD_BYTES - 1, closed.record_bytes - 1):
        found = whole(await closed.reread(lambda content, n=length: content + content[:n], indexed=False))
        assert list(found.values()) == [False] * 4
    found = whole(await closed.reread(lambda content: content + bytes(4_096), indexed=False))
    assert list(found.values()) == [False] * 4


async def test_a_segment_without_a_readable_record_is_removed(
    world: World, files: Path, closed: Log, caplog: pytest.LogCaptureFixture
) -> None:
    closed.path.write_bytes(bytes(byte ^ 0xFF for byte in closed.content))
    closed.path.with_suffix(".index").unlink()
    await world.open()
    with caplog.at_level(logging.ERROR, logger="earwitness.fragments"):
        stream = await world.stream()
    assert "a damaged record is at the end" in caplog.text
    assert not list(files.glob("*.segment"))
    number = await world.append(stream)
    delivery = await from_position(stream, Earliest())
    assert (delivery.fragment.info.number, delivery.gap) == (number, True)


async def test_lost_places_are_forgotten_with_what_lies_around_them(world: World, files: Path, closed: Log) -> None:
    closed.path.write_bytes(flip(closed.record_bytes)(closed.content))
    closed.path.with_suffix(".index").unlink()
    await world.open()
    await world.stream()
    assert load_losses(files)
    world.now += 25 * HOUR
    await world.log.expire(world.now)
    stream = await world.stream()
    await world.append(stream)
    await world.reopen()
    stream = await world.stream()
    assert not load_losses(files)
    assert [delivery.gap for delivery in await everything(stream)] == [False]


async def test_a_damaged_list_of_losses_keeps_what_reads(
    world: World, files: Path, closed: Log, caplog: pytest.LogCaptureFixture
) -> None:
    (files / "lost").write_bytes(b"x\n1\n\xff7\n-3\n")
    await world.open()
    stream = await world.stream()
    assert await numbers_of(stream) == closed.numbers
    assert [delivery.gap for delivery in await everything(stream)] == [False, True, False]
    assert "some gaps will not be told" in caplog.text


async def test_a_reader_that_waits_is_told_with_the_next_fragment(world: World, closed: Log) -> None:
    closed.path.write_bytes(flip(2 * closed.record_bytes)(closed.content))
    closed.path.with_suffix(".index").unlink()
    await world.open()
    stream = await world.stream()
    reader = await stream.read(AfterFragment(closed.numbers[1]))
    await world.append(stream, b"one")
    await world.append(stream, b"two")
    assert [(await next_of(reader)).gap for _ in range(2)] == [True, False]


async def test_a_file_of_erased_records_does_not_stay(world: World, files: Path, closed: Log) -> None:
    def erased(record: bytes) -> bytes:
        head = read_head(record[:HEAD_BYTES])
        assert head is not None
        return replace(head, kind=RecordKind.ERASED).pack() + bytes(len(record) - HEAD_BYTES)

    size = closed.record_bytes
    closed.path.write_bytes(b"".join(erased(closed.content[size * number :][:size]) for number in range(3)))
    closed.path.with_suffix(".index").unlink()
    await world.open()
    stream = await world.stream()
    assert not list(files.glob("*.segment"))
    await world.append(stream)
    assert [delivery.gap for delivery in await everything(stream)] == [False]
