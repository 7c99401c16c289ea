"""Labels that the recordings contradict: copies, two ids that sound like one person, one id that sounds like two.

A doubtful label makes all rates doubtful: one person under two ids is counted as a stranger who is named, two people
under one id as somebody who is not found. A calibration fitted on them sets the threshold of every search, so none is
fitted before somebody has listened.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from earwitness.engine.calibration import Calibration
from earwitness.errors import LabelsDoubtful
from earwitness.evaluation.manifest import Utterance
from earwitness.evaluation.metrics import Scores
from earwitness.evaluation.scores import ScoreTable, pair_codes

SAME_RATE = 1e-4
"""Ids sound like one person where at most this share of pairs of different people scores as high.

A list of 100 people has 4,950 pairs of ids; each is judged by the mean of up to eight scores, which strays less than
one score does. Among 80 development speakers the highest mean of the 2,380 pairs was 0.70, the lowest of a speaker
with themselves 0.82; 0.76 is needed.
"""

OWN_PERCENTILE = 5.0
"""… or where the pair scores as high as all but this many in a hundred people of the list do with themselves.

This needs no calibration: one fitted on a list with many such ids would not find them. Under four simulated lines the
5th percentile of 95 adults lay at 0.78 to 0.83 with tests of 10 s and at 0.66 to 0.72 with 5 s. Of 8,265 pairs of
different people one scored 0.73 to 0.79 and 0.68 to 0.73, all others at most 0.72 and 0.67. With 3 s people are not
enough like themselves.
"""

_OWN_SPEAKERS_MIN = 20
_OWN_SECONDS_MIN = 4.5

OTHER_RATE = 0.1
"""A test sounds like somebody else where at least this share of pairs of different people scores as high.

The lowest of 71 tests of 40 development speakers was as high as 1 in 7,500 pairs of different people.
"""

APART = "ids in doubt apart"
"""Behind the name of a condition: what was measured with pairs of ids apart that sound like one person."""

_NAMED_MAX = 10
"""Copies that a message names."""


@dataclass(frozen=True, kw_only=True)
class OnePerson:
    """Two ids that sound like one person."""

    speaker_ids: tuple[str, str]
    #: Cosine, mean of the tests of each against the voiceprints of the other.
    score: float

    @property
    def name(self) -> str:
        """What accepts it, as in `ada=eve`."""
        return "=".join(self.speaker_ids)

    def is_accepted(self, accepted: Collection[str]) -> bool:
        """Return whether somebody has said that these are two people; the order of the ids is free."""
        return self.name in accepted or "=".join(reversed(self.speaker_ids)) in accepted


@dataclass(frozen=True, kw_only=True)
class SeveralPeople:
    """An id that sounds like more than one person."""

    speaker_id: str
    tests: int
    #: Tests that sound like somebody else than the voiceprints of the id.
    unlike: int


@dataclass(frozen=True, kw_only=True)
class LabelDoubts:
    """What speaks against the labels of a list, without what somebody listened to and accepted."""

    one_person: Sequence[OnePerson] = field(default=())
    several_people: Sequence[SeveralPeople] = field(default=())

    @staticmethod
    def of(table: ScoreTable, calibration: Calibration, *, accepted: Collection[str] = ()) -> "LabelDoubts":
        """Audit the labels of a table. `accepted` holds `A=B` for two people who sound alike, `A` for a changing voice.

        `calibration` says how alike different people sound; people of the list are compared with each other as well.
        """
        return LabelDoubts(
            one_person=[one for one in ids_of_one_person(table, calibration) if not one.is_accepted(accepted)],
            several_people=[one for one in ids_of_several_people(table, calibration) if one.speaker_id not in accepted],
        )

    def require_none(self) -> None:
        """Raise LabelsDoubtful when there is any doubt; it names the ids, and how to accept them."""
        said = [f"{' and '.join(one.speaker_ids)} sound like one person" for one in self.one_person]
        said += [f"{one.speaker_id} sounds like more than one" for one in self.several_people]
        if not said:
            return
        names = [*(one.name for one in self.one_person), *(one.speaker_id for one in self.several_people)]
        options = " ".join(f"--accept-labels {name}" for name in names)
        raise LabelsDoubtful(
            f"no calibration is fitted on labels in doubt: {'; '.join(said)}. Listen to their recordings: give one "
            f"person one id and two people two, or take the recordings out. Where a label is right, add {options}"
        )


def require_no_copies(copies: Sequence[tuple[Utterance, Utterance]]) -> None:
    """Raise LabelsDoubtful when recordings, each behind the earlier one, are the same audio."""
    if not copies:
        return
    named = [f"{copy.path.name} ({copy.speaker_id}) of {one.path.name} ({one.speaker_id})" for one, copy in copies]
    more = f" and {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
    raise LabelsDoubtful(
        f"no calibration is fitted on copies: {'; '.join(named[:_NAMED_MAX])}{more}. List each recording once, under "
        f"the id of who speaks"
    )


def ids_of_one_person(table: ScoreTable, calibration: Calibration) -> list[OnePerson]:
    """Return pairs of ids that sound like one person, the most alike first."""
    names = table.speakers
    cells = ~table.own & ~table.same_recording & table.heard[:, None]
    pairs = pair_codes(table, cells, names)
    rows, _ = np.nonzero(cells)
    scores = table.scores[cells]
    counts = np.bincount(pairs, minlength=len(names) ** 2)
    means, excess = (
        np.bincount(pairs, weights=values, minlength=len(counts)) / np.maximum(counts, 1)
        for values in (scores, scores - _scores_at(table, calibration, rate=SAME_RATE)[rows])
    )
    as_themselves = _score_with_themselves(table, calibration)
    alike = np.flatnonzero((counts > 0) & ((excess >= 0.0) | (means >= as_themselves)))
    closest_first: list[int] = alike[np.argsort(-means[alike])].tolist()
    return [
        OnePerson(speaker_ids=(names[pair // len(names)], names[pair % len(names)]), score=float(means[pair]))
        for pair in closest_first
    ]


def _score_with_themselves(table: ScoreTable, calibration: Calibration) -> float:
    """Return the score that nearly all people of the list reach with themselves; infinity when they say too little.

    An id that sounds like several people says nothing of how alike one person sounds.
    """
    if np.median(table.net_seconds) < _OWN_SECONDS_MIN:
        return float("inf")
    cells = table.findable & table.heard[:, None]
    several = [one.speaker_id for one in ids_of_several_people(table, calibration)]
    speakers, which = np.unique(table.tested[np.nonzero(cells)[0]], return_inverse=True)
    counts = np.bincount(which, minlength=len(speakers))
    means = np.bincount(which, weights=table.scores[cells], minlength=len(speakers)) / np.maximum(counts, 1)
    means = means[~np.isin(speakers, several)]
    return float(np.percentile(means, OWN_PERCENTILE)) if len(means) >= _OWN_SPEAKERS_MIN else float("inf")


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
