"""What somebody says of a result: who really spoke.

A label is about one voice, so only a search that named somebody or nobody can have one.
"""

from dataclasses import dataclass
from enum import StrEnum

from earwitness.voice.decision import Outcome

EXPORT_FORMAT = "earwitness labels 1"
"""What a file of labelled calls begins with."""

LABELLED_OUTCOMES = frozenset({Outcome.MATCH, Outcome.NO_MATCH})
"""Results that can be right or wrong: of too little speech there is no search, and of several voices several."""


class Spoke(StrEnum):
    """Who spoke, by somebody's word."""

    PROFILE = "profile"
    """The voice profile that the label names."""

    NOT = "not"
    """Not the voice profile that the label names; who else is not known."""

    ENROLLED = "enrolled"
    """Somebody who is enrolled; which one is not known."""

    NOBODY = "nobody"
    """Nobody who is enrolled."""

    UNSURE = "unsure"
    """Somebody has listened and cannot tell. It counts for nothing, and is not asked again."""

    @property
    def names_profile(self) -> bool:
        """Whether the label has to name a voice profile."""
        return self in (Spoke.PROFILE, Spoke.NOT)


class Picked(StrEnum):
    """How the call was found that is labelled."""

    QUEUE = "queue"
    """Offered by the queue, which draws at random."""

    CHOSEN = "chosen"
    """Chosen by whoever labelled it, which may be because it looked wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledCall:
    """A search that was made, what it said, and what somebody says of it."""

    task_id: str
    outcome: Outcome
    #: Profiles and scores of the search, the closest first; ten at most.
    candidates: tuple[tuple[str, float], ...]
    #: Of the first candidate: that it is this profile. 0 without a candidate.
    probability: float
    #: The score from which on somebody was named.
    threshold: float
    #: What of it was there only because the line was not known.
    line_margin: float
    strangers_named_percent: float
    gallery_size: int
    net_speech_seconds: float
    #: None in answers of former versions.
    calibration_id: str | None
    #: None as long as nobody has labelled it.
    spoke: Spoke | None = None
    #: Whom the label names.
    profile_id: str | None = None
    picked: Picked = Picked.CHOSEN

    @property
    def named(self) -> str | None:
        """Whom the search named."""
        return self.candidates[0][0] if self.outcome is Outcome.MATCH and self.candidates else None

    @property
    def is_labelled(self) -> bool:
        """Whether somebody has said who spoke. Unsure says nothing."""
        return self.spoke not in (None, Spoke.UNSURE)

    @property
    def is_right(self) -> bool | None:
        """Whether the search was right; None where the label does not say."""
        if self.spoke in (None, Spoke.UNSURE):
            return None
        if self.named is None:
            # That it was not a profile which the search did not name either says nothing of anybody else.
            return None if self.spoke is Spoke.NOT else self.spoke is Spoke.NOBODY
        if self.spoke is Spoke.NOT:
            return False if self.profile_id == self.named else None
        if self.spoke is Spoke.ENROLLED:
            return None
        return self.spoke is Spoke.PROFILE and self.profile_id == self.named


def only_matches_advice(*, matches: int, no_matches: int) -> str | None:
    """Return what cannot be concluded from so many labelled calls, and what to do; None where nothing is to be said.

    The numbers count calls whose search named somebody, and whose search named nobody.
    """
    if no_matches == 0 and matches > 0:
        return (
            "only calls that named somebody are labelled: they say how often a name is right, and nothing of callers "
            "who are enrolled and were missed, or of how many strangers are told apart; label calls without a match as "
            "well, drawn at random"
        )
    if matches == 0 and no_matches > 0:
        return (
            "only calls that named nobody are labelled: they say how many of these are of enrolled callers, and "
            "nothing of how often a name is right; label matches as well"
        )
    return None
