"""How far behind their streams the tasks of this process are, and what they have heard so far.

A task is as far behind as the newest fragment of its stream began to arrive after the last one that it heard. While it
hears a fragment, the seconds that this takes are added; one that waits for the next is not behind.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from earwitness.tasks.heard import HeardSoFar

BEHIND_SECONDS = 2.0
"""An identification that comes later than this is told in the log: it was promised within 2 s."""

TELL_AGAIN_SECONDS = 60.0

_log = logging.getLogger("earwitness.lag")


@dataclass(slots=True)
class _TaskLag:
    behind: float = 0.0
    hears_since: float | None = None
    tell_from: float = field(default=float("-inf"))
    so_far: HeardSoFar | None = None


class Lags:
    """Written by the tasks that run here, read from any thread."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds."""
        self._monotonic = monotonic
        self._lags: dict[str, _TaskLag] = {}
        self._lock = Lock()

    def begin(self, task_id: str) -> None:
        """Note that a task runs here from now on."""
        with self._lock:
            self._lags[task_id] = _TaskLag()

    def end(self, task_id: str) -> None:
        """Note that a task no longer runs here."""
        with self._lock:
            self._lags.pop(task_id, None)

    def hears(self, task_id: str, *, behind_seconds: float) -> None:
        """Note that a task begins to hear a fragment, which began to arrive so long before its stream's newest."""
        now = self._monotonic()
        with self._lock:
            place = self._lags.setdefault(task_id, _TaskLag())
            place.behind, place.hears_since = behind_seconds, now

    def heard(self, task_id: str, *, so_far: HeardSoFar | None = None) -> None:
        """Note that a task has heard its fragment, and what it knows of its call by now."""
        now = self._monotonic()
        with self._lock:
            place = self._lags.setdefault(task_id, _TaskLag())
            lag = _lag(place, now)
            place.hears_since, place.so_far = None, so_far
            tell = lag > BEHIND_SECONDS and now >= place.tell_from
            if tell:
                place.tell_from = now + TELL_AGAIN_SECONDS
        if tell:
            _log.warning("a task is behind its stream", extra={"task_id": task_id, "lag_seconds": round(lag, 1)})

    def seconds(self, task_id: str) -> float | None:
        """Return how far behind a task is; None when it does not run here."""
        now = self._monotonic()
        with self._lock:
            place = self._lags.get(task_id)
            return None if place is None else _lag(place, now)

    def so_far(self, task_id: str) -> HeardSoFar | None:
        """Return what a task has heard; None before its first fragment, and when it does not run here."""
        with self._lock:
            place = self._lags.get(task_id)
            return None if place is None else place.so_far

    def all_seconds(self) -> list[float]:
        """Return how far behind each task that runs here is."""
        now = self._monotonic()
        with self._lock:
            return [_lag(place, now) for place in self._lags.values()]


def _lag(place: _TaskLag, now: float) -> float:
    return place.behind + (0.0 if place.hears_since is None else now - place.hears_since)
