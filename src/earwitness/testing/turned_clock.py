"""The clock of a service for tests: this machine's, and as far ahead of it as a test has turned it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from earwitness.errors import ScriptInvalid

TURNED_DAYS_MAX = 50 * 365
"""In all. Farther ahead there is nothing that expires, and dates end."""


class TurnedClock:
    """Returns the time in UTC when it is called, from any thread. It is turned on the event loop."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._ahead = timedelta()
        self._turned = asyncio.Event()

    def __call__(self) -> datetime:
        """Return the time."""
        return self._now() + self._ahead

    def forward(self, seconds: float) -> None:
        """Turn it forward. Raise ScriptInvalid for a turn backwards: what has happened stays."""
        if not seconds >= 0:
            raise ScriptInvalid("a clock is not turned backwards: records of later would be there already")
        if self._ahead.total_seconds() + seconds > TURNED_DAYS_MAX * 86_400:
            raise ScriptInvalid(f"a clock is turned {TURNED_DAYS_MAX // 365} years forward at most")
        self._ahead += timedelta(seconds=seconds)
        self._turned.set()
        self._turned = asyncio.Event()

    async def reached(self, moment: datetime) -> None:
        """Wait until it is so late, because time passes or somebody turns the clock."""
        while (rest := (moment - self()).total_seconds()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._turned.wait(), rest)
