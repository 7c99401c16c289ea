"""Whatever arrives: events or a documented fault, memory within bounds, and an end."""

import random
import tracemalloc
from pathlib import Path

import pytest
from tests.fuzz import streams
from tests.fuzz.judge import judge
from tests.fuzz.run import run

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import write_element, write_id, write_integer, write_unknown_size, write_unsigned
from earwitness.audio.matroska.events import FragmentReceived, MatroskaEvent, MediaFault, StreamRefused
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.writer import (
    pcm_track,
    write_block,
    write_cluster,
    write_ebml_header,
    write_header,
    write_segment_begin,
)
from earwitness.errors import MatroskaInvalid

FINDINGS = sorted((Path(__file__).parent / "findings").glob("*.mkv"))
CASES = 50_000
HEADER = write_header([pcm_track(rate=8000)])
BEGIN = write_ebml_header() + write_segment_begin()
OPEN_CLUSTER = write_id(ids.CLUSTER) + write_unknown_size(width=8) + write_unsigned(ids.TIMESTAMP, 0)


def read(data: bytes) -> list[MatroskaEvent]:
    reader = PutMediaReader()
    return [*reader.feed(data), *reader.close()]


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    for seed in range(20):
        assert judge(path.read_bytes(), random.Random(seed)) is None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_mutated_streams_keep_every_promise(part: int) -> None:
    results = run(seed=2024, first=part * CASES // 4, cases=CASES // 4)
    assert [(finding.case, finding.says) for finding in results if finding is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(streams.seeds()))
def test_a_stream_cut_anywhere_keeps_every_promise(name: str) -> None:
    data = streams.seeds()[name]
    for length in range(len(data)):
        assert judge(data[:length], random.Random(length)) is None, length


@pytest.mark.slow
def test_every_single_bit_flipped_keeps_every_promise() -> None:
    data = streams.g711()
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            assert judge(flipped, random.Random(at)) is None, (at, bit)


ENDLESS = {
    "voids outside": (b"", write_element(ids.VOID, bytes(1000))),
    "voids": (BEGIN, write_element(ids.VOID, bytes(1000))),
    "tags": (BEGIN, write_tags({"a": "b" * 1000})),
    "attachments": (BEGIN, write_element(ids.ATTACHMENTS, bytes(60_000))),
    "empty voids": (BEGIN, b"\xec\x80" * 500),
    "empty voids in a cluster": (HEADER + OPEN_CLUSTER, b"\xec\x80" * 500),
    "empty frames": (HEADER + OPEN_CLUSTER, write_block(1, 0, b"") * 100),
    "zeros": (b"", b"\x00" * 1000),
    "ones": (b"", b"\xff" * 1000),
    "EBML headers": (b"", write_ebml_header()),
    "segments": (BEGIN, write_segment_begin()),
}


@pytest.mark.parametrize(("begin", "repeat"), ENDLESS.values(), ids=ENDLESS.keys())
def test_a_stream_without_end_is_refused_while_it_is_small(begin: bytes, repeat: bytes) -> None:
    reader = PutMediaReader()
    events, fed = reader.feed(begin), len(begin)
    while not any(isinstance(event, StreamRefused) for event in events):
        events, fed = reader.feed(repeat), fed + len(repeat)
        assert fed < 2_000_000
        assert reader.buffered_bytes <= fed
    assert isinstance(events[-1], StreamRefused)
    assert events[-1].fault is MediaFault.INVALID_MKV_DATA


def test_a_frame_of_a_gigabyte_is_announced_and_costs_nothing() -> None:
    reader = PutMediaReader()
    reader.feed(HEADER + OPEN_CLUSTER)
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        [refused] = reader.feed(write_id(ids.SIMPLE_BLOCK) + write_integer(1 << 30))
        for _ in range(100):
            assert reader.feed(piece) == []
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert isinstance(refused, StreamRefused)
    assert refused.fault is MediaFault.MAX_FRAGMENT_SIZE_REACHED


def test_after_a_refused_fragment_of_100_mb_the_next_one_is_read() -> None:
    huge, reader = 100 << 20, PutMediaReader()
    head = write_element(ids.TIMESTAMP, b"\0")
    events = reader.feed(HEADER + write_id(ids.CLUSTER) + write_integer(huge) + head)
    events += reader.feed(bytes((1 << 20) - len(head)))
    for _ in range((huge >> 20) - 1):
        events += reader.feed(bytes(1 << 20))
    events += reader.feed(write_cluster(1000, [write_block(1, 0, b"ab")]))
    assert [type(event).__name__ for event in events[1:]] == ["StreamRefused", "FragmentStarted", "FragmentReceived"]


@pytest.mark.parametrize("size", [(1 << 30) + 1, (1 << 56) - 2])
def test_absurd_sizes_are_not_waited_out(size: int) -> None:
    for element_id in (ids.CLUSTER, ids.CUES, ids.TAGS, ids.VOID):
        data = HEADER + write_cluster(0, [write_block(1, 0, b"")]) + write_id(element_id) + write_integer(size, width=8)
        last = PutMediaReader().feed(data)[-1]
        assert isinstance(last, StreamRefused), element_id
        assert last.fault is MediaFault.INVALID_MKV_DATA


def test_deep_nesting_is_walked_flat() -> None:
    nested = b""
    for _ in range(5_000):
        nested = write_element(ids.SIMPLE_TAG, nested, size_width=4)
    for element in (ids.TAGS, ids.CHAPTERS, ids.INFO):
        read(BEGIN + write_element(element, nested) + HEADER)
    group = b""
    for _ in range(5_000):
        group = write_element(ids.BLOCK_GROUP, group, size_width=4)
    [*_, refused] = read(HEADER + write_cluster(0, [group]))
    assert isinstance(refused, StreamRefused)


@pytest.mark.slow
def test_many_small_frames_cost_no_more_memory_than_their_bytes() -> None:
    blocks = [write_block(1, 0, b"") for _ in range(90_000)]
    data = HEADER + write_cluster(0, blocks)
    reader = PutMediaReader()
    tracemalloc.start()
    try:
        events = reader.feed(data)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data)
    finally:
        tracemalloc.stop()
    assert isinstance(events[-1], FragmentReceived)


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x43", HEADER, b"\x1f\x43\xb6\x75\x84\xa3\x82ab", b"\x1f\x43\xb6\x75\x84\xe7\x81"]
)
def test_bytes_that_are_no_cluster_are_refused_by_the_frames(data: bytes) -> None:
    with pytest.raises(MatroskaInvalid):
        list(read_frames(data))
