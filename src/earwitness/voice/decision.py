"""Candidate, Threshold and Decision: the answer to "who is speaking?"."""

from dataclasses import dataclass
from enum import StrEnum

WEAK_BELOW = 0.5
"""A match that is less likely than all else together is weak: its score passed the threshold, and nothing more."""


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

    voices: "tuple[Decision, ...]" = ()
    """With several voices the answer for each, the longest first; no other field but the seconds is set then."""

    leakage_seconds: float = 0.0
    """Net speech that was left out because it is so much quieter than the rest: another party's, through the line."""

    @property
    def weak(self) -> bool:
        """True for a match with a probability under a half: somebody should look before anything rests on it."""
        return self.outcome is Outcome.MATCH and self.candidates[0].confidence < WEAK_BELOW
