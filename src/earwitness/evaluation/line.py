"""An evaluation on the line of its own calls: learnt from them, never from the two people who are compared.

Every trial is scored about a mean of its own, from which the votes of both its people are left out; a caller whose own
voice had voted would be recognised too well, and a stranger too badly. The mean is a weighted sum of votes
(engine/line.py), so leaving out is a subtraction; how much each vote counts is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Compensation, Vectors
from earwitness.engine.line import bounded_share, vote_weights, votes_at_once
from earwitness.engine.monitor import OFF_FROM, SEARCHES_MIN
from earwitness.engine.space import PRIOR_VOICES, Line, Space
from earwitness.evaluation.hearing import PreparedSpeech, raw_vectors
from earwitness.evaluation.scores import ScoreTable
from earwitness.voice.embedding import Embedding
from earwitness.voice.line import VOICES_MIN, LineState, state_of

LEFT_OUT = 2
"""Votes that a trial does without: those of its two people."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LearntLine:
    """What was learnt of a line."""

    #: Votes; a trial does without those of its two people.
    voices: int
    #: Cosines about the mean of each trial, shape (tests, voiceprints), also where the shipped ones are lower.
    scores: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StrangersSummary:
    """How different people score: near 0 is well."""

    mean: float
    #: Standard deviation.
    spread: float


@dataclass(frozen=True, kw_only=True)
class LineSummary:
    """What is said of the line of an evaluation's tests."""

    state: LineState
    #: It was learnt from; trials do without the voices of their two people.
    voices: int
    #: About the mean that counts.
    strangers: StrangersSummary
    #: About the shipped mean.
    strangers_shipped: StrangersSummary
    #: What to do; None when nothing is, or when too few people were heard to say.
    advice: str | None


def scores_on_line(
    table: ScoreTable, tested: Sequence[PreparedSpeech], enrolled: Sequence[PreparedSpeech], space: Space
) -> tuple[ScoreTable, LearntLine | None]:
    """Return a table of shipped scores as it is on the line of its tests, and that line.

    The same table and None when too few voices are left to learn from, once two are left out.
    """
    votes = _votes(tested, space)
    if len(votes) - LEFT_OUT < VOICES_MIN:
        return table, None
    dimension = len(space.shipped.mean)
    learnt = LearntLine(
        voices=len(votes),
        scores=_without_own_votes(
            space,
            votes,
            tests=raw_vectors(tested, dimension=dimension),
            voiceprints=raw_vectors(enrolled, dimension=dimension),
            tested=table.tested,
            enrolled=table.enrolled,
        ),
    )
    is_off = _strangers(table, learnt.scores).mean > OFF_FROM
    unknown = Line(mean=space.shipped.mean, voices=learnt.voices - LEFT_OUT, is_off=is_off).unknown
    return replace(table, scores=np.minimum(table.scores, learnt.scores), line_unknown=unknown), learnt


def summary_of(shipped: ScoreTable, learnt: LearntLine | None, *, learns: bool) -> LineSummary:
    """Return what is said of a line, given the shipped scores and what was learnt, if that was asked."""
    enough = len(shipped.speakers) >= SEARCHES_MIN
    before = _strangers(shipped, shipped.scores)
    after = before if learnt is None else _strangers(shipped, learnt.scores)
    return LineSummary(
        state=LineState.UNKNOWN if learnt is None else state_of(learnt.voices),
        voices=0 if learnt is None else learnt.voices,
        strangers=after,
        strangers_shipped=before,
        advice=_advice(after.mean, learns=learns, has_learnt=learnt is not None) if enough else None,
    )


def _advice(mean: float, *, learns: bool, has_learnt: bool) -> str | None:
    if mean <= OFF_FROM:
        return None
    told = "different people score as if they were alike, so more strangers are named than the stated share"
    if not learns:
        return f"{told}; let the line be learnt (--line learnt)"
    if not has_learnt:
        return f"{told}; with tests of {VOICES_MIN + LEFT_OUT} different voices the line can be learnt"
    return f"{told} even about the mean that was learnt; calls of several lines, perhaps: evaluate each line by itself"


def _strangers(table: ScoreTable, scores: NDArray[np.float64]) -> StrangersSummary:
    others = scores[table.nontarget_cells]
    if not len(others):
        return StrangersSummary(mean=float("nan"), spread=float("nan"))
    return StrangersSummary(mean=float(others.mean()), spread=float(others.std()))


def _votes(tested: Sequence[PreparedSpeech], space: Space) -> dict[str, Embedding]:
    """Return the votes by speaker: the first test of each that was heard, if the voice is no other speaker's."""
    first: dict[str, Embedding] = {}
    for one in tested:
        if one.raw is not None and one.recording.speaker_id not in first:
            first[one.recording.speaker_id] = Embedding(
                vector=one.raw, encoder_id=space.encoder_id, net_speech_seconds=one.net_seconds
            )
    chosen = {id(vote) for vote in votes_at_once(space, list(first.values()))}
    return {speaker: vote for speaker, vote in first.items() if id(vote) in chosen}


def _without_own_votes(
    space: Space,
    votes: dict[str, Embedding],
    *,
    tests: Vectors,
    voiceprints: Vectors,
    tested: NDArray[np.str_],
    enrolled: NDArray[np.str_],
) -> NDArray[np.float64]:
    """Return the cosine of each test with each voiceprint about the mean of everybody else's votes."""
    shipped = space.shipped.mean.astype(np.float64)
    vectors = np.stack([vote.vector for vote in votes.values()])
    weights = vote_weights(vectors)
    shifts = weights[:, None] * (vectors - shipped)
    total, weight = shifts.sum(axis=0), PRIOR_VOICES + len(votes)
    share = bounded_share(total / weight)
    places = {speaker: place for place, speaker in enumerate(votes)}
    scores = np.full((len(tests), len(voiceprints)), np.nan)
    for first, rows in _by_vote(tested, places):
        for second, columns in _by_vote(enrolled, places):
            out = sorted({place for place in (first, second) if place is not None})
            mean = shipped + share * (total - shifts[out].sum(axis=0)) / (weight - weights[out].sum())
            about = Compensation(mean.astype(np.float32), space.shipped.directions)
            scores[np.ix_(rows, columns)] = about.apply(tests[rows]) @ about.apply(voiceprints[columns]).T
    return scores


def _by_vote(speakers: NDArray[np.str_], places: dict[str, int]) -> Iterator[tuple[int | None, NDArray[np.intp]]]:
    """Yield for each vote which of the speakers are whose it is; None for all who did not vote."""
    found = np.array([places.get(speaker, -1) for speaker in speakers.tolist()], np.intp)
    for place in np.unique(found).tolist():
        yield None if place < 0 else place, np.flatnonzero(found == place)
