"""Error rates of a set of trials. Scores are floats, higher meaning more alike; weights count a trial several times.

Definitions follow NIST's speaker recognition evaluations (EER, DCF) and Brümmer & du Preez, "Application-independent
evaluation of speaker detection", Computer Speech & Language 20 (2006) (Cllr).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
"""Shape (trials,)."""

MIN_DCF_PRIOR = 0.01


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Miss and false-alarm rates for every threshold, from "accept all" to "accept none"."""

    thresholds: Scores
    """Rising; a trial is accepted when its score is at least the threshold. The last is +inf."""

    misses: Scores
    """Share of target trials rejected; rising from 0 to 1."""

    false_alarms: Scores
    """Share of non-target trials accepted; falling from 1 to 0."""

    def eer(self) -> float:
        """Equal error rate, 0..1: where the two rates cross, linear between the two thresholds around it."""
        after = int(np.argmax(self.misses >= self.false_alarms))
        if after == 0:
            return float(self.misses[0])
        gap_before = self.false_alarms[after - 1] - self.misses[after - 1]
        gap_after = self.misses[after] - self.false_alarms[after]
        weight = gap_before / (gap_before + gap_after)
        return float(self.misses[after - 1] + weight * (self.misses[after] - self.misses[after - 1]))

    def min_dcf(self, prior: float = MIN_DCF_PRIOR) -> float:
        """Lowest detection cost at this target prior, both errors costing 1, relative to knowing nothing."""
        costs = prior * self.misses + (1 - prior) * self.false_alarms
        return float(costs.min() / min(prior, 1 - prior))


@dataclass(frozen=True, eq=False)
class TrialSet:
    """Scores of target and non-target trials, sorted once so that re-weighting is cheap."""

    targets: Scores
    nontargets: Scores

    def __post_init__(self) -> None:
        scores = np.concatenate([self.targets, self.nontargets])
        object.__setattr__(self, "_order", np.argsort(scores, kind="stable"))

    _order: NDArray[np.int64] | None = None

    def curve(self, target_weights: Scores | None = None, nontarget_weights: Scores | None = None) -> ErrorCurve:
        """The error curve, each trial counted with its weight (default 1)."""
        target_weights = np.ones(len(self.targets)) if target_weights is None else target_weights
        nontarget_weights = np.ones(len(self.nontargets)) if nontarget_weights is None else nontarget_weights
        order = self._order
        scores = np.concatenate([self.targets, self.nontargets])[order]
        is_target = np.concatenate([target_weights, np.zeros(len(self.nontargets))])[order]
        is_nontarget = np.concatenate([np.zeros(len(self.targets)), nontarget_weights])[order]
        # Trials with one score stand or fall together.
        first = np.flatnonzero(np.append(True, np.diff(scores) > 0))
        below_targets = np.append(np.cumsum(is_target) - is_target, is_target.sum())
        below_nontargets = np.append(np.cumsum(is_nontarget) - is_nontarget, is_nontarget.sum())
        index = np.append(first, len(scores))
        return ErrorCurve(
            thresholds=np.append(scores[first], np.inf),
            misses=below_targets[index] / is_target.sum(),
            false_alarms=1.0 - below_nontargets[index] / is_nontarget.sum(),
        )


def cllr(
    target_llrs: Scores,
    nontarget_llrs: Scores,
    target_weights: Scores | None = None,
    nontarget_weights: Scores | None = None,
) -> float:
    """Cost of natural-log likelihood ratios in bits: 0 is perfect, 1 is knowing nothing, more is misleading."""
    miss = np.average(np.logaddexp(0.0, -target_llrs), weights=target_weights)
    false_alarm = np.average(np.logaddexp(0.0, nontarget_llrs), weights=nontarget_weights)
    return float((miss + false_alarm) / (2.0 * np.log(2.0)))
