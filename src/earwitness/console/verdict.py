"""Why a search said what it said: the score among the scores of strangers and of the same persons, what strangers cost
at this gallery's size, and what the candidates' voiceprints are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.console.context import ConsoleCall
from earwitness.errors import ConfigurationError, ModelError
from earwitness.rest.domains import measured_answer
from earwitness.rest.models import DecisionAnswer, SpeechQualityAnswer, TaskAnswer
from earwitness.rest.parameters import GetTask, Parameters
from earwitness.voice.score_curves import ScoreCurves

STRANGERS = 1_000
"""Of so many callers who are not enrolled, how many would be named is told."""

TABLE_STEP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateBasis:
    """What stands behind a candidate."""

    profile_id: str
    #: None when the profile is gone.
    voiceprints: int | None
    #: Net speech of all of them.
    speech_seconds: float
    #: Of STRANGERS, how many a search of so many voiceprints would bring to a score as high as this one.
    strangers_reaching: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """What a score says."""

    score: float
    what: str
    strangers_reaching: float
    #: How many times likelier one person is than two.
    likelihood_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchVerdict:
    """Why one voice got its answer."""

    decision: DecisionAnswer
    #: None when the calibration is another by now, or cannot be read: no picture is drawn of other numbers.
    curves: ScoreCurves | None
    rows: Sequence[ScoreRow]
    candidates: Sequence[CandidateBasis]
    #: Of STRANGERS, how many a search of this gallery names.
    strangers_named: float


def verdicts_of(call: ConsoleCall[GetTask], task: TaskAnswer) -> Sequence[SearchVerdict]:
    """Return a verdict for each voice that was searched for; none before the search."""
    found = task.identification
    if found is None:
        return []
    return verdicts_in(call, task.domain.id, found)


def verdicts_in(call: ConsoleCall[Parameters], domain_id: str, found: DecisionAnswer) -> Sequence[SearchVerdict]:
    """Return a verdict for each voice that a domain was searched for."""
    return [_verdict(call, domain_id, one) for one in found.voices or [found] if one.threshold is not None]


def quality_of(call: ConsoleCall[GetTask], task: TaskAnswer) -> SpeechQualityAnswer | None:
    """Return what was measured of the speech of a task's voiceprint, as long as that is kept."""
    if task.voiceprint is None or task.voiceprint.can_be_enrolled_until is None:
        return None
    kept = call.store.task_voiceprints.get(call.scope, task.task_id)
    if kept is None:
        return None
    return measured_answer(kept.voiceprint.quality)


def _verdict(call: ConsoleCall[Parameters], domain_id: str, decision: DecisionAnswer) -> SearchVerdict:
    threshold = decision.threshold
    gallery, rate = (0, 0.0) if threshold is None else (threshold.gallery_size, threshold.pair_false_match_rate)
    curves = _curves(call, domain_id, decision)
    return SearchVerdict(
        decision=decision,
        curves=curves,
        rows=[] if curves is None else list(_rows(curves, decision)),
        candidates=[_basis(call, one.profile_id, _named(one.false_match_rate, gallery)) for one in decision.candidates],
        strangers_named=_named(rate, gallery),
    )


def _named(rate: float, gallery: int) -> float:
    """Return of how many of STRANGERS at least one voiceprint of the gallery is met by this rate of pairs."""
    return STRANGERS * -math.expm1(gallery * math.log1p(-min(rate, 1.0 - 1e-12)))


def _curves(call: ConsoleCall[Parameters], domain_id: str, decision: DecisionAnswer) -> ScoreCurves | None:
    domain = call.store.domains.get(call.scope, domain_id)
    if domain is None or decision.calibration is None:
        return None
    try:
        curves = call.rest.recordings.score_curves(call.scope, domain, net_seconds=decision.net_speech_seconds)
    except (ConfigurationError, ModelError):
        return None  # the page says that there is none; the service itself says why it has no models
    return curves if curves.calibration_id == decision.calibration else None


def _rows(curves: ScoreCurves, decision: DecisionAnswer) -> Sequence[ScoreRow]:
    named = [(one.score, f"candidate {place}") for place, one in enumerate(decision.candidates[:2], start=1)]
    if decision.threshold is not None:
        named.append((decision.threshold.score, "threshold"))
    steps = [(round(step * TABLE_STEP, 1), "") for step in range(1, 11)]
    return [_row(curves, score, what) for score, what in sorted([*named, *steps])]


def _row(curves: ScoreCurves, score: float, what: str) -> ScoreRow:
    point = min(curves.points, key=lambda one: abs(one.score - score))
    return ScoreRow(
        score=score,
        what=what,
        strangers_reaching=point.strangers_reaching,
        likelihood_ratio=math.exp(min(point.log_likelihood_ratio, 700.0)),
    )


def _basis(call: ConsoleCall[Parameters], profile_id: str, reaching: float) -> CandidateBasis:
    profile = call.store.profiles.get(call.scope, profile_id)
    prints = call.store.profile_voiceprints.list(call.scope, profile_id) if profile is not None else ()
    return CandidateBasis(
        profile_id=profile_id,
        voiceprints=None if profile is None else len(prints),
        speech_seconds=sum(one.net_speech_seconds for one in prints),
        strangers_reaching=reaching,
    )
