"""What PutMedia answers when media breaks its rules: the numbers and names of its error acknowledgements.

What belongs here: the table, and what each row means for the session. What must never: finding the errors.
"""

from enum import Enum


class MediaFault(Enum):
    """Error id, error code and their consequence, by the names of the PutMedia reference.

    A fault of one fragment leaves the session open: that one is dropped and the next may be good. Others end it.
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
    def says(self) -> str:
        """What is wrong, for a log."""
        return _SAYS.get(self.value, "the media was not taken")


_OF_ONE_FRAGMENT = frozenset({4001, 4002, 4009, 4010, 4011, 4012})

_SAYS = {
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
