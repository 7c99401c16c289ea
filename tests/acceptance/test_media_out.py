"""GetMedia and the archive's operations as consumers use them: stock boto3, cuts at EBML headers, and libavformat."""

import contextlib
import io
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from botocore.exceptions import ClientError
from media_client import (
    HEADER,
    RATE,
    Producer,
    client,
    cluster,
    fragments,
    new_stream,
    payload,
    put,
    read_some,
    tone,
)
from serving import Served, kill, start, stop

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader, ServiceFailed
from patience import PATIENCE_SECONDS

NOW_MS = 1_790_000_000_000
EBML = b"\x1a\x45\xdf\xa3"
PIECES = [tone(1.0, seed=index) for index in range(5)]


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture(scope="module")
def stream(served: Served) -> str:
    """A stream of five fragments of a second, whose producer has left."""
    name = new_stream(served.url)
    put(served.url, name, HEADER + b"".join(cluster(NOW_MS + 1_000 * n, piece) for n, piece in enumerate(PIECES)))
    return name


def samples_of(matroska: bytes) -> bytes:
    """The samples in a Matroska stream, as libavformat reads them."""
    with av.open(io.BytesIO(matroska), "r", format="matroska") as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0) if packet.size)


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp((NOW_MS + milliseconds) / 1_000, UTC)


def seconds_of(found: list[ConsumedFragment]) -> list[int]:
    return [(fragment.timecode_ms - NOW_MS) // 1_000 for fragment in found]


def test_what_a_chunk_says(url: str, stream: str) -> None:
    before = datetime.now(UTC)
    found = fragments(url, stream, at_most=5)
    assert [samples_of(HEADER + fragment.cluster) for fragment in found] == PIECES
    for fragment in found:
        assert fragment.header.raw == HEADER
        assert fragment.continuation_token == fragment.number
        assert fragment.producer_timestamp == at(fragment.timecode_ms - NOW_MS)
        assert before - timedelta(minutes=1) < fragment.server_timestamp < before
    behind = [fragment.millis_behind_now or 0 for fragment in found]
    assert behind == sorted(behind, reverse=True)
    assert behind[-1] == 0


@pytest.mark.slow
def test_it_ends_by_itself_and_everybody_can_read_it(url: str, stream: str) -> None:
    started = time.monotonic()
    answer = client(url, "kinesis-video-media").get_media(
        StreamName=stream, StartSelector={"StartSelectorType": "EARLIEST"}
    )
    assert answer["ContentType"] == "video/webm"
    media = answer["Payload"].read()
    assert time.monotonic() - started > 2.5  # it waited for more
    cuts = [found.start() for found in re.finditer(re.escape(EBML), media)] + [len(media)]
    chunks = [media[first:last] for first, last in pairwise(cuts)]
    assert [samples_of(chunk) for chunk in chunks] == PIECES
    assert samples_of(media) == b"".join(PIECES)
    numbers = [re.findall(rb"FRAGMENT_NUMBER\x44\x87\x10\x00\x00\x2f(\d{47})", chunk) for chunk in chunks]
    assert all(len(found) == 1 for found in numbers)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"StartSelectorType": "EARLIEST"}, 0),
        ({"StartSelectorType": "NOW"}, 4),
        ({"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "{1}"}, 2),
        ({"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "{2}"}, 3),
        ({"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": at(3_000)}, 3),
        ({"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": at(3_999)}, 3),
        ({"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": at(-60_000)}, 0),
        ({"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": at(-600_000_000)}, 0),
    ],
)
def test_where_it_begins(url: str, stream: str, selector: dict[str, Any], expected: int) -> None:
    numbers = [fragment.number for fragment in fragments(url, stream, at_most=5)]
    filled = {k: v.format(*numbers) if isinstance(v, str) else v for k, v in selector.items()}
    assert seconds_of(fragments(url, stream, at_most=1, **filled)) == [expected]


def test_a_server_timestamp_leads_to_its_fragment(url: str, stream: str) -> None:
    third = fragments(url, stream, at_most=3)[2]
    selector = {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": third.server_timestamp}
    found = fragments(url, stream, at_most=1, **selector)
    assert found[0].server_timestamp <= third.server_timestamp < found[0].server_timestamp + timedelta(seconds=1)


@pytest.mark.parametrize(
    "selector",
    [
        {"StartSelectorType": "FRAGMENT_NUMBER"},
        {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "nonsense"},
        {"StartSelectorType": "CONTINUATION_TOKEN"},
        {"StartSelectorType": "SERVER_TIMESTAMP"},
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "9" * 128},
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "1"},
    ],
)
def test_a_position_that_is_none(url: str, stream: str, selector: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        payload(url, stream, **selector)
    assert refused.value.response["Error"]["Code"] == "InvalidArgumentException"


@pytest.mark.parametrize("hours", [0, 1])
def test_a_live_tail(url: str, hours: int) -> None:
    name = new_stream(url, hours=hours)
    with Producer(url, name) as producer:
        producer.opened().send(HEADER)
        reader, body = GetMediaReader(), payload(url, name, StartSelectorType="NOW")
        for index, piece in enumerate(PIECES):
            producer.send(cluster(NOW_MS + 1_000 * index, piece))
            found: list[Any] = []
            while not found:
                found = reader.feed(read_some(body))
            assert samples_of(HEADER + found[0].cluster) == piece
            assert found[0].millis_behind_now == 0
        body.close()


def test_the_reader_over_the_limit_is_refused(url: str, stream: str) -> None:
    held = [payload(url, stream, StartSelectorType="NOW") for _ in range(20)]
    with pytest.raises(ClientError) as refused:
        payload(url, stream)
    assert refused.value.response["Error"]["Code"] == "ConnectionLimitExceededException"
    for body in held:
        body.close()


def test_libavformat_to_put_media_and_back(url: str) -> None:
    name, samples = new_stream(url), tone(7.3, seed=9)
    pipe = io.BytesIO()
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(pipe, "w", format="matroska", options={"live": "1", "cluster_time_limit": "1000"}) as container:
        track = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for first in range(0, len(samples) // 2, 800):
            part = np.frombuffer(samples, "<i2")[None, first : first + 800]
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout="mono")
            piece.rate, piece.pts = RATE, first
            container.mux(track.encode(piece))
        container.mux(track.encode(None))
    acks = put(url, name, pipe.getvalue(), timecodes="RELATIVE")
    kept = sum(ack["EventType"] == "PERSISTED" for ack in acks)
    assert kept >= 7
    found = fragments(url, name, at_most=kept)
    assert b"".join(samples_of(fragment.header.raw + fragment.cluster) for fragment in found) == samples


def test_lists_in_pages_with_the_token_alone(url: str, stream: str) -> None:
    archive = client(url, "kinesis-video-archived-media")
    selector = {
        "FragmentSelectorType": "PRODUCER_TIMESTAMP",
        "TimestampRange": {"StartTimestamp": at(1_000), "EndTimestamp": at(4_000)},
    }
    page = archive.list_fragments(StreamName=stream, FragmentSelector=selector, MaxResults=3)
    listed = page["Fragments"]
    page = archive.list_fragments(StreamName=stream, NextToken=page["NextToken"])
    listed += page["Fragments"]
    while "NextToken" in page:
        page = archive.list_fragments(StreamName=stream, NextToken=page["NextToken"])
        listed += page["Fragments"]
    kept = fragments(url, stream, at_most=5)[1:]
    assert [one["FragmentNumber"] for one in listed] == [fragment.number for fragment in kept]
    assert [one["ProducerTimestamp"] for one in listed] == [fragment.producer_timestamp for fragment in kept]
    assert [one["ServerTimestamp"] for one in listed] == [fragment.server_timestamp for fragment in kept]
    assert {one["FragmentLengthInMilliseconds"] for one in listed} == {1_000}
    assert listed[0]["FragmentSizeInBytes"] >= len(HEADER) + len(kept[0].cluster)
    pages = archive.get_paginator("list_fragments").paginate(
        StreamName=stream, FragmentSelector=selector, PaginationConfig={"PageSize": 1}
    )
    assert sum(len(page["Fragments"]) for page in pages) == 4


@pytest.mark.parametrize("asked", [{}, {"NextToken": "bm9uZQ=="}])
def test_a_list_of_nothing_asked_for(url: str, stream: str, asked: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        client(url, "kinesis-video-archived-media").list_fragments(StreamName=stream, **asked)
    assert refused.value.response["Error"]["Code"] == "InvalidArgumentException"


def test_fragments_by_number_up_to_one_that_is_missing(url: str, stream: str) -> None:
    numbers = [fragment.number for fragment in fragments(url, stream, at_most=5)]
    missing = str(int(numbers[-1]) + 1)
    asked = [numbers[3], numbers[0], missing, numbers[1]]
    answer = client(url, "kinesis-video-archived-media").get_media_for_fragment_list(StreamName=stream, Fragments=asked)
    reader, media = GetMediaReader(), answer["Payload"].read()
    found = [*reader.feed(media), *reader.close()]
    assert [one.number for one in found if isinstance(one, ConsumedFragment)] == asked[:2]
    (failed,) = (one for one in found if isinstance(one, ServiceFailed))
    assert (failed.error_id, failed.error_code, failed.fragment_number) == (4000, "FRAGMENT_NOT_FOUND", missing)
    for name in (b"SERVER_SIDE_TIMESTAMP", b"PRODUCER_SIDE_TIMESTAMP", b"SERVER_TIMESTAMP", b"EXCEPTION_ERROR_CODE"):
        assert b"AWS_KINESISVIDEO_" + name in media


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A service that a test may end as it likes."""
    served = start(tmp_path)
    yield served
    if served.process.poll() is None:
        stop(served)


@pytest.mark.slow
def test_what_was_persisted_outlives_the_service(own: Served, tmp_path: Path) -> None:
    name = new_stream(own.url)
    persisted: list[str] = []
    with Producer(own.url, name) as producer:
        producer.opened().send(HEADER)

        def send() -> None:
            for index in range(100_000):
                try:
                    producer.send(cluster(NOW_MS + 100 * index, tone(0.1)))
                except OSError:
                    return

        sending = threading.Thread(target=send)
        sending.start()
        while len(persisted) < 200:
            ack = producer.ack()
            if ack["EventType"] == "PERSISTED":
                persisted.append(ack["FragmentNumber"])
        kill(own)
        sending.join(PATIENCE_SECONDS)
    again = start(tmp_path)
    try:
        found = [fragment.number for fragment in fragments(again.url, name, at_most=200)]
        assert found == persisted
    finally:
        stop(again)


@pytest.mark.slow
def test_a_service_that_stops_lets_producers_and_readers_go(own: Served) -> None:
    name = new_stream(own.url)
    with Producer(own.url, name) as producer:
        producer.opened().send(HEADER + cluster(NOW_MS, tone(0.1)))
        producer.until("PERSISTED")
        body = payload(own.url, name)
        assert read_some(body)
        own.process.terminate()
        sent = 0
        with contextlib.suppress(OSError):  # it goes on sending until it is hung up on
            for sent in range(1, 100_000):
                producer.send(cluster(NOW_MS + 100 * sent, tone(0.1)))
        assert sent
        while read_some(body):
            continue
        assert own.process.wait(PATIENCE_SECONDS) == 0
