"""What a line is called: the codec that it was heard through, and whether a domain learns its lines."""

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
