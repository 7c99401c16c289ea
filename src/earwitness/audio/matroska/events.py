"""What the reader tells, in the order it happens in the stream.

What belongs here: plain records. What must never: how they are found.
"""

from dataclasses import dataclass

from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.tags import Tags
from earwitness.audio.matroska.tracks import Header


@dataclass(frozen=True, kw_only=True)
class HeaderReceived:
    """The first cluster begins: everything before it is known."""

    header: Header


@dataclass(frozen=True, kw_only=True)
class FragmentStarted:
    """A fragment's timestamp has come. Time to answer BUFFERING."""

    timecode_ms: int
    """The cluster's timestamp as sent: relative to the producer's start, or absolute."""


@dataclass(frozen=True, kw_only=True)
class FragmentReceived:
    """A fragment is whole. It is told at the last byte of a cluster of known size.

    Where the size is unknown, the fragment is whole once anything but a part of the cluster begins: the next cluster,
    or tags, among them AWS_KINESISVIDEO_END_OF_FRAGMENT.
    """

    timecode_ms: int
    duration_ms: int
    """From the first frame's begin to the last one's end, as far as the stream tells it."""

    cluster: bytes
    """Every byte of the cluster, verbatim; `frames.read_frames` takes it apart."""


@dataclass(frozen=True, kw_only=True)
class TagsReceived:
    """One Tags element. After a fragment it belongs to that one, which may have been told long before.

    Tags before the first cluster are part of the header, and are only told of GetMedia's stream.
    """

    tags: Tags


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The stream breaks a rule. When `fault.ends_session`, no event follows; otherwise one fragment is dropped.

    Faults of tags come after their fragment was told: the tags are dropped, the fragment is what it was.
    """

    fault: MediaFault
    timecode_ms: int | None
    """Of the fragment that the fault is in, or that the tags follow; None where there is none or it is not known."""

    reason: str
    """What is wrong, for a log; never anything the stream holds."""


Event = HeaderReceived | FragmentStarted | FragmentReceived | TagsReceived | Refused
