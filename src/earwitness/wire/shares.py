"""Slots that several holders share, accounts or addresses say, so that one of them cannot take what the others need.

The rule is that of dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
switches", IEEE/ACM Transactions on Networking 6(2), 1998): a holder gets another slot only while it has fewer than
`weight` times as many as are free. With a weight of 1 a holder gets half of the slots when it is alone, a third when
there are two, and so on; a holder that has none finds one while any is free, and the last one is left for it. Nothing
needs to be known of the holders in advance.

What belongs here: counting. What must never: waiting, what a slot stands for.
"""

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from threading import Lock

from earwitness.errors import Unavailable


def may_take(held: int, *, free: int, weight: int = 1) -> bool:
    """Return whether a holder of `held` slots may take one of the `free` ones."""
    return held < weight * free


def most(held: int, *, free: int, weight: int = 1) -> int:
    """Return how many slots a holder of `held` may come to have, if all others keep what they have."""
    more = (weight * free + weight - held) // (weight + 1)  # the n-th needs held + n - 1 < weight * (free - n + 1)
    return held + max(0, min(free, more))


class Shares:
    """Slots of one kind. Safe to use from several threads."""

    def __init__(self, count: int, *, refusal: str, weight: int = 1) -> None:
        """`refusal` tells a holder that gets no slot what happened and what to do."""
        self._free = count
        self._refusal = refusal
        self._weight = weight
        self._held: dict[Hashable, int] = {}
        self._lock = Lock()

    def held(self, holder: Hashable) -> int:
        """Return how many slots a holder has."""
        return self._held.get(holder, 0)

    def most(self, holder: Hashable) -> int:
        """Return how many slots a holder may come to have, if all others keep what they have."""
        with self._lock:
            return most(self.held(holder), free=self._free, weight=self._weight)

    @contextmanager
    def taken(self, holder: Hashable) -> Generator[None]:
        """Hold a slot. Raise Unavailable when the holder has its share of them."""
        self._take(holder)
        try:
            yield
        finally:
            self._give_back(holder)

    def _take(self, holder: Hashable) -> None:
        with self._lock:
            held = self.held(holder)
            if not may_take(held, free=self._free, weight=self._weight):
                raise Unavailable(self._refusal)
            self._free -= 1
            self._held[holder] = held + 1

    def _give_back(self, holder: Hashable) -> None:
        with self._lock:
            self._free += 1
            left = self._held.pop(holder) - 1
            if left:
                self._held[holder] = left
