"""What a source of fragments promises to those who follow a stream."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFragment:
    """One fragment, as the follower of a stream gets it."""

    number: str
    """47 digits here, any at AWS; grow along the stream."""

    server_time: datetime
    """When it began to arrive."""

    producer_time: datetime
    """When it was recorded, by the producer's clock, which may be wrong by decades."""

    header: bytes = field(repr=False)
    """What the producer sent before its first cluster."""

    cluster: bytes = field(repr=False)
    """The cluster that is the fragment."""

    tags: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The producer's, as far as they were there when the fragment was read."""

    behind_seconds: float = 0.0
    """How long after it the newest fragment of the stream had begun to arrive, as this one was read; 0 for the newest,
    and where the source does not know."""

    after_gap: bool = False
    """Fragments right before it are missing, behind the one before it or the position where reading began: damaged, no
    longer kept, or come while nobody was connected. A source that is a whole file has no gaps: it fails instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartPosition:
    """Where reading begins."""

    since: datetime
    """With the first fragment that began to arrive then or later: not "now", which moves on while a stream is opened.
    What follows says it more exactly, where the source knows it."""

    after_number: str | None = None
    """Behind this fragment."""

    first_number: str | None = None
    """With this fragment, where somebody had begun before; with the next one when it is no longer kept."""

    first_server_time: datetime | None = None
    """When that fragment began to arrive, for sources that cannot begin with a number."""


def whole_milliseconds(time: datetime) -> datetime:
    """Return a time as fragments know it: cut to milliseconds."""
    return time.replace(microsecond=time.microsecond // 1_000 * 1_000)


class Source(Protocol):
    """One stream."""

    def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """Yield the fragments from a position on, as they come, until an error or the end of the file they come from.

        A source that is there as a whole, as a file is, does not grow, and `since` leaves nothing of it out.

        Raise StreamGone when the stream is deleted, SourceRefused when it may not be read, SourceUnavailable when it
        could not be read several times. Whoever stops early closes the iterator (`aclose`).
        """
        ...
