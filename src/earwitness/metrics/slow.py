"""Readings that may take long, or never end while a disk or a database stands still: a scrape must not wait for them.

One is made again when it is older than it may be, in a thread, and whoever scrapes waits for it as long as they have
patience. What belongs here: when to read. What must never: what is read. Lives on the event loop.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

from earwitness.errors import EarwitnessError
from earwitness.log import frames_of

PATIENCE_SECONDS = 0.5
"""How long one scrape waits. Prometheus itself gives up after ten seconds, unless it is told otherwise."""

_ResultT = TypeVar("_ResultT")

_log = logging.getLogger("earwitness.metrics")


class SlowReading(Generic[_ResultT]):
    """One such reading, and what it was the last time."""

    def __init__(
        self,
        read: Callable[[], _ResultT | None],
        *,
        threads: Executor,
        seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """`read` is called in a thread, at most every so many seconds; what it raises is no reading."""
        self._read = read
        self._threads = threads
        self._seconds = seconds
        self._monotonic = monotonic
        self._reading: asyncio.Future[_ResultT | None] | None = None
        self._read_at = float("-inf")
        self.last: _ResultT | None = None
        """None before the first one, and where the last one failed or is not over in time."""

    async def renew(self) -> None:
        """Have a reading that is no older than it may be, or none."""
        if self._reading is None:
            if self._monotonic() - self._read_at < self._seconds:
                return
            self._reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read_quietly)
        reading = self._reading
        await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
        if not reading.done():
            self.last = None
            return
        if reading is self._reading:
            self._reading, self._read_at = None, self._monotonic()
            self.last = None if reading.cancelled() else reading.result()

    def _read_quietly(self) -> _ResultT | None:
        try:
            return self._read()
        except (EarwitnessError, OSError) as error:
            _log.info("a metric cannot be read", extra={"error": type(error).__name__})
        except Exception as error:  # one that cannot be read must not cost all others
            _log.error("a metric cannot be read", extra={"error": type(error).__name__, "frames": frames_of(error)})
        return None
