"""Targets that take no events: how long nothing is sent to them, and what the log says of it.

After three failures in a row a target is away. From then on one delivery at a time asks whether it is back, ever more
rarely; what else waits for it is not tried, however much that is. The first one that it answers ends the outage.

What belongs here: counting failures, and the log's lines about them. What must never: records, sinks.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from earwitness.errors import SinkError, SinkUnavailable
from earwitness.tasks.retrying import next_delay_seconds

FAILURES_IN_A_ROW = 3
"""Fewer may be the fault of one event."""

ASK_SECONDS_MAX = 60.0
"""How rarely it is asked whether a target is back."""

LINE_EVERY = timedelta(minutes=1)
"""How often a target that fails costs a line of the log."""

_AWAY_MAX = timedelta(seconds=2 * ASK_SECONDS_MAX)
"""Whoever is away for longer was so before the clock was set back."""

_log = logging.getLogger("earwitness.deliver")


@dataclass(slots=True)
class _Target:
    """What is known of one target."""

    failures: int = 0
    #: Until when nothing is sent; None while the target is not away.
    away_until: datetime | None = None
    #: Whether a delivery that asks is on its way.
    is_asked: bool = False
    #: When the log last told of failures, and of how many it has not told yet.
    told_at: datetime | None = None
    untold: int = 0
    #: Whether the log says last that it fails.
    is_told_away: bool = False


class Outages:
    """The targets of one deliverer. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], datetime], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = Lock()
        self._targets: dict[str, _Target] = {}

    def split(self) -> tuple[list[str], list[str]]:
        """Return targets that get nothing at this moment, and those that get one delivery, to ask whether they are
        back.
        """
        now = self._clock()
        with self._lock:
            away = [(name, one) for name, one in self._targets.items() if one.away_until is not None]
            never = [name for name, one in away if one.is_asked or now < (one.away_until or now) <= now + _AWAY_MAX]
        return never, [name for name, _ in away if name not in never]

    def asked(self, targets: Iterable[str]) -> None:
        """Note that deliveries to these targets are on their way."""
        with self._lock:
            for name in targets:
                if name in self._targets:
                    self._targets[name].is_asked = True

    def failed(
        self, target: str, error: SinkError, *, context: Mapping[str, object], level: int = logging.WARNING
    ) -> datetime | None:
        """Note that a delivery failed. Return until when nothing is sent to its target; None when it is not away.

        `context` is what the log's line says of this delivery.
        """
        with self._lock:
            one = self._targets.setdefault(target, _Target())
            self._tell(one, target, error, context, level)
            if not error.retryable:  # it answered, and does not want this event
                one.failures, one.away_until, one.is_asked = 0, None, False
            elif one.away_until is None or one.is_asked:  # others were on their way when it went away
                one.failures += 1
                one.is_asked = False
                if one.failures >= FAILURES_IN_A_ROW:
                    one.away_until = self._clock() + self._pause(one, error)
            return one.away_until

    def took(self, target: str) -> None:
        """Note that a target took an event."""
        with self._lock:
            one = self._targets.get(target)
            if one is None:
                return
            if one.is_told_away and one.away_until is not None:
                _log.warning("a sink takes events again", extra={"target": _named(target), "failures": one.untold})
                one.is_told_away, one.untold = False, 0
            one.failures, one.away_until, one.is_asked = 0, None, False

    def _pause(self, one: _Target, error: SinkError) -> timedelta:
        asked = error.retry_after_seconds if isinstance(error, SinkUnavailable) else None
        seconds = next_delay_seconds(
            attempts=one.failures - FAILURES_IN_A_ROW + 1,
            chance=self._chance(),
            asked_seconds=asked,
            delay_seconds_max=ASK_SECONDS_MAX,
        )
        return timedelta(seconds=seconds)

    def _tell(self, one: _Target, target: str, error: SinkError, context: Mapping[str, object], level: int) -> None:
        one.untold += 1
        now = self._clock()
        if one.told_at is not None and abs(now - one.told_at) < LINE_EVERY:
            return
        told = {"target": _named(target), "reason": str(error), "failures": one.untold, **context}
        _log.log(level, "events are not delivered", extra=told)
        one.told_at, one.untold, one.is_told_away = now, 0, True


def _named(target: str) -> str:
    """Return a target as the log may name it: an address may hold a secret."""
    return "webhook" if target.startswith(("http://", "https://")) else target
