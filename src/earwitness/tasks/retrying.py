"""When something that failed is tried again, and when no longer: tasks, and deliveries of events.

What belongs here: arithmetic, and what is passed in for time and chance. What must never: a clock, or a source of
chance. Delivery is at least once. An event that is put aside ("parked") is kept, but not tried again until somebody
asks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from earwitness.errors import EarwitnessError

DELAY_SECONDS_MIN = 1.0
"""A sink that restarts needs about this long."""

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


DELIVERY_DELAY_SECONDS_MAX = 300.0
"""A sink that comes back after an outage has its events within five minutes."""

AGE_MAX = timedelta(hours=24)
"""A voiceprint can be used for 24 h; after that the event that announces it is of no use to its reader."""

ATTEMPTS_MAX = 1000
"""Age ends it first, after about 580 attempts; this one ends an event that a clock set back keeps young."""

_DOUBLINGS_MAX = 32  # far beyond the longest delay, and still a small number


def next_delay_seconds(
    *,
    attempts: int,
    chance: float,
    asked_seconds: float | None = None,
    delay_seconds_max: float = DELIVERY_DELAY_SECONDS_MAX,
) -> float:
    """Return the seconds until the next attempt, after `attempts` (1 or more) that failed.

    Exponential with full jitter: anywhere from the shortest delay to a bound that doubles with every attempt, so that
    the events of one outage do not come back all at once. `chance` is random in [0, 1). `asked_seconds` is what
    the sink asked for (Retry-After); it lengthens the delay, up to `delay_seconds_max`.
    """
    bound = min(delay_seconds_max, DELAY_SECONDS_MIN * 2.0 ** min(attempts, _DOUBLINGS_MAX))
    delay = DELAY_SECONDS_MIN + chance * (bound - DELAY_SECONDS_MIN)
    return delay if asked_seconds is None else max(delay, min(asked_seconds, delay_seconds_max))


def is_to_be_parked(*, attempts: int, age: timedelta, retryable: bool) -> bool:
    """Return whether to stop after `attempts` that failed, the last one with an error that is `retryable` or not.

    `age` is the time since the event was written.
    """
    return not retryable or attempts >= ATTEMPTS_MAX or age >= AGE_MAX
