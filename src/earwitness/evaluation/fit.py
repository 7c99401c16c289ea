"""Fit what the engine ships: the channel compensation of a band and the calibration of its scores.

scripts/fit_engine.py runs both; `earwitness evaluate --fit-calibration` runs the second on the user's own calls.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import ndtri

from earwitness.engine.calibration import TAIL_PAIRS_MIN, Calibration, DurationFit, FalseMatchCurve
from earwitness.engine.compensation import Compensation, Vectors, unit_length
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.metrics import Scores
from earwitness.evaluation.recordings import TESTS_PER_SPEAKER_MAX
from earwitness.evaluation.scores import PersonPairs, ScoreTable
from earwitness.voice.embedding import Vector

FIT_SECONDS = (3.0, 5.0, 10.0)
"""Net speech of the tests a calibration is fitted on."""

CHANNEL_DIRECTIONS = 5
"""More remove no further errors on held-out speakers (docs/decisions)."""

_CURVE_RATES = tuple(digit * 10.0**-decade for decade in range(1, 7) for digit in (5.0, 3.0, 2.0, 1.5, 1.0))
_LINE_SHARE, _LINE_PAIRS_MIN, _LINE_LEFT_OUT = 0.02, 50, 2
"""The rare end of a curve is drawn through this share of the scores, the highest, and through at least so many; but not
through the two highest of each line, which may be one person under several ids (docs/decisions)."""

_STEP_MIN = 1e-4
"""Points of a curve whose scores are closer are one; a file keeps five digits."""

_TARGETS_MIN, _NONTARGETS_MIN = 10, 200

PERSONS_MIN = 10
"""Fewer persons give too few pairs for a curve: of 45 pairs one in nine is the rarest rate that is measured."""

_SLOPE_RIDGE = 1e-5
"""Keeps the slope finite when the classes do not overlap; without effect when they do."""


def line_means(under_lines: Sequence[Vectors]) -> list[Vector]:
    """Return the mean of the unit-length raw embeddings of each line, shape (dimension,)."""
    return [unit_length(vectors).mean(axis=0) for vectors in under_lines]


def fit_compensation(same_under_lines: Sequence[Vectors], *, directions: int = CHANNEL_DIRECTIONS) -> Compensation:
    """Fit the mean of all lines, and the directions in which recordings move with the line beyond its own mean.

    `same_under_lines` holds the raw embeddings, shape (n, dimension), of the same n recordings in the same order under
    each line. With fewer than two lines only the mean is fitted. Each line is centred by its own mean first, as a line
    that was learnt is; the mean of all lines is where a line lies that nobody knows yet.
    """
    means = line_means(same_under_lines)
    none = np.zeros((0, len(means[0])), np.float32)
    mean = np.mean(means, axis=0)
    if len(means) < 2:
        return Compensation(mean, none)
    centred = np.stack(
        [Compensation(own, none).apply(vectors) for own, vectors in zip(means, same_under_lines, strict=True)]
    )  # (lines, n, dimension)
    moved = (centred - centred.mean(axis=0)).reshape(-1, len(mean))
    _, _, rows = np.linalg.svd(moved, full_matrices=False)
    return Compensation(mean, rows[:directions].astype(np.float32))


def fit_calibration(
    tables: Mapping[float, Sequence[ScoreTable]],
    *,
    encoder_id: str,
    made_from: str,
    sexes: Mapping[str, str] | None = None,
    unknown_line_margin: float = 0.0,
) -> Calibration:
    """Fit one calibration from score tables of all conditions, by seconds of net speech in the tests.

    `sexes` says of each speaker what the manifest says, if it does. Raise TooFewSpeakers when there are too few
    persons or trials.
    """
    fits: list[DurationFit] = []
    trials = 0
    pairs: list[PersonPairs] = []
    for net_seconds, same_duration in sorted(tables.items()):
        targets = np.concatenate([table.scores[table.target_cells] for table in same_duration])
        nontargets = np.concatenate([table.scores[table.nontarget_cells] for table in same_duration])
        pairs.append(PersonPairs.of(same_duration))
        # A search is made over one line: a pair counts once for each, not for all by the one it sounds most alike over.
        by_line = [PersonPairs.of([table]) for table in same_duration]
        fits.append(fit_duration(targets=targets, nontargets=nontargets, by_line=by_line, net_seconds=net_seconds))
        trials += len(targets) + len(nontargets)
    fewest = min(pairs, key=lambda each: len(each.scores))
    return Calibration(
        encoder_id=encoder_id,
        made_from=made_from,
        persons=len(fewest.persons),
        person_pairs=len(fewest.scores),
        trials=trials,
        sexes=_counted(fewest.persons, sexes or {}),
        unknown_line_margin=unknown_line_margin,
        fits=tuple(fits),
    )


def _counted(persons: Sequence[str], sexes: Mapping[str, str]) -> dict[str, int] | None:
    """Return how many persons are of each sex; None when it is noted of nobody."""
    counts = Counter(sexes.get(person) or "unknown" for person in persons)
    return None if set(counts) == {"unknown"} else dict(sorted(counts.items()))


def require_enough_people(people: int, *, conditions: int) -> None:
    """Raise TooFewSpeakers when no recordings of so many people could give the trials that a calibration needs.

    This is checked before hours of work. Each person gives at most four tests, and each test a pair with everybody
    else.
    """
    needed = next(
        count
        for count in range(PERSONS_MIN, _NONTARGETS_MIN)
        if conditions * TESTS_PER_SPEAKER_MAX * count * (count - 1) >= _NONTARGETS_MIN
        and conditions * TESTS_PER_SPEAKER_MAX * count >= _TARGETS_MIN
    )
    if people < needed:
        raise TooFewSpeakers(
            f"a calibration needs at least {needed} people with an enrolment and tests; the list has {people}. "
            f"With fewer, keep the shipped calibration"
        )


def fit_duration(
    *, targets: Scores, nontargets: Scores, by_line: Sequence[PersonPairs], net_seconds: float
) -> DurationFit:
    """Calibrate the scores of one duration of net speech; TooFewSpeakers when there are too few persons or trials.

    `by_line` has the pairs of persons over each line.
    """
    persons = len(set[str]().union(*(pairs.persons for pairs in by_line)))
    if persons < PERSONS_MIN:
        raise TooFewSpeakers(
            f"{persons} people with {net_seconds:g} s of speech in a test are too few to calibrate on; at least "
            f"{PERSONS_MIN} are needed"
        )
    if len(targets) < _TARGETS_MIN or len(nontargets) < _NONTARGETS_MIN:
        raise TooFewSpeakers(
            f"{len(targets)} same-speaker and {len(nontargets)} different-speaker pairs are too few to calibrate "
            f"on; at least {_TARGETS_MIN} and {_NONTARGETS_MIN} are needed"
        )
    slope, offset = _logistic(targets, nontargets)
    if slope <= 0 or np.ptp(nontargets) == 0.0:
        raise TooFewSpeakers("same-speaker pairs score no higher than different-speaker pairs; are the labels right?")
    curve = false_match_curve(np.concatenate([pairs.scores for pairs in by_line]), lines=len(by_line))
    return DurationFit(net_seconds=net_seconds, slope=slope, offset=offset, false_match=curve)


def false_match_curve(person_pairs: Scores, *, lines: int = 1) -> FalseMatchCurve:
    """Return the share of pairs of persons at or above each score, from one score a pair and line, in any order.

    Its rare end is a straight line on the normal-deviate axis, by least squares through the highest scores: how high a
    single one lies is chance. It is measured down to the share of TAIL_PAIRS_MIN pairs, and goes on straight from
    there. Raise TooFewSpeakers when that leaves no curve.
    """
    ordered = np.sort(person_pairs)[::-1]
    count = len(ordered)
    if count <= 2 * TAIL_PAIRS_MIN * lines:
        raise TooFewSpeakers(f"{count // lines} pairs of people are too few for a false-match curve")
    rate_min = TAIL_PAIRS_MIN * lines / count
    rates = [*(rate for rate in _CURVE_RATES if rate > rate_min), rate_min]
    tail = min(max(math.floor(_LINE_SHARE * count), _LINE_PAIRS_MIN * lines), count // 2)
    line = _line_through(ordered[:tail], count, left_out=_LINE_LEFT_OUT * lines)
    points: list[tuple[float, float]] = []
    for rate in rates:
        score = line(rate) if rate * count <= tail else float(ordered[math.floor(rate * count) - 1])
        if not points or score >= points[-1][0] + _STEP_MIN:
            points.append((score, rate))
    if len(points) < 2:
        raise TooFewSpeakers(f"the {count // lines} pairs of people score too much alike for a false-match curve")
    return FalseMatchCurve(tuple(points))


def _line_through(highest: Scores, count: int, *, left_out: int) -> Callable[[float], float]:
    """Return a score for each rate: the line through the highest of `count` scores, in falling order."""
    deviates = -ndtri((np.arange(len(highest)) + 0.5) / count)[left_out:]
    scores = highest[left_out:]
    offsets = deviates - deviates.mean()
    slope = float(offsets @ scores / (offsets @ offsets))
    return lambda rate: float(scores.mean()) + slope * (-float(ndtri(rate)) - float(deviates.mean()))


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
