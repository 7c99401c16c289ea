"""What callers give to the media log and get from it.

What belongs here: records, positions, limits. What must never: files, networks, threads.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from earwitness.vault.data_key import DataKey

TAGS_BYTES_MAX = 64 * 1024
"""Tags that come with a fragment, and as much again of those that come later: ten of 128 + 256 bytes need 5 KB; the
rest is for producers that pad or repeat."""

FRAGMENT_BYTES_MAX = 50 * 1024 * 1024 + 64 * 1024 + TAGS_BYTES_MAX
"""A cluster, header and tags of one fragment: as much as PutMedia takes of each (reference, 8.3), so that it takes
nothing that cannot be kept."""

LIVE_GAP_MS = 30_000
"""How long after the end of a fragment its producer may still be connected: an idle one is cut off then (8.3)."""

LIST_LENGTH_MAX = 1_000
"""Fragments in one list: ListFragments' limit (8.7)."""

LIVE_MINUTES = 5.0
LIVE_WINDOW_BYTES = 200_000_000
"""What a stream without retention keeps for its readers: 5 minutes or 200 MB (AWS's CreateStream)."""

BYTES_MAX = 10 * 2**30
"""Bytes of one stream when nothing else is set: a week of one telephone channel (8 kHz, 16 bit) without a pause, so
that one forgotten stream cannot fill the disk. Whoever keeps more sets more."""

_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_LAG_PARTS = 24
_LAG_MS_MIN, _LAG_MS_MAX = 60_000, _HOUR_MS

KeySource = Callable[[], DataKey]
"""Gives the stream's data key, on any thread. What it raises reaches whoever reads or appends."""


class TimeAxis(Enum):
    """Which of a fragment's two times is meant."""

    SERVER = "server"
    PRODUCER = "producer"


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamIdentity:
    """Which stream. Its ARN ends in its time of creation, so a stream made anew under its name is another one."""

    account_id: str
    stream_arn: str

    @property
    def digest(self) -> str:
        """Return 64 characters that say nothing of the stream: what it is stored under."""
        return hashlib.sha256(f"{self.account_id}\0{self.stream_arn}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept of a stream: fragments newer than `window_ms`, of at most `bytes_kept`; the oldest go first."""

    #: 0: nothing is persisted, and readers find the live window only.
    hours: int
    bytes_max: int = BYTES_MAX
    #: The live window.
    live_minutes: float = LIVE_MINUTES

    def __post_init__(self) -> None:
        if self.hours < 0 or self.bytes_max < 0 or self.live_minutes < 0:
            raise ValueError("a retention is never negative")

    @property
    def window_ms(self) -> int:
        """Return the age that a fragment may reach, by its server timestamp."""
        return self.hours * _HOUR_MS or round(self.live_minutes * _MINUTE_MS)

    @property
    def bytes_kept(self) -> int:
        """Return the bytes that the stream may have."""
        return self.bytes_max if self.hours else min(self.bytes_max, LIVE_WINDOW_BYTES)

    @property
    def lag_ms(self) -> int:
        """Return how much later than it is hidden a fragment may leave the disk: a 24th of the window, 1 to 60 minutes.

        Disk is given back file by file, not fragment by fragment; a file spans at most this.
        """
        return min(max(self.window_ms // _LAG_PARTS, _LAG_MS_MIN), _LAG_MS_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """A number that is given out. It may never be appended."""

    number: str
    #: When it was given out; never before that of the number before it, even if the clock was set back.
    server_timestamp: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentInfo:
    """A stored fragment without its bytes."""

    number: str
    server_timestamp: datetime
    producer_timestamp: datetime
    duration_ms: int
    #: Header, cluster and the tags that were appended with them.
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Fragment:
    """A stored fragment. Bytes are as the producer sent them; it doesn't show them when printed."""

    info: FragmentInfo
    #: Everything before the first cluster.
    header: bytes
    cluster: bytes
    #: What followed the cluster, elements one after the other; empty when nothing did.
    tags: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadResult:
    """What a reader gets."""

    fragment: Fragment
    #: The newest fragment's server timestamp less this one's; 0 for the newest.
    millis_behind_now: int
    #: Fragments before this one, after the last delivered or the starting position, are lost: expired or damaged.
    gap: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingFragment:
    """A number that was asked for, and is not there."""

    number: str
    #: It is stored and does not open, or something is damaged where it would be, and cannot be told from it. Otherwise
    #: it has expired or was never appended.
    damaged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStatus:
    """How much there is of a stream."""

    fragments: int
    #: What they take, encryption and headers included.
    bytes: int
    first: FragmentInfo | None
    last: FragmentInfo | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceRange:
    """A part of a stream, by the sequences of its fragments: from the first on, to before the end."""

    first: int = 1
    #: None where fragments are still to come.
    end: int | None = None


WHOLE_STREAM = SequenceRange()


@dataclass(frozen=True, slots=True)
class Now:
    """The newest fragment if its producer may still be connected (LIVE_GAP_MS), otherwise the next to come.

    AWS says "the latest chunk". A consumer that joins a live stream gets bytes at once; one that comes minutes after
    a call does not begin with the end of that call.
    """


@dataclass(frozen=True, slots=True)
class Earliest:
    """The oldest fragment that is kept."""


@dataclass(frozen=True, slots=True)
class AfterFragment:
    """The first fragment with a greater number, kept or still to come; a continuation token is such a number.

    So a number that expired leads to the oldest fragment kept (`gap` tells), one that was given out and is still
    being received leads to the fragment after it. BadRequest when the stream has not given out such a number yet.
    """

    number: str


@dataclass(frozen=True, slots=True)
class AtTime:
    """The fragment that contains this time: it begins at it, or before it and ends after it.

    If there is none, the one that begins soonest after it; if there is none either, the next to come.
    """

    axis: TimeAxis
    time: datetime


Position = Now | Earliest | AfterFragment | AtTime
