"""The scores of strangers and of the same persons, as a calibration has them: what a score is seen against.

A calibration keeps how many pairs of persons reach a score, and how much likelier a score makes one person than two.
The density of strangers is the slope of the first, from their median on, where calibrations begin; that of the same
persons is the density of strangers times the likelihood ratio, scaled to an area of one.
"""

import numpy as np

from earwitness.engine.calibration import Calibration
from earwitness.voice.score_curves import ScoreCurves, ScorePoint

STEP = 0.01
_HIGHEST = 1.0
_HALF_WIDTH = 0.04
"""Over which a slope is taken: the curve is straight between its points, and would give steps."""

_DENSITY_MIN = 1e-300
"""Its logarithm is finite, and nothing of it is seen."""


def score_curves(calibration: Calibration, *, net_seconds: float) -> ScoreCurves:
    """Return what a calibration says of scores with this much net speech in the probe, every STEP."""
    low, high, weight = calibration.around(net_seconds)
    ends = [np.array([fit.false_match.points[0][0], fit.false_match.points[-1][0]]) for fit in (low, high)]
    first, last = (ends[0] + (ends[1] - ends[0]) * weight).tolist()
    scores = np.round(np.arange(first, _HIGHEST, STEP), 4)

    def reaching(at: "np.ndarray") -> "np.ndarray":
        return np.array([calibration.false_match_rate(float(one), net_seconds=net_seconds) for one in at])

    below, above = np.maximum(scores - _HALF_WIDTH, first), scores + _HALF_WIDTH
    strangers = np.maximum((reaching(below) - reaching(above)) / (above - below), 0.0)
    ratios = np.array([calibration.llr(float(one), net_seconds=net_seconds) for one in scores])
    logs = np.log(np.maximum(strangers, _DENSITY_MIN)) + ratios
    own = np.exp(logs - logs.max())
    own /= own.sum() * STEP
    columns = scores, strangers, own, reaching(scores), ratios
    return ScoreCurves(
        calibration_id=calibration.id,
        net_seconds=net_seconds,
        persons=calibration.persons,
        person_pairs=calibration.person_pairs,
        trials=calibration.trials,
        measured_from=float(scores[0]),
        measured_to=float(last),
        points=tuple(
            ScorePoint(
                score=float(score),
                strangers=float(stranger),
                own=float(same),
                strangers_reaching=float(share),
                log_likelihood_ratio=float(ratio),
            )
            for score, stranger, same, share, ratio in zip(*columns, strict=True)
        ),
    )
