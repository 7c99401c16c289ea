"""What may be wrong with a voiceprint that is enrolled."""

from enum import StrEnum


class FindingKind(StrEnum):
    """What is wrong."""

    TWINS = "twins"
    """Two profiles that a search takes for one voice: one person enrolled twice, or two who sound alike."""

    COPY = "copy"
    """The same recording is enrolled twice."""

    UNLIKE = "unlike"
    """A voiceprint that a search does not take for its own profile's voice."""

    POOR = "poor"
    """Made of too little speech, or of poor audio."""
