"""How a task that failed is tried again: after growing waits, and not for ever.

What belongs here: numbers and what is passed in for time and chance. What must never: the tasks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from earwitness.errors import EarwitnessError
from earwitness.voice.delivery import next_delay_seconds

DELAY_SECONDS_MAX = 60.0
"""Records or a stream that are back are used again within a minute."""

FAILURES_MAX = 20
"""Failures in a row that end a task: about eight minutes of them. Media of a stream without retention are gone by
then."""

STEADY_SECONDS = 120.0
"""An attempt that lasted so long had found all it needs: the failures before it count no more."""


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """What decides when the next attempt comes."""

    chance: Callable[[], float]
    """Random in [0, 1), so that the tasks of one outage do not come back all at once."""

    monotonic: Callable[[], float]
    """Seconds."""

    sleep: Callable[[float], Awaitable[None]]
    """Waits so many seconds."""

    async def wait(self, *, failures: int) -> None:
        """Wait for the next attempt, after `failures` (1 or more) in a row."""
        await self.sleep(
            next_delay_seconds(attempts=failures, chance=self.chance(), delay_seconds_max=DELAY_SECONDS_MAX)
        )


def reason_of(error: Exception) -> str:
    """Return what may be told of an error: the messages of our own hold nothing personal, others might."""
    return str(error) if isinstance(error, EarwitnessError) else f"an internal error ({type(error).__name__})"
