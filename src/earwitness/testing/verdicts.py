"""What a scripted task is to find: plain values, made by a test and sent to its service.

What belongs here: verdicts and what makes one refused. What must never: the service, or anything heavy.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from earwitness.errors import ScriptInvalid
from earwitness.voice.decision import AMBIGUOUS_RATIO, CANDIDATES_MAX
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX


class VerdictKind(StrEnum):
    """What a task finds."""

    MATCH = "match"
    NO_MATCH = "no match"
    SEVERAL_VOICES = "several voices"
    INCONCLUSIVE = "inconclusive"
    LISTENING = "listening"
    FAILURE = "failure"


SEARCHED = frozenset({VerdictKind.MATCH, VerdictKind.NO_MATCH, VerdictKind.SEVERAL_VOICES})
"""Kinds of which a search is made."""


@dataclass(frozen=True, kw_only=True)
class ScriptedVerdict:
    """What a task finds, and when. Made by `match`, `no_match` and their neighbours."""

    kind: VerdictKind
    #: Seconds of the service's clock from the task's begin to its identification, or to its end without one.
    after: float = 0.0
    #: Profile ids that are named, with their confidence, best first.
    profiles: tuple[tuple[str, float], ...] = ()
    #: Candidates below the threshold, which no event names.
    below_threshold: tuple[tuple[str, float], ...] = ()
    #: What is found of each voice, where there are several.
    voices: "tuple[ScriptedVerdict, ...]" = ()
    #: Seconds of speech until the call ends, or is silent; 20 s make a voiceprint.
    speech_seconds: float = SPEECH_SECONDS_MAX
    #: Why the task fails; after a search, why it fails behind it.
    reason: str = ""
    #: Why no voiceprint is made; empty: one is made.
    voiceprint_refused: str = ""
    #: The earlier task whose recording is heard again; empty without one.
    repeats: str = ""

    def __post_init__(self) -> None:
        """Raise ScriptInvalid for what no task could find."""
        if not (math.isfinite(self.after) and self.after >= 0):
            raise ScriptInvalid(f"a task cannot find something after {self.after} s; give 0 or more")
        self._require_candidates()
        if self.kind in SEARCHED:
            self._require_end()
        elif self.kind is not VerdictKind.FAILURE and not 0 <= self.speech_seconds < IDENTIFY_SECONDS:
            raise ScriptInvalid(f"{self.speech_seconds} s of speech are no reason to find nothing; 10 s are enough")

    def _require_candidates(self) -> None:
        listed = (*self.profiles, *self.below_threshold)
        confidences = [confidence for _, confidence in listed]
        if not all(0 < confidence <= 1 for confidence in confidences):
            raise ScriptInvalid("a confidence lies above 0 and not above 1")
        if confidences != sorted(confidences, reverse=True):
            raise ScriptInvalid("another profile has a higher confidence; name the best one first")
        if math.fsum(confidences) > 1 + 1e-9:
            raise ScriptInvalid("the confidences of one answer add up to 1 at most: the voice is one person's")
        if len({profile_id for profile_id, _ in listed}) < len(listed):
            raise ScriptInvalid("a profile is found once in an answer")
        if len(listed) > CANDIDATES_MAX:
            raise ScriptInvalid(f"an answer lists {CANDIDATES_MAX} profiles at most; give the best ones")

    def _require_end(self) -> None:
        """Raise ScriptInvalid where a search cannot be followed by what is scripted to follow it."""
        if not IDENTIFY_SECONDS <= self.speech_seconds <= SPEECH_SECONDS_MAX:
            raise ScriptInvalid(
                f"{self.speech_seconds} s of speech: a search takes 10 s and a voiceprint 20 s, and no more is heard; "
                "use inconclusive() for less than 10 s"
            )
        is_short = self.speech_seconds < SPEECH_SECONDS_MAX
        if (is_short or self.reason) and (self.voiceprint_refused or self.repeats):
            raise ScriptInvalid(
                "a voiceprint is refused and a repeat noticed after 20 s of speech; the call ends before"
            )
        if self.voiceprint_refused and self.repeats:
            raise ScriptInvalid("a repeat is noticed with the voiceprint; script one that is made")

    @property
    def first_seconds(self) -> float:
        """Return the seconds of speech that were heard `after` so many seconds: 10 s where there is a search."""
        if self.kind in SEARCHED:
            return IDENTIFY_SECONDS
        return min(self.after, IDENTIFY_SECONDS) if self.kind is VerdictKind.FAILURE else self.speech_seconds

    @property
    def profile_ids(self) -> tuple[str, ...]:
        """Return all profiles that are to be found, of all voices."""
        own = tuple(profile_id for profile_id, _ in (*self.profiles, *self.below_threshold))
        return sum((voice.profile_ids for voice in self.voices), own)

    def as_document(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


def verdict_of(document: Mapping[str, Any]) -> ScriptedVerdict:
    """Return the verdict that `as_document` wrote. `Any`: written by the same version of the same package."""
    fields: dict[str, Any] = {**document, "kind": VerdictKind(document["kind"])}
    for name in ("profiles", "below_threshold"):
        fields[name] = tuple((str(profile_id), float(confidence)) for profile_id, confidence in fields[name])
    fields["voices"] = tuple(verdict_of(voice) for voice in fields["voices"])
    return ScriptedVerdict(**fields)


def match(
    profile_id: str,
    confidence: float = 0.99,
    *,
    others: Mapping[str, float] | None = None,
    below_threshold: Mapping[str, float] | None = None,
    after: float = 0.0,
    speech_seconds: float = SPEECH_SECONDS_MAX,
    voiceprint_refused: str = "",
    breaks_off: str = "",
    repeats: str = "",
) -> ScriptedVerdict:
    """Return the verdict that the caller is this profile: `IdentificationSuccessful`.

    `others` are further profiles that are named as well, with their confidence; `below_threshold` are candidates that
    the result lists and no event names. The match is ambiguous where the second one of them all is less than twenty
    times less likely, and weak where the first has less than a half, as in production.

    `after` is in seconds of the service's clock: the identification comes then, the voiceprint twice as late; 0 is at
    once. What comes behind the identification is a voiceprint, unless one of these says otherwise: `speech_seconds`
    below 20, with which the call ends; `voiceprint_refused`, why none is made; `breaks_off`, why the task fails.
    `repeats` is the id of an earlier task of the domain whose recording is heard again. Raise ScriptInvalid for what
    no task could find.
    """
    return ScriptedVerdict(
        kind=VerdictKind.MATCH,
        profiles=((profile_id, confidence), *_ranked(others)),
        below_threshold=_ranked(below_threshold),
        after=after,
        speech_seconds=speech_seconds,
        voiceprint_refused=voiceprint_refused,
        reason=breaks_off,
        repeats=repeats,
    )


def no_match(
    *,
    below_threshold: Mapping[str, float] | None = None,
    after: float = 0.0,
    speech_seconds: float = SPEECH_SECONDS_MAX,
    voiceprint_refused: str = "",
    breaks_off: str = "",
    repeats: str = "",
) -> ScriptedVerdict:
    """Return the verdict that nobody is known: `IdentificationNoMatchesFound`. Arguments as those of `match`."""
    return ScriptedVerdict(
        kind=VerdictKind.NO_MATCH,
        below_threshold=_ranked(below_threshold),
        after=after,
        speech_seconds=speech_seconds,
        voiceprint_refused=voiceprint_refused,
        reason=breaks_off,
        repeats=repeats,
    )


def ambiguous(
    profile_id: str, other_profile_id: str, confidences: tuple[float, float] = (0.55, 0.44), *, after: float = 0.0
) -> ScriptedVerdict:
    """Return the verdict that two profiles fit nearly as well: `IdentificationSuccessful` with both.

    Perhaps one person is enrolled twice. Raise ScriptInvalid when the second is twenty times less likely: nobody would
    doubt the first.
    """
    first, second = confidences
    verdict = match(profile_id, first, others={other_profile_id: second}, after=after)
    if not is_ambiguous(confidences):
        raise ScriptInvalid(f"{first} against {second} is not ambiguous; give confidences that are nearer")
    return verdict


def is_ambiguous(confidences: tuple[float, ...]) -> bool:
    """Return whether the second of these confidences, best first, is too near to the first to be ignored."""
    return len(confidences) > 1 and confidences[0] < AMBIGUOUS_RATIO * confidences[1]


def several_voices(
    first: ScriptedVerdict,
    second: ScriptedVerdict,
    *,
    after: float = 0.0,
    speech_seconds: float = SPEECH_SECONDS_MAX,
    breaks_off: str = "",
) -> ScriptedVerdict:
    """Return the verdict that two people are heard in the 10 s, of whom each is a `match` or `no_match`.

    The event names the matches of both, or is `IdentificationNoMatchesFound`. No voiceprint is made of two voices.
    Other arguments as those of `match`; those of the two voices do not count but for who is found. Raise ScriptInvalid
    for a voice that is neither.
    """
    if not {first.kind, second.kind} <= {VerdictKind.MATCH, VerdictKind.NO_MATCH}:
        raise ScriptInvalid("each of several voices is a match() or a no_match()")
    return ScriptedVerdict(
        kind=VerdictKind.SEVERAL_VOICES,
        voices=(first, second),
        after=after,
        speech_seconds=speech_seconds,
        reason=breaks_off,
    )


def inconclusive(*, speech_seconds: float = 4.0, after: float = 0.0) -> ScriptedVerdict:
    """Return the verdict of a call that ends after so much speech, which is too little: two events of failure."""
    return ScriptedVerdict(kind=VerdictKind.INCONCLUSIVE, speech_seconds=speech_seconds, after=after)


def listening(*, speech_seconds: float = 6.0, after: float = 0.0) -> ScriptedVerdict:
    """Return the verdict of a call in which so much was said so far, which is too little, and that goes on.

    The task stays in progress, with its speech in `heard.netSpeechSeconds`, until your code stops it or its pipeline,
    or the pipeline has had no audio for 15 s.
    """
    return ScriptedVerdict(kind=VerdictKind.LISTENING, speech_seconds=speech_seconds, after=after)


def failure(reason: str, *, after: float = 0.0) -> ScriptedVerdict:
    """Return the verdict of a task that fails before its search, with this reason in its record and its events."""
    if not reason:
        raise ScriptInvalid("a task fails with a reason; give one")
    return ScriptedVerdict(kind=VerdictKind.FAILURE, reason=reason, after=after)


def _ranked(profiles: Mapping[str, float] | None) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((profiles or {}).items(), key=lambda pair: -pair[1]))
