"""Producers and consumers of media for the ingest benchmark: live calls, one fast upload, readers."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import numpy as np
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.producer.connection import AckReader, AckType, Destination, PutMediaConnection

FRAMES = 10
"""Of a fragment, each a tenth of a second."""

_CREDENTIALS = Credentials("test", "test")
_REGION = "us-east-1"
_CONNECT_SECONDS_MAX = 30.0


@dataclass(frozen=True, kw_only=True)
class Format:
    """What is sent: 16-bit samples, a second in each fragment."""

    rate: int
    channels: int

    @property
    def header(self) -> bytes:
        """The stream up to its first fragment."""
        return write_header([pcm_track(rate=self.rate, channels=self.channels)])

    def blocks(self) -> list[bytes]:
        """The frames of a fragment of noise, which no disk or network can make smaller."""
        count = self.rate // FRAMES * self.channels
        noise = np.random.default_rng(0).integers(-9_000, 9_000, (FRAMES, count)).astype("<i2")
        return [write_block(1, index * 1_000 // FRAMES, frame.tobytes()) for index, frame in enumerate(noise)]


TELEPHONE = Format(rate=8_000, channels=1)
STUDIO = Format(rate=48_000, channels=2)


def destination(url: str, stream: str) -> Destination:
    """PutMedia of a stream, with the key of `serve --dev`."""
    return Destination(
        endpoint_url=url, region=_REGION, credentials=_CREDENTIALS, stream={"x-amzn-stream-name": stream}
    )


@dataclass(kw_only=True)
class Heard:
    """When what was known of the fragments, in seconds of `time.perf_counter`."""

    sent: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    """By stream and timecode: its last byte went out."""

    persisted_seconds: list[float] = field(default_factory=list[float])
    """From a fragment's last byte to its PERSISTED."""

    persisted: dict[str, float] = field(default_factory=dict[str, float])
    """By fragment number."""

    read: dict[str, float] = field(default_factory=dict[str, float])
    """By fragment number: a consumer had all of it."""


async def live_calls(url: str, streams: Sequence[str], *, seconds: int, heard: Heard) -> None:
    """Calls on all streams at once, spread over a second, each a frame every tenth of a second."""
    began = time.perf_counter() + 1.0
    async with asyncio.TaskGroup() as group:
        for index, stream in enumerate(streams):
            group.create_task(_call(url, stream, began + index / len(streams), seconds=seconds, heard=heard))


async def _call(url: str, stream: str, began: float, *, seconds: int, heard: Heard) -> None:
    connection = await PutMediaConnection.open(destination(url, stream), seconds_max=_CONNECT_SECONDS_MAX)
    listening = asyncio.ensure_future(_listen(connection, stream, heard))
    blocks, start_ms = TELEPHONE.blocks(), round(1_000 * time.time())
    await connection.send(TELEPHONE.header)
    for second in range(seconds):
        timecode_ms = start_ms + 1_000 * second
        for index, block in enumerate(blocks):
            spoken = began + second + (index + 1) / FRAMES
            await asyncio.sleep(max(0.0, spoken - time.perf_counter()))
            last = index + 1 == len(blocks)
            if last:
                heard.sent[stream, timecode_ms] = time.perf_counter()
            # The size is known beforehand, so that a fragment is whole with its last frame.
            head = write_cluster(timecode_ms, blocks)[: -sum(map(len, blocks))] if not index else b""
            await connection.send(head + block)
    await connection.finish()
    await listening
    await connection.close()


async def _listen(connection: PutMediaConnection, stream: str, heard: Heard) -> None:
    reader = AckReader()
    async for data in connection.answers():
        now = time.perf_counter()
        for ack in reader.feed(data):
            if ack.type is AckType.PERSISTED and ack.timecode_ms is not None:
                heard.persisted_seconds.append(now - heard.sent[stream, ack.timecode_ms])
                heard.persisted[ack.fragment_number] = now
            elif ack.type is AckType.ERROR:
                raise RuntimeError(f"a fragment was refused: {ack.error_code}")


async def upload(url: str, stream: str, media: Format, *, bytes_min: int) -> float:
    """Send fragments as fast as they are taken; bytes a second, until the service has said its last word."""
    blocks, size = media.blocks(), 0
    began = time.perf_counter()
    connection = await PutMediaConnection.open(destination(url, stream), seconds_max=_CONNECT_SECONDS_MAX)
    listening = asyncio.ensure_future(_drain(connection))
    await connection.send(media.header)
    while size < bytes_min:
        fragment = write_cluster(1_000 * (1 + size // 1_000), blocks)
        await connection.send(fragment)
        size += len(fragment)
    await connection.finish()
    await listening
    await connection.close()
    return size / (time.perf_counter() - began)


async def _drain(connection: PutMediaConnection) -> None:
    async for _ in connection.answers():
        continue


def get_media(url: str, stream: str, start: str) -> HTTPResponse:
    """A GetMedia whose answer has begun."""
    body = f'{{"StreamName":"{stream}","StartSelector":{{"StartSelectorType":"{start}"}}}}'.encode()
    request = AWSRequest(method="POST", url=f"{url}/getMedia", data=body)
    SigV4Auth(_CREDENTIALS, "kinesisvideo", _REGION).add_auth(request)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("POST", "/getMedia", body, dict(request.headers.items()))
    return connection.getresponse()


def first_byte_seconds(url: str, stream: str) -> float:
    """From a GetMedia's first byte to that of its media."""
    began = time.perf_counter()
    with get_media(url, stream, "EARLIEST") as answer:
        answer.read1(1)
        return time.perf_counter() - began


class Reader(threading.Thread):
    """A consumer that follows a stream until it ends."""

    def __init__(self, url: str, stream: str, heard: Heard) -> None:
        super().__init__()
        self._answer = get_media(url, stream, "NOW")
        self._heard = heard

    def run(self) -> None:
        reader = GetMediaReader()
        while data := self._answer.read1(65_536):
            now = time.perf_counter()
            for event in reader.feed(data):
                if isinstance(event, ConsumedFragment):
                    self._heard.read[event.number] = now
        self._answer.close()
