"""How a producer's session ends by the clock: silence, IDLE, the longest connection."""

import json
import socket
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from live import DEADLINE_SECONDS, KEY_ID, SECRET, Live

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.media.streams import MediaLimits
from patience import until

HEADER = write_header([pcm_track(rate=8_000)])
STREAM = "calls"
USUAL = MediaLimits()


def fragment(timecode_ms: int) -> bytes:
    return write_cluster(timecode_ms, [write_block(1, 0, bytes(1_600))])


class Sessions:
    """Producers of one stream of a service."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._streams = live.service._background.streams
        client: Any = boto3.Session(KEY_ID, SECRET, region_name="us-east-1").client(
            "kinesisvideo", endpoint_url=live.url
        )
        client.create_stream(StreamName=STREAM, DataRetentionInHours=1)

    def connect(self, limits: MediaLimits = USUAL) -> socket.socket:
        """A producer that is let in, and for whom these limits hold."""
        self._streams.limits = limits
        request = AWSRequest(method="POST", url=f"{self._live.url}/putMedia")
        request.headers["x-amzn-stream-name"] = STREAM
        request.headers["x-amzn-fragment-timecode-type"] = "ABSOLUTE"
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        SigV4Auth(Credentials(KEY_ID, SECRET), "kinesisvideo", "us-east-1").add_auth(request)
        lines = ["POST /putMedia HTTP/1.1", f"host: 127.0.0.1:{self._live.port}", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        connection = self._live.connect()
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(13) == b"HTTP/1.1 200 "
        return connection

    def free(self) -> bool:
        """Whether the next producer would be let in."""
        return not self._streams._producers


@pytest.fixture
def sessions(start: Callable[..., Live]) -> Sessions:
    return Sessions(start())


def send(connection: socket.socket, media: bytes) -> None:
    connection.sendall(b"%x\r\n%b\r\n" % (len(media), media))


def acks(connection: socket.socket) -> list[dict[str, Any]]:
    """All acknowledgements until the service ends the answer."""
    connection.settimeout(DEADLINE_SECONDS)
    with connection.makefile("rb") as answer:
        while answer.readline().strip():
            continue
        found: list[dict[str, Any]] = []
        while size := int(answer.readline(), 16):
            found.append(json.loads(answer.read(size)))
            answer.readline()
        return found


def test_a_silent_producer_is_told_that_its_session_is_open_and_then_let_go(sessions: Sessions) -> None:
    connection = sessions.connect(MediaLimits(idle_seconds=0.15, idle_ack_seconds=0.04))
    send(connection, HEADER + fragment(0) + fragment(100)[:200])
    with connection:
        told = acks(connection)
    assert [ack["EventType"] for ack in told[:4]] == ["BUFFERING", "RECEIVED", "BUFFERING", "PERSISTED"]
    idle = told[4:]
    assert 2 <= len(idle) <= 4
    assert all(ack == {"EventType": "IDLE"} for ack in idle)
    until(sessions.free)


def test_the_longest_connection(sessions: Sessions) -> None:
    connection = sessions.connect(MediaLimits(connection_seconds=0.0))
    send(connection, HEADER + fragment(0))
    with connection:
        told = acks(connection)
    kinds = [ack["EventType"] for ack in told]
    assert sorted(kinds) == ["BUFFERING", "ERROR", "PERSISTED", "RECEIVED"]
    (error,) = (ack for ack in told if ack["EventType"] == "ERROR")
    assert error == {
        "EventType": "ERROR",
        "FragmentNumber": "",
        "ErrorId": 4003,
        "ErrorCode": "MAX_CONNECTION_DURATION_REACHED",
    }


@pytest.mark.parametrize(
    "goodbye", [b"", b"ZZ\r\n", b"-5\r\n", b"5\r\nhello\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n"]
)
def test_whatever_ends_a_session_frees_the_stream(sessions: Sessions, goodbye: bytes) -> None:
    connection = sessions.connect()
    send(connection, HEADER + fragment(0)[:-1])
    connection.sendall(goodbye)
    connection.close()
    until(sessions.free)


def test_a_producer_that_sent_empty_clusters_and_hung_up_frees_its_stream_at_once(sessions: Sessions) -> None:
    """Each costs a fragment of its rate: so many would take ten minutes."""
    connection = sessions.connect()
    send(connection, HEADER + b"".join(write_cluster(1_000 * number, []) for number in range(3_000)))
    connection.close()
    until(sessions.free)
