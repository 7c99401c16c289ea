"""Error rates of a set of trials, and their 95 % intervals. A higher score means more alike.

Definitions follow NIST's speaker recognition evaluations (EER, DCF) and Brümmer & du Preez, "Application-independent
evaluation of speaker detection", Computer Speech & Language 20 (2006) (Cllr). The bootstrap behind the intervals draws
speakers with replacement and counts all their trials, because trials of one speaker rise and fall together.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Shape (trials,)."""

Interval = tuple[float, float]
SpeakerWeights = dict[str, int]
"""How often each speaker counts."""

MIN_DCF_PRIOR = 0.01
REPLICATES = 400


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Miss and false-alarm rates for every threshold, from "accept all" to "accept none"."""

    #: Share of target trials rejected; rising from 0 to 1.
    misses: Scores
    #: Share of non-target trials accepted; falling from 1 to 0.
    false_alarms: Scores

    def eer(self) -> float:
        """Return the equal error rate, 0..1: where the two rates cross, linear between the two thresholds around it."""
        after = int(np.argmax(self.misses >= self.false_alarms))
        if after == 0:
            return float(self.misses[0])
        gap_before = self.false_alarms[after - 1] - self.misses[after - 1]
        gap_after = self.misses[after] - self.false_alarms[after]
        weight = gap_before / (gap_before + gap_after)
        return float(self.misses[after - 1] + weight * (self.misses[after] - self.misses[after - 1]))

    def min_dcf(self) -> float:
        """Return the lowest detection cost at MIN_DCF_PRIOR, both errors costing 1, relative to knowing nothing."""
        costs = MIN_DCF_PRIOR * self.misses + (1 - MIN_DCF_PRIOR) * self.false_alarms
        return float(costs.min() / MIN_DCF_PRIOR)


@dataclass(frozen=True, eq=False)
class TrialSet:
    """Scores of target and non-target trials, sorted once so that re-weighting is cheap."""

    targets: Scores
    nontargets: Scores

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(np.concatenate([self.targets, self.nontargets]), kind="stable")

    def curve(self, target_weights: Scores | None = None, nontarget_weights: Scores | None = None) -> ErrorCurve:
        """Return the error curve, each trial counted with its weight (default 1)."""
        target_weights = np.ones(len(self.targets)) if target_weights is None else target_weights
        nontarget_weights = np.ones(len(self.nontargets)) if nontarget_weights is None else nontarget_weights
        scores = np.concatenate([self.targets, self.nontargets])[self._order]
        is_target = np.concatenate([target_weights, np.zeros(len(self.nontargets))])[self._order]
        is_nontarget = np.concatenate([np.zeros(len(self.targets)), nontarget_weights])[self._order]
        # Trials with one score stand or fall together.
        thresholds = np.append(np.flatnonzero(np.append(True, np.diff(scores) > 0)), len(scores))
        below_targets, below_nontargets = (np.append(0.0, np.cumsum(each)) for each in (is_target, is_nontarget))
        return ErrorCurve(
            misses=below_targets[thresholds] / is_target.sum(),
            false_alarms=1.0 - below_nontargets[thresholds] / is_nontarget.sum(),
        )


def cllr(
    target_llrs: Scores,
    nontarget_llrs: Scores,
    target_weights: Scores | None = None,
    nontarget_weights: Scores | None = None,
) -> float:
    """Return the cost of natural-log likelihood ratios in bits: 0 is perfect, 1 is knowing nothing, more misleads."""
    miss = np.average(np.logaddexp(0.0, -target_llrs), weights=target_weights)
    false_alarm = np.average(np.logaddexp(0.0, nontarget_llrs), weights=nontarget_weights)
    return float((miss + false_alarm) / (2.0 * np.log(2.0)))


def draws(speakers: Sequence[str], *, seed: int, replicates: int = REPLICATES) -> list[SpeakerWeights]:
    """Return how often each speaker counts in each replicate of the bootstrap."""
    random = np.random.default_rng(seed)
    found: list[SpeakerWeights] = []
    for _ in range(replicates):
        drawn: list[int] = random.integers(0, len(speakers), len(speakers)).tolist()
        found.append(dict(Counter(speakers[index] for index in drawn)))
    return found


def percentiles(values: Sequence[float]) -> Interval:
    """Return the middle 95 %; replicates in which nothing could be measured are left out."""
    measured = [value for value in values if not np.isnan(value)]
    if not measured:
        return (float("nan"), float("nan"))
    low, high = np.percentile(measured, [2.5, 97.5]).tolist()
    return low, high


def widened(interval: Interval, *, speakers: int) -> Interval:
    """Return an interval in per cent; if no draw moved it off 0 or 100, with the exact bound for so many speakers.

    Without it, "no error seen" would read as "no error possible". Source: Hanley & Lippman-Hand, JAMA 249 (1983).
    """
    low, high = interval
    bound = 100.0 * (1.0 - 0.05 ** (1.0 / max(speakers, 1)))
    if low == high == 0.0:
        return 0.0, bound
    return (100.0 - bound, 100.0) if low == high == 100.0 else interval


def widened_cost(interval: Interval, *, speakers: int) -> Interval:
    """Return the same for the normalised cost at a prior of 0.01: misses + 99 · false alarms, and at most 1."""
    if interval != (0.0, 0.0):
        return interval
    _, bound = widened(interval, speakers=speakers)
    return 0.0, min(1.0, (1 + 99) * bound / 100)
