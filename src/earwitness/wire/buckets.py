"""Token buckets by name: how much of something may happen in a second, with a burst after a silence.

A full bucket holds no information, so the least recently used buckets go first when there are many.

What belongs here: counting. What must never: waiting.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock

from earwitness.errors import Throttled

BURST_SECONDS = 2.0
"""Who was silent may use the rate of so many seconds at once: SDKs start with a burst."""

BUCKETS_MAX = 10_000
"""Names in use within a few seconds; a bucket is some 200 bytes."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_seconds: float


class Buckets:
    """Counts by name. Rates are per second and above 0; times are monotonic. Safe to use from several threads."""

    def __init__(self, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, name: Hashable, *, rate: float, now_seconds: float, cost: float = 1.0) -> float:
        """Take `cost` tokens and return 0.0. With too few, take none and return the seconds until there are enough.

        A cost above what a bucket holds needs a full bucket.
        """
        with self._lock:
            bucket = self._bucket(name, rate=rate, now_seconds=now_seconds)
            needed = min(cost, _full(rate))
            if bucket.tokens < needed:
                return (needed - bucket.tokens) / rate
            bucket.tokens -= needed
            return 0.0

    def spend(self, name: Hashable, *, rate: float, now_seconds: float, cost: float = 1.0) -> float:
        """Take `cost` tokens even if there are too few. Return the seconds to wait, which keeps the rate."""
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


class Throttle:
    """How often a key may call an operation: a bucket for each pair of them. Safe to use from several threads."""

    def __init__(
        self,
        *,
        per_second: float,
        overrides: Mapping[str, float] | None = None,
        buckets_max: int = BUCKETS_MAX,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`per_second` is the rate of each operation that `overrides` does not name; 0 is no limit. `refused` is called
        with the operation of each call that was one too many."""
        self._refused = refused
        self._per_second = per_second
        self._overrides = dict(overrides or {})
        self._buckets = Buckets(buckets_max=buckets_max)

    def take(self, key_id: str, operation: str, *, now_seconds: float) -> None:
        """Count one call at a monotonic time. Raise Throttled when there were too many."""
        rate = self._overrides.get(operation, self._per_second)
        if not rate:
            return
        wait_seconds = self._buckets.take((key_id, operation), rate=rate, now_seconds=now_seconds)
        if wait_seconds:
            self._refused(operation)
            raise Throttled(
                f"more than {rate:g} calls of {operation} a second with this key; wait and retry with back-off",
                retry_after_seconds=wait_seconds,
            )
