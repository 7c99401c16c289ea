"""How often searches were right, by what people say of their results: from scores alone, without audio.

Calls with a match and calls without one are two strata, of which other shares are labelled; rates over both weigh each
call by how many of its stratum it stands for. Intervals count calls: callers who call often make them too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from earwitness.engine.calibration import Calibration, FalseMatchCurve
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.metrics import Interval, percentiles, widened
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LabelledCall, Picked, Spoke, only_matches_advice

_Yes: TypeAlias = NDArray[np.bool_]
_Shares: TypeAlias = NDArray[np.float64]

REPLICATES = 2_000
FIT_STRANGERS_MIN = 30
"""Labelled calls of strangers from which a calibration may be moved."""

FIT_GALLERY_MIN = 10
"""Voiceprints of a gallery whose best score tells where strangers score: of fewer it lies below the measured curve."""

_PROBABILITIES = ((0.0, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 1.0))
_MOVE_MAX = 0.5


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of some calls are so, in per cent, with the exact 95 % interval (Clopper and Pearson, 1934)."""

    count: int
    of: int

    @property
    def percent(self) -> float | None:
        """Return the share; None of nothing."""
        return 100.0 * self.count / self.of if self.of else None

    @property
    def interval(self) -> Interval:
        """Return between which per cents it lies; 0 to 100 of nothing."""
        yes, no = self.count, self.of - self.count
        low = 100.0 * float(betaincinv(yes, no + 1, 0.025)) if yes else 0.0
        return low, 100.0 * float(betaincinv(yes + 1, no, 0.975)) if no else 100.0


@dataclass(frozen=True, kw_only=True)
class EstimatedRate:
    """A rate over all calls of a domain, in per cent, with its 95 % interval by the bootstrap."""

    percent: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class ProbabilityBin:
    """Matches whose stated probability lies in a range."""

    low: float
    high: float
    #: Mean of what was stated, in per cent.
    stated_percent: float
    right: Share


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What labels say of searches."""

    matches: int
    no_matches: int
    #: Of labelled matches, those whose name was right.
    names_right: Share
    #: Of labelled calls without a match, those of somebody who is enrolled.
    missed: Share
    #: Of all calls of enrolled callers, those that were given the right name; None without labels of both kinds, or
    #: where labels know of no such call.
    found: EstimatedRate | None
    #: Of all other calls, those that were given a name; None alike.
    strangers_named: EstimatedRate | None
    probabilities: tuple[ProbabilityBin, ...]
    unsure: int
    #: What cannot be concluded, and what to do.
    cautions: tuple[str, ...]


def label_report(calls: Sequence[LabelledCall], *, matches: int, no_matches: int) -> LabelReport:
    """Return what labelled calls say, of so many calls with a match and without one."""
    named = [one for one in calls if one.outcome is Outcome.MATCH and one.is_right is not None]
    unnamed = [one for one in calls if one.outcome is Outcome.NO_MATCH and one.is_right is not None]
    drawn = [one for one in unnamed if one.picked is Picked.QUEUE]
    right = np.array([bool(one.is_right) for one in named])
    missed = np.array([not one.is_right for one in drawn or unnamed])
    # Labels may be of calls that are not counted any more, as in exports of several weeks.
    sizes = max(matches, len(named)), max(no_matches, len(unnamed))
    found, strangers = _rates(right, missed, *sizes) if len(right) and len(missed) else (None, None)
    return LabelReport(
        matches=matches,
        no_matches=no_matches,
        names_right=Share(count=int(right.sum()), of=len(right)),
        missed=Share(count=int(missed.sum()), of=len(missed)),
        found=found,
        strangers_named=strangers,
        probabilities=tuple(_bins(named)),
        unsure=sum(one.spoke is Spoke.UNSURE for one in calls),
        cautions=(*label_cautions(named, unnamed), *_of_two_calibrations([*named, *unnamed])),
    )


def _rates(right: _Yes, missed: _Yes, matches: int, no_matches: int) -> Sequence[EstimatedRate | None]:
    def rates(of_right: float, of_missed: float) -> tuple[float, float]:
        hits, misses = matches * of_right, no_matches * of_missed
        false, passed = matches * (1.0 - of_right), no_matches * (1.0 - of_missed)
        return _percent(hits, hits + misses), _percent(false, false + passed)

    random = np.random.default_rng(0)
    again = [
        rates(
            float(right[random.integers(0, len(right), len(right))].mean()),
            float(missed[random.integers(0, len(missed), len(missed))].mean()),
        )
        for _ in range(REPLICATES)
    ]
    exact = rates(float(right.mean()), float(missed.mean()))
    return [
        None
        if np.isnan(exact[place])
        else EstimatedRate(
            percent=exact[place],
            interval=widened(percentiles([one[place] for one in again]), speakers=min(len(right), len(missed))),
        )
        for place in (0, 1)
    ]


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else float("nan")


def _bins(named: Sequence[LabelledCall]) -> list[ProbabilityBin]:
    found: list[ProbabilityBin] = []
    for low, high in _PROBABILITIES:
        within = [one for one in named if low <= one.probability < high or one.probability == high == 1.0]
        if within:
            stated = 100.0 * float(np.mean([one.probability for one in within]))
            right = Share(count=sum(bool(one.is_right) for one in within), of=len(within))
            found.append(ProbabilityBin(low=low, high=high, stated_percent=stated, right=right))
    return found


def label_cautions(named: Sequence[LabelledCall], unnamed: Sequence[LabelledCall]) -> list[str]:
    """Return what cannot be concluded from labels of calls with a match and of calls without one, and what to do."""
    said: list[str] = []
    if not named and not unnamed:
        return ["no call is labelled; say of some whether they are right, in the console or by the JSON API"]
    if (advice := only_matches_advice(matches=len(named), no_matches=len(unnamed))) is not None:
        said.append(advice)
    if unnamed and not any(one.picked is Picked.QUEUE for one in unnamed):
        said.append(
            "no labelled call without a match was drawn at random, so the share of missed callers may be far off; "
            "label what the page Right or wrong offers"
        )
    return said


def _of_two_calibrations(calls: Sequence[LabelledCall]) -> list[str]:
    if len({one.calibration_id for one in calls}) > 1:
        return ["the calibration has changed between these calls; the rates are of both together"]
    return []


def decided_by(calibration: Calibration, call: LabelledCall, *, searched_by: Calibration) -> Outcome:
    """Return what a calibration says of a call, by the rule of `engine.decide`.

    How little was known of its line is told by the margin of its threshold, of the calibration that it was searched by;
    where that has no margin, nothing was known.
    """
    margin = searched_by.unknown_line_margin
    threshold = calibration.threshold(
        gallery_size=call.gallery_size,
        strangers_named_percent=call.strangers_named_percent,
        net_seconds=call.net_speech_seconds,
        line_unknown=min(call.line_margin / margin, 1.0) if margin else 1.0,
    )
    is_named = bool(call.candidates) and call.candidates[0][1] >= threshold.score
    return Outcome.MATCH if is_named else Outcome.NO_MATCH


# A calibration that is moved to where the strangers of a domain score.


@dataclass(frozen=True, kw_only=True)
class LabelFit:
    """A calibration, moved by labels, and what it would have changed."""

    #: How much higher strangers score than the calibration says, in units of score, with its 95 % interval.
    higher: float
    interval: Interval
    strangers: int
    #: How far the calibration is moved: not at all where the interval holds 0, and never down.
    moved: float
    calibration: Calibration
    #: Of the labelled matches: right and wrong names that the calibration gives, and how many it gives when moved.
    right_before: int
    right_after: int
    wrong_before: int
    wrong_after: int


def fit_to_labels(
    calls: Sequence[LabelledCall], calibration: Calibration, *, matches: int, no_matches: int
) -> LabelFit:
    """Return the calibration, moved to where the labelled strangers score.

    It is never moved down: whoever calls can steer where strangers score, and lower thresholds would name more of them.

    The closest of N voiceprints scores below s for a share (1 - f(s))^N of strangers; over all strangers these shares
    have the mean one half. Moved is what makes it so. Each stratum weighs as it is. Raise TooFewSpeakers.
    """
    only = only_matches_advice(
        matches=sum(one.outcome is Outcome.MATCH and one.is_labelled for one in calls),
        no_matches=sum(one.outcome is Outcome.NO_MATCH and one.is_labelled for one in calls),
    )
    strangers = [
        one for one in calls if one.spoke is Spoke.NOBODY and one.candidates and one.gallery_size >= FIT_GALLERY_MIN
    ]
    if only is not None or len(strangers) < FIT_STRANGERS_MIN:
        raise TooFewSpeakers(
            only
            or f"{len(strangers)} labelled calls of strangers, in galleries of {FIT_GALLERY_MIN} voiceprints and more, "
            f"are too few to move a calibration by; label {FIT_STRANGERS_MIN} at least"
        )
    totals = {Outcome.MATCH: matches, Outcome.NO_MATCH: no_matches}
    labelled = {outcome: sum(one.outcome is outcome and one.is_labelled for one in calls) for outcome in totals}
    weights = np.array([max(totals[one.outcome] / labelled[one.outcome], 1.0) for one in strangers])
    table = _shares_below(strangers, calibration)
    random = np.random.default_rng(0)
    moves: list[float] = []
    for _ in range(REPLICATES // 4):
        rows = random.integers(0, len(strangers), len(strangers))
        moves.append(_move(table[rows], weights[rows]))
    higher, interval = _move(table, weights), percentiles(moves)
    moved = round(higher, 4) if interval[0] > 0.0 else 0.0
    named = [one for one in calls if one.outcome is Outcome.MATCH and one.is_right is not None]
    after = _moved(calibration, moved, strangers=len(strangers))
    given = [one for one in named if decided_by(calibration, one, searched_by=calibration) is Outcome.MATCH]
    kept = [one for one in named if decided_by(after, one, searched_by=calibration) is Outcome.MATCH]
    return LabelFit(
        higher=higher,
        interval=interval,
        strangers=len(strangers),
        moved=moved,
        calibration=after,
        right_before=sum(bool(one.is_right) for one in given),
        right_after=sum(bool(one.is_right) for one in kept),
        wrong_before=sum(not one.is_right for one in given),
        wrong_after=sum(not one.is_right for one in kept),
    )


_MOVES = np.arange(-_MOVE_MAX, _MOVE_MAX + 1e-9, 0.01)


def _shares_below(strangers: Sequence[LabelledCall], calibration: Calibration) -> _Shares:
    """Return for each call, and each move, the share of strangers whose best score lies below; shape (n, moves)."""
    return np.array(
        [
            [
                (1.0 - calibration.false_match_rate(one.candidates[0][1] - move, net_seconds=one.net_speech_seconds))
                ** one.gallery_size
                for move in _MOVES.tolist()
            ]
            for one in strangers
        ]
    )


def _move(table: _Shares, weights: _Shares) -> float:
    """Return the move at which the weighted mean of the shares is one half; it falls with the move."""
    means = (weights[:, None] * table).sum(axis=0) / weights.sum()
    return float(np.interp(-0.5, -means, _MOVES))


def _moved(calibration: Calibration, by: float, *, strangers: int) -> Calibration:
    """Return a calibration by which every score means what a score lower by so much meant before."""
    if not by:
        return calibration
    fits = tuple(
        replace(
            fit,
            offset=fit.offset - fit.slope * by,
            false_match=FalseMatchCurve(tuple((score + by, rate) for score, rate in fit.false_match.points)),
        )
        for fit in calibration.fits
    )
    made_from = f"{calibration.made_from}; moved up by {by:.4f} by {strangers} labelled calls of strangers"
    return replace(calibration, fits=fits, made_from=made_from)
