"""A task that listens live gets a fragment's tags with it, however the producer's bytes are cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.types import Message
from store_examples import stream_record

from earwitness.api.put_media import PutMediaSession
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.config.limits import MediaRateLimits
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.stream import FragmentStream
from earwitness.media.own import OwnSource
from earwitness.media.source import StartPosition
from earwitness.media.streams import MediaLimits, MediaRates
from earwitness.vault.data_key import DataKey

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:kinesisvideo:us-east-1:111122223333:stream/calls/1"
RECORD = stream_record(ARN, START)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[FragmentStream]:
    disk, key = await open_fragment_log(tmp_path / "media", clock=lambda: START), DataKey(bytes(32))
    identity = StreamIdentity(account_id="111122223333", stream_arn=ARN)
    yield await disk.open_stream(identity, key=lambda: key, retention=Retention(hours=1))
    await disk.close()


async def at_once() -> None:
    """Nobody else serves these records."""


def session_of(log: FragmentStream) -> PutMediaSession:
    return PutMediaSession(
        stream=RECORD,
        log=log,
        start_ms=0,
        limits=MediaLimits(),
        pace=MediaRates(MediaRateLimits()).producer(ARN),
        monotonic=lambda: 0.0,
        is_draining=lambda: False,
        heard=lambda: None,
        may_say_persisted=at_once,
        release=lambda: None,
    )


@pytest.mark.parametrize("size_known", [True, False])
@pytest.mark.parametrize("piece", [7, 100, 100_000])
async def test_tags_come_with_the_fragment(log: FragmentStream, size_known: bool, piece: int) -> None:
    media = write_header([pcm_track(rate=8_000)])
    for number, contact in enumerate(("one", "one", "one", "two")):
        media += write_cluster(1_000 * number, [write_block(1, 0, bytes(160))], size_known=size_known)
        media += write_tags({"ContactId": contact}) + write_tags({"MimeType": "audio/L16"})
    place = 0

    async def receive() -> Message:
        nonlocal place
        await asyncio.sleep(0)
        place += piece
        return {"type": "http.request", "body": media[place - piece : place], "more_body": place < len(media)}

    async def say(_: bytes) -> None:
        await asyncio.sleep(0)

    async def opened() -> FragmentStream:
        return log

    async def heard() -> list[dict[str, str]]:
        told: list[dict[str, str]] = []
        async with aclosing(OwnSource(opened).fragments(StartPosition(since=START))) as fragments:
            async for fragment in fragments:
                told.append(dict(fragment.tags))
                if len(told) == 4:
                    break
        return told

    listening = asyncio.ensure_future(heard())
    async with asyncio.timeout(60):
        await session_of(log).run(receive, say)
        told = await listening
    # The first one's may come too late: nobody knows yet that this producer sends any.
    assert [tags.get("ContactId") for tags in told[1:]] == ["one", "one", "two"]
    assert all(tags["MimeType"] == "audio/L16" for tags in told[1:])
