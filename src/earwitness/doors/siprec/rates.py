"""How many datagrams are read of whom: anybody can send them, from any address, and each costs the event loop time.

What belongs here: counting by address. What must never: sockets, what a message means.
"""

from collections import OrderedDict
from collections.abc import Callable

from earwitness.wire.buckets import Buckets
from earwitness.wire.wrong_credentials import address_group

STRANGER_PER_SECOND, STRANGERS_PER_SECOND, CALLER_PER_SECOND = 100.0, 1_000.0, 1_000.0
"""Datagrams of an address that no call came from, of all such together, and of an address that calls came from; twice
as many at once. A fifth of a second is spent on a thousand. What is dropped comes again: SIP repeats it."""

CALLERS_MAX = 1_000
"""Addresses that calls came from and that are remembered, the latest ones."""


class DatagramRates:
    """Lives on one event loop."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets = Buckets()
        self._strangers = Buckets()
        self._callers: OrderedDict[str, None] = OrderedDict()

    def called(self, address: str) -> None:
        """Note that a call came from an address: it has proved that it may send them."""
        self._callers[address] = None
        self._callers.move_to_end(address)
        if len(self._callers) > CALLERS_MAX:
            self._callers.popitem(last=False)

    def may_take(self, address: str) -> bool:
        """Count a datagram. Return False for one that is too many."""
        now = self._monotonic()
        if address in self._callers:
            return not self._buckets.take((address,), rate=CALLER_PER_SECOND, now_seconds=now)
        group = address_group(address)
        if self._buckets.take(group, rate=STRANGER_PER_SECOND, now_seconds=now):
            return False
        return not self._strangers.take("all", rate=STRANGERS_PER_SECOND, now_seconds=now)
