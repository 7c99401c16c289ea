"""Candidate, Threshold and Decision: the answer to "who is speaking?", as values and as JSON.

The JSON has the same members for a task, for a recording and for `--json` of a command.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from earwitness.voice.line import LineState

WEAK_BELOW = 0.5
"""A match that is less likely than all else together is weak: its score passed the threshold, and nothing more."""

AMBIGUOUS_RATIO = 20.0
"""A runner-up less than so many times less likely than the first is too close to ignore."""

CANDIDATES_MAX = 10
"""An answer lists so many; AWS lists ten as well."""


class Outcome(StrEnum):
    """Different answers; "unknown" is one of them and is not the same as "could not tell"."""

    MATCH = "match"
    NO_MATCH = "no match"
    NOT_ENOUGH_SPEECH = "not enough speech"
    SEVERAL_VOICES = "several voices"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A profile and how well the probe fits it."""

    profile_id: str
    voiceprint_id: str
    """The profile's voiceprint that came closest."""

    score: float
    """Cosine of compensated embeddings, -1 to 1; what the threshold is compared with."""

    confidence: float
    """ConfidenceScore: probability that the probe is this profile, given all the others and "nobody"."""

    false_match_rate: float
    """Share of different-speaker pairs that score at least this high."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The lowest score that is given a name, and what that costs."""

    score: float
    strangers_named_percent: float
    """The stated target: at most this share of strangers is named by a search of this gallery."""

    gallery_size: int
    """Voiceprints the probe was compared with. The threshold rises with it."""

    pair_false_match_rate: float
    """Share of pairs of different persons that score at least this high."""

    extrapolated: bool
    """True when the rate lies beyond the pairs that the curve was measured on."""

    persons: int
    """Persons whom the calibration was measured on."""

    person_pairs: int | None
    """Pairs of persons that its curve counts; None when it counts pairs of recordings, as former calibrations do."""

    persons_needed: int | None
    """Persons it would take to measure this rate; None when it was measured."""

    line_margin: float = 0.0
    """How much of the score is there only because the line is not known."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What an answer rests on, so that it can be explained later."""

    line_state: LineState
    line_voices: int
    """Different voices that the line was learnt from; 0 when the shipped mean counts."""

    line_version: int
    """Of what was learnt of the line; 0 before the first version."""

    calibration_id: str
    """Changes with the numbers of the calibration."""

    gallery_version: int | None
    """Changes with the voiceprints; None for a gallery that was made for this search alone."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One search's answer with everything needed to judge it."""

    outcome: Outcome
    candidates: tuple[Candidate, ...]
    """At most ten, best first, ties by profile id."""

    threshold: Threshold | None
    """None when the search was not made."""

    nobody_confidence: float | None
    """Probability that the speaker is none of the enrolled; None when the search was not made."""

    margin: float | None
    """Score of the first candidate minus that of the second; None with fewer than two."""

    ambiguous: bool
    """True for a match whose runner-up fits nearly as well: perhaps one person enrolled twice."""

    net_speech_seconds: float

    voices: "tuple[Decision, ...]" = ()
    """With several voices the answer for each, the longest first; no other field but the seconds is set then."""

    leakage_seconds: float = 0.0
    """Net speech that was left out because it is so much quieter than the rest: another party's, through the line."""

    basis: Basis | None = None
    """None in what a former version kept."""

    @property
    def weak(self) -> bool:
        """Return whether this is a match with a probability under a half, which a person should look at first."""
        return self.outcome is Outcome.MATCH and self.candidates[0].confidence < WEAK_BELOW


DecisionDocument: TypeAlias = dict[str, Any]
"""A JSON object. `Any`: whatever JSON can hold."""


def decision_document(decision: Mapping[str, Any]) -> DecisionDocument:
    """Return a decision, given as it is kept (`dataclasses.asdict` of Decision), as JSON.

    A decision that an earlier version kept lacks the voices, the leakage and what it rests on. The
    probabilities of the candidates, of nobody and of the others, who are enrolled but not listed, add up to 1.
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
        **_basis(decision.get("basis")),
    }


def _basis(basis: Mapping[str, Any] | None) -> DecisionDocument:
    if basis is None:
        return {"line": None, "calibration": None, "galleryVersion": None}
    return {
        "line": {
            "state": str(basis["line_state"]),
            "voices": basis["line_voices"],
            "version": basis["line_version"],
        },
        "calibration": basis["calibration_id"],
        "galleryVersion": basis["gallery_version"],
    }


def _rest(probabilities: list[float]) -> float:
    """Return what is missing to 1, without the noise of floating-point sums."""
    return max(0.0, round(1.0 - math.fsum(probabilities), 12))


def _candidate(candidate: Mapping[str, Any]) -> DecisionDocument:
    return {
        "profileId": candidate["profile_id"],
        "voiceprintId": candidate["voiceprint_id"],
        "score": candidate["score"],
        "probability": candidate["confidence"],
        "falseMatchRate": candidate["false_match_rate"],
    }


def _threshold(threshold: Mapping[str, Any]) -> DecisionDocument:
    return {
        "score": threshold["score"],
        "gallerySize": threshold["gallery_size"],
        "strangersNamedPercent": threshold["strangers_named_percent"],
        "pairFalseMatchRate": threshold["pair_false_match_rate"],
        "extrapolated": threshold["extrapolated"],
        "persons": threshold.get("persons"),
        "personPairs": threshold.get("person_pairs"),
        "personsNeeded": threshold.get("persons_needed"),
        "lineMargin": threshold.get("line_margin", 0.0),
    }
