"""Candidate, Threshold and Decision: the answer to "who is speaking?"."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Three different answers; "unknown" is one of them and is not the same as "could not tell"."""

    MATCH = "match"
    NO_MATCH = "no match"
    NOT_ENOUGH_SPEECH = "not enough speech"


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
    """Share of different-speaker pairs that score at least this high."""

    extrapolated: bool
    """True when the rate lies beyond the pairs that the curve was measured on."""


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
