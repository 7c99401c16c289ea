"""What a call is placed with, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult

from earwitness.dialer.speech import CallSpeech, Pace, speech_of
from earwitness.errors import ConfigurationError
from earwitness.progress import Progress
from earwitness.voice.connector import DoorSecret

CONNECT_SECONDS_MAX = 10.0
"""How long a door may take to answer."""

END_SECONDS_MAX = 15.0
"""How long a door may take to close after the hang-up: it writes what is left, and tells the records."""


@dataclass(frozen=True, kw_only=True)
class PlacedCall:
    """A call that was placed and has ended."""

    #: The phone system's name for it, which tags and events have.
    call_id: str
    #: Of audio.
    seconds: float
    legs: int


@dataclass(frozen=True, kw_only=True)
class CallPlan:
    """What to send where."""

    files: Sequence[Path]
    address: SplitResult
    pace: Callable[[], Pace]
    progress: Progress
    #: What handshakes are signed with; without: not at all.
    secrets: Mapping[DoorSecret, str] = field(default_factory=dict[DoorSecret, str], repr=False)

    def speech(self, *, rate_of: Callable[[int], int], legs_max: int) -> CallSpeech:
        """Return what is said. Raise AudioError, or ConfigurationError for more legs than the protocol carries."""
        speech = speech_of(self.files, rate_of=rate_of)
        if len(speech.legs) > legs_max:
            raise ConfigurationError("this door carries the caller alone; give one recording of one channel")
        return speech

    def show(self, seconds: float, speech: CallSpeech) -> None:
        """Show how far the call is, in whole seconds."""
        self.progress("calling", min(round(seconds), round(speech.seconds)), max(1, round(speech.seconds)))
