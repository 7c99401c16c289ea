"""Slowing down whoever tries keys and tokens: answers to wrong ones are held back, longer and longer, by address.

Good requests from the same address are never held back, so nobody behind one proxy suffers from another's guesses.
"""

import ipaddress
from asyncio import sleep
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from earwitness.errors import Unavailable
from earwitness.wire.shares import Shares

FREE_FAILURES = 10
"""Failures, none long after the one before, that cost nothing: a client with an old secret, and its retries."""

DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
"""Below the read time-outs of SDKs (60 s), far above what guessing needs."""

FORGOTTEN_AFTER_SECONDS = 300.0
ADDRESSES_MAX = 10_000
"""Remembered at one time, the latest; a record is some 200 bytes."""

DELAYED_AT_ONCE_MAX = 200
"""Answers that are held back at one time, those of one address half of them at most; one more is given at once, and its
connection closed."""

SUSPECTS_AT_ONCE_MAX = 100
"""Requests in progress of addresses that failed before, half of them for one: a crowd of them must not fill the places
of all."""

IPV6_PREFIX_BITS = 64
"""What one customer of a provider has, and may choose its addresses from."""


@dataclass(slots=True)
class _Record:
    failures: int
    at_seconds: float


class WrongCredentials:
    """Remembers failures by address, for both APIs. Safe to use from several threads."""

    def __init__(
        self,
        *,
        free_failures: int = FREE_FAILURES,
        delay_seconds_first: float = DELAY_SECONDS_FIRST,
        addresses_max: int = ADDRESSES_MAX,
        delayed_at_once_max: int = DELAYED_AT_ONCE_MAX,
        suspects_at_once_max: int = SUSPECTS_AT_ONCE_MAX,
    ) -> None:
        self._free_failures = free_failures
        self._delay_seconds_first = delay_seconds_first
        self._addresses_max = addresses_max
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = Lock()
        self._delayed = Shares(delayed_at_once_max, refusal="too many answers are held back; try again")
        self._suspects = Shares(
            suspects_at_once_max,
            refusal="too many requests with wrong credentials come from this address; wait and try again",
        )

    def failed(self, address: str, *, now_seconds: float) -> float:
        """Count a failure at a monotonic time. Return how many seconds to hold its answer back."""
        address = address_group(address)
        with self._lock:
            record = self._records.pop(address, None)
            if record is None or _is_forgotten(record, now_seconds):
                record = _Record(0, now_seconds)
            record.failures += 1
            record.at_seconds = now_seconds
            self._records[address] = record
            if len(self._records) > self._addresses_max:
                self._records.popitem(last=False)
            beyond = record.failures - self._free_failures
        return 0.0 if beyond <= 0 else min(DELAY_SECONDS_MAX, self._delay_seconds_first * 2.0 ** min(beyond - 1, 16))

    @contextmanager
    def place_of(self, address: str, *, now_seconds: float) -> Generator[None]:
        """Hold a place for a request while this lasts. Raise Unavailable when the address is suspect and has its share
        of places."""
        group = address_group(address)
        record = self._records.get(group)
        if record is None or record.failures <= self._free_failures or _is_forgotten(record, now_seconds):
            yield
            return
        with self._suspects.taken(group):
            yield

    async def hold_back(self, address: str, seconds: float) -> bool:
        """Wait before a failure is answered. Return False when so many answers to this address wait already that one
        more is given at once."""
        if not seconds:
            return True
        try:
            with self._delayed.taken(address_group(address)):
                await sleep(seconds)
        except Unavailable:
            return False
        return True


def _is_forgotten(record: _Record, now_seconds: float) -> bool:
    return now_seconds - record.at_seconds > FORGOTTEN_AFTER_SECONDS


def address_group(address: str) -> str:
    """Return the name under which an address is counted: itself, or one of IPv6 with its neighbours."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX_BITS), strict=False))
