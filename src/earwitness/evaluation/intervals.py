"""95 % intervals by speaker: the bootstrap draws speakers with replacement and counts all their trials."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from earwitness.evaluation.scores import Rates, SpeakerWeights

REPLICATES = 400
Interval = tuple[float, float]


def draws(speakers: Sequence[str], *, seed: int, replicates: int = REPLICATES) -> list[SpeakerWeights]:
    """How often each speaker counts in each replicate."""
    random = np.random.default_rng(seed)
    found: list[SpeakerWeights] = []
    for _ in range(replicates):
        drawn: NDArray[np.int64] = random.integers(0, len(speakers), len(speakers))
        found.append(dict(Counter(speakers[int(index)] for index in drawn)))
    return found


def percentiles(values: Sequence[float]) -> Interval:
    """The middle 95 %; replicates in which nothing could be measured are left out."""
    measured = [value for value in values if not np.isnan(value)]
    if not measured:
        return (float("nan"), float("nan"))
    low, high = np.percentile(measured, [2.5, 97.5]).tolist()
    return low, high


def widened(interval: Interval, *, speakers: int) -> Interval:
    """An interval in per cent that no draw moved off 0 or 100 gets the exact bound for so many speakers.

    Without it, "no error seen" would read as "no error possible". Source: Hanley & Lippman-Hand, JAMA 249 (1983).
    """
    low, high = interval
    bound = 100.0 * (1.0 - 0.05 ** (1.0 / max(speakers, 1)))
    if low == high == 0.0:
        return 0.0, bound
    return (100.0 - bound, 100.0) if low == high == 100.0 else interval


def widened_cost(interval: Interval, *, speakers: int) -> Interval:
    """The same for the normalised cost at a prior of 0.01, which is misses + 99 · false alarms, and at most 1."""
    if interval != (0.0, 0.0):
        return interval
    _, bound = widened(interval, speakers=speakers)
    return 0.0, min(1.0, (1 + 99) * bound / 100)


def intervals(under: Callable[[SpeakerWeights | None], Rates], weights: list[SpeakerWeights]) -> dict[str, Interval]:
    """The interval of every rate."""
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = [asdict(under(each)) for each in weights]
    return {name: percentiles([replicate[name] for replicate in replicates]) for name in replicates[0]}
