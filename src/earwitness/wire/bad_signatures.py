"""Slowing down whoever tries keys: answers to bad signatures are held back, longer and longer, by address.

Good requests from the same address are never held back, so nobody behind one proxy suffers from another's guesses.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

FREE_FAILURES = 10
"""Bad signatures, none long after the one before, that cost nothing: a client with an old secret, and its retries."""

DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
"""Below the read time-outs of SDKs (60 s), far above what guessing needs."""

FORGOTTEN_AFTER_SECONDS = 300.0
ADDRESSES_MAX = 10_000
"""Remembered at one time, the latest; a record is some 200 bytes."""

IPV6_PREFIX_BITS = 64
"""What one customer of a provider has, and may choose its addresses from."""


@dataclass(slots=True)
class _Record:
    failures: int
    at_seconds: float


class BadSignatures:
    """Remembers failures by address. Safe to use from several threads."""

    def __init__(
        self,
        *,
        free_failures: int = FREE_FAILURES,
        delay_seconds_first: float = DELAY_SECONDS_FIRST,
        addresses_max: int = ADDRESSES_MAX,
    ) -> None:
        self._free_failures = free_failures
        self._delay_seconds_first = delay_seconds_first
        self._addresses_max = addresses_max
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = Lock()

    def failed(self, address: str, *, now_seconds: float) -> float:
        """Count a failure at a monotonic time; how many seconds to hold its answer back."""
        address = address_group(address)
        with self._lock:
            record = self._records.pop(address, None)
            if record is None or now_seconds - record.at_seconds > FORGOTTEN_AFTER_SECONDS:
                record = _Record(0, now_seconds)
            record.failures += 1
            record.at_seconds = now_seconds
            self._records[address] = record
            if len(self._records) > self._addresses_max:
                self._records.popitem(last=False)
            beyond = record.failures - self._free_failures
        return 0.0 if beyond <= 0 else min(DELAY_SECONDS_MAX, self._delay_seconds_first * 2.0 ** min(beyond - 1, 16))

    def is_suspect(self, address: str, *, now_seconds: float) -> bool:
        """Return whether answers to this address's failures are being held back."""
        record = self._records.get(address_group(address))
        if record is None or now_seconds - record.at_seconds > FORGOTTEN_AFTER_SECONDS:
            return False
        return record.failures > self._free_failures


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
