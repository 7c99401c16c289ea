"""What a door tells of a call, whatever protocol it came by: values, and nothing else.

Those that the records know as well are in `voice/call.py`.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from earwitness.voice.call import AudioCoding, CallEnded, CallStarted, CallUpdated, Leg

__all__ = ["Audio", "AudioCoding", "CallEnded", "CallStarted", "CallUpdated", "DoorEvent", "Dtmf", "Leg", "LegStarted"]


@dataclass(frozen=True, slots=True)
class LegStarted:
    """A leg that was not announced with the call, or one that has other audio from now on."""

    leg: Leg


@dataclass(frozen=True, slots=True)
class Audio:
    """Samples of one leg."""

    label: str
    #: As the leg's coding says, whole samples.
    data: bytes = field(repr=False)
    #: The first sample's place, in samples since the leg's first one by the sender's clock; None: it follows what came
    #: before.
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key was pressed. Nobody keeps which one."""

    label: str


DoorEvent: TypeAlias = CallStarted | LegStarted | Audio | CallUpdated | Dtmf | CallEnded
"""In the order in which a call has them: one CallStarted first, one CallEnded last."""
