"""PutMedia as its producers speak it: full duplex, acknowledgements, signatures, times, one producer a stream."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from media_client import (
    DIALECTS,
    HEADER,
    Key,
    Producer,
    client,
    cluster,
    fragments,
    new_stream,
    put,
    raw_connection,
    signed_head,
    tone,
)
from serving import Served

from earwitness.audio.matroska.tags import END_OF_FRAGMENT, write_tags
from earwitness.audio.matroska.writer import pcm_track, write_header

NOW_MS = 1_790_000_000_000
SECOND = tone(1.0)


@pytest.fixture
def url(served: Served) -> str:
    return served.url


def test_acknowledgements_come_while_the_body_is_sent(url: str) -> None:
    with Producer(url, new_stream(url)) as producer:
        producer.opened()
        producer.send(HEADER)
        for index in range(3):
            media = cluster(NOW_MS + 1_000 * index, SECOND)
            producer.send(media[:4_000])
            first = producer.ack()
            assert first == {
                "EventType": "BUFFERING",
                "FragmentTimecode": NOW_MS + 1_000 * index,
                "FragmentNumber": first["FragmentNumber"],
            }
            producer.send(media[4_000:])
            assert [producer.ack(), producer.ack()] == [
                first | {"EventType": "RECEIVED"},
                first | {"EventType": "PERSISTED"},
            ]
        producer.finish()
        assert producer.chunk() == b""


def test_a_fragment_of_unknown_size_ends_with_the_next_its_mark_or_the_body(url: str) -> None:
    clusters = [cluster(NOW_MS + 1_000 * index, SECOND, size_known=False) for index in range(3)]
    with Producer(url, new_stream(url)) as producer:
        producer.opened().send(HEADER + clusters[0])
        assert producer.ack()["EventType"] == "BUFFERING"
        producer.send(clusters[1])
        assert producer.until("RECEIVED")["FragmentTimecode"] == NOW_MS
        producer.send(write_tags({END_OF_FRAGMENT: ""}, size_width=8))
        assert producer.until("RECEIVED")["FragmentTimecode"] == NOW_MS + 1_000
        producer.send(clusters[2])
        producer.finish()
        assert [ack["FragmentTimecode"] for ack in producer.acks() if ack["EventType"] == "PERSISTED"][-1] == (
            NOW_MS + 2_000
        )


def test_numbers_grow_over_sessions_and_are_as_long_as_aws_s(url: str) -> None:
    stream = new_stream(url)
    media = HEADER + b"".join(cluster(NOW_MS + 500 * index, SECOND[:8_000]) for index in range(3))
    acks = [ack for _ in range(2) for ack in put(url, stream, media)]
    numbers = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    assert len(set(numbers)) == 6
    assert sorted(numbers) == numbers
    assert {len(number) for number in numbers} == {47}


def test_nothing_is_persisted_without_retention(url: str) -> None:
    stream = new_stream(url, hours=0)
    acks = put(url, stream, HEADER + cluster(NOW_MS, SECOND))
    assert [ack["EventType"] for ack in acks] == ["BUFFERING", "RECEIVED"]


def test_short_fragments_are_taken(url: str) -> None:
    stream = new_stream(url)
    put(url, stream, HEADER + cluster(NOW_MS, tone(0.02)) + cluster(NOW_MS + 20, tone(0.3)))
    assert [fragment.duration_ms for fragment in fragments(url, stream, at_most=2)] == [20, 300]


@pytest.mark.parametrize(
    ("timecodes", "begin", "timecode_ms", "expected_ms"),
    [
        ("ABSOLUTE", None, NOW_MS, NOW_MS),
        ("ABSOLUTE", "1790000000.000", 0, 0),  # a producer of AWS's own counts absolute time from 1970
        ("RELATIVE", "1790000000.5", 1_250, NOW_MS + 1_750),
        ("RELATIVE", "1790000000.50", 0, NOW_MS + 500),
        ("RELATIVE", "1790000000", 0, NOW_MS),
        ("RELATIVE", "1790000000.123456", 0, NOW_MS + 123),
    ],
)
def test_the_time_of_a_fragment(
    url: str, timecodes: str, begin: str | None, timecode_ms: int, expected_ms: int
) -> None:
    stream = new_stream(url)
    with Producer(url, stream, timecodes=timecodes, start=begin) as producer:
        producer.opened().send(HEADER + cluster(timecode_ms, SECOND))
        assert producer.until("PERSISTED")["FragmentTimecode"] == timecode_ms
        (fragment,) = fragments(url, stream, at_most=1)
    assert fragment.producer_timestamp == datetime.fromtimestamp(expected_ms / 1_000, UTC)


@pytest.mark.parametrize("begin", ["nan", "inf", "-1e300", "1e300", "yesterday", "99999999999999"])
def test_a_start_that_is_no_time(url: str, begin: str) -> None:
    with Producer(url, new_stream(url), timecodes="RELATIVE", start=begin) as producer:
        assert producer.status() == 400
        assert producer.headers["x-amzn-errortype"].startswith("InvalidArgumentException")


def test_relative_time_needs_a_start(url: str) -> None:
    with Producer(url, new_stream(url), timecodes="RELATIVE") as producer:
        assert producer.status() == 400


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("host", ["{netloc}", "https://{netloc}"])
def test_the_ways_producers_sign(url: str, dialect: str, host: str) -> None:
    named = host.format(netloc=url.removeprefix("http://"))
    with Producer(url, new_stream(url), dialect=dialect, host=named) as producer:
        producer.opened().send(HEADER + cluster(NOW_MS, SECOND))
        assert producer.until("PERSISTED")


def test_a_session_token_that_is_not_signed(url: str) -> None:
    stream = new_stream(url)
    head = signed_head(url, {"x-amzn-stream-name": stream, "x-amzn-fragment-timecode-type": "ABSOLUTE"}, dialect="c")
    with raw_connection(url) as connection:
        connection.sendall(head.removesuffix(b"\r\n") + b"x-amz-security-token: abc\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_stream_that_is_not_signed_gets_no_media(url: str) -> None:
    """Who can change a request on the way could otherwise have a call sent to another stream of the account."""
    head = signed_head(url, {"x-amzn-fragment-timecode-type": "ABSOLUTE"}, dialect="c")
    with raw_connection(url) as connection:
        connection.sendall(head.removesuffix(b"\r\n") + f"x-amzn-stream-name: {new_stream(url)}\r\n\r\n".encode())
        received = connection.recv(4_000)
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"NotAuthorizedException" in received
    assert b"x-amzn-stream-name is not signed" in received


def test_expect_100_continue(url: str) -> None:
    with Producer(url, new_stream(url), extra={"expect": "100-continue"}) as producer:
        status = producer.status()
        if status == 100:
            status = producer.status()
        assert status == 200
        producer.send(HEADER + cluster(NOW_MS, SECOND))
        assert producer.until("PERSISTED")


@pytest.mark.parametrize("key", [Key(secret="wrong"), Key(id="nobody")])  # noqa: S106
def test_a_bad_signature_is_refused_before_any_media(url: str, key: Key) -> None:
    with Producer(url, new_stream(url), key=key) as producer:  # which sends no byte of its body
        assert producer.status() == 401
        assert producer.headers["x-amzn-errortype"].startswith("NotAuthorizedException")


def test_a_stream_that_is_not_there(url: str) -> None:
    with Producer(url, "nowhere") as producer:
        assert producer.status() == 404
        assert producer.headers["x-amzn-errortype"].startswith("ResourceNotFoundException")


def test_an_arn_names_a_stream(url: str) -> None:
    name = new_stream(url)
    arn = client(url).describe_stream(StreamName=name)["StreamInfo"]["StreamARN"]
    headers = {"x-amzn-stream-arn": arn, "x-amzn-fragment-timecode-type": "ABSOLUTE"}
    with raw_connection(url) as connection:
        connection.sendall(signed_head(url, headers))
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_what_roles_may(served: Served, url: str) -> None:
    role_keys = {role: new_key(served, role) for role in ("reader", "producer")}
    stream = new_stream(url)
    put(url, stream, HEADER + cluster(NOW_MS, SECOND))
    with Producer(url, stream, key=role_keys["reader"]) as producer:
        assert producer.status() == 401
        assert producer.headers["x-amzn-errortype"].startswith("NotAuthorizedException")
    with Producer(url, stream, key=role_keys["producer"]) as producer:
        producer.opened().send(HEADER + cluster(NOW_MS, SECOND))
        assert producer.until("PERSISTED")
    media = client(url, "kinesis-video-media", role_keys["producer"])
    with pytest.raises(media.exceptions.NotAuthorizedException):
        media.get_media(StreamName=stream, StartSelector={"StartSelectorType": "EARLIEST"})


def test_the_newest_producer_is_refused_until_the_first_has_left(url: str) -> None:
    stream = new_stream(url)
    with Producer(url, stream) as first:
        first.opened().send(HEADER + cluster(NOW_MS, SECOND))
        first.until("PERSISTED")
        with Producer(url, stream) as second:
            assert second.status() == 400
            assert second.headers["x-amzn-errortype"].startswith("ConnectionLimitExceededException")
        first.send(cluster(NOW_MS + 1_000, SECOND))
        first.until("PERSISTED")
        first.finish()
        assert first.chunk() == b""
    with Producer(url, stream) as third:
        third.opened().send(HEADER + cluster(NOW_MS + 2_000, SECOND))
        third.until("PERSISTED")


def test_a_producer_that_hung_up_may_come_back_at_once(url: str) -> None:
    stream = new_stream(url)
    for index in range(5):
        with connected(url, stream) as producer:
            producer.send(HEADER + cluster(NOW_MS + 1_000 * index, SECOND) + cluster(NOW_MS + 9_000, SECOND)[:1_000])
            producer.until("PERSISTED")
    found = fragments(url, stream, at_most=5)
    assert [fragment.timecode_ms for fragment in found] == [NOW_MS + 1_000 * index for index in range(5)]


def test_several_tracks(url: str) -> None:
    stream = new_stream(url)
    tracks = [pcm_track(number=1, rate=8_000, name="AUDIO_FROM_CUSTOMER"), pcm_track(number=2, rate=8_000)]
    media = cluster(NOW_MS, SECOND, tracks=(1, 2))
    put(url, stream, write_header(tracks) + media)
    (fragment,) = fragments(url, stream, at_most=1)
    assert [track.name for track in fragment.header.tracks] == ["AUDIO_FROM_CUSTOMER", ""]
    assert fragment.cluster == media


def test_tags_come_out_behind_the_cluster_they_followed(url: str) -> None:
    stream = new_stream(url)
    first, second = write_tags({"CallId": "one"}, size_width=8), write_tags({"CallId": "two", "leg": "b"})
    put(url, stream, HEADER + cluster(NOW_MS, SECOND) + first + cluster(NOW_MS + 1_000, SECOND) + second)
    found = fragments(url, stream, at_most=2)
    assert [dict(fragment.tags) for fragment in found] == [{"CallId": "one"}, {"CallId": "two", "leg": "b"}]


def new_key(served: Served, role: str) -> Key:
    """A key of the service's account."""
    command = [sys.executable, "-m", "earwitness", "keys", "create", "--role", role, "--json"]
    command += ["--account", "000000000000", "--data", str(served.data)]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Key(id=made["id"], secret=made["secret"])


def connected(url: str, stream: str) -> Producer:
    """A producer that is let in; one that hung up is noticed a moment later."""
    for _ in range(100):
        producer = Producer(url, stream)
        if producer.status() == 200:
            return producer
        producer.__exit__()
    raise AssertionError("the producer that hung up is not noticed")
