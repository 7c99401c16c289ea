"""How fast media may come and go: what is refused, and what is only held back.

As at AWS (reference, 8.3, 8.6, 8.7), a call too many is refused, media too fast is not: a producer or reader that is
over its rate is kept waiting, and TCP slows down whoever is at the other end.

What belongs here: which rates there are, and what they count. What must never: connections, media.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Hashable

from earwitness.config.settings import MediaRateLimits
from earwitness.errors import Throttled
from earwitness.wire.buckets import Buckets

HOLD_SECONDS = 0.5
"""Whoever is held back is looked after so often: the service may be stopping, a fragment may have failed."""

Pause = Callable[[float], Awaitable[None]]
"""Lets so many seconds pass; `asyncio.sleep` outside tests."""


class ConnectionRate:
    """One connection's: counts what comes or goes, and says how long to wait for the next."""

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
        """Count so much, and wait until it was allowed, or until something else is true."""
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
        """Count a call; Throttled when there have been too many for this stream."""
        self._take(operation, stream_arn, rate=self._limits.calls, what=f"calls of {operation}")

    def list(self, stream_arn: str, fragments: int) -> None:
        """Count a list that may have so many entries; Throttled when there have been too many for this stream."""
        rate = self._limits.listed_fragments
        self._take("listed", stream_arn, rate=rate, cost=fragments, what="fragments asked for by ListFragments")

    def fetch(self, stream_arn: str, fragments: int) -> None:
        """Count so many fragments; Throttled when there have been too many for this stream."""
        what = "fragments asked for by GetMediaForFragmentList"
        self._take("fetched", stream_arn, rate=self._limits.fetched_fragments, cost=fragments, what=what)

    def producer(self, stream_arn: str) -> ConnectionRate:
        """The pace of a stream's producer, which goes on where the one before it ended."""
        return self._pace(("producer", stream_arn), self._limits.put_fragments, self._limits.put_bytes)

    def reader(self, *, live: bool) -> ConnectionRate:
        """The pace of one more reader; `live` readers count fragments, others have counted them when they asked."""
        fragments = self._limits.read_fragments if live else 0.0
        return self._pace(("reader", next(self._connections)), fragments, self._limits.read_bytes)

    def _pace(self, name: Hashable, fragments: float, bytes_: float) -> ConnectionRate:
        return ConnectionRate(
            self._buckets, name, fragments=fragments, bytes_=bytes_, monotonic=self._monotonic, pause=self._pause
        )

    def _take(self, name: str, stream_arn: str, *, rate: float, what: str, cost: int = 1) -> None:
        if rate and self._buckets.take((name, stream_arn), rate=rate, now_seconds=self._monotonic(), cost=cost):
            raise Throttled(f"more than {rate:g} {what} a second for this stream; wait and retry with back-off")
