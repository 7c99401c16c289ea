"""What is said of a line: the codec that it was heard through, how well it is known, and whether it is well."""

from enum import StrEnum


class Codec(StrEnum):
    """How audio was encoded where it came from, as far as its container says. Each codec of a domain is a line.

    What came before, a mobile call into PCM perhaps, is not known. A domain has one line for each, so there are few.
    """

    PCM = "pcm"
    MULAW = "mulaw"
    ALAW = "alaw"
    GSM = "gsm"
    AMR = "amr"
    MP3 = "mp3"
    OPUS = "opus"
    UNKNOWN = "unknown"


class LineLearning(StrEnum):
    """Whether a domain learns its lines from who is searched for."""

    ON = "on"
    OFF = "off"


class LineState(StrEnum):
    """How well a line is known."""

    UNKNOWN = "unknown"
    """Fewer than ten voices were heard, or nothing is learnt: the shipped mean counts, and thresholds have a margin."""

    LEARNING = "learning"
    """A mean of ten to fifty voices counts, and further ones refine it."""

    LEARNT = "learnt"
    """Fifty voices were heard; the mean stays as it is."""


VOICES_MIN = 10
"""Below so many no mean is made: it would tell too much of each voice."""

VOICES_MAX = 50
"""With so many a line is learnt; more would move it no more than the measurement is worth."""


def state_of(voices: int) -> LineState:
    """Return how well a line is known whose mean is of so many voices."""
    if voices < VOICES_MIN:
        return LineState.UNKNOWN
    return LineState.LEARNT if voices >= VOICES_MAX else LineState.LEARNING


class LineChange(StrEnum):
    """Why a line has a new version."""

    LEARNT = "learnt"
    """From further voices."""

    RESET = "reset"
    """Forgotten, on request; it is learnt anew where the domain learns."""

    REVERTED = "reverted"
    """Again as in an earlier version, on request."""


class LineHealth(StrEnum):
    """Whether voices that are strangers to each other score as strangers, over the last searches."""

    TOO_FEW = "too few searches"
    WELL = "well"
    OFF = "off"
