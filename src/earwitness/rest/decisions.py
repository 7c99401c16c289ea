"""The answer of a search as JSON: the same for a task that is over and for a recording that was just searched with."""

from collections.abc import Mapping
from typing import Any

from earwitness.rest.tools import Document


def decision_document(decision: Mapping[str, Any]) -> Document:
    """A decision as it is kept (`dataclasses.asdict` of voice.decision.Decision) in the words of this API.

    `Any`: its fields have several types.
    """
    threshold: Mapping[str, Any] | None = decision["threshold"]
    return {
        "outcome": str(decision["outcome"]),
        "candidates": [_candidate(candidate) for candidate in decision["candidates"]],
        "nobodyProbability": decision["nobody_confidence"],
        "margin": decision["margin"],
        "ambiguous": decision["ambiguous"],
        "threshold": None if threshold is None else _threshold(threshold),
        "netSpeechSeconds": decision["net_speech_seconds"],
    }


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
