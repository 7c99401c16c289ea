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
"""A cluster, header and tags of one fragment: as much as PutMedia takes of each (reference, 8.3), lest it takes what
cannot be kept."""

LIVE_GAP_MS = 30_000
"""How long after the end of a fragment its producer may still be connected: an idle one is cut off then (8.3)."""

LIST_LENGTH_MAX = 1_000
"""Fragments in one list: ListFragments' limit (8.7)."""

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
        """64 characters that say nothing of the stream: what it is stored under."""
        return hashlib.sha256(f"{self.account_id}\0{self.stream_arn}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """A number that is given out. It may never be appended."""

    number: str
    server_timestamp: datetime
    """When it was given out; never before that of the number before it, even if the clock was set back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentInfo:
    """A stored fragment without its bytes."""

    number: str
    server_timestamp: datetime
    producer_timestamp: datetime
    duration_ms: int
    size_bytes: int
    """Header, cluster and the tags that were appended with them."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Fragment:
    """A stored fragment. Bytes are as the producer sent them; it doesn't show them when printed."""

    info: FragmentInfo
    header: bytes
    """Everything before the first cluster."""

    cluster: bytes
    tags: bytes
    """What followed the cluster, elements one after the other; empty when nothing did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadResult:
    """What a reader gets."""

    fragment: Fragment
    millis_behind_now: int
    """The newest fragment's server timestamp less this one's; 0 for the newest."""

    gap: bool
    """Fragments before this one, after the last delivered or the starting position, are lost: expired or damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingFragment:
    """A number that was asked for, and is not there."""

    number: str
    damaged: bool
    """It is stored and does not open, or something is damaged where it would be, and cannot be told from it. Otherwise
    it has expired or was never appended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStatus:
    """How much there is of a stream."""

    fragments: int
    bytes: int
    """What they take, encryption and headers included."""

    first: FragmentInfo | None
    last: FragmentInfo | None


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
