"""What is left of the last record when power went while it was being written: sectors that never came are zeros."""

import itertools
import random
from pathlib import Path

import pytest
from fragments_examples import World, everything

from earwitness.fragments.folder import Walk, walk
from earwitness.fragments.numbers import FragmentNumber
from earwitness.fragments.record import HEAD_BYTES, RecordHead, RecordKind

SECTOR = 512
SECOND_AT = SECTOR - 20
"""Where the second record begins, so that its head lies in two sectors."""

CHOSEN = random.Random(0)


def record(sequence: int, *, body: int) -> bytes:
    head = RecordHead(
        kind=RecordKind.FRAGMENT,
        number=FragmentNumber(sequence=sequence, server_ms=1_767_225_600_000, random=sequence),
        producer_ms=0,
        duration_ms=0,
        header_bytes=0,
        tags_bytes=0,
        body_bytes=body,
    )
    return head.pack() + CHOSEN.randbytes(body)


CONTENT = record(1, body=SECOND_AT - HEAD_BYTES) + record(2, body=1_010)
EDGES = [SECOND_AT, SECTOR, 2 * SECTOR, 3 * SECTOR, len(CONTENT)]
PARTS = list(itertools.pairwise(EDGES))


def zeroed(parts: tuple[tuple[int, int], ...]) -> bytes:
    content = bytearray(CONTENT)
    for first, last in parts:
        content[first:last] = bytes(last - first)
    return bytes(content)


def walked(folder: Path, content: bytes, *, before: int | None = None) -> Walk:
    path = folder / "1.segment"
    path.write_bytes(content)
    return walk(path, 1, after=0, before=before)


@pytest.mark.parametrize("count", range(1, len(PARTS) + 1))
def test_sectors_that_never_came_are_no_loss(tmp_path: Path, count: int) -> None:
    for parts in itertools.combinations(PARTS, count):
        found = walked(tmp_path, zeroed(parts))
        assert (list(found.segment.sequences), found.lost_after, found.end) == ([1], [], SECOND_AT), parts


def test_a_flipped_bit_in_the_last_head_is_one(tmp_path: Path) -> None:
    for offset in range(SECOND_AT, SECOND_AT + HEAD_BYTES):
        content = bytearray(CONTENT)
        content[offset] ^= 1 << CHOSEN.randrange(8)
        assert walked(tmp_path, bytes(content)).lost_after == [1], offset


def test_behind_it_more_was_acknowledged_so_it_was_too(tmp_path: Path) -> None:
    found = walked(tmp_path, zeroed(((SECOND_AT, SECTOR),)), before=3)
    assert found.lost_after == [1]
    assert list(walked(tmp_path, CONTENT, before=3).segment.sequences) == [1, 2]


def test_what_belongs_into_the_next_file_is_out_of_its_place(tmp_path: Path) -> None:
    assert list(walked(tmp_path, CONTENT, before=2).segment.sequences) == [1]


@pytest.mark.anyio
async def test_no_gap_is_told_and_the_stream_goes_on(world: World, files: Path) -> None:
    stream = await world.stream()
    numbers = [await world.append(stream, bytes([65 + number]) * 3_000) for number in range(2)]
    await world.close()
    (path,) = files.glob("*.segment")
    content = path.read_bytes()
    torn_from = len(content) // SECTOR * SECTOR - SECTOR
    path.write_bytes(content[:torn_from] + bytes(SECTOR) + content[torn_from + SECTOR :])
    path.with_suffix(".index").unlink()
    await world.open()
    stream = await world.stream()
    later = await world.append(stream)
    found = await everything(stream)
    assert [(each.fragment.info.number, each.gap) for each in found] == [(numbers[0], False), (later, False)]
    assert path.read_bytes() == content[: len(content) // 2]
