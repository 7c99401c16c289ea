"""GetMedia's chunks: the layout captured from AWS, byte by byte, and the way back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import streams

from earwitness.audio.matroska.events import MediaFault, StreamRefused
from earwitness.audio.matroska.get_media import (
    ConsumedFragment,
    GetMediaReader,
    ServiceFailed,
    get_media_chunk,
    get_media_error,
)
from earwitness.audio.matroska.tags import parse_tags, write_tags
from earwitness.audio.matroska.tracks import parse_header
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_ebml_header, write_header

NUMBER = "91343852333181506635436158730116519541953540999"
HEADER = write_header([pcm_track(rate=8000)])
CLUSTER = write_cluster(1000, [write_block(1, 0, bytes(320))])
PRODUCER_TAGS = write_tags({"CallId": "c"}, size_width=8) + write_tags({"TransactionId": "t"}, size_width=8)
SERVER = datetime(2024, 5, 6, 7, 8, 9, 120_999, tzinfo=UTC)
PRODUCER = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def chunk(
    *, header: bytes = HEADER, cluster: bytes = CLUSTER, tags: bytes = PRODUCER_TAGS, number: str = NUMBER
) -> bytes:
    return get_media_chunk(
        header,
        CLUSTER,
        producer_tags=tags,
        fragment_number=number,
        server_timestamp=SERVER,
        producer_timestamp=PRODUCER,
        millis_behind_now=42,
        continuation_token=number,
    )


def test_a_chunk_has_the_layout_of_aws() -> None:
    data = chunk()
    assert data.startswith(HEADER)
    before, after = data[len(HEADER) :].split(CLUSTER + PRODUCER_TAGS)
    assert parse_tags(before, 8).values == {
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER": NUMBER,
        "AWS_KINESISVIDEO_SERVER_TIMESTAMP": "1714979289.120",
        "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP": "1.000",
    }
    assert parse_tags(after, 8).values == {
        "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW": "42",
        "AWS_KINESISVIDEO_CONTINUATION_TOKEN": NUMBER,
    }


def test_tags_are_written_with_sizes_of_four_bytes() -> None:
    assert write_tags({"ab": "c"}) == bytes.fromhex(
        "1254c367 1000001b 7373 10000015 67c8 1000000f 45a3 10000002 6162 4487 10000001 63".replace(" ", "")
    )


def test_a_segment_of_known_size_goes_out_as_one_of_unknown_size() -> None:
    data = streams.corners()
    raw = data[: data.index(CLUSTER[:4])]
    begin = chunk(header=raw)
    assert begin.startswith(write_ebml_header() + bytes.fromhex("18538067 01ffffffffffffff"))
    assert raw[-100:] in begin
    [fragment] = GetMediaReader().feed(begin)
    assert isinstance(fragment, ConsumedFragment)
    assert fragment.header.tracks == parse_header(fragment.header.raw).tracks
    assert len(fragment.header.tracks) == 3


def test_a_fragment_comes_back_with_everything_said_of_it() -> None:
    reader = GetMediaReader()
    [fragment] = reader.feed(chunk())
    assert fragment == ConsumedFragment(
        header=parse_header(HEADER),
        cluster=CLUSTER,
        timecode_ms=1000,
        duration_ms=20,
        number=NUMBER,
        server_timestamp=SERVER - timedelta(microseconds=999),
        producer_timestamp=PRODUCER,
        tags={"CallId": "c", "TransactionId": "t"},
        millis_behind_now=42,
        continuation_token=NUMBER,
    )
    assert reader.close() == []


def test_a_fragment_without_its_last_tags_is_told_when_something_else_begins() -> None:
    data = chunk(tags=b"")
    cut = data.index(CLUSTER) + len(CLUSTER)
    reader = GetMediaReader()
    assert reader.feed(data[:cut]) == []
    assert reader.buffered_bytes == len(CLUSTER)
    [fragment] = reader.feed(chunk(number="8")[: cut - 1])
    assert isinstance(fragment, ConsumedFragment)
    assert (fragment.number, fragment.millis_behind_now, fragment.continuation_token) == (NUMBER, None, None)
    reader = GetMediaReader()
    reader.feed(data[:cut])
    assert [type(event) for event in reader.close()] == [ConsumedFragment]


def test_the_names_of_the_archive_are_written_as_well() -> None:
    archived = get_media_chunk(
        HEADER,
        CLUSTER,
        producer_tags=b"",
        fragment_number=NUMBER,
        server_timestamp=SERVER,
        producer_timestamp=PRODUCER,
        millis_behind_now=0,
        continuation_token=NUMBER,
        archived=True,
    )
    assert b"AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP" in archived
    assert b"AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP" in archived
    assert [type(event) for event in GetMediaReader().feed(archived)] == [ConsumedFragment]


def test_an_error_of_the_service_is_told() -> None:
    error = get_media_error(HEADER, fragment_number="7", error_id=5000, error_code="INTERNAL_ERROR", message="sorry")
    events = GetMediaReader().feed(chunk() + error)
    assert [type(event) for event in events] == [ConsumedFragment, ServiceFailed]
    assert events[1] == ServiceFailed(error_id=5000, error_code="INTERNAL_ERROR", fragment_number="7")
    archive = write_tags({"AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE": "3002", "AWS_KINESISVIDEO_EXCEPTION_MESSAGE": "x"})
    assert GetMediaReader().feed(HEADER + archive) == [
        ServiceFailed(error_id=3002, error_code="3002", fragment_number=None)
    ]


def test_no_more_tags_are_kept_than_a_fragment_may_have() -> None:
    tags = b"".join(write_tags({f"name {index}": ""}) for index in range(30))
    [fragment] = GetMediaReader().feed(chunk(tags=tags))
    assert isinstance(fragment, ConsumedFragment)
    assert list(fragment.tags) == [f"name {index}" for index in range(10)]


@pytest.mark.parametrize("timestamp", ["", "soon", "nan", "inf", "1e300"])
def test_a_stream_that_is_not_get_medias_is_refused(timestamp: str) -> None:
    tags = write_tags({"AWS_KINESISVIDEO_FRAGMENT_NUMBER": "1", "AWS_KINESISVIDEO_SERVER_TIMESTAMP": timestamp})
    for data in (HEADER + CLUSTER, HEADER + tags + CLUSTER):
        reader = GetMediaReader()
        [refused] = [*reader.feed(data), *reader.close()]
        assert isinstance(refused, StreamRefused)
        assert refused.fault is MediaFault.INVALID_MKV_DATA


@settings(max_examples=100, deadline=None)
@given(error=st.booleans(), cuts=st.lists(st.integers(0, 3000), max_size=20))
def test_chunks_of_any_size_give_the_same_fragments(error: bool, cuts: list[int]) -> None:
    data = streams.get_media(error=error)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole, parts = GetMediaReader(), GetMediaReader()
    expected = [*whole.feed(data), *whole.close()]
    assert [event for low, high in pairwise(edges) for event in parts.feed(data[low:high])] + parts.close() == expected
    assert [type(event) for event in expected] == [ConsumedFragment] * 3 + [ServiceFailed] * error
