"""Media that breaks the rules, producers that stop anywhere, readers that stall: nobody else suffers."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from media_client import HEADER, Producer, client, cluster, fragments, new_stream, payload, put, read_some, tone
from serving import Served

from earwitness.audio.matroska.get_media import GetMediaReader, ServiceFailed
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.tracks import Track
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header

NOW_MS = 1_790_000_000_000
SECOND = tone(1.0)
GOOD = cluster(NOW_MS, SECOND)


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture
def bystander(url: str) -> Iterator[Producer]:
    """Somebody else, whose session goes on whatever happens beside it."""
    with Producer(url, new_stream(url)) as producer:
        producer.opened().send(HEADER + cluster(NOW_MS, SECOND))
        producer.until("PERSISTED")
        yield producer
        producer.send(cluster(NOW_MS + 1_000, SECOND))
        producer.until("PERSISTED")
        producer.finish()
        assert producer.chunk() == b""


def errors(acks: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(ack["ErrorId"], ack["ErrorCode"]) for ack in acks if ack["EventType"] == "ERROR"]


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    ("media", "error"),
    [
        (b"RIFF, as a producer of another format sends" * 10, (4006, "INVALID_MKV_DATA")),
        (HEADER + GOOD + b"\xff" * 40, (4006, "INVALID_MKV_DATA")),
        (HEADER + GOOD + HEADER, (4006, "INVALID_MKV_DATA")),
        (HEADER + GOOD + cluster(NOW_MS - 1, SECOND), (4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS")),
        (
            write_header([pcm_track(number=number, rate=8_000) for number in (1, 2, 3, 4)])
            + cluster(NOW_MS, SECOND, tracks=(1, 2, 3, 4)),
            (4005, "MORE_THAN_ALLOWED_TRACKS_FOUND"),
        ),
    ],
    ids=["another format", "garbage", "two segments", "backwards", "four tracks"],
)
def test_faults_that_end_the_session(url: str, media: bytes, error: tuple[int, str]) -> None:
    with Producer(url, new_stream(url)) as producer:
        producer.opened().send(media)
        acks = list(producer.acks())  # the service ends the answer; the body never ends
    assert errors(acks) == [error]
    assert acks[-1]["EventType"] in ("ERROR", "PERSISTED")
    persisted = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    assert len(persisted) == (GOOD in media)
    if error[0] == 4004:  # it was given no number, and must not bear that of the fragment before it
        assert [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "ERROR"] == [""]


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (write_cluster(NOW_MS, [write_block(1, 0, SECOND), write_block(1, 20_500, SECOND)]), 4002),
        (write_cluster(NOW_MS, [write_block(2, 0, SECOND)]), 4010),
        (write_cluster(NOW_MS, []), 4011),
        (GOOD + write_tags({f"name {index}": "value" for index in range(11)}), 4009),
        (GOOD + write_tags({"name": "v" * 257}), 4009),
        (GOOD + write_tags({"AWS_MINE": "value"}), 4012),
    ],
    ids=["too long", "unknown track", "no frames", "too many tags", "long tag", "reserved tag"],
)
def test_faults_of_one_fragment(url: str, bad: bytes, error: int) -> None:
    stream = new_stream(url)
    acks = put(url, stream, HEADER + bad + cluster(NOW_MS + 1_000, SECOND))
    assert [error_id for error_id, _ in errors(acks)] == [error]
    kept = [ack["FragmentTimecode"] for ack in acks if ack["EventType"] == "PERSISTED"]
    assert kept == ([NOW_MS] if bad.startswith(GOOD) else []) + [NOW_MS + 1_000]
    found = fragments(url, stream, at_most=len(kept))
    assert [(fragment.timecode_ms, dict(fragment.tags)) for fragment in found] == [(timecode, {}) for timecode in kept]


@pytest.mark.slow
@pytest.mark.usefixtures("bystander")
def test_a_fragment_that_is_too_large(url: str) -> None:
    megabyte = write_block(1, 0, bytes(1_000_000))
    largest, larger = (write_cluster(NOW_MS, [megabyte] * count, size_known=False) for count in (52, 53))
    header = write_header([Track(number=1, type=1, codec_id="V_MPEG4/ISO/AVC")])
    acks = put(url, new_stream(url), header + largest)
    assert [ack["EventType"] for ack in acks] == ["BUFFERING", "RECEIVED", "PERSISTED"]
    acks = put(url, new_stream(url), header + larger + cluster(NOW_MS + 1_000, SECOND))
    assert errors(acks) == [(4001, "MAX_FRAGMENT_SIZE_REACHED")]
    assert [ack["FragmentTimecode"] for ack in acks if ack["EventType"] == "PERSISTED"] == [NOW_MS + 1_000]


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("in_order", [True, False], ids=["ends its body", "hangs up"])
def test_a_body_cut_anywhere(url: str, in_order: bool) -> None:
    """What was whole is kept, what was not is not, and the next producer gets in."""
    stream = new_stream(url)
    first, second = cluster(NOW_MS, tone(0.05)), cluster(NOW_MS + 50, tone(0.05))
    media = HEADER + first + second
    whole = [len(HEADER) + len(first), len(media)]
    for length in [*range(0, len(HEADER), 11), *range(len(HEADER), len(media), 131), len(media)]:
        with contextlib.ExitStack() as stack:
            producer = stack.enter_context(_let_in(url, stream))
            if length:
                producer.send(media[:length])
            if not in_order:
                continue
            producer.finish()
            acks = list(producer.acks())
            received = [ack for ack in acks if ack["EventType"] == "PERSISTED"]
            assert len(received) == sum(length >= end for end in whole)
            assert bool(errors(acks)) == (length not in (0, len(HEADER), *whole))
    with _let_in(url, stream) as producer:
        producer.send(media)
        producer.until("PERSISTED")


def test_a_stream_deleted_while_it_is_written_and_read(url: str) -> None:
    stream = new_stream(url)
    arn = client(url).describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER + GOOD)
        producer.until("PERSISTED")
        reader, body = GetMediaReader(), payload(url, stream)
        while not reader.feed(read_some(body)):
            continue
        client(url).delete_stream(StreamARN=arn)
        ends = [event for data in iter(lambda: read_some(body), b"") for event in reader.feed(data)]
        ends += reader.close()
        assert [end.error_code for end in ends if isinstance(end, ServiceFailed)] == ["STREAM_READ_ERROR"]
        producer.send(cluster(NOW_MS + 1_000, SECOND))
        assert errors(list(producer.acks())) == [(4008, "STREAM_NOT_ACTIVE")]
    fresh = client(url).create_stream(StreamName=stream, DataRetentionInHours=1)["StreamARN"]
    assert fresh != arn
    assert errors(put(url, stream, HEADER + GOOD)) == []


def test_a_last_fragment_that_cannot_be_kept_is_told(url: str) -> None:
    stream = new_stream(url)
    arn = client(url).describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER + GOOD[:-1])
        assert producer.ack()["EventType"] == "BUFFERING"
        client(url).delete_stream(StreamARN=arn)
        producer.send(GOOD[-1:])
        producer.finish()
        acks = list(producer.acks())
    assert errors(acks) == [(4008, "STREAM_NOT_ACTIVE")]
    assert acks[-1]["FragmentTimecode"] == NOW_MS


@pytest.mark.slow
def test_a_reader_that_stalls_holds_up_nobody(url: str) -> None:
    stream, media = new_stream(url), b"".join(cluster(NOW_MS + 8_000 * index, tone(8.0)) for index in range(100))
    stalled = payload(url, stream, StartSelectorType="NOW")
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER + media)
        producer.finish()
        assert sum(ack["EventType"] == "PERSISTED" for ack in producer.acks()) == 100
    assert len(fragments(url, stream, at_most=100)) == 100
    stalled.close()


@pytest.mark.slow
def test_a_producer_that_does_not_read_its_acknowledgements(url: str) -> None:
    stream = new_stream(url)
    with Producer(url, stream) as producer:
        producer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        producer.opened().send(HEADER)
        for index in range(300):
            producer.send(cluster(NOW_MS + index, SECOND[:160]))
        producer.finish()
        assert sum(ack["EventType"] == "PERSISTED" for ack in producer.acks()) == 300


def _let_in(url: str, stream: str) -> Producer:
    """A producer, once the one before it is gone; one that hung up is noticed a moment later."""
    for _ in range(200):
        producer = Producer(url, stream)
        if producer.status() == 200:
            return producer
        producer.__exit__()
    raise AssertionError("the producer that hung up is not noticed")
