"""How often a key may call an operation: a token bucket for each pair of them.

Buckets that are full say nothing, so the least recently used go first when there are many.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from earwitness.errors import Throttled

BURST_SECONDS = 2.0
"""A key that was silent may use the rate of so many seconds at once: SDKs start with a burst."""

BUCKETS_MAX = 10_000
"""Keys times operations in use within a few seconds; a bucket is some 200 bytes."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_seconds: float


class Throttle:
    """Counts calls by key and operation. Safe to use from several threads."""

    def __init__(
        self, *, per_second: float, overrides: Mapping[str, float] | None = None, buckets_max: int = BUCKETS_MAX
    ) -> None:
        """`per_second` is the rate of each operation that `overrides` does not name; 0 is no limit."""
        self._per_second = per_second
        self._overrides = dict(overrides or {})
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, key_id: str, operation: str, *, now_seconds: float) -> None:
        """Count one call at a monotonic time; Throttled when there have been too many."""
        rate = self._overrides.get(operation, self._per_second)
        if not rate:
            return
        with self._lock:
            bucket = self._bucket((key_id, operation), rate=rate, now_seconds=now_seconds)
            if bucket.tokens < 1.0:
                raise Throttled(
                    f"more than {rate:g} calls of {operation} a second with this key; wait and retry with back-off",
                    retry_after_seconds=(1.0 - bucket.tokens) / rate,
                )
            bucket.tokens -= 1.0

    def _bucket(self, name: tuple[str, str], *, rate: float, now_seconds: float) -> _Bucket:
        full = max(1.0, rate * BURST_SECONDS)
        bucket = self._buckets.pop(name, None) or _Bucket(full, now_seconds)
        bucket.tokens = min(full, bucket.tokens + max(0.0, now_seconds - bucket.at_seconds) * rate)
        bucket.at_seconds = now_seconds
        self._buckets[name] = bucket
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        return bucket
