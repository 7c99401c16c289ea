"""Slowing down whoever tries keys: answers to bad signatures are held back, longer and longer, by address.

Good requests from the same address are never held back, so nobody behind one proxy suffers from another's guesses.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

FREE_FAILURES = 10
"""Bad signatures in a row that cost nothing: a client with an old secret, and its retries."""

DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
"""Below the read time-outs of SDKs (60 s), far above what guessing needs."""

FORGOTTEN_AFTER_SECONDS = 300.0
ADDRESSES_MAX = 10_000


@dataclass(slots=True)
class _Record:
    failures: int
    at_seconds: float


class BadSignatures:
    """Remembers failures by address. Safe to use from several threads."""

    def __init__(self, *, addresses_max: int = ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = Lock()

    def failed(self, address: str, *, now_seconds: float) -> float:
        """Count a failure at a monotonic time; how many seconds to hold its answer back."""
        with self._lock:
            record = self._records.pop(address, None)
            if record is None or now_seconds - record.at_seconds > FORGOTTEN_AFTER_SECONDS:
                record = _Record(0, now_seconds)
            record.failures += 1
            record.at_seconds = now_seconds
            self._records[address] = record
            if len(self._records) > self._addresses_max:
                self._records.popitem(last=False)
            beyond = record.failures - FREE_FAILURES
        return 0.0 if beyond <= 0 else min(DELAY_SECONDS_MAX, DELAY_SECONDS_FIRST * 2.0 ** min(beyond - 1, 16))
