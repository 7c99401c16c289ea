"""The time of all nodes: the database's, carried on by this machine's monotonic clock.

Records, leases of deliveries and fragments of one stream come from several machines whose clocks differ; they are
compared with each other, so they are told by one clock. A step of this machine's own clock changes nothing.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from earwitness.store.leading import Renewal


class NodeClock:
    """Returns the time in UTC when it is called. Before the database was asked it is this machine's."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """Return the time."""
        if self._known is None:
            return datetime.now(UTC)
        at, seen = self._known
        return at + timedelta(seconds=self._monotonic() - seen)

    def renewed(self, renewal: Renewal) -> None:
        """Take the database's time, which it told in the middle between question and answer; never go back."""
        middle = (renewal.asked_at + renewal.answered_at) / 2
        told = renewal.database_time - timedelta(seconds=middle)
        before = self._known and self._known[0] - timedelta(seconds=self._known[1])
        # Where an answer took long, its middle says little: what was known from a quicker one is better.
        if before is None or abs((told - before).total_seconds()) > (renewal.answered_at - renewal.asked_at) / 2:
            self._known = renewal.database_time, middle
