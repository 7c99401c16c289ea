"""What is kept of a stream, cut into recordings and read again, over a real log."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_examples import MINE, START, Clock, opened

from earwitness.audio.files import open_recording
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.errors import AudioUnreadable, ChannelNotChosen
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.media.streams import MediaLimits, MediaStreams
from earwitness.store.records import KinesisStream
from earwitness.tasks.kept_media import STRETCH_MAX, KeptMedia, Stretch

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
RATE = 8_000
STREAM = f"arn:aws:kinesisvideo:{MINE.region}:{MINE.account_id}:stream/calls/1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A stream, its log, and somebody who reads it from a thread."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self._folder = folder / "media"
        self.store = opened(f"sqlite:///{folder / 'records.db'}", clock=self.clock)
        self.log: FragmentLog
        self.stream: KinesisStream

    async def start(self) -> None:
        self.log = await open_fragment_log(self._folder, clock=self.clock)
        self.stream = self.store.write(
            lambda unit: unit.streams.create(
                MINE, name="calls", arn=STREAM, version="v", retention_hours=240, status="ACTIVE"
            )
        )
        self.media = MediaStreams(self.store, log=lambda: self.log, limits=MediaLimits())
        loop = asyncio.get_running_loop()

        def on_loop(work: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loop).result()

        self.kept = KeptMedia(self.media, on_loop)

    async def say(self, *levels: int, call: str = "", channels: int = 1, made_at: datetime | None = None) -> None:
        """A second of each level, one fragment each; `made_at` is what the producer says of the first."""
        made_at = made_at or self.clock.now
        log = await self.media.open_to_write(MINE, self.stream)
        header = write_header([pcm_track(rate=RATE, channels=channels)])
        for level in levels:
            frame = np.full(RATE * channels, level, "<i2").tobytes()
            number = (await log.reserve()).number
            await log.append(
                number,
                producer_timestamp=made_at,
                duration_ms=1_000,
                header=header,
                cluster=write_cluster(0, [write_block(1, 0, frame)]),
                tags=write_tags({"ContactId": call}) if call else b"",
            )
            self.clock.advance(SECOND)
            made_at += SECOND

    async def stretches(self, *, start: datetime = START, end: datetime | None = None) -> list[Stretch]:
        until = end or self.clock.now
        return await asyncio.to_thread(self.kept.stretches, MINE, self.stream, start=start, end=until)

    async def read(self, stretch: Stretch) -> bytes:
        file = io.BytesIO()
        numbers = stretch.first_number, stretch.last_number
        await asyncio.to_thread(self.kept.write, MINE, self.stream, *numbers, file)
        return file.getvalue()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.log.close()
    world.store.close()


def levels(content: bytes, folder: Path, *, channel: int | None = None) -> list[int]:
    """The level of each second of a recording."""
    path = folder / "recording"
    path.write_bytes(content)
    samples = np.concatenate(list(open_recording(path, channel=channel).blocks()))
    return [round(float(samples[at]) * 32_768) for at in range(RATE // 2, len(samples), RATE)]


async def test_a_recording_ends_with_a_pause(world: World, tmp_path: Path) -> None:
    await world.say(100, 200)
    world.clock.advance(29 * SECOND)
    await world.say(300)
    world.clock.advance(31 * SECOND)
    await world.say(400, 500)
    found = await world.stretches()
    assert [levels(await world.read(one), tmp_path) for one in found] == [[100, 200, 300], [400, 500]]
    assert found[0].ended_at < found[1].started_at


async def test_another_call_is_another_recording(world: World, tmp_path: Path) -> None:
    await world.say(100, 200, call="one")
    await world.say(250)  # nothing is said of it: it belongs to the call before
    await world.say(300, call="two")
    found = await world.stretches()
    assert [levels(await world.read(one), tmp_path) for one in found] == [[100, 200, 250], [300]]


async def test_what_a_producer_sent_again_is_in_a_recording_once(world: World, tmp_path: Path) -> None:
    """Its fragments have other numbers, and the time that the producer gave them before."""
    begun = world.clock.now
    await world.say(100, 200, 300)
    await world.say(200, 300, made_at=begun + SECOND)
    await world.say(250, made_at=begun + 2 * SECOND)  # of the same time, and other speech
    await world.say(400)
    (found,) = await world.stretches()
    assert levels(await world.read(found), tmp_path) == [100, 200, 300, 250, 400]


async def test_a_recording_has_an_hour(world: World) -> None:
    hour = STRETCH_MAX // SECOND
    await world.say(*([1] * (hour + 10)))
    found = await world.stretches()
    assert len(found) == 2
    assert all(one.ended_at - one.started_at <= STRETCH_MAX for one in found)
    assert found[1].first_number > found[0].last_number


async def test_only_what_came_in_that_time(world: World, tmp_path: Path) -> None:
    await world.say(100, 200, 300, 400)
    (found,) = await world.stretches(start=START + SECOND, end=START + 2.5 * SECOND)
    assert levels(await world.read(found), tmp_path) == [200, 300]
    assert await world.stretches(start=START + 60 * SECOND, end=START + 90 * SECOND) == []


async def test_a_channel_is_chosen_as_in_a_file(world: World, tmp_path: Path) -> None:
    await world.say(100, channels=2)
    (found,) = await world.stretches()
    content = await world.read(found)
    assert levels(content, tmp_path, channel=1) == [100]
    with pytest.raises(ChannelNotChosen):
        levels(content, tmp_path)


async def test_what_is_gone_is_said(world: World) -> None:
    await world.say(100)
    (found,) = await world.stretches()
    world.clock.advance(timedelta(days=30))
    await world.log.expire(world.clock.now)
    with pytest.raises(AudioUnreadable, match="not kept any more"):
        await world.read(found)
