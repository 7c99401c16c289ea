"""The decision: from the closest profiles to a named, unnamed or ambiguous answer with a probability.

Two questions are kept apart. *Is anyone named?* compares the raw score with a threshold that rises with the gallery,
so that the share of strangers who get a name stays under the stated target. *How sure is it?* is the joint posterior
over the enrolled and "nobody". (Deciding on a capped likelihood ratio would name nobody once more than ten are
enrolled: tried.)
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from earwitness.engine.calibration import Calibration
from earwitness.engine.voiceprint_rows import Hit
from earwitness.voice.decision import AMBIGUOUS_RATIO, CANDIDATES_MAX, Candidate, Decision, Outcome

POSTERIOR_HITS = 64
"""Closest profiles that enter the posterior; all others are too unlike to move it."""

_LOG_ODDS_MAX = 7.0
_PROBABILITY_MAX = 1.0 / (1.0 + math.exp(-_LOG_ODDS_MAX))
"""Shown probabilities end at 0.999: no calibration set is large enough to support more."""

_AMBIGUOUS_LLR = math.log(AMBIGUOUS_RATIO)


def decide(
    hits: list[Hit],
    *,
    calibration: Calibration,
    gallery_size: int,
    profiles: int,
    net_seconds: float,
    prior_known: float,
    strangers_named_percent: float,
    line_unknown: float = 0.0,
) -> Decision:
    """Judge the closest profiles (at most POSTERIOR_HITS, best first) out of `gallery_size` voiceprints.

    The threshold counts voiceprints, each a chance to be mistaken; the prior counts the `profiles` they belong to.
    """
    threshold = calibration.threshold(
        gallery_size=gallery_size,
        strangers_named_percent=strangers_named_percent,
        net_seconds=net_seconds,
        line_unknown=line_unknown,
    )
    llrs = [calibration.llr(hit.score, net_seconds=net_seconds) for hit in hits]
    confidences, nobody = posterior(llrs, profiles=profiles, prior_known=prior_known)
    candidates = tuple(
        Candidate(
            profile_id=hit.profile_id,
            voiceprint_id=hit.voiceprint_id,
            score=hit.score,
            confidence=confidence,
            false_match_rate=calibration.false_match_rate(hit.score, net_seconds=net_seconds),
        )
        for hit, confidence in zip(hits, confidences, strict=True)
    )[:CANDIDATES_MAX]
    named = bool(hits) and hits[0].score >= threshold.score
    return Decision(
        outcome=Outcome.MATCH if named else Outcome.NO_MATCH,
        candidates=candidates,
        threshold=threshold,
        nobody_confidence=nobody,
        margin=hits[0].score - hits[1].score if len(hits) > 1 else None,
        ambiguous=named and len(llrs) > 1 and llrs[0] - llrs[1] < _AMBIGUOUS_LLR,
        net_speech_seconds=net_seconds,
    )


def not_enough_speech(net_seconds: float) -> Decision:
    """Return the answer when there was too little to search with."""
    return _without_search(Outcome.NOT_ENOUGH_SPEECH, net_seconds)


def several_voices(decisions: Sequence[Decision]) -> Decision:
    """Return the answer for a recording of several voices: the answer for each, the longest first."""
    seconds = sum(decision.net_speech_seconds for decision in decisions)
    return replace(_without_search(Outcome.SEVERAL_VOICES, seconds), voices=tuple(decisions))


def _without_search(outcome: Outcome, net_seconds: float) -> Decision:
    return Decision(
        outcome=outcome,
        candidates=(),
        threshold=None,
        nobody_confidence=None,
        margin=None,
        ambiguous=False,
        net_speech_seconds=net_seconds,
    )


def posterior(llrs: list[float], *, profiles: int, prior_known: float) -> tuple[list[float], float]:
    """Return the joint posterior of each profile and of "nobody", from natural-log likelihood ratios.

    Prior: `prior_known` shared evenly by `profiles`, the rest for nobody. Bayes' rule over the alternatives "it is
    profile i" with likelihood ratio exp(llr_i) against "it is nobody" with ratio 1. The likeliest alternative is capped
    at log odds of 7; what is cut off goes to the others in proportion, so that the sum stays 1.
    """
    log_weights = [llr + math.log(prior_known / max(profiles, 1)) for llr in llrs]
    log_weights.append(math.log(1.0 - prior_known))
    top = max(range(len(log_weights)), key=log_weights.__getitem__)
    weights = [math.exp(weight - log_weights[top]) for weight in log_weights]
    likeliest = 1.0 / math.fsum(weights)
    if likeliest > _PROBABILITY_MAX and llrs:
        others = _shares([weight for at, weight in enumerate(log_weights) if at != top])
        shares = [(1.0 - _PROBABILITY_MAX) * share for share in others]
        shares.insert(top, _PROBABILITY_MAX)
    else:
        shares = [likeliest * weight for weight in weights]
    *enrolled, nobody = shares
    return enrolled, nobody


def _shares(log_weights: list[float]) -> list[float]:
    """Return shares that add up to 1, in proportion to exp(weight)."""
    top = max(log_weights)
    weights = [math.exp(weight - top) for weight in log_weights]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
