"""A node stands still between the sync of a fragment and its acknowledgement: is PERSISTED told afterwards?"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message
from store_examples import stream_record

from earwitness.api.put_media import PutMediaSession
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.config.settings import MediaRateLimits
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.stream import FragmentStream
from earwitness.media.streams import MediaLimits, MediaRates
from earwitness.nodes.lease import Lease
from earwitness.store.leading import LEASE_SECONDS, Renewal
from earwitness.vault.data_key import DataKey

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ARN = "arn:aws:kinesisvideo:us-east-1:111122223333:stream/calls/1"
WAIT_SECONDS = 2.0
MEDIA = write_header([pcm_track(rate=8_000)]) + write_cluster(1_000, [write_block(1, 0, bytes(160))])


class StoodStill:
    """A monotonic clock on which more than a lease has passed once a fragment is on the disk."""

    def __init__(self, media: Path) -> None:
        self._media, self._slept = media, 0.0

    def __call__(self) -> float:
        is_kept = any(path.stat().st_size for path in self._media.rglob("*.segment"))
        return 1_000.0 + self._slept + is_kept * (LEASE_SECONDS + 1)

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[FragmentStream]:
    disk, key = await open_fragment_log(tmp_path / "media", clock=lambda: NOON), DataKey(bytes(32))
    identity = StreamIdentity(account_id="111122223333", stream_arn=ARN)
    yield await disk.open_stream(identity, key=lambda: key, retention=Retention(hours=1))
    await disk.close()


async def acks_of(log: FragmentStream, lease: Lease) -> list[dict[str, Any]]:
    acks: list[dict[str, Any]] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": MEDIA, "more_body": False}

    async def say(ack: bytes) -> None:
        acks.append(json.loads(ack))

    record = stream_record(ARN, NOON)
    session = PutMediaSession(
        stream=record,
        log=log,
        start_ms=0,
        limits=MediaLimits(),
        pace=MediaRates(MediaRateLimits()).producer(ARN),
        monotonic=lambda: 0.0,
        is_draining=lambda: False,
        heard=lambda: None,
        may_say_persisted=lambda: lease.require(seconds_max=WAIT_SECONDS),
        release=lambda: None,
    )
    await session.run(receive, say)
    return acks


@pytest.mark.parametrize("comes_back", [True, False])
async def test_persisted_is_told_only_with_a_lease_of_after_the_sync(
    log: FragmentStream, tmp_path: Path, comes_back: bool
) -> None:
    clock = StoodStill(tmp_path / "media")

    async def pause(seconds: float) -> None:
        clock.sleep(seconds)
        if comes_back:  # nobody has taken this node for dead: the records renew its lease
            lease.renewed(Renewal(asked_at=clock(), answered_at=clock(), database_time=NOON))

    lease = Lease(monotonic=clock, pause=pause)
    lease.renewed(Renewal(asked_at=clock(), answered_at=clock(), database_time=NOON))
    assert lease.holds()
    told = [ack["EventType"] for ack in await acks_of(log, lease)]
    assert told == ["BUFFERING", "RECEIVED", "PERSISTED" if comes_back else "ERROR"]
