"""What a producer sends, to events: when each is told, what belongs to what, and which fault each broken rule is."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import streams

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import write_element, write_float, write_id, write_integer, write_unsigned
from earwitness.audio.matroska.events import (
    FragmentReceived,
    FragmentStarted,
    HeaderReceived,
    MatroskaEvent,
    MediaFault,
    StreamRefused,
    TagsReceived,
)
from earwitness.audio.matroska.frames import Frame, read_frames
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.reader import BUFFERED_BYTES_MAX, FRAGMENT_BYTES_MAX, MatroskaReader
from earwitness.audio.matroska.tags import END_OF_FRAGMENT, write_tags
from earwitness.audio.matroska.tracks import TRACKS_MAX, Track, parse_header
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header

MONO = pcm_track(rate=8000)
HEADER = write_header([MONO])


def read(data: bytes) -> list[MatroskaEvent]:
    reader = PutMediaReader()
    return [*reader.feed(data), *reader.close()]


def names(events: list[MatroskaEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def cluster(ticks: int, *, at: int = 0, size_known: bool = True, track: int = 1, length: int = 160) -> bytes:
    return write_cluster(ticks, [write_block(track, at, bytes(length))], size_known=size_known)


def faults(data: bytes) -> list[tuple[MediaFault, int | None]]:
    return [(event.fault, event.timecode_ms) for event in read(data) if isinstance(event, StreamRefused)]


# Producers.


def test_the_c_producer_is_understood() -> None:
    events = read(streams.c_producer(fragments=2))
    assert names(events) == [
        "HeaderReceived",
        *["FragmentStarted", "FragmentReceived", "TagsReceived"] * 2,
        "TagsReceived",
    ]
    header, fragments = events[0], [event for event in events if isinstance(event, FragmentReceived)]
    assert isinstance(header, HeaderReceived)
    assert header.header.tracks[0].name == "kvs_audio_track"
    assert [(each.timecode_ms, each.duration_ms) for each in fragments] == [(0, 42), (1000, 42)]
    tags = [event.tags.values for event in events if isinstance(event, TagsReceived)]
    assert tags == [
        {"CallId": "call-0", "TransactionId": "t"},
        {"CallId": "call-1", "TransactionId": "t"},
        {END_OF_FRAGMENT: ""},
    ]


def test_libavformats_pipe_is_understood() -> None:
    data = streams.libavformat(fragments=2)
    events = read(data)
    assert names(events) == ["HeaderReceived", *["FragmentStarted", "FragmentReceived"] * 2]
    header = events[0]
    assert isinstance(header, HeaderReceived)
    assert header.header.raw == data[: data.index(write_id(ids.CLUSTER))]
    assert header.header.tracks == (pcm_track(rate=16000, channels=2),)


def test_every_corner_of_matroska_is_understood() -> None:
    events = read(streams.corners())
    assert names(events) == ["HeaderReceived", *["FragmentStarted", "FragmentReceived", "TagsReceived"] * 2]
    second = events[4]
    assert isinstance(second, FragmentStarted | FragmentReceived)
    assert second.timecode_ms == 1000  # 10,000 ticks of a tenth of a millisecond
    first = next(event for event in events if isinstance(event, FragmentReceived))
    frames = list(read_frames(first.cluster))
    assert [(frame.track_number, frame.ticks, len(frame.data)) for frame in frames] == [
        *[(1, 0, 300), (1, 0, 5), (1, 0, 7)],
        *[(2, 5, 9), (2, 5, 3), (2, 5, 11)],
        *[(200, 9, 4), (200, 9, 4)],
        (1, 400, 0),
    ]
    assert bytes(frames[5].data) == streams.frame(11)
    assert first.duration_ms == 40  # the last frame at 40 ms is empty; a group of 40 ticks began at 0.5 ms


def test_the_pieces_are_verbatim() -> None:
    data = streams.c_producer()
    whole = b""
    for event in read(data):
        match event:
            case HeaderReceived(header=header):
                whole += header.raw
            case FragmentReceived(cluster=piece):
                whole += piece
            case TagsReceived(tags=tags):
                whole += tags.raw
            case _:
                continue
    assert whole == data


# When things are told.


def test_a_fragment_of_known_size_is_told_at_its_last_byte() -> None:
    reader, data = PutMediaReader(), HEADER + cluster(500)
    assert names(reader.feed(data[:-1])) == ["HeaderReceived", "FragmentStarted"]
    assert names(reader.feed(data[-1:])) == ["FragmentReceived"]
    assert reader.buffered_bytes == 0


def test_a_fragment_of_unknown_size_is_told_when_something_else_begins() -> None:
    follower = {"cluster": cluster(2000)[:5], "tags": write_tags({END_OF_FRAGMENT: ""})[:5]}
    for begin in follower.values():
        reader = PutMediaReader()
        assert names(reader.feed(HEADER + cluster(500, size_known=False))) == ["HeaderReceived", "FragmentStarted"]
        assert names(reader.feed(begin[:-1])) == []
        assert names(reader.feed(begin + b"\x80")[:1]) == ["FragmentReceived"]


def test_the_end_of_the_body_ends_a_fragment_of_unknown_size() -> None:
    reader = PutMediaReader()
    reader.feed(HEADER + cluster(500, size_known=False))
    assert names(reader.close()) == ["FragmentReceived"]
    assert reader.feed(cluster(600)) == []


def test_a_fragment_is_started_with_its_timestamp() -> None:
    reader, data = PutMediaReader(), HEADER + cluster(500)
    begin = len(HEADER) + len(write_id(ids.CLUSTER)) + 2
    assert names(reader.feed(data[: begin + 3])) == ["HeaderReceived"]
    assert reader.feed(data[begin + 3 : begin + 4]) == [FragmentStarted(timecode_ms=500)]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(stream=st.sampled_from(sorted(streams.seeds())), cuts=st.lists(st.integers(0, 3000), max_size=30))
def test_chunks_of_any_size_give_the_same_events(stream: str, cuts: list[int]) -> None:
    data = streams.seeds()[stream]
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for make in (PutMediaReader, MatroskaReader):
        whole, parts = make(), make()
        expected = [*whole.feed(data), *whole.close()]
        assert [event for low, high in pairwise(edges) for event in parts.feed(data[low:high])] + parts.close() == (
            expected
        )


frames_of_a_fragment = st.lists(st.tuples(st.integers(0, 999), st.binary(max_size=50)), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    fragments=st.lists(frames_of_a_fragment, min_size=1, max_size=4),
    sizes_known=st.lists(st.booleans(), min_size=4, max_size=4),
    chunk=st.integers(1, 200),
    begin=st.integers(0, 1 << 41),
)
def test_what_is_written_is_read(
    fragments: list[list[tuple[int, bytes]]], sizes_known: list[bool], chunk: int, begin: int
) -> None:
    written = [
        write_cluster(
            begin + 1000 * index,
            [write_block(1, ticks, data) for ticks, data in sorted(frames)],
            size_known=sizes_known[index],
        )
        for index, frames in enumerate(fragments)
    ]
    data, reader = HEADER + b"".join(written), PutMediaReader()
    events = [event for first in range(0, len(data), chunk) for event in reader.feed(data[first : first + chunk])]
    events += reader.close()
    received = [event for event in events if isinstance(event, FragmentReceived)]
    assert [event.cluster for event in received] == written
    assert [event.timecode_ms for event in received] == [begin + 1000 * index for index in range(len(fragments))]
    for event, frames in zip(received, fragments, strict=True):
        expected = [Frame(1, event.timecode_ms + ticks, memoryview(each)) for ticks, each in sorted(frames)]
        assert list(read_frames(event.cluster)) == expected


# Durations.


def duration(track: Track, *blocks: bytes) -> int:
    events = read(write_header([track]) + write_cluster(1000, blocks))
    return next(event.duration_ms for event in events if isinstance(event, FragmentReceived))


def test_the_last_frame_counts_in_a_fragments_duration() -> None:
    unknown = Track(number=1, type=2, codec_id="A_NEW", default_duration_ns=None)
    frames = [write_block(1, 0, bytes(320)), write_block(1, 20, bytes(160))]
    assert duration(MONO, *frames) == 30  # 160 bytes are 10 ms
    assert duration(streams.acm_track(6), *frames) == 40  # of A-law 20
    assert duration(unknown, *frames) == 40  # the frame before took 20
    assert duration(Track(number=1, type=2, codec_id="A_NEW", default_duration_ns=25_000_000), *frames) == 45
    laced = streams.laced_block(streams.FIXED, [b"a", b"b", b"c"])
    assert duration(Track(number=1, type=2, codec_id="A_NEW", default_duration_ns=25_000_000), laced) == 75
    assert duration(unknown, write_block(1, 0, b"x")) == 0
    assert duration(unknown, write_block(1, 5, b"x"), write_block(1, -5, b"x")) == 10


# Faults.

HALF = b"".join(write_block(1, ticks, b"") for ticks in (0, 19_999))


@pytest.mark.parametrize(
    ("data", "expected", "timecode_ms"),
    [
        (cluster(500, track=2), MediaFault.TRACK_NUMBER_MISMATCH, 500),
        (write_cluster(500, []), MediaFault.FRAMES_MISSING_FOR_TRACK, 500),
        (cluster(500, at=20_001), None, 500),
        (
            write_cluster(500, [write_block(1, 0, b""), write_block(1, 20_001, b"")]),
            MediaFault.MAX_FRAGMENT_DURATION_REACHED,
            500,
        ),
        (write_cluster(500, [HALF, write_block(1, 19_999, bytes(32))]), MediaFault.MAX_FRAGMENT_DURATION_REACHED, 500),
        (
            write_id(ids.CLUSTER) + write_integer(FRAGMENT_BYTES_MAX) + write_unsigned(ids.TIMESTAMP, 500),
            MediaFault.MAX_FRAGMENT_SIZE_REACHED,
            500,
        ),
        (cluster(900) + cluster(899), MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS, 899),
        (cluster(900) + cluster(899, at=10), MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS, 899),
        (cluster(900, at=7) + cluster(901, at=6), MediaFault.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS, 901),
        (cluster(500) + write_tags({f"name {n}": "" for n in range(11)}), _limit := MediaFault(4009), 500),
        (cluster(500) + write_tags({"n" * 129: ""}), _limit, 500),
        (cluster(500) + write_tags({"n": "v" * 257}), _limit, 500),
        (cluster(500) + write_tags({"n": "v" * 70_000}), _limit, 500),
        (cluster(500) + write_tags({"AWS_MINE": ""}), MediaFault.INVALID_FRAGMENT_METADATA, 500),
        (cluster(500) + write_tags({"": ""}), MediaFault.INVALID_FRAGMENT_METADATA, 500),
        (cluster(253_402_300_800_000), MediaFault.INVALID_PRODUCER_TIMESTAMP, None),
        (write_tags({"AWS_MINE": ""}) + cluster(500), MediaFault.INVALID_MKV_DATA, None),
        (cluster(500) + HEADER, MediaFault.INVALID_MKV_DATA, 500),
        (cluster(500) + write_element(ids.TRACKS, b""), MediaFault.INVALID_MKV_DATA, 500),
        (write_element(ids.CLUSTER, write_block(1, 0, b"")), MediaFault.INVALID_MKV_DATA, None),
        (write_cluster(500, [write_block(1, 0, b""), write_tags({"a": "b"})]), MediaFault.INVALID_MKV_DATA, 500),
        (write_cluster(500, [write_unsigned(ids.TIMESTAMP, 500)]), MediaFault.INVALID_MKV_DATA, 500),
        (write_cluster(500, [write_element(ids.BLOCK_GROUP, b"")]), MediaFault.INVALID_MKV_DATA, 500),
        (write_element(ids.CLUSTER, write_element(ids.TIMESTAMP, bytes(9))), MediaFault.INVALID_MKV_DATA, None),
    ],
)
def test_a_broken_rule_is_the_fault_that_aws_names(
    data: bytes, expected: MediaFault | None, timecode_ms: int | None
) -> None:
    assert faults(HEADER + data)[:1] == ([] if expected is None else [(expected, timecode_ms)])


def test_four_tracks_are_too_many_and_ten_thousand_are_not_parsed() -> None:
    tracks = [pcm_track(number=number, rate=8000) for number in range(1, 5)]
    assert faults(write_header(tracks) + cluster(0)) == [(MediaFault.MORE_THAN_ALLOWED_TRACKS_FOUND, None)]
    small = b"".join(write_element(ids.TRACK_ENTRY, write_unsigned(ids.TRACK_NUMBER, n + 1)) for n in range(9_000))
    many = HEADER[: HEADER.index(write_id(ids.TRACKS))] + write_element(ids.TRACKS, small)
    assert len(parse_header(many).tracks) == TRACKS_MAX + 1
    assert faults(many + cluster(0)) == [(MediaFault.MORE_THAN_ALLOWED_TRACKS_FOUND, None)]


@pytest.mark.parametrize("size_known", [True, False])
def test_a_refused_fragment_takes_its_tags_with_it_and_the_next_one_is_good(size_known: bool) -> None:
    tags = write_tags({"CallId": "x"})
    refused = cluster(500, track=2, size_known=size_known)
    events = read(HEADER + refused + tags + cluster(1000, size_known=size_known) + tags)
    assert names(events) == [
        "HeaderReceived",
        "FragmentStarted",
        "StreamRefused",
        "FragmentStarted",
        "FragmentReceived",
        "TagsReceived",
    ]


def test_a_timestamp_refused_once_does_not_count_for_the_next() -> None:
    assert names(read(HEADER + cluster(900_000, track=2) + cluster(1000)))[-1] == "FragmentReceived"


def test_a_fault_is_told_before_the_rest_of_its_fragment_comes() -> None:
    long = write_cluster(0, [write_block(1, 0, b""), write_block(1, 20_001, b"")], size_known=False)
    assert names(PutMediaReader().feed(HEADER + long))[-1] == "StreamRefused"
    tags = write_id(ids.TAGS) + write_integer(1 << 20)
    reader = PutMediaReader()
    assert names(reader.feed(HEADER + cluster(0) + tags))[-1] == "StreamRefused"
    reader.feed(bytes(1000))
    assert reader.buffered_bytes == 0
    assert names(reader.close()) == ["StreamRefused"]  # the body ends within the tags that are passed over


def test_ten_tags_may_come_in_two_elements_and_eleven_may_not() -> None:
    five, six = ({f"{count} {n}": "" for n in range(count)} for count in (5, 6))
    assert faults(HEADER + cluster(0) + write_tags(five) + write_tags({END_OF_FRAGMENT: ""}) + write_tags(five)) == []
    assert faults(HEADER + cluster(0) + write_tags(five) + write_tags(six)) == [(MediaFault(4009), 0)]


def test_nothing_follows_the_fault_that_ends_the_session() -> None:
    reader = PutMediaReader()
    assert names(reader.feed(b"GET / HTTP/1.1\r\n\r\n")) == ["StreamRefused"]
    assert reader.feed(HEADER + cluster(0)) == []
    assert reader.close() == []
    assert reader.buffered_bytes == 0


def test_what_each_fault_ends() -> None:
    of_one_fragment = {fault.error_id for fault in MediaFault if not fault.ends_session}
    assert of_one_fragment == {4001, 4002, 4009, 4010, 4011, 4012}
    assert MediaFault.INVALID_MKV_DATA.error_code == "INVALID_MKV_DATA"
    assert all(fault.description for fault in MediaFault)


@pytest.mark.parametrize("size_known", [True, False])
def test_a_cut_body_gives_its_whole_frames_only_where_the_size_is_unknown(size_known: bool) -> None:
    body = HEADER + write_cluster(0, [write_block(1, 0, b"ab"), write_block(1, 1, b"cd")], size_known=size_known)
    events = read(body[:-1])
    frames = [bytes(f.data) for e in events if isinstance(e, FragmentReceived) for f in read_frames(e.cluster)]
    assert frames == ([] if size_known else [b"ab"])
    assert isinstance(events[-1], StreamRefused)
    assert events[-1].fault is MediaFault.INVALID_MKV_DATA


def test_a_body_that_ends_between_elements_is_no_fault() -> None:
    assert read(b"") == []
    assert read(HEADER) == []
    assert faults(HEADER + cluster(0) + write_tags({"a": "b"})) == []


@pytest.mark.slow
@pytest.mark.parametrize("grow", ["blocks", "one block"])
def test_a_fragment_of_unknown_size_stops_being_kept_at_50_mb(grow: str) -> None:
    reader, held = PutMediaReader(), 0
    data = HEADER + write_cluster(7, [], size_known=False)
    mebibyte = write_block(1, 0, bytes(1 << 20))
    if grow == "one block":
        data += write_id(ids.SIMPLE_BLOCK) + write_integer(1 << 30)
    events = reader.feed(data)
    for _ in range(60):
        events += reader.feed(mebibyte if grow == "blocks" else bytes(1 << 20))
        held = max(held, reader.buffered_bytes)
    assert names(events) == ["HeaderReceived", "FragmentStarted", "StreamRefused"]
    assert isinstance(events[-1], StreamRefused)
    assert events[-1].fault is MediaFault.MAX_FRAGMENT_SIZE_REACHED
    assert held <= (BUFFERED_BYTES_MAX if grow == "blocks" else 100_000)
    assert reader.buffered_bytes < 100_000


def test_a_frequency_that_is_no_number_is_refused() -> None:
    good, bad = write_float(ids.SAMPLING_FREQUENCY, 8000.0), write_float(ids.SAMPLING_FREQUENCY, float("nan"))
    assert faults(HEADER.replace(good, bad) + cluster(0)) == [(MediaFault.INVALID_MKV_DATA, None)]


_SCALE = write_unsigned(ids.TIMESTAMP_SCALE, 1_000_000)
_NUMBER = write_unsigned(ids.TRACK_NUMBER, 1)
_TRACKS = HEADER[HEADER.index(write_id(ids.TRACKS)) :]

BROKEN_HEADERS: list[Callable[[bytes], bytes]] = [
    lambda header: header.replace(_SCALE, write_unsigned(ids.TIMESTAMP_SCALE, 0, width=3)),
    lambda header: header.replace(_NUMBER, write_unsigned(ids.TRACK_NUMBER, 0)),
    lambda header: header.replace(_TRACKS, write_element(ids.TRACKS, _TRACKS[5:] * 2)),
    lambda header: header + _TRACKS,
    lambda header: header.removesuffix(_TRACKS),
    lambda header: header.replace(b"matroska", b"mp4 mp4 "),
    lambda header: header.replace(write_unsigned(ids.EBML_READ_VERSION, 1), write_unsigned(ids.EBML_READ_VERSION, 2)),
    lambda header: header[4:],
]


@pytest.mark.parametrize("change", BROKEN_HEADERS)
def test_broken_headers_and_other_documents_are_refused(change: Callable[[bytes], bytes]) -> None:
    assert faults(change(HEADER) + cluster(0))[0][0] is MediaFault.INVALID_MKV_DATA
