"""What is erased on purpose: a stretch of a stream, from the disk, for good, and nothing beside it."""

from pathlib import Path

import pytest
from fragments_examples import HOUR, SECOND, START, World, numbers_of

from earwitness.fragments.interface import MissingFragment, TimeAxis

pytestmark = pytest.mark.anyio


async def test_a_stretch_is_gone_from_readers_and_from_the_disk(world: World, tmp_path: Path) -> None:
    stream = await world.stream()
    numbers = [await world.append(stream, f"speech {number}".encode() * 40, lasting=SECOND) for number in range(6)]
    sealed = _bodies(tmp_path)
    listed = await stream.list(TimeAxis.SERVER, start=START, end=START + HOUR)
    times = [one.server_timestamp for one in listed]
    assert await stream.erase(start=times[1], end=times[3]) == 3
    assert await stream.erase(start=times[1], end=times[3]) == 0
    left = [numbers[0], *numbers[4:]]
    assert await numbers_of(stream) == left
    listed = await stream.list(TimeAxis.SERVER, start=START, end=START + HOUR)
    assert [one.number for one in listed] == left
    found = [item async for item in stream.get(numbers[2:3])]
    assert found == [MissingFragment(number=numbers[2], damaged=False)]
    assert len(sealed - _bodies(tmp_path)) == 3
    assert await world.append(stream, lasting=SECOND) not in numbers
    await world.reopen()
    again = await world.stream()
    assert (await numbers_of(again))[:3] == left
    assert len(await numbers_of(again)) == 4


async def test_what_has_expired_and_still_lies_there_is_erased_too(world: World, tmp_path: Path) -> None:
    stream = await world.stream()
    for number in range(4):
        await world.append(stream, f"speech {number}".encode() * 40, lasting=20 * 60 * SECOND)
    sealed = _bodies(tmp_path)
    await world.log.expire(world.now + 23 * HOUR)
    assert await stream.erase(start=START - HOUR, end=world.now + HOUR) == len(sealed & _bodies(tmp_path)) + len(
        sealed - _bodies(tmp_path)
    )
    assert sealed.isdisjoint(_bodies(tmp_path))


def _bodies(folder: Path) -> set[bytes]:
    """The sealed bodies of all records, told by what stands before them, that are not zeros."""
    found: set[bytes] = set()
    for file in folder.rglob("*.seg*"):
        for part in file.read_bytes().split(b"EWF1")[1:]:
            if part[52:].strip(b"\0"):
                found.add(part[52:])
    return found
