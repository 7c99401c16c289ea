"""Whether strangers score as strangers: what can be seen of a line without knowing who speaks.

Two people who never met should score about 0 after compensation. Where the line is not the one that the mean was learnt
from, all voices lie a little to one side, and strangers score alike: 0.1 to 0.3 was measured on lines of another kind.
Two things are looked at, because each misses something. *Voiceprints that did not match* show a line that is off since
before the enrolments. *Callers among themselves* show a line that changed since: against voiceprints of the former line
their scores stay near 0, or fall below it, which names nobody (docs/decisions/2026-11-26-line-monitor.md has the
numbers).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.line import LineHealth

OFF_FROM = 0.10
WELL_BELOW = 0.07
"""Between both a line stays what it was said to be, so that it is not told again and again."""

SEARCHES_MIN = 10
"""Searches, or callers, before anything is said."""

PROFILES_MIN = 20
"""Profiles that did not match, at least. One caller who calls again and again looks like a line that is off in 29 % of
domains with one other voice, in 7 % with ten others and in 2 % with twenty."""

CALLERS_MAX = 20
"""The last callers that are compared with each other; all new ones after so many calls."""

_WEIGHT_MIN = 1 / 20


@dataclass(frozen=True, kw_only=True)
class StrangerScores:
    """Scores of voiceprints that did not match, over the last searches, about twenty."""

    searches: int
    mean: float
    #: Standard deviation.
    spread: float

    def after(self, scores: NDArray[np.float32]) -> "StrangerScores":
        """Return the same with those of one more search, shape (n,), n at least 1."""
        searches = self.searches + 1
        weight = max(1 / searches, _WEIGHT_MIN)
        mean = self.mean + weight * (float(scores.mean()) - self.mean)
        square = (1 - weight) * (self.spread**2 + self.mean**2) + weight * float(
            np.mean(scores.astype(np.float64) ** 2)
        )
        return StrangerScores(searches=searches, mean=mean, spread=math.sqrt(max(square - mean**2, 0.0)))


NO_SCORES = StrangerScores(searches=0, mean=0.0, spread=0.0)


def mean_between(voices: NDArray[np.float32]) -> float | None:
    """Return the mean score between different voices, compensated, shape (n, dimension); None for too few of them."""
    count = len(voices)
    if count < SEARCHES_MIN:
        return None
    total = voices.sum(axis=0, dtype=np.float64)
    return float((total @ total - count) / (count * (count - 1)))


def health(scores: StrangerScores, callers_mean: float | None, *, before: LineHealth) -> LineHealth:
    """Return whether a line is well, which was said to be `before`; with too few searches the same again."""
    told = [scores.mean] if scores.searches >= SEARCHES_MIN else []
    told += [] if callers_mean is None else [callers_mean]
    if not told:
        return before
    worst = max(told)
    if worst > OFF_FROM or (before is LineHealth.OFF and worst >= WELL_BELOW):
        return LineHealth.OFF
    return LineHealth.WELL
