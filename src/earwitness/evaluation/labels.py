"""Labels that the voices contradict: two ids that sound like one person, and one id that sounds like two.

Both are read off a score table, so nothing is heard for them. A doubtful label makes all rates doubtful: one person
under two ids is counted as a stranger who is named, two people under one id as somebody who is not found.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from earwitness.engine.calibration import Calibration
from earwitness.evaluation.metrics import Scores
from earwitness.evaluation.scores import ScoreTable

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


@dataclass(frozen=True, kw_only=True)
class OnePerson:
    """Two ids that sound like one person."""

    speaker_ids: tuple[str, str]
    score: float
    """Cosine, mean of the tests of each against the voiceprints of the other."""


@dataclass(frozen=True, kw_only=True)
class SeveralPeople:
    """An id that sounds like more than one person."""

    speaker_id: str
    tests: int
    unlike: int
    """Tests that sound like somebody else than the voiceprints of the id."""


def ids_of_one_person(table: ScoreTable, calibration: Calibration) -> list[OnePerson]:
    """Pairs of ids that sound like one person, the most alike first."""
    names = table.speakers
    rows, columns = np.nonzero(~table.own & ~table.same_recording & table.heard[:, None])
    tested, enrolled = np.searchsorted(names, table.tested)[rows], np.searchsorted(names, table.enrolled)[columns]
    pairs = np.minimum(tested, enrolled) * len(names) + np.maximum(tested, enrolled)
    scores = table.scores[rows, columns]
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
    """Ids with a test that sounds like somebody else than each of their voiceprints.

    Recordings in which both people speak are not seen here: what is joined from short clips holds both.
    """
    best_own = np.where(table.findable, table.scores, -np.inf).max(axis=1, initial=-np.inf)
    known = table.known & table.heard
    unlike = known & (best_own < _scores_at(table, calibration, rate=OTHER_RATE))
    tests, contrary = (Counter[str](table.tested[rows].tolist()) for rows in (known, unlike))
    return [SeveralPeople(speaker_id=name, tests=tests[name], unlike=contrary[name]) for name in sorted(contrary)]


def _scores_at(table: ScoreTable, calibration: Calibration, *, rate: float) -> Scores:
    """The score that this share of pairs of different people reaches, for the net speech of each test."""
    seconds, which = np.unique(table.net_seconds, return_inverse=True)
    scores = [
        calibration.threshold(gallery_size=1, strangers_named_percent=100.0 * rate, net_seconds=each).score
        for each in seconds.tolist()
    ]
    return np.array(scores, np.float64)[which]
