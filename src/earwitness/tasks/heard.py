"""What a task has heard of its call so far, for those who watch: how loud it was, where speech was found, how much.

All of it lives in the memory of the process that runs the task; of the speech alone, its checkpoint tells the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEP_SECONDS = 0.5
STEPS_MAX = 120
"""A minute is shown: whoever talks says what is needed within it, and fifty calls stay small on a page."""

NET_SPEECH_SECONDS_MAX = 1e6
"""No task hears more; a number above it is damage."""

LEVEL_MIN_DBFS = -60
"""What is quieter, digital silence too, counts as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStretch:
    """Speech, as seconds since the first audio that was heard."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardSoFar:
    """What one attempt at a task has heard."""

    net_speech_seconds: float
    audio_seconds: float
    #: When the first of the levels begins, in seconds since the first audio that was heard.
    levels_start_seconds: float
    #: Peaks of steps of STEP_SECONDS in dB relative to full scale, LEVEL_MIN_DBFS to 0, the latest last.
    levels: tuple[int, ...]
    #: Speech since then.
    speech: tuple[SpeechStretch, ...]


# `Any`: what `checkpoints.document_of` made, of this version or of another, or what became of it.
def net_speech_kept(checkpoint: Mapping[str, Any]) -> float | None:
    """Return the seconds of speech that were heard before a checkpoint; None when it does not say."""
    seconds = checkpoint.get("netSpeechSeconds")  # earlier services wrote none
    return float(seconds) if isinstance(seconds, (int, float)) and 0.0 <= seconds <= NET_SPEECH_SECONDS_MAX else None
