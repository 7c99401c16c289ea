"""What a scripted task is to find: plain values, made by a test and sent to its service.

What belongs here: verdicts and what makes one refused. What must never: the service, or anything heavy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from earwitness.errors import ScriptInvalid

VOICEPRINT_AFTER = 2.0
"""A voiceprint takes twice the speech of an identification: 20 s and 10 s."""


class VerdictKind(StrEnum):
    """How a task ends."""

    MATCH = "match"
    NO_MATCH = "no match"
    INCONCLUSIVE = "inconclusive"
    FAILURE = "failure"


@dataclass(frozen=True, kw_only=True)
class ScriptedVerdict:
    """What a task finds, and when. Made by `match`, `no_match`, `inconclusive` and `failure`."""

    kind: VerdictKind
    #: Seconds of the service's clock from the task's begin to its identification.
    after: float = 0.0
    #: Profile ids with their confidence, best first.
    profiles: tuple[tuple[str, float], ...] = ()
    #: Seconds of speech in a call that was too short.
    speech_seconds: float = 0.0
    #: Why the task fails.
    reason: str = ""
    #: Why no voiceprint is made; empty: one is made.
    voiceprint_refused: str = ""

    def __post_init__(self) -> None:
        """Raise ScriptInvalid for numbers that no task could have."""
        if not (math.isfinite(self.after) and self.after >= 0):
            raise ScriptInvalid(f"a task cannot find something after {self.after} s; give 0 or more")
        confidences = [confidence for _, confidence in self.profiles]
        if not all(0 < confidence <= 1 for confidence in confidences):
            raise ScriptInvalid("a confidence lies above 0 and not above 1")
        if math.fsum(confidences) > 1 + 1e-9:
            raise ScriptInvalid("the confidences of one answer add up to 1 at most: the voice is one person's")
        if len({profile_id for profile_id, _ in self.profiles}) < len(self.profiles):
            raise ScriptInvalid("a profile is found once in an answer")

    def as_document(self) -> dict[str, object]:
        """Return it as JSON."""
        return {**vars(self), "profiles": [list(pair) for pair in self.profiles]}


def verdict_of(document: Mapping[str, object]) -> ScriptedVerdict:
    """Return the verdict that `as_document` wrote."""
    # What was written by the same version of the same package.
    fields: dict[str, object] = dict(document)
    pairs = fields.pop("profiles")
    profiles = tuple((str(profile_id), float(confidence)) for profile_id, confidence in pairs)  # type: ignore[attr-defined]
    return ScriptedVerdict(**{**fields, "kind": VerdictKind(str(fields["kind"])), "profiles": profiles})  # type: ignore[arg-type]


def match(
    profile_id: str,
    confidence: float = 0.99,
    *,
    others: Mapping[str, float] | None = None,
    after: float = 0.0,
    voiceprint_refused: str = "",
) -> ScriptedVerdict:
    """Return the verdict that the caller is this profile: `IdentificationSuccessful`.

    `others` are further profiles that are named as well, with their confidence. `after` is in seconds of the service's
    clock: the identification comes then, the voiceprint twice as late; 0 is at once. `voiceprint_refused` says why no
    voiceprint is made. Raise ScriptInvalid for numbers that no task could have.
    """
    ranked = sorted((others or {}).items(), key=lambda pair: -pair[1])
    if ranked and ranked[0][1] > confidence:
        raise ScriptInvalid("another profile has a higher confidence; name the best one first")
    profiles = ((profile_id, confidence), *ranked)
    return ScriptedVerdict(
        kind=VerdictKind.MATCH, profiles=profiles, after=after, voiceprint_refused=voiceprint_refused
    )


def no_match(*, after: float = 0.0, voiceprint_refused: str = "") -> ScriptedVerdict:
    """Return the verdict that nobody is known: `IdentificationNoMatchesFound`. Arguments as those of `match`."""
    return ScriptedVerdict(kind=VerdictKind.NO_MATCH, after=after, voiceprint_refused=voiceprint_refused)


def inconclusive(*, speech_seconds: float = 4.0, after: float = 0.0) -> ScriptedVerdict:
    """Return the verdict of a call that ends after so much speech, which is too little: two events of failure."""
    if not 0 <= speech_seconds < 10:
        raise ScriptInvalid(f"{speech_seconds} s of speech are no reason to find nothing; 10 s are enough")
    return ScriptedVerdict(kind=VerdictKind.INCONCLUSIVE, speech_seconds=speech_seconds, after=after)


def failure(reason: str, *, after: float = 0.0) -> ScriptedVerdict:
    """Return the verdict of a task that fails, with this reason in its record and its events."""
    if not reason:
        raise ScriptInvalid("a task fails with a reason; give one")
    return ScriptedVerdict(kind=VerdictKind.FAILURE, reason=reason, after=after)
