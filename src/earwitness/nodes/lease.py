"""The lease of this node, by its own clock: whether others may have taken it for dead.

The lease itself is the database's (`store/leading.py`). Here it is counted from before a renewal was sent, less a
margin, so that this node stops before others begin, however long an answer took and whatever wall clocks say.
"""

import asyncio
from collections.abc import Awaitable, Callable

from earwitness.errors import Unavailable
from earwitness.store.leading import LEASE_SECONDS, Renewal

MARGIN_SECONDS = 1.0
"""How much sooner this node stops than others begin: the clocks of two machines run at the same speed but for 1e-4, and
the rest is for what happens between a look at the clock and what follows it."""

_LOOK_SECONDS = 0.2


class Lease:
    """Whether this node may still say that something is kept. `renewed` may be called from any thread."""

    def __init__(
        self, *, monotonic: Callable[[], float], pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._monotonic = monotonic
        self._pause = pause
        self._until = float("-inf")
        self._steady_since = float("inf")

    def renewed(self, renewal: Renewal) -> None:
        """Note that the database has renewed the lease."""
        if renewal.asked_at >= self._until:
            self._steady_since = renewal.asked_at
        self._until = max(self._until, renewal.asked_at + LEASE_SECONDS - MARGIN_SECONDS)

    def holds(self) -> bool:
        """Return whether no other node can have taken this one for dead yet."""
        return self._monotonic() < self._until

    def has_lapsed(self) -> bool:
        """Return whether there was a lease, and others may have taken this node for dead since."""
        return self._until > float("-inf") and not self.holds()

    def may_judge(self) -> bool:
        """Return whether this node may take others for dead: it has had its lease for so long without a break that
        others, had the database been away, had time to renew theirs."""
        return self.holds() and self._monotonic() - self._steady_since > LEASE_SECONDS

    async def require(self, *, seconds_max: float) -> None:
        """Return when the lease holds. Raise Unavailable when it does not within so many seconds."""
        begun = self._monotonic()
        while not self.holds():
            if self._monotonic() - begun >= seconds_max:
                raise Unavailable("this node cannot reach the records, and does not know whether it still serves")
            await self._pause(_LOOK_SECONDS)
