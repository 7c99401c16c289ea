"""Producers and readers over their rate: held back, in a time that is turned by hand, and never refused for it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message
from store_examples import stream_record

from earwitness.api.put_media import PutMediaSession
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.config.limits import MediaRateLimits
from earwitness.errors import Throttled
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.media.streams import MediaLimits, MediaRates
from earwitness.vault.data_key import DataKey

pytestmark = pytest.mark.anyio

HEADER = write_header([pcm_track(rate=8_000)])
START = datetime(2026, 1, 1, tzinfo=UTC)
PIECE = 1_000
"""Bytes that come at once."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[FragmentLog]:
    log = await open_fragment_log(tmp_path / "media", clock=lambda: START)
    yield log
    await log.close()


def recording(count: int, *, audio_bytes: int = 160) -> bytes:
    clusters = [write_cluster(1_000 * number, [write_block(1, 0, bytes(audio_bytes))]) for number in range(count)]
    return HEADER + b"".join(clusters)


async def at_once() -> None:
    """Nobody else serves these records."""


class Service:
    """The media half of a service whose clock only moves when somebody waits."""

    def __init__(self, log: FragmentLog, **limits: float) -> None:
        self.seconds = 0.0
        self.draining = False
        self._log = log
        self.rates = MediaRates(MediaRateLimits(**limits), monotonic=lambda: self.seconds, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)

    async def put(
        self, name: str, body: bytes, *, taken: Callable[[int], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """What a producer is told; `taken` gets how much of its body the service has, whenever it asks for more."""
        arn = f"arn:aws:kinesisvideo:us-east-1:111122223333:stream/{name}/1"
        key, said, place = DataKey(bytes(32)), list[dict[str, Any]](), 0
        log = await self._log.open_stream(
            StreamIdentity(account_id="111122223333", stream_arn=arn), key=lambda: key, retention=Retention(hours=1)
        )

        async def receive() -> Message:
            nonlocal place
            taken(place)
            place += PIECE
            return {"type": "http.request", "body": body[place - PIECE : place], "more_body": place < len(body)}

        async def say(chunk: bytes) -> None:
            said.append(json.loads(chunk))

        session = PutMediaSession(
            stream=stream_record(arn, START),
            log=log,
            start_ms=0,
            limits=MediaLimits(idle_seconds=0.5),  # less than anybody is held back here: that is no silence
            pace=self.rates.producer(arn),
            monotonic=lambda: self.seconds,
            is_draining=lambda: self.draining,
            heard=lambda: None,
            may_say_persisted=at_once,
            release=lambda: None,
        )
        await session.run(receive, say)
        session.close()
        return said


def told(acks: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(ack["EventType"] for ack in acks))


def all_of(count: int) -> dict[str, int]:
    return {"BUFFERING": count, "RECEIVED": count, "PERSISTED": count}


async def test_more_fragments_than_the_rate_take_longer_and_all_are_kept(log: FragmentLog) -> None:
    service = Service(log, put_fragments=5)
    assert told(await service.put("a", recording(30))) == all_of(30)
    assert service.seconds == pytest.approx((30 - 10) / 5)


async def test_more_bytes_than_the_rate_take_longer_and_all_are_kept(log: FragmentLog) -> None:
    service, body = Service(log, put_bytes=2_000), recording(30)
    assert told(await service.put("a", body)) == all_of(30)
    assert service.seconds == pytest.approx((len(body) - 4_000) / 2_000, abs=PIECE / 2_000)


async def test_within_the_rate_nobody_waits(log: FragmentLog) -> None:
    service = Service(log, put_fragments=15, put_bytes=100_000)
    assert told(await service.put("a", recording(30))) == all_of(30)
    assert service.seconds == 0


async def test_without_limits_nobody_waits(log: FragmentLog) -> None:
    service = Service(log)
    await service.put("a", recording(300))
    assert service.seconds == 0


async def test_producers_of_one_stream_share_its_rate_and_other_streams_do_not_feel_it(log: FragmentLog) -> None:
    service = Service(log, put_fragments=5)
    await service.put("a", recording(10))
    assert service.seconds == 0
    await service.put("a", recording(10))
    assert service.seconds == pytest.approx(2)
    await service.put("b", recording(10))
    assert service.seconds == pytest.approx(2)


async def test_who_is_held_back_is_not_read_ahead_of(log: FragmentLog) -> None:
    """So what a producer has in our memory is what one piece more than the rate allows."""
    rate = 3_000.0
    service, body = Service(log, put_bytes=rate), recording(200)

    def bounded(taken_bytes: int) -> None:
        assert taken_bytes <= 2 * rate + rate * service.seconds + 1e-6

    await service.put("a", body, taken=bounded)
    assert service.seconds > 9


async def test_nobody_is_held_back_while_the_service_stops(log: FragmentLog) -> None:
    service = Service(log, put_fragments=0.001)
    service.draining = True
    acks = await service.put("a", recording(3))
    assert service.seconds == 0
    assert told(acks) == all_of(1)


async def test_a_stop_is_noticed_while_a_producer_is_held_back(log: FragmentLog) -> None:
    service = Service(log, put_fragments=0.01)
    pause = service.rates._pause

    async def stop_after_a_minute(seconds: float) -> None:
        await pause(seconds)
        service.draining = service.seconds >= 60

    service.rates._pause = stop_after_a_minute
    await service.put("a", recording(3))
    assert service.seconds == pytest.approx(60, abs=1)


async def test_readers_have_a_rate_each(log: FragmentLog) -> None:
    service = Service(log, read_bytes=1_000, read_fragments=5)
    first, second, archived = (service.rates.reader(live=live) for live in (True, True, False))
    for _ in range(20):
        await first.keep(fragments=1, size=10, until=lambda: False)
    assert service.seconds == pytest.approx(2)
    await second.keep(fragments=1, size=4_000, until=lambda: False)
    assert service.seconds == pytest.approx(4)
    for _ in range(20):
        await archived.keep(fragments=1, size=100, until=lambda: False)
    assert service.seconds == pytest.approx(4)


async def test_calls_lists_and_fetches_too_many_are_refused_by_stream(log: FragmentLog) -> None:
    service = Service(log, calls=5, listed_fragments=1_000, fetched_fragments=500)
    for ask in (
        lambda arn: service.rates.call("PutMedia", arn),
        lambda arn: service.rates.call("GetMedia", arn),
        lambda arn: service.rates.list(arn, 200),
        lambda arn: service.rates.fetch(arn, 100),
    ):
        for arn in ("a", "b"):
            for _ in range(10):
                ask(arn)
            with pytest.raises(Throttled, match="a second for this stream; wait and retry"):
                ask(arn)
    service.seconds += 0.2
    service.rates.call("PutMedia", "a")
    with pytest.raises(Throttled, match="calls of PutMedia"):
        service.rates.call("PutMedia", "a")


async def test_a_list_that_is_longer_than_the_rate_is_given_after_a_silence(log: FragmentLog) -> None:
    service = Service(log, listed_fragments=10)
    service.rates.list("a", 1_000)
    with pytest.raises(Throttled):
        service.rates.list("a", 1)
    service.seconds += 2
    service.rates.list("a", 1_000)
