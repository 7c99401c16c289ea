"""What a reader of Matroska reports, in the order it happens in the stream, and why it refuses a part of it.

What belongs here: plain records, and the numbers and names of PutMedia's error acknowledgements. What must never: how
they are found.
"""

from dataclasses import dataclass
from enum import Enum

from earwitness.audio.matroska.tags import TagsElement
from earwitness.audio.matroska.tracks import Header


class MediaFault(Enum):
    """Error id, error code and their consequence, by the names of the PutMedia reference.

    A fault of one fragment leaves the session open: that fragment is dropped and the next may be good. Others end it.
    """

    STREAM_READ_ERROR = 4000
    MAX_FRAGMENT_SIZE_REACHED = 4001
    MAX_FRAGMENT_DURATION_REACHED = 4002
    MAX_CONNECTION_DURATION_REACHED = 4003
    FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS = 4004
    MORE_THAN_ALLOWED_TRACKS_FOUND = 4005
    INVALID_MKV_DATA = 4006
    INVALID_PRODUCER_TIMESTAMP = 4007
    STREAM_NOT_ACTIVE = 4008
    FRAGMENT_METADATA_LIMIT_REACHED = 4009
    TRACK_NUMBER_MISMATCH = 4010
    FRAMES_MISSING_FOR_TRACK = 4011
    INVALID_FRAGMENT_METADATA = 4012
    INTERNAL_ERROR = 5000
    ARCHIVAL_ERROR = 5001

    @property
    def error_id(self) -> int:
        """`ErrorId` of the acknowledgement."""
        return self.value

    @property
    def error_code(self) -> str:
        """`ErrorCode` of the acknowledgement."""
        return self.name

    @property
    def ends_session(self) -> bool:
        """Whether nothing more is taken from this producer's request."""
        return self.value not in _OF_ONE_FRAGMENT

    @property
    def description(self) -> str:
        """What is wrong and what to do, for a log."""
        return _DESCRIPTIONS.get(self.value, "the media was not taken")


_OF_ONE_FRAGMENT = frozenset({4001, 4002, 4009, 4010, 4011, 4012})

_DESCRIPTIONS = {
    4001: "the fragment has more than 50 MB; send shorter ones",
    4002: "the fragment lasts longer than 20 s; send shorter ones",
    4004: "the fragment does not begin after the one before it; send fragments in order",
    4005: "the stream has more than three tracks; send at most three",
    4007: "the fragment's timestamp is after the year 9999; check the time scale",
    4009: "the fragment has more than ten tags, or one with a longer name or value than 128 and 256 bytes; send less",
    4010: "a frame has a track number that the header does not; announce every track",
    4011: "the fragment has no frame for one of the tracks; send frames of every track in each",
    4012: "a tag has no name, or one that begins with AWS; choose another name",
}


@dataclass(frozen=True, kw_only=True)
class HeaderReceived:
    """The first cluster begins: everything before it is known."""

    header: Header


@dataclass(frozen=True, kw_only=True)
class FragmentStarted:
    """A fragment's timestamp has come. Time to answer BUFFERING."""

    #: The cluster's timestamp as sent: relative to the producer's start, or absolute.
    timecode_ms: int


@dataclass(frozen=True, kw_only=True)
class FragmentReceived:
    """A fragment is whole. It is reported at the last byte of a cluster of known size.

    Where the size is unknown, the fragment is whole once anything but a part of the cluster begins: the next cluster,
    or tags, among them AWS_KINESISVIDEO_END_OF_FRAGMENT.
    """

    timecode_ms: int
    #: From the first frame's begin to the last one's end, as far as the stream says.
    duration_ms: int
    #: Every byte of the cluster, verbatim; `frames.read_frames` takes it apart.
    cluster: bytes


@dataclass(frozen=True, kw_only=True)
class TagsReceived:
    """One Tags element. After a fragment it belongs to that one, which may have been reported long before.

    Tags before the first cluster are part of the header; of a producer's stream they are not reported.
    """

    tags: TagsElement


@dataclass(frozen=True, kw_only=True)
class StreamRefused:
    """The stream breaks a rule. When `fault.ends_session`, no event follows; otherwise one fragment is dropped.

    Faults of tags come after their fragment was reported: the tags are dropped, the fragment is what it was.
    """

    fault: MediaFault
    #: Of the fragment that the fault is in, or that the tags follow; None where there is none or it is not known.
    timecode_ms: int | None
    #: What is wrong, for a log; never anything the stream holds.
    reason: str


MatroskaEvent = HeaderReceived | FragmentStarted | FragmentReceived | TagsReceived | StreamRefused
