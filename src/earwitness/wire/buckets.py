"""Token buckets by name: how much of something may happen in a second, with a burst after a silence.

Buckets that are full say nothing, so the least recently used go first when there are many.

What belongs here: counting. What must never: waiting, errors, what is counted.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

BURST_SECONDS = 2.0
"""Who was silent may use the rate of so many seconds at once: SDKs start with a burst."""

BUCKETS_MAX = 10_000
"""Names in use within a few seconds; a bucket is some 200 bytes."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_seconds: float


class Buckets:
    """Counts by name. Rates are a second's, greater than 0; times are monotonic. Safe to use from several threads."""

    def __init__(self, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, name: Hashable, *, rate: float, now_seconds: float, cost: float = 1.0) -> float:
        """Take so much: 0.0. Where there is not enough, take nothing: in how many seconds there will be.

        More than a bucket holds needs a full one.
        """
        with self._lock:
            bucket = self._bucket(name, rate=rate, now_seconds=now_seconds)
            needed = min(cost, _full(rate))
            if bucket.tokens < needed:
                return (needed - bucket.tokens) / rate
            bucket.tokens -= needed
            return 0.0

    def spend(self, name: Hashable, *, rate: float, now_seconds: float, cost: float = 1.0) -> float:
        """Take so much, there or not; in how many seconds it will have been there, which keeps the rate if waited."""
        with self._lock:
            bucket = self._bucket(name, rate=rate, now_seconds=now_seconds)
            bucket.tokens -= cost
            return max(0.0, -bucket.tokens / rate)

    def _bucket(self, name: Hashable, *, rate: float, now_seconds: float) -> _Bucket:
        full = _full(rate)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(full, now_seconds)
            if len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        bucket.tokens = min(full, bucket.tokens + max(0.0, now_seconds - bucket.at_seconds) * rate)
        bucket.at_seconds = now_seconds
        return bucket


def _full(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)
