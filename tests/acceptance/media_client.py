"""What producers and consumers of media do, byte by byte: a raw PutMedia connection, streams, and media to send."""

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
from botocore.auth import EMPTY_SHA256_HASH, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from patience import PATIENCE_SECONDS

RATE = 8_000
DEADLINE_SECONDS = PATIENCE_SECONDS
"""After which a test says that something hangs."""

HEADER = write_header([pcm_track(rate=RATE)])

_names = count()


@dataclass(frozen=True, kw_only=True)
class Key:
    """An access key."""

    id: str = "test"
    secret: str = "test"  # noqa: S105  # the one of `serve --dev`


@cache
def _session(key: Key) -> boto3.Session:
    return boto3.Session(aws_access_key_id=key.id, aws_secret_access_key=key.secret, region_name="us-east-1")


@cache
def client(url: str, service: str = "kinesisvideo", key: Key = Key()) -> Any:  # `Any`: boto3 has no types
    """A stock client with one attempt a call."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=DEADLINE_SECONDS, max_pool_connections=30)
    return _session(key).client(service, endpoint_url=url, config=config)


def new_stream(url: str, *, hours: int = 1) -> str:
    """A stream of its own for a test."""
    name = f"stream-{next(_names)}"
    client(url).create_stream(StreamName=name, DataRetentionInHours=hours)
    return name


def tone(seconds: float, *, seed: int = 0, channels: int = 1) -> bytes:
    """Samples that are nowhere the same: 16-bit PCM."""
    count_ = round(seconds * RATE) * channels
    return np.random.default_rng(seed).integers(-9_000, 9_000, count_).astype("<i2").tobytes()


def cluster(timecode_ms: int, pcm: bytes, *, tracks: tuple[int, ...] = (1,), size_known: bool = True) -> bytes:
    """A fragment with a frame for each 0.1 s, the same on all tracks."""
    step = RATE // 10 * 2
    blocks = [
        write_block(track, first * 1_000 // (2 * RATE), pcm[first : first + step])
        for first in range(0, len(pcm), step)
        for track in tracks
    ]
    return write_cluster(timecode_ms, blocks, size_known=size_known)


class _CProducerSigner(SigV4Auth):
    """As the C producer signs: every header that was set, and the hash of no body at all."""

    def headers_to_sign(self, request: Any) -> Any:
        signed = super().headers_to_sign(request)
        for name, value in request.headers.items():
            if name.lower() not in signed and name.lower() != "x-amz-content-sha256":
                signed[name.lower()] = value
        return signed

    def payload(self, _: Any) -> str:
        return EMPTY_SHA256_HASH


class _JavaProducerSigner(SigV4Auth):
    """As the Java producer signs: the payload is left out, and the header that says so is not signed."""

    def headers_to_sign(self, request: Any) -> Any:
        signed = super().headers_to_sign(request)
        del signed["x-amz-content-sha256"]
        return signed

    def payload(self, _: Any) -> str:
        return "UNSIGNED-PAYLOAD"


class _JavaScriptProducerSigner(SigV4Auth):
    """As aws4 signs: the payload is left out, and the header that says so is signed."""

    def payload(self, _: Any) -> str:
        return "UNSIGNED-PAYLOAD"


DIALECTS: Mapping[str, type[SigV4Auth]] = {
    "c": _CProducerSigner,
    "java": _JavaProducerSigner,
    "javascript": _JavaScriptProducerSigner,
}


def signed_head(
    url: str,
    headers: Mapping[str, str],
    *,
    dialect: str = "javascript",
    key: Key = Key(),
    host: str | None = None,
) -> bytes:
    """The head of a PutMedia request, its body in chunks; `host` is what the Host header says and what is signed."""
    request = AWSRequest(method="POST", url=f"{url}/putMedia")
    request.headers["host"] = host or urlsplit(url).netloc
    request.headers["transfer-encoding"] = "chunked"
    request.headers["connection"] = "keep-alive"
    request.headers["user-agent"] = "a producer/1.0"
    for name, value in headers.items():
        request.headers[name] = value
    if dialect != "c":
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    DIALECTS[dialect](Credentials(key.id, key.secret), "kinesisvideo", "us-east-1").add_auth(request)
    lines = ["POST /putMedia HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def raw_connection(url: str) -> socket.socket:
    """A raw connection to a service."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE_SECONDS)


class Producer:
    """A PutMedia request, sent by hand. A context manager, which hangs up."""

    def __init__(
        self,
        url: str,
        stream: str,
        *,
        timecodes: str = "ABSOLUTE",
        start: str | None = None,
        extra: Mapping[str, str] | None = None,
        dialect: str = "javascript",
        key: Key = Key(),
        host: str | None = None,
    ) -> None:
        """Connect and send the head; `start` is the producer's start timestamp, as it is to be written."""
        headers = {"x-amzn-stream-name": stream, "x-amzn-fragment-timecode-type": timecodes}
        headers |= {} if start is None else {"x-amzn-producer-start-timestamp": start}
        self.socket = raw_connection(url)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = signed_head(url, headers | dict(extra or {}), dialect=dialect, key=key, host=host)
        self.socket.sendall(head)
        self._file = self.socket.makefile("rb")
        self.headers: dict[str, str] = {}

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def status(self) -> int:
        """The status of the answer; its headers are in `headers` then."""
        status = int(self._file.readline().split()[1])
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        return status

    def opened(self) -> "Producer":
        """Itself, once the service has said 200."""
        assert self.status() == 200
        assert self.headers["transfer-encoding"] == "chunked"
        return self

    def send(self, media: bytes) -> None:
        """Media as one HTTP chunk."""
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(media), media))

    def finish(self) -> None:
        """The end of the body."""
        self.socket.sendall(b"0\r\n\r\n")

    def chunk(self) -> bytes:
        """The next HTTP chunk of the answer; empty when it is the last, or the service hung up."""
        size = int(self._file.readline() or b"0", 16)
        data = self._file.read(size)
        self._file.readline()
        return data

    def ack(self) -> dict[str, Any]:
        """The next acknowledgement, which is alone in its chunk."""
        chunk = self.chunk()
        assert chunk.endswith(b"\n")
        found: dict[str, Any] = json.loads(chunk)  # fails for two in one
        return found

    def acks(self) -> Iterator[dict[str, Any]]:
        """All until the answer ends."""
        while chunk := self.chunk():
            yield json.loads(chunk)

    def until(self, event_type: str) -> dict[str, Any]:
        """Acknowledgements are passed over until one is of this type."""
        while (ack := self.ack())["EventType"] != event_type:
            assert ack["EventType"] != "ERROR", ack
        return ack

    def refusal(self) -> dict[str, Any]:
        """The body of an error answer."""
        found: dict[str, Any] = json.loads(self._file.read(int(self.headers["content-length"])))
        return found


def put(url: str, stream: str, media: bytes, *, timecodes: str = "ABSOLUTE") -> list[dict[str, Any]]:
    """Send media, and take all acknowledgements."""
    with Producer(url, stream, timecodes=timecodes, start="1" if timecodes == "RELATIVE" else None) as producer:
        producer.opened().send(media)
        producer.finish()
        return list(producer.acks())


def payload(url: str, stream: str, **selector: Any) -> Any:
    """GetMedia's payload as boto3 gives it: a stream to be read and closed."""
    start = {"StartSelectorType": "EARLIEST"} | selector
    return client(url, "kinesis-video-media").get_media(StreamName=stream, StartSelector=start)["Payload"]


def fragments(url: str, stream: str, *, at_most: int, **selector: Any) -> list[ConsumedFragment]:
    """The first fragments of a GetMedia; then the reader hangs up."""
    found: list[ConsumedFragment] = []
    reader, body = GetMediaReader(), payload(url, stream, **selector)
    while len(found) < at_most and (data := read_some(body)):
        events = reader.feed(data)
        assert all(isinstance(event, ConsumedFragment) for event in events), events
        found += [event for event in events if isinstance(event, ConsumedFragment)]
    body.close()
    return found


def read_some(body: Any) -> bytes:
    """What has come of a payload, at least a byte; nothing at its end."""
    data: bytes = body._raw_stream.read1(65_536)
    return data
