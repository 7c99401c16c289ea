"""The score table of an evaluation: every test against every enrolled voiceprint, and what is read off it.

Bootstrap replicates re-weight speakers, not trials, because trials of one speaker rise and fall together.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.calibration import Calibration
from earwitness.evaluation.metrics import Scores, TrialSet, cllr

Mask = NDArray[np.bool_]
SpeakerWeights = dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """Scores of tests (rows) against voiceprints (columns). A row that could not be searched is NaN throughout."""

    enrolled: NDArray[np.str_]
    """Speaker of each column, shape (voiceprints,)."""

    tested: NDArray[np.str_]
    """Speaker of each row, shape (tests,)."""

    scores: NDArray[np.float64]
    """Shape (tests, voiceprints)."""

    net_seconds: Scores
    """Net speech of each test, shape (tests,)."""

    trials: Mask
    """Which cells count as verification trials, shape (tests, voiceprints)."""

    same_recording: Mask
    """Cells where test and voiceprint come from one recording: no evidence of anything, shape (tests, voiceprints)."""

    @cached_property
    def heard(self) -> Mask:
        """Rows that had enough speech, shape (tests,)."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    @cached_property
    def own(self) -> Mask:
        """Cells where row and column are one person, shape (tests, voiceprints)."""
        return np.asarray(self.tested[:, None] == self.enrolled[None, :])

    @cached_property
    def findable(self) -> Mask:
        """Cells by which a search can find its speaker: own, from another recording; shape (tests, voiceprints)."""
        return self.own & ~self.same_recording

    @cached_property
    def known(self) -> Mask:
        """Rows whose speaker is enrolled, shape (tests,)."""
        return np.asarray(self.findable.any(axis=1))

    @property
    def target_cells(self) -> Mask:
        return self.trials & self.own & self.heard[:, None]

    @property
    def nontarget_cells(self) -> Mask:
        return self.trials & ~self.own & self.heard[:, None]

    @property
    def speakers(self) -> list[str]:
        """Everybody in it, sorted."""
        return sorted({*self.enrolled.tolist(), *self.tested.tolist()})

    def trial_set(self) -> TrialSet:
        return TrialSet(self.scores[self.target_cells], self.scores[self.nontarget_cells])

    def restricted(self, speakers: set[str]) -> "ScoreTable":
        """Only tests and voiceprints of these speakers."""
        rows = np.isin(self.tested, list(speakers))
        columns = np.isin(self.enrolled, list(speakers))
        return replace(
            self,
            enrolled=self.enrolled[columns],
            tested=self.tested[rows],
            scores=self.scores[np.ix_(rows, columns)],
            net_seconds=self.net_seconds[rows],
            trials=self.trials[np.ix_(rows, columns)],
            same_recording=self.same_recording[np.ix_(rows, columns)],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Searches:
    """What the engine would answer to every test; shape (tests,) each."""

    known: Mask
    """The speaker is enrolled: these searches can find or miss."""

    first: Mask
    """The speaker's own voiceprint scored highest (known rows)."""

    found: Mask
    """… and reached the threshold of the whole gallery."""

    alarm: Mask
    """With the speaker's own voiceprints taken out, somebody else reached the threshold of that gallery."""

    @staticmethod
    def of(table: ScoreTable, calibration: Calibration, *, strangers_named_percent: float) -> "Searches":
        """At the engine's threshold for the gallery's size and the test's net speech."""
        others = np.where(table.own, -np.inf, table.scores)
        own = np.where(table.findable, table.scores, -np.inf)
        best_own = own.max(axis=1, initial=-np.inf)
        best_other = others.max(axis=1, initial=-np.inf)

        def thresholds(sizes: NDArray[np.int64]) -> Scores:
            return np.array(
                [
                    calibration.threshold(
                        gallery_size=size,
                        strangers_named_percent=strangers_named_percent,
                        net_seconds=seconds,
                    ).score
                    for size, seconds in zip(sizes.tolist(), table.net_seconds.tolist(), strict=True)
                ]
            )

        everybody = np.full(len(table.tested), len(table.enrolled))
        first = table.known & table.heard & (best_own > best_other)
        return Searches(
            known=table.known,
            first=first,
            found=first & (best_own >= thresholds(everybody)),
            alarm=table.heard & (best_other >= thresholds(everybody - table.own.sum(axis=1))),
        )


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The error rates of one table under one weighting."""

    eer_percent: float
    min_dcf: float
    cllr: float
    top1_percent: float
    found_percent: float
    false_alarm_percent: float


RATE_NAMES = tuple(field.name for field in fields(Rates))


def rates(table: ScoreTable, searches: Searches, calibration: Calibration) -> Callable[[SpeakerWeights | None], Rates]:
    """A function from speaker weights (None: each once) to rates; everything that does not depend on them is done
    once.
    """
    trials = table.trial_set()
    target_rows, target_columns = np.nonzero(table.target_cells)
    other_rows, other_columns = np.nonzero(table.nontarget_cells)
    slopes_at = [calibration.llr(1.0, net_seconds=s) - calibration.llr(0.0, net_seconds=s) for s in table.net_seconds]
    offsets_at = [calibration.llr(0.0, net_seconds=s) for s in table.net_seconds]
    llr = table.scores * np.array(slopes_at)[:, None] + np.array(offsets_at)[:, None]
    target_llrs, other_llrs = llr[target_rows, target_columns], llr[other_rows, other_columns]

    def under(weights: SpeakerWeights | None) -> Rates:
        row = _weight_of(table.tested, weights)
        column = _weight_of(table.enrolled, weights)
        target, other = row[target_rows], row[other_rows] * column[other_columns]
        if not target.any() or not other.any():  # a draw of speakers that says nothing
            return Rates(**dict.fromkeys(RATE_NAMES, float("nan")))
        curve = trials.curve(target, other)
        known = row * searches.known
        return Rates(
            eer_percent=100 * curve.eer(),
            min_dcf=curve.min_dcf(),
            cllr=cllr(target_llrs, other_llrs, target, other),
            top1_percent=_share(searches.first, known),
            found_percent=_share(searches.found, known),
            false_alarm_percent=_share(searches.alarm, row),
        )

    return under


def fnir_at_fpir(
    table: ScoreTable, *, gallery_speakers: set[str], fpir: float, weights: SpeakerWeights | None
) -> float:
    """Share of known searches not found when the threshold lets this share of strangers through; in per cent.

    The gallery holds only these speakers; strangers are all tests with their own speaker taken out of it.
    """
    columns = np.isin(table.enrolled, list(gallery_speakers))
    scores, own, findable = table.scores[:, columns], table.own[:, columns], table.findable[:, columns]
    best_other = np.where(own, -np.inf, np.nan_to_num(scores, nan=-np.inf)).max(axis=1, initial=-np.inf)
    best_own = np.where(findable, np.nan_to_num(scores, nan=-np.inf), -np.inf).max(axis=1, initial=-np.inf)
    row = _weight_of(table.tested, weights)
    order = np.argsort(-best_other)
    passed = np.cumsum(row[order]) / row.sum()
    # The threshold lies above the first stranger who would be one too many.
    too_many = int(np.searchsorted(passed, fpir, side="right"))
    threshold = best_other[order][min(too_many, len(order) - 1)]
    found = (best_own > threshold) & (best_own > best_other)
    return 100.0 - _share(found, row * findable.any(axis=1))


def _weight_of(speakers: NDArray[np.str_], weights: SpeakerWeights | None) -> Scores:
    if weights is None:
        return np.ones(len(speakers))
    return np.array([weights.get(speaker, 0) for speaker in speakers.tolist()], np.float64)


def _share(hits: Mask, weights: Scores) -> float:
    total = float(weights.sum())
    return 100.0 * float((hits * weights).sum()) / total if total else float("nan")
