"""The answer of a search as JSON: the same members for a task, for a recording and for `--json` of a command."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from earwitness.voice.decision import WEAK_BELOW, Outcome

Document: TypeAlias = dict[str, Any]
"""A JSON object. `Any`: whatever JSON can hold."""


def decision_document(decision: Mapping[str, Any]) -> Document:
    """A decision as it is kept (`dataclasses.asdict` of voice.decision.Decision) as JSON.

    One that was kept by an earlier version lacks the voices and the leakage. The probabilities of the candidates, of
    nobody and of the others, who are enrolled but not listed, add up to 1.
    `Any`: its fields have several types.
    """
    threshold: Mapping[str, Any] | None = decision["threshold"]
    nobody: float | None = decision["nobody_confidence"]
    listed = [candidate["confidence"] for candidate in decision["candidates"]]
    return {
        "outcome": str(decision["outcome"]),
        "candidates": [_candidate(candidate) for candidate in decision["candidates"]],
        "nobodyProbability": nobody,
        "othersProbability": None if nobody is None else _rest([*listed, nobody]),
        "margin": decision["margin"],
        "ambiguous": decision["ambiguous"],
        "threshold": None if threshold is None else _threshold(threshold),
        "netSpeechSeconds": decision["net_speech_seconds"],
        "weak": decision["outcome"] == Outcome.MATCH and listed[0] < WEAK_BELOW,
        "voices": [decision_document(voice) for voice in decision.get("voices", ())],
        "leakageSeconds": decision.get("leakage_seconds", 0.0),
    }


def _rest(probabilities: list[float]) -> float:
    """What is missing to 1, without the noise of floating-point sums."""
    return max(0.0, round(1.0 - math.fsum(probabilities), 12))


def _candidate(candidate: Mapping[str, Any]) -> Document:
    return {
        "profileId": candidate["profile_id"],
        "voiceprintId": candidate["voiceprint_id"],
        "score": candidate["score"],
        "probability": candidate["confidence"],
        "falseMatchRate": candidate["false_match_rate"],
    }


def _threshold(threshold: Mapping[str, Any]) -> Document:
    return {
        "score": threshold["score"],
        "gallerySize": threshold["gallery_size"],
        "strangersNamedPercent": threshold["strangers_named_percent"],
        "pairFalseMatchRate": threshold["pair_false_match_rate"],
        "extrapolated": threshold["extrapolated"],
    }
