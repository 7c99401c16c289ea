"""How often a key may call an operation: a token bucket for each pair of them."""

from collections.abc import Mapping

from earwitness.errors import Throttled
from earwitness.wire.buckets import BUCKETS_MAX, Buckets


class Throttle:
    """Counts calls by key and operation. Safe to use from several threads."""

    def __init__(
        self, *, per_second: float, overrides: Mapping[str, float] | None = None, buckets_max: int = BUCKETS_MAX
    ) -> None:
        """`per_second` is the rate of each operation that `overrides` does not name; 0 is no limit."""
        self._per_second = per_second
        self._overrides = dict(overrides or {})
        self._buckets = Buckets(buckets_max=buckets_max)

    def take(self, key_id: str, operation: str, *, now_seconds: float) -> None:
        """Count one call at a monotonic time; Throttled when there have been too many."""
        rate = self._overrides.get(operation, self._per_second)
        if not rate:
            return
        wait_seconds = self._buckets.take((key_id, operation), rate=rate, now_seconds=now_seconds)
        if wait_seconds:
            raise Throttled(
                f"more than {rate:g} calls of {operation} a second with this key; wait and retry with back-off",
                retry_after_seconds=wait_seconds,
            )
