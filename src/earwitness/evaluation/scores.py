"""The score table of an evaluation: every test against every enrolled voiceprint, and the rates read off it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.calibration import Calibration
from earwitness.evaluation.metrics import Scores, SpeakerWeights, TrialSet, cllr

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """Scores of tests (rows) against voiceprints (columns). A row that could not be searched is NaN throughout."""

    #: Speaker of each column, shape (voiceprints,).
    enrolled: NDArray[np.str_]
    #: Speaker of each row, shape (tests,).
    tested: NDArray[np.str_]
    #: Shape (tests, voiceprints).
    scores: NDArray[np.float64]
    #: Net speech of each test, shape (tests,).
    net_seconds: Scores
    #: Which cells count as verification trials, shape (tests, voiceprints).
    trials: Mask
    #: Cells where test and voiceprint come from one recording: no evidence of anything, shape (tests, voiceprints).
    same_recording: Mask
    #: The share of the threshold's margin that counts: 1 while nothing is known of the line of the tests.
    line_unknown: float = 1.0
    #: Pairs of ids that may be one person: neither is a stranger to the other, and their cells are no trials.
    doubted: Sequence[tuple[str, str]] = ()

    @cached_property
    def heard(self) -> Mask:
        """Rows that had enough speech, shape (tests,)."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    @cached_property
    def own(self) -> Mask:
        """Cells where row and column are one person, shape (tests, voiceprints)."""
        return np.asarray(self.tested[:, None] == self.enrolled[None, :])

    @cached_property
    def strangers(self) -> Mask:
        """Cells where row and column are two people beyond doubt, shape (tests, voiceprints)."""
        cells = ~self.own
        for pair in self.doubted:
            cells &= ~(np.isin(self.tested, pair)[:, None] & np.isin(self.enrolled, pair)[None, :])
        return cells

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
        return self.trials & self.strangers & self.heard[:, None]

    @property
    def speakers(self) -> list[str]:
        """Everybody in it, sorted."""
        return sorted({*self.enrolled.tolist(), *self.tested.tolist()})

    def trial_set(self) -> TrialSet:
        return TrialSet(self.scores[self.target_cells], self.scores[self.nontarget_cells])

    def restricted(self, speakers: set[str]) -> "ScoreTable":
        """Return only tests and voiceprints of these speakers."""
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
class PersonPairs:
    """Every unordered pair of persons once, with the highest score of all its trials."""

    #: Everybody in a pair, sorted.
    persons: Sequence[str]
    #: Shape (pairs,).
    scores: Scores

    @staticmethod
    def of(tables: Sequence[ScoreTable]) -> "PersonPairs":
        """Return the pairs of all tables together: the same people under several conditions are the same pairs."""
        names = sorted({name for table in tables for name in table.speakers})
        highest = np.full(len(names) ** 2, -np.inf)
        for table in tables:
            cells = table.nontarget_cells
            np.maximum.at(highest, pair_codes(table, cells, names), table.scores[cells])
        codes = np.flatnonzero(np.isfinite(highest))
        persons: list[int] = np.unique([codes // len(names), codes % len(names)]).tolist()
        return PersonPairs(persons=[names[number] for number in persons], scores=highest[codes])


def pair_codes(table: ScoreTable, cells: Mask, names: list[str]) -> NDArray[np.int64]:
    """Return a number for each of these cells, the same for two persons whichever is tested: low * names + high."""
    rows, columns = np.nonzero(cells)
    tested, enrolled = np.searchsorted(names, table.tested)[rows], np.searchsorted(names, table.enrolled)[columns]
    return np.minimum(tested, enrolled) * len(names) + np.maximum(tested, enrolled)


@dataclass(frozen=True, kw_only=True, eq=False)
class Searches:
    """What the engine would answer to every test; shape (tests,) each."""

    #: The speaker is enrolled: these searches can find or miss.
    known: Mask
    #: The speaker's own voiceprint scored highest (known rows).
    first: Mask
    #: … and reached the threshold of the whole gallery.
    found: Mask
    #: With the speaker's own voiceprints taken out, somebody else reached the threshold of that gallery.
    alarm: Mask

    @staticmethod
    def of(table: ScoreTable, calibration: Calibration, *, strangers_named_percent: float) -> "Searches":
        """Search at the engine's threshold for the gallery's size and the test's net speech."""
        others = np.where(table.strangers, table.scores, -np.inf)
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
                        line_unknown=table.line_unknown,
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


def rates(
    table: ScoreTable, calibration: Calibration, *, strangers_named_percent: float
) -> Callable[[SpeakerWeights | None], Rates]:
    """Return a function from speaker weights (None: each once) to rates; what does not depend on them is done once."""
    searches = Searches.of(table, calibration, strangers_named_percent=strangers_named_percent)
    trials = table.trial_set()
    target_rows, target_columns = np.nonzero(table.target_cells)
    other_rows, other_columns = np.nonzero(table.nontarget_cells)
    # The log ratio is linear in the score; slope and offset depend on the net speech of the test.
    at_zero, at_one = (
        np.array([calibration.llr(score, net_seconds=seconds) for seconds in table.net_seconds.tolist()])[:, None]
        for score in (0.0, 1.0)
    )
    llr = table.scores * (at_one - at_zero) + at_zero
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
    """Return the per cent of known searches not found when the threshold lets this share of strangers through.

    The gallery holds only these speakers; strangers are all tests with their own speaker taken out of it.
    """
    columns = np.isin(table.enrolled, list(gallery_speakers))
    scores = np.nan_to_num(table.scores[:, columns], nan=-np.inf)
    findable = table.findable[:, columns]
    best_other = np.where(table.strangers[:, columns], scores, -np.inf).max(axis=1, initial=-np.inf)
    best_own = np.where(findable, scores, -np.inf).max(axis=1, initial=-np.inf)
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
