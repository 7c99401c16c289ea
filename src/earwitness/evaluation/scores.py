"""The score table of an evaluation: every test against every enrolled voiceprint, and what is read off it.

Rates, and labels that the voices contradict: two ids that sound like one person, one id that sounds like two. A
doubtful label makes all rates doubtful: one person under two ids is counted as a stranger who is named, two people
under one id as somebody who is not found.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.calibration import Calibration
from earwitness.evaluation.metrics import Scores, SpeakerWeights, TrialSet, cllr

SAME_RATE = 1e-4
"""Ids sound like one person where at most this share of pairs of different people scores as high.

Just below the lowest rate that the shipped calibration has measured, 2 in 10,000. A list of 100 people has 4,950 pairs
of ids; each is judged by the mean of up to eight scores, which strays less than one score does. Among 80 development
speakers the highest mean of the 2,380 pairs was 0.70, the lowest of a speaker with themselves 0.82; 0.76 is needed.
"""

OTHER_RATE = 0.1
"""A test sounds like somebody else where at least this share of pairs of different people scores as high.

The lowest of 71 tests of 40 development speakers was as high as 1 in 7,500 pairs of different people.
"""

_Mask = NDArray[np.bool_]


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
    trials: _Mask
    #: Cells where test and voiceprint come from one recording: no evidence of anything, shape (tests, voiceprints).
    same_recording: _Mask

    @cached_property
    def heard(self) -> _Mask:
        """Rows that had enough speech, shape (tests,)."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    @cached_property
    def own(self) -> _Mask:
        """Cells where row and column are one person, shape (tests, voiceprints)."""
        return np.asarray(self.tested[:, None] == self.enrolled[None, :])

    @cached_property
    def findable(self) -> _Mask:
        """Cells by which a search can find its speaker: own, from another recording; shape (tests, voiceprints)."""
        return self.own & ~self.same_recording

    @cached_property
    def known(self) -> _Mask:
        """Rows whose speaker is enrolled, shape (tests,)."""
        return np.asarray(self.findable.any(axis=1))

    @property
    def target_cells(self) -> _Mask:
        return self.trials & self.own & self.heard[:, None]

    @property
    def nontarget_cells(self) -> _Mask:
        return self.trials & ~self.own & self.heard[:, None]

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
            np.maximum.at(highest, _pair_codes(table, cells, names), table.scores[cells])
        codes = np.flatnonzero(np.isfinite(highest))
        persons: list[int] = np.unique([codes // len(names), codes % len(names)]).tolist()
        return PersonPairs(persons=[names[number] for number in persons], scores=highest[codes])


def _pair_codes(table: ScoreTable, cells: _Mask, names: list[str]) -> NDArray[np.int64]:
    """Return a number for each of these cells, the same for two persons whichever is tested: low * names + high."""
    rows, columns = np.nonzero(cells)
    tested, enrolled = np.searchsorted(names, table.tested)[rows], np.searchsorted(names, table.enrolled)[columns]
    return np.minimum(tested, enrolled) * len(names) + np.maximum(tested, enrolled)


@dataclass(frozen=True, kw_only=True, eq=False)
class Searches:
    """What the engine would answer to every test; shape (tests,) each."""

    #: The speaker is enrolled: these searches can find or miss.
    known: _Mask
    #: The speaker's own voiceprint scored highest (known rows).
    first: _Mask
    #: … and reached the threshold of the whole gallery.
    found: _Mask
    #: With the speaker's own voiceprints taken out, somebody else reached the threshold of that gallery.
    alarm: _Mask

    @staticmethod
    def of(table: ScoreTable, calibration: Calibration, *, strangers_named_percent: float) -> "Searches":
        """Search at the engine's threshold for the gallery's size and the test's net speech."""
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


@dataclass(frozen=True, kw_only=True)
class OnePerson:
    """Two ids that sound like one person."""

    speaker_ids: tuple[str, str]
    #: Cosine, mean of the tests of each against the voiceprints of the other.
    score: float


@dataclass(frozen=True, kw_only=True)
class SeveralPeople:
    """An id that sounds like more than one person."""

    speaker_id: str
    tests: int
    #: Tests that sound like somebody else than the voiceprints of the id.
    unlike: int


def ids_of_one_person(table: ScoreTable, calibration: Calibration) -> list[OnePerson]:
    """Return pairs of ids that sound like one person, the most alike first."""
    names = table.speakers
    cells = ~table.own & ~table.same_recording & table.heard[:, None]
    pairs = _pair_codes(table, cells, names)
    rows, _ = np.nonzero(cells)
    scores = table.scores[cells]
    counts = np.bincount(pairs, minlength=len(names) ** 2)
    means, excess = (
        np.bincount(pairs, weights=values, minlength=len(counts)) / np.maximum(counts, 1)
        for values in (scores, scores - _scores_at(table, calibration, rate=SAME_RATE)[rows])
    )
    alike = np.flatnonzero((counts > 0) & (excess >= 0.0))
    closest_first: list[int] = alike[np.argsort(-means[alike])].tolist()
    return [
        OnePerson(speaker_ids=(names[pair // len(names)], names[pair % len(names)]), score=float(means[pair]))
        for pair in closest_first
    ]


def ids_of_several_people(table: ScoreTable, calibration: Calibration) -> list[SeveralPeople]:
    """Return ids with a test that sounds like somebody else than each of their voiceprints.

    Recordings in which both people speak are not seen here: what is joined from short clips holds both.
    """
    best_own = np.where(table.findable, table.scores, -np.inf).max(axis=1, initial=-np.inf)
    known = table.known & table.heard
    unlike = known & (best_own < _scores_at(table, calibration, rate=OTHER_RATE))
    tests, contrary = (Counter[str](table.tested[rows].tolist()) for rows in (known, unlike))
    return [SeveralPeople(speaker_id=name, tests=tests[name], unlike=contrary[name]) for name in sorted(contrary)]


def _scores_at(table: ScoreTable, calibration: Calibration, *, rate: float) -> Scores:
    """Return the score that this share of pairs of different people reaches, for the net speech of each test."""
    seconds, which = np.unique(table.net_seconds, return_inverse=True)
    scores = [
        calibration.threshold(gallery_size=1, strangers_named_percent=100.0 * rate, net_seconds=each).score
        for each in seconds.tolist()
    ]
    return np.array(scores, np.float64)[which]


def _weight_of(speakers: NDArray[np.str_], weights: SpeakerWeights | None) -> Scores:
    if weights is None:
        return np.ones(len(speakers))
    return np.array([weights.get(speaker, 0) for speaker in speakers.tolist()], np.float64)


def _share(hits: _Mask, weights: Scores) -> float:
    total = float(weights.sum())
    return 100.0 * float((hits * weights).sum()) / total if total else float("nan")
