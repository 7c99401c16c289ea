"""What another calibration would have said in calls that people have called right or wrong: from scores, without audio.

What belongs here: the count. What must never: records, and where labels come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from earwitness.engine.calibration import Calibration
from earwitness.evaluation.scored_labels import Share, decided_by, label_cautions
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LabelledCall, Spoke


@dataclass(frozen=True, kw_only=True)
class DecidedAgain:
    """Labelled calls, as two calibrations decide them."""

    #: With a label that says who spoke. Of some a label does not say whether an answer is right.
    calls: int
    #: How many answers are right, of those of which their labels say it.
    before: Share
    after: Share
    #: Wrong before and right after, and the other way round.
    put_right: int
    put_wrong: int


@dataclass(frozen=True, kw_only=True)
class LabelComparison:
    """What labels say of two calibrations. Of calls with a match and of calls without one other shares are labelled, so
    they are counted apart."""

    #: Calls in which the search named somebody, by whatever calibration it rested on then.
    matches: DecidedAgain
    #: Calls in which it named nobody.
    no_matches: DecidedAgain
    #: Labels that say nothing.
    unsure: int
    #: What cannot be concluded, and what to do.
    cautions: tuple[str, ...]


def compare_by_labels(
    calls: Sequence[LabelledCall], *, before: Calibration, after: Calibration
) -> LabelComparison | None:
    """Return how many labelled calls each of two calibrations decides rightly; None where none is labelled.

    Each call keeps its scores, its speech, the size of its gallery, and how far its line was known.
    """
    if not calls:
        return None
    groups = {
        outcome: [one for one in calls if one.outcome is outcome and one.is_labelled]
        for outcome in (Outcome.MATCH, Outcome.NO_MATCH)
    }
    matches, no_matches = groups[Outcome.MATCH], groups[Outcome.NO_MATCH]
    return LabelComparison(
        matches=_decided(matches, before, after),
        no_matches=_decided(no_matches, before, after),
        unsure=sum(one.spoke is Spoke.UNSURE for one in calls),
        cautions=tuple(label_cautions(matches, no_matches)),
    )


def _decided(calls: Sequence[LabelledCall], before: Calibration, after: Calibration) -> DecidedAgain:
    known = {one.id: one for one in (after, before)}
    answers: list[tuple[bool | None, bool | None]] = []
    for call in calls:
        searched_by = known.get(call.calibration_id or "", before)
        first, second = (decided_by(one, call, searched_by=searched_by) for one in (before, after))
        answers.append((replace(call, outcome=first).is_right, replace(call, outcome=second).is_right))
    return DecidedAgain(
        calls=len(calls),
        before=_share([one for one, _ in answers]),
        after=_share([one for _, one in answers]),
        put_right=answers.count((False, True)),
        put_wrong=answers.count((True, False)),
    )


def _share(answers: Sequence[bool | None]) -> Share:
    return Share(count=answers.count(True), of=len(answers) - answers.count(None))
