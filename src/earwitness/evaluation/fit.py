"""Fit what the engine ships: the channel compensation of a band and the calibration of its scores.

scripts/fit_engine.py runs both; `earwitness evaluate --fit-calibration` runs the second on the user's own calls.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from earwitness.engine.calibration import Calibration, DurationFit, FalseMatchCurve
from earwitness.engine.encoder import Compensation, Vectors, unit_length
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.metrics import Scores
from earwitness.evaluation.recordings import TESTS_PER_SPEAKER_MAX
from earwitness.evaluation.scores import ScoreTable

FIT_SECONDS = (3.0, 5.0, 10.0)
"""Net speech of the tests a calibration is fitted on."""

CHANNEL_DIRECTIONS = 5
"""More remove no further errors on held-out speakers (docs/decisions)."""

_CURVE_RATES = tuple(digit * 10.0**-decade for decade in range(1, 7) for digit in (5.0, 3.0, 2.0, 1.5, 1.0))
_TAIL_PAIRS_MIN = 5
"""Pairs that must lie above a score for its false-match rate to count as measured."""

_TARGETS_MIN, _NONTARGETS_MIN = 10, 200
_SLOPE_RIDGE = 1e-5
"""Keeps the slope finite when the classes do not overlap; without effect when they do."""


def fit_compensation(
    *, reference: Vectors, same_under_channels: Sequence[Vectors], directions: int = CHANNEL_DIRECTIONS
) -> Compensation:
    """Fit the mean of `reference`, and the directions in which recordings move with the channel.

    All vectors are raw embeddings, shape (n, dimension). `same_under_channels` holds the same n recordings in the
    same order under each channel; with fewer than two, only the mean is fitted.
    """
    mean = unit_length(reference).mean(axis=0)
    none = np.zeros((0, len(mean)), np.float32)
    if len(same_under_channels) < 2:
        return Compensation(mean, none)
    centring = Compensation(mean, none)
    centred = np.stack([centring.apply(vectors) for vectors in same_under_channels])  # (channels, n, dimension)
    moved = (centred - centred.mean(axis=0)).reshape(-1, len(mean))
    _, _, rows = np.linalg.svd(moved, full_matrices=False)
    return Compensation(mean, rows[:directions].astype(np.float32))


def fit_calibration(tables: dict[float, list[ScoreTable]], *, encoder_id: str, made_from: str) -> Calibration:
    """Fit one calibration from score tables of all conditions, by seconds of net speech in the tests."""
    fits: list[DurationFit] = []
    pairs = 0
    speakers: set[str] = set()
    for net_seconds, same_duration in sorted(tables.items()):
        targets = np.concatenate([table.scores[table.target_cells] for table in same_duration])
        nontargets = np.concatenate([table.scores[table.nontarget_cells] for table in same_duration])
        fits.append(fit_duration(targets=targets, nontargets=nontargets, net_seconds=net_seconds))
        pairs += len(targets) + len(nontargets)
        speakers.update(*(table.speakers for table in same_duration))
    return Calibration(
        encoder_id=encoder_id, made_from=made_from, speakers=len(speakers), pairs=pairs, fits=tuple(fits)
    )


def require_enough_people(people: int, *, conditions: int) -> None:
    """Raise TooFewSpeakers when no recordings of so many people could give the pairs that a calibration needs.

    This is checked before hours of work. Each person gives at most four tests, and each test a pair with everybody
    else.
    """
    needed = next(
        count
        for count in range(2, _NONTARGETS_MIN)
        if conditions * TESTS_PER_SPEAKER_MAX * count * (count - 1) >= _NONTARGETS_MIN
        and conditions * TESTS_PER_SPEAKER_MAX * count >= _TARGETS_MIN
    )
    if people < needed:
        raise TooFewSpeakers(
            f"a calibration needs at least {_TARGETS_MIN} pairs of one speaker and {_NONTARGETS_MIN} of different "
            f"ones: {needed} people with an enrolment and four tests each; the list has {people}"
        )


def fit_duration(*, targets: Scores, nontargets: Scores, net_seconds: float) -> DurationFit:
    """Calibrate the scores of one duration of net speech; TooFewSpeakers when there are too few trials."""
    if len(targets) < _TARGETS_MIN or len(nontargets) < _NONTARGETS_MIN:
        raise TooFewSpeakers(
            f"{len(targets)} same-speaker and {len(nontargets)} different-speaker pairs are too few to calibrate "
            f"on; at least {_TARGETS_MIN} and {_NONTARGETS_MIN} are needed"
        )
    slope, offset = _logistic(targets, nontargets)
    if slope <= 0 or np.ptp(nontargets) == 0.0:
        raise TooFewSpeakers("same-speaker pairs score no higher than different-speaker pairs; are the labels right?")
    return DurationFit(net_seconds=net_seconds, slope=slope, offset=offset, false_match=false_match_curve(nontargets))


def false_match_curve(nontargets: Scores) -> FalseMatchCurve:
    """Return the measured share of different-speaker pairs above each score, down to the rarest that was measured."""
    ordered = np.sort(nontargets)[::-1]
    points: list[tuple[float, float]] = []
    for rate in _CURVE_RATES:
        if rate * len(ordered) < _TAIL_PAIRS_MIN:
            break
        score = float(ordered[math.floor(rate * len(ordered)) - 1])
        if not points or score > points[-1][0]:
            points.append((score, rate))
    return FalseMatchCurve(tuple(points))


def _logistic(targets: Scores, nontargets: Scores) -> tuple[float, float]:
    """Return slope and offset of the natural-log likelihood ratio, each class weighing the same whatever its size."""

    def cost(parameters: NDArray[np.float64]) -> float:
        slope, offset = parameters
        miss = np.logaddexp(0.0, -(slope * targets + offset)).mean()
        false_alarm = np.logaddexp(0.0, slope * nontargets + offset).mean()
        return float(miss + false_alarm + _SLOPE_RIDGE * slope**2)

    start = np.array([20.0, -10.0])
    fitted = optimize.minimize(cost, start, method="BFGS", options={"gtol": 1e-7})
    slope, offset = fitted.x.tolist()
    return slope, offset
