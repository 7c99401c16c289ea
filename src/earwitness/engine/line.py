"""Learn a line from the voices that are heard over it, without their names. Pure: voices in, a line out.

A *vote* is the raw embedding of one voice that a search was made with: of sufficient quality (`may_vote`), and of
nobody who voted before (`is_new`); numbers that call can be forged, voices less so. From ten new votes on (`is_due`),
`learn` returns the line's next version; with fifty voices it is learnt and stays.

For whoever keeps votes: keep those cast since the line's present version, and the earlier ones for as long as they may
be kept, because `is_new` asks all of them. Give `learn` those cast since the present version alone: that version stands
for the others. So every version is of ten further voices, and two versions never differ by the voice of one person.

What a line can become is bounded, because whoever calls votes:

- Voices that were all moved far one way sound alike, so that they are one vote. The centre of the votes is their
  geometric median, and the shipped mean weighs as much as five voices.
- The mean stays within DISTANCE_MAX of the shipped one, and within DAY_DISTANCE_MAX of where it was a day before.
- Scores count only as far as the shipped mean gives them too (space.py), and thresholds never lie below the shipped
  ones: what attackers can gain is that enrolled callers are missed, not that strangers are named.

docs/decisions/2026-11-26-line-adaptation.md has the numbers and what else was tried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Vectors, unit_length
from earwitness.engine.space import PRIOR_VOICES, UNKNOWN_LINE, Line, Space
from earwitness.voice.embedding import Embedding, Vector
from earwitness.voice.line import VOICES_MAX, VOICES_MIN
from earwitness.voice.speech import NetSpeech, enrolment_fault

VOTE_SECONDS_MIN = 5.0
"""Net speech of a vote; less says more of what was said than of the line."""

DISTANCE_MAX = 0.6
"""A real line lay 0.50 from the shipped mean, simulated lines and people of other countries 0.07 to 0.34."""

DAY_DISTANCE_MAX = 0.3
"""So a line is learnt in two days at most, and whoever would drag it as far is seen by the monitor in between."""

_DAY = timedelta(days=1)
_ROUNDS = 50
_NEAR = 1e-6


def may_vote(speech: NetSpeech, *, voices: int) -> bool:
    """Return whether the voice in speech that was searched with may vote; `voices` were heard in it."""
    return voices == 1 and speech.seconds >= VOTE_SECONDS_MIN and enrolment_fault(speech) is None


def is_new(voice: Embedding, votes: Iterable[Embedding], space: Space) -> bool:
    """Return whether a voice is nobody's who voted: it sounds likelier like another person than like each of them."""
    return all(space.llr(voice, vote) <= 0.0 for vote in votes)


def new_voices(voices: Sequence[Embedding], space: Space) -> list[Embedding]:
    """Return one vote for each different voice, at most VOICES_MAX, in the order given."""
    votes: list[Embedding] = []
    for voice in voices:
        if len(votes) < VOICES_MAX and is_new(voice, votes, space):
            votes.append(voice)
    return votes


def is_due(line: Line, *, votes: int) -> bool:
    """Return whether a line has a next version, given how many votes were cast since its present one."""
    return votes >= VOICES_MIN and line.voices < VOICES_MAX


def learn_at_once(space: Space, voices: Sequence[Embedding]) -> Line | None:
    """Return the line that these voices come from, whatever was known of it; None when too few of them differ.

    For recordings, which are all there at once.
    """
    votes = votes_at_once(space, voices)
    return learn(space.on(UNKNOWN_LINE), votes) if is_due(UNKNOWN_LINE, votes=len(votes)) else None


def votes_at_once(space: Space, voices: Sequence[Embedding]) -> list[Embedding]:
    """Return the voices that `learn_at_once` learns from.

    On a line far from the shipped mean different people sound alike, so whose voices differ is asked again about the
    mean that was found.
    """
    fresh = space.on(UNKNOWN_LINE)
    votes = new_voices(voices, fresh)
    if not is_due(UNKNOWN_LINE, votes=len(votes)):
        return votes
    return new_voices(voices, fresh.on(learn(fresh, votes)))


def learn(space: Space, votes: Sequence[Embedding], *, moved_from: Vector | None = None) -> Line:
    """Return the next version of the line of a space.

    `votes`, at least VOICES_MIN, were cast since its present version. `moved_from` is where the mean was a day before
    (`a_day_before`); None where days do not count, because the voices come from recordings.
    """
    if len(votes) < VOICES_MIN:
        raise ValueError(f"a line is learnt from at least {VOICES_MIN} voices")
    vectors = unit_length(np.stack([vote.vector for vote in votes]))
    shipped, line = space.shipped.mean, space.line
    before = shipped if line.mean is None else line.mean
    weight = PRIOR_VOICES + (0 if line.mean is None else line.voices)
    centre = vote_weights(vectors) @ vectors / len(vectors)
    mean = (weight * before + len(vectors) * centre) / (weight + len(vectors))
    if moved_from is not None:
        mean = _within(mean, moved_from, DAY_DISTANCE_MAX)
    mean = shipped + (mean - shipped) * bounded_share(mean - shipped)
    voices = len(vectors) + (0 if line.mean is None else line.voices)
    return Line(mean=mean.astype(np.float32), voices=voices, version=line.version + 1)


def bounded_share(shift: NDArray[np.float64]) -> float:
    """Return how much of a shift from the shipped mean counts: all of it up to DISTANCE_MAX."""
    return min(1.0, DISTANCE_MAX / max(float(np.linalg.norm(shift)), _NEAR))


def vote_weights(votes: Vectors) -> NDArray[np.float64]:
    """Return how much each vote counts, shape (n,), n in sum: so weighted, their mean is their geometric median.

    Weiszfeld's algorithm: a vote counts inversely to its distance from the median.
    """
    weights = np.ones(len(votes))
    for _ in range(_ROUNDS):
        centre = weights @ votes / len(votes)
        weights = 1.0 / np.maximum(np.linalg.norm(votes - centre, axis=1), _NEAR)
        weights *= len(votes) / weights.sum()
    return weights


@dataclass(frozen=True, kw_only=True, eq=False)
class PastMean:
    """A version of a line, as `a_day_before` looks at it."""

    created_at: datetime
    #: None: the shipped one.
    mean: Vector | None
    #: Whether a person asked for it, by a reset or a revert; else it was learnt.
    asked_for: bool


def a_day_before(versions: Sequence[PastMean], space: Space, *, now: datetime) -> Vector:
    """Return where the mean of a line was a day ago, or where a person has put it since. `versions`: latest first."""
    for version in versions:
        if version.asked_for or version.created_at <= now - _DAY:
            return space.shipped.mean if version.mean is None else version.mean
    return space.shipped.mean


def _within(mean: NDArray[np.float64], centre: Vector, distance: float) -> NDArray[np.float64]:
    """Return the mean, or what lies on the way to it at this distance of the centre."""
    shift = mean - centre
    length = float(np.linalg.norm(shift))
    return mean if length <= distance else centre + shift * (distance / length)
