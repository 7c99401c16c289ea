"""Streams to read from, one kind for each source, all filled with seconds of audio that say which they are."""

import asyncio
import copy
import io
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import boto3
import numpy as np
import soundfile

from earwitness import put_media
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.tracks import parse_header
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.aws.clients import AwsClients, AwsCredentials, AwsSettings
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog
from earwitness.fragments.stream import FragmentStream
from earwitness.media.file import FileSource
from earwitness.media.get_media import KinesisVideoStream
from earwitness.media.kvs import KvsSource, Patience
from earwitness.media.own import OwnSource
from earwitness.media.source import Source, StreamFragment
from earwitness.vault.data_key import DataKey
from patience import PATIENCE_SECONDS

RATE = 8_000
REGION = "us-east-1"
KEY = "test"
HURRY = Patience(delays=(0.0,) * 40, idle_seconds=0.0)
"""Nobody waits in tests."""


def second(number: int) -> bytes:
    """One second of audio."""
    return np.full(RATE, number, "<i2").tobytes()


def heard(fragment: StreamFragment) -> int:
    """Which second a fragment is; it must be whole, under a header that says how to read it."""
    assert parse_header(fragment.header).tracks[0].sampling_frequency == RATE
    samples = np.frombuffer(b"".join(bytes(frame.data) for frame in read_frames(fragment.cluster)), "<i2")
    assert len(samples) == RATE
    assert (samples == samples[0]).all()
    return int(samples[0])


async def take(fragments: AsyncGenerator[StreamFragment], count: int) -> list[StreamFragment]:
    """The next so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await anext(fragments) for _ in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.001)


class Stream(Protocol):
    """A stream of one kind."""

    async def put(self, seconds: Sequence[int]) -> str:
        """Have these seconds in it, behind what is there. Returns the first one's number."""
        ...

    def source(self) -> Source: ...

    async def reading(self) -> None:
        """Wait until a reader has found its place."""
        ...

    async def delete(self) -> None: ...

    async def close(self) -> None: ...


class OwnStream:
    """In a media log."""

    def __init__(self, log: FragmentLog) -> None:
        self._log = log
        self._identity = StreamIdentity(
            account_id="000000000000", stream_arn=f"arn:aws:kinesisvideo:::stream/{uuid4()}/1"
        )
        self._key = DataKey(os.urandom(32))

    def opened_again(self, log: FragmentLog) -> "OwnStream":
        """The same stream, when its log was closed and opened."""
        again = copy.copy(self)
        again._log = log
        return again

    async def _open(self) -> FragmentStream:
        return await self._log.open_stream(self._identity, key=lambda: self._key, retention=Retention(hours=1))

    async def put(self, seconds: Sequence[int]) -> str:
        log, numbers = await self._open(), list[str]()
        for number, (header, cluster) in zip(seconds, pieces(seconds), strict=True):
            reserved = await log.reserve()
            numbers.append(reserved.number)
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
            await log.append(reserved.number, producer_timestamp=at, duration_ms=1_000, header=header, cluster=cluster)
        return numbers[0]

    async def reading(self) -> None:
        await self._open()
        for _ in range(10):
            await asyncio.sleep(0)

    def source(self) -> Source:
        return OwnSource(self._open)

    async def delete(self) -> None:
        await self._log.delete_stream(self._identity)

    async def close(self) -> None:
        await self._log.close()


class FileStream:
    """In a file of Matroska."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, seconds: Sequence[int]) -> str:
        made = pieces(seconds)
        self._path.write_bytes(made[0][0] + b"".join(cluster for _, cluster in made))
        return "1"

    async def reading(self) -> None:
        return

    def source(self) -> Source:
        return FileSource(self._path)

    async def delete(self) -> None:
        self._path.unlink()

    async def close(self) -> None:
        return


class WavStream(FileStream):
    """In a recording that is no Matroska."""

    async def put(self, seconds: Sequence[int]) -> str:
        samples = np.frombuffer(b"".join(map(second, seconds)), "<i2")
        soundfile.write(self._path, samples, RATE, subtype="PCM_16")
        return "1"


class KvsStream:
    """At a real service, reached as AWS would be: by boto3, at an endpoint that may lead through a proxy."""

    def __init__(self, url: str, *, seen_at: str | None = None, retention_hours: int = 1, key: str = KEY) -> None:
        self._url = url
        self._session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=KEY, region_name=REGION)
        self._kinesis: Any = self._session.client("kinesisvideo", endpoint_url=url)
        created = self._kinesis.create_stream(StreamName=f"s-{uuid4()}", DataRetentionInHours=retention_hours)
        self.arn: str = created["StreamARN"]
        self.clients = aws_clients(seen_at or url, key=key)
        self.threads = ThreadPoolExecutor(4)
        self.connections: list[object] = []
        """An entry for every GetMedia that was answered."""
        media = self.clients.client("kinesis-video-media", REGION, endpoint_url=seen_at or url)
        media.meta.events.register("after-call", lambda **answer: self.connections.append(answer["http_response"]))

    async def put(self, seconds: Sequence[int]) -> str:
        return await asyncio.to_thread(self._put, b"".join(map(second, seconds)))

    async def reading(self) -> None:
        await until(lambda: bool(self.connections))

    def moved(self, url: str) -> None:
        """The service answers somewhere else now."""
        self._url = url

    def _put(self, audio: bytes) -> str:
        sent = put_media(
            io.BytesIO(audio),
            rate=RATE,
            stream_arn=self.arn,
            real_time=False,
            endpoint_url=self._url,
            session=self._session,
        )
        return sent.first_fragment_number

    def source(self, arn: str | None = None) -> Source:
        return KvsSource(KinesisVideoStream(arn or self.arn, self.clients), threads=self.threads, patience=HURRY)

    async def delete(self) -> None:
        await asyncio.to_thread(self._kinesis.delete_stream, StreamARN=self.arn)

    async def close(self) -> None:
        await asyncio.to_thread(self.threads.shutdown)
        self.clients.close()
        self._kinesis.close()


def aws_clients(url: str, *, key: str = KEY) -> AwsClients:
    """Clients of what answers at an address."""
    credentials = AwsCredentials(access_key_id=key, secret_access_key=key)
    return AwsClients(AwsSettings(endpoint_url=url, credentials=credentials))


def pieces(seconds: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Header and cluster of each second."""
    header = write_header([pcm_track(rate=RATE)])
    return [(header, write_cluster(1_000 * number, [write_block(1, 0, second(number))])) for number in seconds]
