"""Streams of media: from a stream's record to its log, who is connected to which, and how fast media may come and go.

As at AWS (reference, 8.3, 8.6, 8.7), a call too many is refused, but media too fast is not: a producer or reader that
is over its rate has to wait, and TCP slows down the other end.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass

from earwitness.config.limits import MediaRateLimits
from earwitness.errors import LimitExceeded, Throttled
from earwitness.fragments.interface import BYTES_MAX, LIVE_MINUTES, Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog
from earwitness.fragments.stream import FragmentStream
from earwitness.metrics.reported import MediaMetrics
from earwitness.nodes.homed_stream import HomedStream, KeptStream
from earwitness.nodes.homes import StreamHomes, StreamKey
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store
from earwitness.traces.traces import Traces
from earwitness.wire.buckets import Buckets
from earwitness.wire.shares import Shares

HOLD_SECONDS = 0.5
"""How often a wait is interrupted to look whether it is still wanted: the service may be stopping."""

READERS_MAX = 20
"""GetMedia connections of one stream. AWS allows 3, and advises to have that raised for several consumers."""

CONNECTIONS_MAX = 5_000
"""PutMedia and GetMedia connections in progress, of which one account gets half: half of what a process takes."""

Pause = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""


class ConnectionRate:
    """The rate of one connection: counts what comes or goes, and waits until the next may."""

    def __init__(
        self,
        buckets: Buckets,
        name: Hashable,
        *,
        fragments: float,
        bytes_: float,
        monotonic: Callable[[], float],
        pause: Pause,
    ) -> None:
        self._buckets = buckets
        self._name = name
        self._fragments = fragments
        self._bytes = bytes_
        self._monotonic = monotonic
        self._pause = pause

    async def keep(self, *, fragments: int = 0, size: int = 0, until: Callable[[], bool]) -> None:
        """Count so much, and wait until it is allowed, or until `until` is true."""
        now = self._monotonic()
        free_at = now + max(
            self._owed("fragments", fragments, rate=self._fragments, now=now),
            self._owed("bytes", size, rate=self._bytes, now=now),
        )
        while (left := free_at - self._monotonic()) > 0 and not until():
            await self._pause(min(left, HOLD_SECONDS))

    def _owed(self, what: str, cost: int, *, rate: float, now: float) -> float:
        if not rate or not cost:
            return 0.0
        return self._buckets.spend((self._name, what), rate=rate, now_seconds=now, cost=cost)


class MediaRates:
    """The rates of all streams."""

    def __init__(
        self,
        limits: MediaRateLimits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._pause = pause
        self._buckets = Buckets()
        self._connections = itertools.count()

    def call(self, operation: str, stream_arn: str) -> None:
        """Count a call. Raise Throttled after too many for this stream."""
        self._take(operation, stream_arn, rate=self._limits.calls, what=f"calls of {operation}")

    def list(self, stream_arn: str, fragments: int) -> None:
        """Count a list of up to so many entries. Raise Throttled after too many for this stream."""
        rate = self._limits.listed_fragments
        self._take("listed", stream_arn, rate=rate, cost=fragments, what="fragments asked for by ListFragments")

    def fetch(self, stream_arn: str, fragments: int) -> None:
        """Count so many fetched fragments. Raise Throttled after too many for this stream."""
        what = "fragments asked for by GetMediaForFragmentList"
        self._take("fetched", stream_arn, rate=self._limits.fetched_fragments, cost=fragments, what=what)

    def producer(self, stream_arn: str) -> ConnectionRate:
        """Return the rate of a stream's producer, which goes on where the one before it ended."""
        return self._rate(("producer", stream_arn), self._limits.put_fragments, self._limits.put_bytes)

    def reader(self, *, live: bool) -> ConnectionRate:
        """Return the rate of one more reader. Fragments count for `live` ones; others counted theirs before."""
        fragments = self._limits.read_fragments if live else 0.0
        return self._rate(("reader", next(self._connections)), fragments, self._limits.read_bytes)

    def _rate(self, name: Hashable, fragments: float, bytes_: float) -> ConnectionRate:
        return ConnectionRate(
            self._buckets, name, fragments=fragments, bytes_=bytes_, monotonic=self._monotonic, pause=self._pause
        )

    def _take(self, name: str, stream_arn: str, *, rate: float, what: str, cost: int = 1) -> None:
        if rate and self._buckets.take((name, stream_arn), rate=rate, now_seconds=self._monotonic(), cost=cost):
            raise Throttled(f"more than {rate:g} {what} a second for this stream; wait and retry with back-off")


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """What media may take."""

    connections: int = CONNECTIONS_MAX
    """Producers and readers of all streams together."""

    bytes_per_stream: int = BYTES_MAX
    """Kept of one stream; the oldest goes first."""

    live_minutes: float = LIVE_MINUTES
    """Kept of a stream without retention."""

    readers_per_stream: int = READERS_MAX
    idle_seconds: float = 30.0
    """A producer that sends nothing is cut off after this time, as by AWS."""

    idle_ack_seconds: float = 5.0
    """How often a producer that sends nothing hears that its session is open."""

    connection_seconds: float = 45 * 60.0
    """A producer is cut off after this time, as by AWS; it connects again."""


class MediaStreams:
    """Logs of streams, opened when they are needed. Lives on the event loop."""

    def __init__(
        self, store: Store, *, log: Callable[[], FragmentLog], limits: MediaLimits, rates: MediaRates | None = None
    ) -> None:
        """`log` returns the media log, or raises Unavailable before it is open. Without `rates` media may be as fast as
        they can."""
        self.metrics, self.traces = MediaMetrics(), Traces()
        """Whom producers report to; a service has its own instead."""

        self._store = store
        self.limits = limits
        self.rates = rates or MediaRates(MediaRateLimits())
        self._log = log
        self.homes: StreamHomes | None = None
        """Where streams are at home; None where this process is the only one."""

        self.connections = Shares(
            limits.connections,
            refusal="as many producers and readers of this account are connected as may be; end one first",
        )
        """By account."""

        self._producers: set[str] = set()
        self._readers: dict[str, int] = {}

    async def open_to_read(self, scope: Scope, stream: KinesisStream, *, looks: bool = True) -> KeptStream:
        """Return what can be read of a stream, wherever it lies. Raise FragmentLogUnavailable when the disk is away.

        `looks`: learn of its moves by looking, which a task need not, because it moves along.
        """
        if self.homes is None:
            return await self.open_here(scope, stream)
        return HomedStream(self.homes, StreamKey(scope, stream.arn), stream, looks=looks)

    async def open_to_write(self, scope: Scope, stream: KinesisStream) -> FragmentStream:
        """Return the log of a stream, whose media come here from now on.

        Raise FragmentLogUnavailable when the disk is away; and as `StreamHomes.open_to_write`.
        """
        if self.homes is None:
            return await self.open_here(scope, stream)
        return await self.homes.open_to_write(scope, stream)

    async def open_here(self, scope: Scope, stream: KinesisStream) -> FragmentStream:
        """Return what lies here of a stream. Raise FragmentLogUnavailable when the disk is away."""
        return await self._log().open_stream(
            _identity(scope, stream.arn),
            key=lambda: self._store.stream_key(scope, stream),
            retention=self.retention_of(stream),
        )

    async def delete(self, scope: Scope, stream_arn: str) -> None:
        """Delete what lies here of a stream."""
        if self.homes is not None:
            self.homes.forget(StreamKey(scope, stream_arn))
        await self._log().delete_stream(_identity(scope, stream_arn))

    async def retain(self, scope: Scope, stream: KinesisStream) -> None:
        """Keep media for as long as the record says now."""
        await (await self.open_here(scope, stream)).set_retention(self.retention_of(stream))

    def retention_of(self, stream: KinesisStream) -> Retention:
        """Return how much of a stream is kept, by its record and the limits."""
        limits = self.limits
        return Retention(
            hours=stream.retention_hours, bytes_max=limits.bytes_per_stream, live_minutes=limits.live_minutes
        )

    @property
    def producer_count(self) -> int:
        """Return how many send to this process."""
        return len(self._producers)

    def has_producer(self, stream: KinesisStream) -> bool:
        """Return whether somebody is sending, as far as is known here."""
        return self.has_producer_here(stream.arn) or (self.homes is not None and self.homes.is_sent_to(stream.arn))

    def has_producer_here(self, stream_arn: str) -> bool:
        """Return whether somebody is sending to this process."""
        return stream_arn in self._producers

    @contextmanager
    def producing(self, stream: KinesisStream) -> Generator[None]:
        """Hold the stream's one place for a producer.

        Raise LimitExceeded for a second one (the newest is refused, as by AWS), Unavailable when the account has its
        share of connections.
        """
        if stream.arn in self._producers:
            raise LimitExceeded("another producer is connected to this stream; end it first, or wait for its end")
        with self.connections.taken(_account(stream)):
            self._producers.add(stream.arn)
            try:
                yield
            finally:
                self._producers.discard(stream.arn)

    @contextmanager
    def reading(self, stream: KinesisStream) -> Generator[None]:
        """Hold a reader's place. Raise LimitExceeded for one too many, Unavailable when the account has its share."""
        count = self._readers.get(stream.arn, 0)
        if count >= self.limits.readers_per_stream:
            raise LimitExceeded(f"{count} readers are connected to this stream, which is the most; end one first")
        with self.connections.taken(_account(stream)):
            self._readers[stream.arn] = count + 1
            try:
                yield
            finally:
                self._readers[stream.arn] -= 1
                if not self._readers[stream.arn]:
                    del self._readers[stream.arn]


def _account(stream: KinesisStream) -> str:
    return stream.arn.split(":")[4]


def _identity(scope: Scope, stream_arn: str) -> StreamIdentity:
    return StreamIdentity(account_id=scope.account_id, stream_arn=stream_arn)
