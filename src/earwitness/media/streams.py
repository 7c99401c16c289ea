"""Streams as media: from the record to its log, and who is connected to which."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from earwitness.config.settings import MediaRateLimits
from earwitness.errors import LimitExceeded, Unavailable
from earwitness.fragments.interface import StreamIdentity
from earwitness.fragments.log import FragmentLog
from earwitness.fragments.retention import BYTES_MAX, LIVE_MINUTES, Retention
from earwitness.fragments.stream import FragmentStream
from earwitness.media.rates import MediaRates
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store
from earwitness.wire.shares import Shares

READERS_MAX = 20
"""GetMedia connections of one stream. AWS allows 3, and advises to have that raised for several consumers."""

CONNECTIONS_MAX = 5_000
"""PutMedia and GetMedia connections in progress, of which one account gets half: half of what a process takes."""


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

    def __init__(self, store: Store, *, limits: MediaLimits, rates: MediaRates | None = None) -> None:
        """`rates` are how fast media may come and go; as fast as it can when there are none."""
        self._store = store
        self.limits = limits
        self.rates = rates or MediaRates(MediaRateLimits())
        self.log: FragmentLog | None = None
        """Set when the log is open; until then media is Unavailable."""

        self.connections = Shares(
            limits.connections,
            refusal="as many producers and readers of this account are connected as may be; end one first",
        )
        """By account."""

        self._producers: set[str] = set()
        self._readers: dict[str, int] = {}

    async def open(self, scope: Scope, stream: KinesisStream) -> FragmentStream:
        """The log of a stream. FragmentLogUnavailable when the disk is away."""
        return await self._opened().open_stream(
            _identity(scope, stream),
            key=lambda: self._store.stream_key(scope, stream),
            retention=self.retention_of(stream),
        )

    async def delete(self, scope: Scope, stream: KinesisStream) -> None:
        """Delete a stream's media."""
        await self._opened().delete_stream(_identity(scope, stream))

    async def retain(self, scope: Scope, stream: KinesisStream) -> None:
        """Keep media as long as the record says now."""
        await (await self.open(scope, stream)).set_retention(self.retention_of(stream))

    def retention_of(self, stream: KinesisStream) -> Retention:
        """How much of a stream is kept, by its record and the limits."""
        limits = self.limits
        return Retention(
            hours=stream.retention_hours, bytes_max=limits.bytes_per_stream, live_minutes=limits.live_minutes
        )

    def has_producer(self, stream: KinesisStream) -> bool:
        """Whether somebody is sending."""
        return stream.arn in self._producers

    @contextmanager
    def producing(self, stream: KinesisStream) -> Generator[None]:
        """While somebody sends. LimitExceeded for a second one: the newest is refused, as by AWS. Unavailable when the
        account has its share of connections."""
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
        """While somebody reads. LimitExceeded for one too many, Unavailable when the account has its share."""
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

    def _opened(self) -> FragmentLog:
        if self.log is None:
            raise Unavailable("the service is starting; try again")
        return self.log


def _account(stream: KinesisStream) -> str:
    return stream.arn.split(":")[4]


def _identity(scope: Scope, stream: KinesisStream) -> StreamIdentity:
    return StreamIdentity(account_id=scope.account_id, stream_arn=stream.arn)
