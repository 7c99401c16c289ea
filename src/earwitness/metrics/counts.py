"""What is counted for metrics by the rooms that know it. It loads no library, so every room may make one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class WaitingCounts:
    """What waits in the records, of all accounts. It is counted by indexes of what waits."""

    tasks: Mapping[str, int]
    """Those that have not ended, by status."""

    job_items: Mapping[str, int]
    """Of jobs that have not ended, by the job's kind."""

    events: int
    """Deliveries that wait to be made."""

    oldest_event_at: datetime | None
    """When the event of the oldest of them was written."""


@dataclass(frozen=True, kw_only=True)
class KeptCounts:
    """What the records keep, of all accounts. It is counted by going through it."""

    events_parked: int
    voiceprints: int


@dataclass(frozen=True, kw_only=True)
class DiskState:
    """Of the media's disk."""

    media_bytes: int
    free_bytes: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class LedgerCounts:
    """How far the ledgers of deletions are behind the records; those of the place that knows least."""

    #: Deletions that it does not have yet.
    behind: int
    #: When it was last written, in seconds since 1970; 0 before the first time.
    told_at: float
