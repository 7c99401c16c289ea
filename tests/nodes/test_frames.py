"""What nodes send each other of a stream, in pieces of any size, whole or not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import Unavailable
from earwitness.fragments.interface import (
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    MissingFragment,
    Now,
    Position,
    ReadResult,
    TimeAxis,
)
from earwitness.nodes.frames import (
    Head,
    frame,
    got_frame,
    position_head,
    read_frames,
    read_got,
    read_position,
    read_result,
    result_frame,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fragment(cluster: bytes) -> Fragment:
    info = FragmentInfo(
        number="9" * 47,
        server_timestamp=NOON,
        producer_timestamp=NOON - timedelta(milliseconds=1),
        duration_ms=1_000,
        size_bytes=len(cluster),
    )
    return Fragment(info=info, header=b"header", cluster=cluster, tags=b"")


def read(data: bytes, size: int = 7) -> list[tuple[Head, list[bytes]]]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    async def all_of_them() -> list[tuple[Head, list[bytes]]]:
        return [one async for one in read_frames(pieces())]

    return asyncio.run(all_of_them())


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50))
def test_they_come_out_as_they_went_in(clusters: list[bytes], size: int) -> None:
    results = [ReadResult(fragment=fragment(one), millis_behind_now=5, gap=bool(one)) for one in clusters]
    data = b"".join(map(result_frame, results)) + frame({"kind": "end"})
    *fragments, end = read(data, size)
    assert [read_result(head, parts) for head, parts in fragments] == results
    assert end == ({"kind": "end"}, [])


def test_what_is_not_there_is_told() -> None:
    missing = MissingFragment(number="1", damaged=True)
    assert [read_got(*one) for one in read(got_frame(missing) + got_frame(fragment(b"c")))] == [missing, fragment(b"c")]


@pytest.mark.parametrize("position", [Now(), Earliest(), AfterFragment("9" * 47), AtTime(TimeAxis.PRODUCER, NOON)])
def test_positions_come_out_as_they_went_in(position: Position) -> None:
    assert read_position(position_head(position)) == position


@given(st.binary(min_size=1, max_size=200))
def test_what_is_no_frame_is_asked_for_again(data: bytes) -> None:
    with pytest.raises(Unavailable):
        read(b"\xff" + data)


@pytest.mark.parametrize("cut", [1, 3, 20, 100])
def test_what_is_cut_off_is_asked_for_again(cut: int) -> None:
    whole = got_frame(fragment(b"c" * 100))
    with pytest.raises(Unavailable, match="cut off"):
        read(whole[:-cut])


@pytest.mark.parametrize("parts", ["[-1]", "[1e99]", "null", "[99999999999]", '["a"]'])
def test_impossible_sizes_are_refused(parts: str) -> None:
    head = f'{{"kind": "fragment", "parts": {parts}}}'.encode()
    with pytest.raises(Unavailable):
        read(len(head).to_bytes(4, "big") + head)
