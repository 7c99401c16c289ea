"""Files that were cut, changed or mixed up: what is whole is served, what is not never is."""

import logging
import random
import shutil
from pathlib import Path

import pytest
from fragments_examples import World, everything, identity, next_of, numbers_of

from earwitness.fragments.interface import Earliest, Fragment, MissingFragment
from earwitness.fragments.numbers import read_number
from earwitness.fragments.record import HEAD_BYTES

pytestmark = pytest.mark.anyio


async def _three_fragments(world: World, files: Path) -> tuple[list[str], Path, bytes]:
    """Their numbers, the segment file of the closed log, and what is in it."""
    numbers = [await world.append(await world.stream(), bytes([65 + number]) * 100) for number in range(3)]
    await world.close()
    for path in files.glob("*.index"):
        path.unlink()
    (path,) = files.glob("*.segment")
    return numbers, path, path.read_bytes()


@pytest.mark.slow
async def test_a_torn_end_is_cut_off_wherever_it_is_torn(world: World, files: Path) -> None:
    numbers, path, content = await _three_fragments(world, files)
    size = len(content) // 3
    for length in {0, 1, HEAD_BYTES - 1, HEAD_BYTES, size - 1, size, size + 1, 2 * size + HEAD_BYTES, len(content) - 1}:
        path.write_bytes(content[:length])
        for index in files.glob("*.index"):
            index.unlink()
        await world.open()
        stream = await world.stream()
        whole = length // size
        assert await numbers_of(stream) == numbers[:whole]
        assert not path.exists() if whole == 0 else path.stat().st_size == whole * size
        later = await world.append(stream)
        assert later > numbers[-1]
        assert await numbers_of(stream) == [*numbers[:whole], later]
        await world.log.delete_stream(identity("other"))
        await world.close()
        for segment in files.glob("*.segment"):
            segment.unlink()


async def test_noise_at_the_end_is_cut_off(world: World, files: Path) -> None:
    numbers, path, content = await _three_fragments(world, files)
    path.write_bytes(content + random.Random(0).randbytes(5_000))
    await world.open()
    assert await numbers_of(await world.stream()) == numbers
    assert path.read_bytes() == content


@pytest.mark.parametrize("offset", [0, 5, 9, HEAD_BYTES - 1], ids=["magic", "kind", "sequence", "check"])
async def test_a_damaged_head_costs_its_fragment(
    world: World, files: Path, offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    numbers, path, content = await _three_fragments(world, files)
    changed = bytearray(content)
    changed[len(content) // 3 + offset] ^= 0x40
    path.write_bytes(changed)
    await world.open()
    with caplog.at_level(logging.ERROR, logger="earwitness.fragments"):
        stream = await world.stream()
    assert "a damaged record is skipped" in caplog.text
    assert await numbers_of(stream) == [numbers[0], numbers[2]]
    assert [item async for item in stream.get([numbers[1]])] == [MissingFragment(number=numbers[1], damaged=True)]


async def test_a_damaged_body_costs_its_fragment(world: World, files: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers, path, content = await _three_fragments(world, files)
    changed = bytearray(content)
    changed[len(content) // 3 + HEAD_BYTES + 50] ^= 1
    path.write_bytes(changed)
    await world.open()
    stream = await world.stream()
    with caplog.at_level(logging.ERROR, logger="earwitness.fragments"):
        deliveries = await everything(stream)
        await everything(stream)
    assert [delivery.fragment.info.number for delivery in deliveries] == [numbers[0], numbers[2]]
    assert [delivery.gap for delivery in deliveries] == [False, True]
    assert caplog.text.count("a fragment is damaged") == 1
    assert [item async for item in stream.get([numbers[1]])] == [MissingFragment(number=numbers[1], damaged=True)]


async def test_damage_while_the_log_is_open_is_noticed(world: World, files: Path) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 2)
    (path,) = files.glob("*.segment")
    with path.open("r+b") as file:
        file.seek(0)
        file.write(bytes(HEAD_BYTES))
    delivery = await next_of(await stream.read(Earliest()))
    assert (delivery.fragment.info.number, delivery.gap) == (numbers[1], True)


@pytest.mark.slow
async def test_no_changed_bit_is_ever_served(world: World, files: Path) -> None:
    numbers, path, content = await _three_fragments(world, files)
    chosen = random.Random(1)
    for _ in range(60):
        changed = bytearray(content)
        changed[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        for index in files.glob("*.index"):
            index.unlink()
        await world.open()
        stream = await world.stream()
        found = [item async for item in stream.get(numbers)]
        media = [item.cluster for item in found if isinstance(item, Fragment)]
        assert len(media) == 2
        assert all(each in [bytes([letter]) * 100 for letter in b"ABC"] for each in media)
        await world.close()


async def test_a_stream_does_not_open_another_ones_file(world: World, folder: Path, files: Path) -> None:
    """Both under one key: it is the place that does not fit."""
    (number,) = await world.append_many(await world.stream(), 1)
    await world.close()
    shutil.copytree(files, folder / identity("b").digest)
    await world.open()
    other = await world.stream("b", key="a")
    assert [item async for item in other.get([number])] == [MissingFragment(number=number, damaged=True)]


async def test_a_record_that_was_copied_or_moved_within_its_stream_is_skipped(world: World, files: Path) -> None:
    numbers, path, content = await _three_fragments(world, files)
    size = len(content) // 3
    one, two, three = content[:size], content[size : 2 * size], content[2 * size :]
    path.write_bytes(one + three + two + one)
    await world.open()
    assert await numbers_of(await world.stream()) == [numbers[0], numbers[2]]


async def test_without_its_sequence_file_a_stream_jumps_ahead(
    world: World, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers, _, _ = await _three_fragments(world, files)
    highest = numbers[-1]
    for content in (None, b"", b"12", b"x\n"):
        (files / "sequence").unlink()
        if content is not None:
            (files / "sequence").write_bytes(content)
        await world.open()
        number = (await (await world.stream()).reserve()).number
        assert number > highest
        assert read_number(number).sequence > 10**12
        highest = number
        world.now += (world.now - world.now.replace(year=2025)) / 365
        await world.close()
    assert "numbers jump ahead" in caplog.text
