"""The seam of the media log: what an implementation takes, gives and owes.

What belongs here: records, positions, limits, the two protocols. What must never: files, networks, threads.
The suite in tests/contract/fragments runs over every implementation.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from earwitness.fragments.retention import Retention
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
class Delivery:
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


class FragmentReader(Protocol):
    """Follows a stream forever, in the order of numbers. A call that is cancelled takes nothing: call again.

    It holds no fragment, and no writer waits for it. Where retention overtakes it, it goes on at the oldest fragment.
    Raises Gone when the stream is deleted, FragmentLogUnavailable when the medium fails or the log is closed.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...


class FragmentStream(Protocol):
    """One stream. Every call raises Gone once it is deleted, FragmentLogUnavailable when the medium fails."""

    async def reserve(self) -> Reservation:
        """The next number, for a fragment that begins to arrive. Greater than all given out before, restarts or not."""
        ...

    async def append(
        self,
        number: str,
        *,
        producer_timestamp: datetime,
        duration_ms: int,
        header: bytes,
        cluster: bytes,
        tags: bytes = b"",
    ) -> None:
        """Keep a fragment; it is durable, and readers see it, when this returns. It waits while too many others do.

        Numbers are appended in their order. Conflict when this one was not reserved here, or a later one was appended:
        readers are past it, so drop it. BadRequest above the limits. FragmentLogUnavailable: nothing of it is kept;
        the same number may be tried again. A call that is cancelled may be kept or not.
        """
        ...

    async def append_tags(self, number: str, tags: bytes) -> None:
        """Keep tags that came after their fragment; durable when this returns.

        Readers who already had the fragment do not get them. NotFound when the fragment is not kept, BadRequest when
        those that came later are more than TAGS_BYTES_MAX.
        """
        ...

    async def read(self, position: Position) -> FragmentReader:
        """A reader that begins there."""
        ...

    async def list(
        self,
        axis: TimeAxis,
        *,
        start: datetime,
        end: datetime,
        after: str | None = None,
        limit: int = LIST_LENGTH_MAX,
    ) -> tuple[FragmentInfo, ...]:
        """Fragments that begin from `start` to `end`, both included, by number; those after `after`."""
        ...

    def get(self, numbers: Iterable[str]) -> AsyncIterator[Fragment | MissingFragment]:
        """These fragments in the order asked for, one at a time. BadRequest when one is no fragment number."""
        ...

    async def status(self) -> StreamStatus:
        """How much is kept, and the times of the oldest and newest."""
        ...

    async def set_retention(self, retention: Retention) -> None:
        """Keep this much from now on. What is too old or too much by it is gone from the medium when this returns."""
        ...


class FragmentLog(Protocol):
    """The media log of all streams, used from one event loop."""

    async def open_stream(self, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> FragmentStream:
        """The stream, made when there is none. Open already: the same object, and its key and retention stay."""
        ...

    async def delete_stream(self, stream: StreamIdentity) -> None:
        """Remove all of it, open or not; what it holds is gone from the medium when this returns. Readers get Gone."""
        ...

    async def expire(self, now: datetime) -> None:
        """Remove what its retention no longer covers, in all open streams. Cheap: call it every few seconds."""
        ...

    async def stored(self) -> frozenset[str]:
        """Digests of the streams that something is stored of, open or not."""
        ...

    async def expire_closed(self, stream: StreamIdentity, *, retention: Retention, now: datetime) -> None:
        """Remove what is too old or too much by this retention from a stream that is not open, and leave it closed.

        In the medium's pieces: one goes when all in it may go. An open stream is left to `expire`. Cheap where nothing
        is due.
        """
        ...

    async def delete_stored(self, digest: str) -> None:
        """Remove all that is stored under a digest, unless the stream is open: for streams that nobody knows."""
        ...

    async def close(self) -> None:
        """Finish what is being written and end all readers with FragmentLogUnavailable."""
        ...
