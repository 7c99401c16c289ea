"""What the tests of the media log have in common: a medium to keep one on, a clock, streams and fragments."""

import asyncio
import hashlib
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from earwitness.fragments.interface import Earliest, Position, ReadResult, Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.fragments.stream import FragmentReader, FragmentStream
from earwitness.vault.data_key import DataKey
from patience import PATIENCE_SECONDS

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = Retention(hours=24)
LIVE = Retention(hours=0)

OpenLog = Callable[[Callable[[], datetime]], Awaitable[FragmentLog]]
"""Opens the log that is on the test's medium, with this clock."""


def _disk(folder: Path) -> OpenLog:
    async def open_log(clock: Callable[[], datetime]) -> FragmentLog:
        return await open_fragment_log(folder / "fragments", clock=clock)

    return open_log


MEDIA: dict[str, Callable[[Path], OpenLog]] = {"disk": _disk}
"""The implementations. One that joins adds its name, and what opens it for a test that owns an empty folder."""


def identity(name: str) -> StreamIdentity:
    arn = f"arn:aws:kinesisvideo:eu-central-1:111122223333:stream/{name}/1767225600000"
    return StreamIdentity(account_id="111122223333", stream_arn=arn)


def key_of(name: str) -> DataKey:
    return DataKey(hashlib.sha256(name.encode()).digest())


class World:
    """A log, its clock, and short ways to do the usual."""

    def __init__(self, open_log: OpenLog) -> None:
        self.now = START
        self._open_log = open_log
        self._log: FragmentLog | None = None

    @property
    def log(self) -> FragmentLog:
        assert self._log is not None
        return self._log

    async def open(self) -> None:
        self._log = await self._open_log(lambda: self.now)

    async def close(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            await log.close()

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    async def stream(self, name: str = "a", *, retention: Retention = DAY, key: str = "") -> FragmentStream:
        data_key = key_of(key or name)
        return await self.log.open_stream(identity(name), key=lambda: data_key, retention=retention)

    async def append(
        self,
        stream: FragmentStream,
        media: bytes = b"media",
        *,
        producer: datetime | None = None,
        duration_ms: int = 1_000,
        lasting: timedelta = SECOND,
        tags: bytes = b"",
    ) -> str:
        """A fragment that begins now; afterwards the clock is `lasting` later."""
        reservation = await stream.reserve()
        self.now += lasting
        await stream.append(
            reservation.number,
            producer_timestamp=producer or reservation.server_timestamp,
            duration_ms=duration_ms,
            header=b"header of " + media[:20],
            cluster=media,
            tags=tags,
        )
        return reservation.number

    async def append_many(self, stream: FragmentStream, count: int) -> list[str]:
        return [await self.append(stream, b"media %d" % number) for number in range(count)]


async def next_of(reader: FragmentReader) -> ReadResult:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(reader)


async def from_position(stream: FragmentStream, position: Position) -> ReadResult:
    return await next_of(await stream.read(position))


async def everything(stream: FragmentStream) -> list[ReadResult]:
    """What is kept, oldest first."""
    last = (await stream.status()).last
    found: list[ReadResult] = []
    reader = await stream.read(Earliest())
    while last is not None and (not found or found[-1].fragment.info.number != last.number):
        found.append(await next_of(reader))
    return found


async def numbers_of(stream: FragmentStream) -> list[str]:
    return [delivery.fragment.info.number for delivery in await everything(stream)]


async def turns(count: int = 50) -> None:
    """Let everything that can go on without the outside go on."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond this: writes end in the middle, then fail, as on a full disk."""
    with _limited(resource.RLIMIT_FSIZE, size):
        yield


@contextmanager
def descriptors_at_most(count: int) -> Iterator[None]:
    """This process gets no file descriptor with a number that is not below this."""
    with _limited(resource.RLIMIT_NOFILE, count):
        yield


@contextmanager
def _limited(what: int, most: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)
