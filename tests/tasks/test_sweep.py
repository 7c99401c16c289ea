"""Media that nobody opened, and media that no record knows, over a real log and real records; the clock is made up."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from store_examples import MINE, Clock, opened

from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store
from earwitness.tasks.expire import GRACE, MediaSweep
from earwitness.vault.data_key import DataKey

pytestmark = pytest.mark.anyio

ResultT = TypeVar("ResultT")
FOREVER = Retention(hours=10_000)
SECOND = timedelta(seconds=1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def here(work: Callable[[], ResultT]) -> ResultT:
    return work()


class World:
    """A service without its requests."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.jumped = timedelta()
        self._folder = folder / "media"
        self.store: Store = opened(f"sqlite:///{folder / 'records.db'}", clock=self.clock)
        self.log: FragmentLog

    async def start(self) -> None:
        self.log = await open_fragment_log(self._folder, clock=self.clock)
        self.sweeper = MediaSweep(
            self.store,
            self.log,
            retention_of=lambda stream: Retention(hours=stream.retention_hours),
            run_in_thread=here,
            found=self._found,
            monotonic=self.monotonic,
        )

    def monotonic(self) -> float:
        return (self.clock() - self.jumped).timestamp()

    def set_clock_ahead(self, by: timedelta) -> None:
        """Without that time passes."""
        self.clock.advance(by)
        self.jumped += by

    async def _found(self, account_id: str, stream: KinesisStream) -> None:
        assert (account_id, stream.name) in [(MINE.account_id, stream.name)]

    async def restart(self) -> None:
        await self.log.close()
        await self.start()

    async def sweep(self) -> None:
        await self.sweeper.sweep(self.clock())

    def create(self, name: str, *, hours: int = 1) -> KinesisStream:
        arn = f"arn:aws:kinesisvideo:{MINE.region}:{MINE.account_id}:stream/{name}/1"
        return self.store.write(
            lambda unit: unit.streams.create(
                MINE, name=name, arn=arn, version="v", retention_hours=hours, status="ACTIVE"
            )
        )

    async def append(self, stream: KinesisStream) -> None:
        key, identity = DataKey(bytes(32)), identity_of(stream)
        log = await self.log.open_stream(identity, key=lambda: key, retention=FOREVER)
        number = (await log.reserve()).number
        await log.append(number, producer_timestamp=self.clock(), duration_ms=1, header=b"", cluster=b"media")

    async def kept(self, stream: KinesisStream) -> int:
        key = DataKey(bytes(32))
        log = await self.log.open_stream(identity_of(stream), key=lambda: key, retention=FOREVER)
        return (await log.status()).fragments


def identity_of(stream: KinesisStream) -> StreamIdentity:
    return StreamIdentity(account_id=MINE.account_id, stream_arn=stream.arn)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.log.close()
    world.store.close()


async def test_streams_that_nobody_opened_expire_each_by_its_own_retention(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.store.pages._RECORDS_AT_ONCE", 2)
    streams = [world.create(f"s{hours}", hours=hours) for hours in (0, 1, 2, 3, 4)]
    for stream in streams:
        await world.append(stream)
    await world.restart()
    world.clock.advance(timedelta(hours=2) + SECOND)
    await world.sweep()
    assert [await world.kept(stream) for stream in streams] == [0, 0, 0, 1, 1]


async def test_media_without_a_record_go_after_an_hour(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gone, other = world.create("gone"), world.create("other", hours=100)
    for stream in (gone, other):
        await world.append(stream)
    await world.restart()
    world.store.write(lambda unit: unit.streams.delete(MINE, gone.arn))
    with caplog.at_level(logging.INFO, logger="earwitness.sweep"):
        for _ in range(3):
            await world.sweep()
        world.clock.advance(GRACE - SECOND)
        await world.sweep()
        assert identity_of(gone).digest in await world.log.stored()
        world.clock.advance(SECOND)
        await world.sweep()
    assert await world.log.stored() == {identity_of(other).digest}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert gone.arn not in caplog.text


async def test_a_clock_that_is_set_ahead_takes_nothing_of_the_hour(world: World) -> None:
    stream = world.create("calls", hours=100)
    await world.append(stream)
    await world.restart()
    world.store.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    await world.sweep()
    world.set_clock_ahead(timedelta(days=2))
    world.clock.advance(GRACE - SECOND)
    await world.sweep()
    assert identity_of(stream).digest in await world.log.stored()
    world.clock.advance(SECOND)
    await world.sweep()
    assert await world.log.stored() == frozenset()


async def test_a_record_that_is_back_in_time_keeps_its_media(world: World) -> None:
    """As after a start with the wrong records."""
    stream = world.create("calls", hours=100)
    await world.append(stream)
    await world.restart()
    world.store.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    await world.sweep()
    world.create("calls", hours=100)
    world.clock.advance(2 * GRACE)
    await world.sweep()
    world.store.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    await world.sweep()
    assert await world.kept(stream) == 1


async def test_a_stream_that_is_made_during_a_sweep_is_not_taken_for_unknown(world: World) -> None:
    """It appears between the look at what is stored and the look at the records, the way a busy service makes them."""
    made: list[KinesisStream] = []
    stored = world.log.stored

    async def stored_then_made() -> frozenset[str]:
        before = await stored()
        made.append(world.create(f"new{len(made)}", hours=100))
        await world.append(made[-1])
        return before

    world.log.stored = stored_then_made
    for _ in range(4):
        await world.sweep()
        world.clock.advance(GRACE)
    world.log.stored = stored
    assert len(await world.log.stored()) == len(made) == 4


async def test_streams_are_looked_at_without_being_opened(world: World) -> None:
    streams = [world.create(f"s{number}", hours=100) for number in range(30)]
    for stream in streams:
        await world.append(stream)
    await world.restart()
    await world.sweep()
    assert not world.log._streams
