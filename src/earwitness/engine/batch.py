"""Many recordings at once: what they say of their line, and the answers once that is known.

Votes are in memory and nowhere else. The voices of the recordings are not left out of the mean that they are compared
about: each moves it by a fifteenth at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earwitness.engine.engine import Engine, Identified, search_again
from earwitness.engine.gallery import Gallery
from earwitness.engine.line import learn_at_once, may_vote, new_voices
from earwitness.engine.monitor import NO_SCORES, StrangerScores, health, mean_between
from earwitness.engine.space import Line, Space
from earwitness.voice.embedding import Embedding
from earwitness.voice.line import LineHealth, LineLearning, LineState


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchLine:
    """The line of many recordings."""

    #: As the answers use it.
    line: Line
    health: LineHealth
    #: Of voiceprints that did not match.
    strangers: StrangerScores
    #: Mean score between different voices of the recordings; None for too few of them.
    callers_mean: float | None


def line_of(engine: Engine, found: Sequence[Identified]) -> Line | None:
    """Return the line that recordings come from; None when too few different voices are heard in them."""
    return learn_at_once(engine.space, [vote for one in found if (vote := _vote(one)) is not None])


def watched(gallery: Gallery, found: Sequence[Identified]) -> BatchLine:
    """Return the gallery's line, and whether it is well for these recordings, whose answers are about any mean."""
    strangers = NO_SCORES
    votes: list[Embedding] = []
    for one in found:
        if (vote := _vote(one)) is not None:
            votes.append(vote)
            closest = one.decision.candidates[0].profile_id if one.decision.candidates else ""
            others = gallery.scores_of_others(vote, closest)
            strangers = strangers.after(others) if len(others) else strangers
    callers_mean = _callers_mean(votes, gallery.space)
    said = health(strangers, callers_mean, before=LineHealth.TOO_FEW)
    line = gallery.space.line
    if said is LineHealth.OFF:
        line = replace(line, is_off=True)
    return BatchLine(line=line, health=said, strangers=strangers, callers_mean=callers_mean)


def answers_on(engine: Engine, gallery: Gallery, line: Line, found: Sequence[Identified]) -> list[Identified]:
    """Return the answers for the recordings on a line."""
    if line is gallery.space.line:
        return list(found)
    on_line = gallery.under(engine.space.on(line))
    return [search_again(engine, on_line, one) for one in found]


def advice_for(batch: BatchLine, learning: LineLearning) -> str | None:
    """Return what to do about the line of a gallery file; None when nothing is."""
    if batch.health is not LineHealth.OFF:
        return None
    told = "strangers score as if they were alike, so thresholds are higher until the line is known"
    if learning is LineLearning.OFF:
        return f"{told}; let the gallery learn it (`earwitness line on`)"
    if batch.line.state is LineState.UNKNOWN:
        return f"{told}; give `identify` ten or more recordings of different voices of this line at once"
    return f"{told}; if the line has changed, forget the former one (`earwitness line reset`)"


def _vote(one: Identified) -> Embedding | None:
    if not may_vote(one.speech, voices=len(one.voices)):
        return None
    return one.voices[0].embedding


def _callers_mean(votes: Sequence[Embedding], space: Space) -> float | None:
    different = new_voices(votes, space)
    if not different:
        return None
    return mean_between(space.compensation.apply(np.stack([vote.vector for vote in different])))
