"""What is so at the moment of a scrape: of this node, and of the records, which one node tells for all."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from earwitness.metrics.counts import DiskState, KeptCounts, LedgerCounts, WaitingCounts
from earwitness.metrics.instruments import Group, Over
from earwitness.metrics.slow import SlowReading

_CountsT = TypeVar("_CountsT")

QUICK_SECONDS = 5.0
"""How old what is counted of the records may be, so that many scrapers cost what one does."""

LONG_SECONDS = 60.0
"""The same of what takes a walk through a table or a folder: a tenth of a second for a million rows."""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Where the state is read. What is quick is called at each scrape; the rest may take as long as it likes."""

    #: Calls in progress, by door.
    calls: Callable[[], Mapping[str, float]]
    #: What doors refused, by door.
    refused: Callable[[], Mapping[str, float]]
    #: Producers that send by PutMedia.
    producers: Callable[[], int]
    #: Tasks that run here, and how many more would.
    tasks: Callable[[], tuple[int, int]]
    #: How far behind its stream each task is.
    lags: Callable[[], list[float]]
    log_lines_dropped: Callable[[], int]
    keeps_house: Callable[[], bool]
    #: Raises where the records do not answer, or take no changes.
    require_store: Callable[[], None]
    waiting: Callable[[], WaitingCounts]
    kept: Callable[[], KeptCounts]
    #: None where no ledger of deletions is kept.
    ledgers: Callable[[], LedgerCounts | None]
    #: When the place of the audit trail last had all, in seconds since 1970.
    audited: Callable[[], float]
    disk: Callable[[], DiskState]
    #: When the certificate in use ends, in seconds since 1970; None without one.
    certificate_ends: Callable[[], float | None]


class StateMetrics(Group):
    """The state of this node, and that of the records where it keeps house. Lives on the event loop."""

    def __init__(
        self,
        reads: Reads,
        *,
        version: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._reads = reads
        self._clock = clock
        self._monotonic = monotonic
        # Threads of its own, one for each reading: all others may be waiting for what these look at.
        self._threads = ThreadPoolExecutor(6, thread_name_prefix="earwitness metrics")

        def is_up() -> bool:
            reads.require_store()
            return True

        self._up = self._slowly(is_up, seconds=1.0)
        self._waiting = self._slowly(self._if_here(reads.waiting), seconds=QUICK_SECONDS)
        self._kept = self._slowly(self._if_here(reads.kept), seconds=LONG_SECONDS)
        self._ledgers = self._slowly(self._if_here(reads.ledgers), seconds=QUICK_SECONDS)
        self._disk = self._slowly(reads.disk, seconds=LONG_SECONDS)
        self._certificate = self._slowly(reads.certificate_ends, seconds=LONG_SECONDS)
        self._slow = (self._up, self._waiting, self._kept, self._ledgers, self._disk, self._certificate)
        self.gauge(
            "earwitness_build_info", "Always 1; the version is a label.", lambda: {version: 1.0}, label="version"
        )
        self._of_calls()
        self._of_records()
        self._of_ledgers()
        self._of_the_machine()

    async def renew(self) -> None:
        """Read again what takes long, as far as it is over in time."""
        await asyncio.gather(*(reading.renew() for reading in self._slow))

    def close(self) -> None:
        """Read no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _slowly(self, read: Callable[[], _CountsT | None], *, seconds: float) -> SlowReading[_CountsT]:
        return SlowReading(read, threads=self._threads, seconds=seconds, monotonic=self._monotonic)

    def _if_here(self, read: Callable[[], _CountsT]) -> Callable[[], _CountsT | None]:
        return lambda: read() if self._reads.keeps_house() else None

    def _of_calls(self) -> None:
        reads = self._reads
        self.gauge("earwitness_calls_in_progress", "Calls in progress at doors.", reads.calls, label="door")
        self.counted(
            "earwitness_door_refused_total", "Calls and messages that doors refused.", reads.refused, label="door"
        )
        self.gauge("earwitness_media_producers", "Producers that are connected by PutMedia.", reads.producers)
        self.gauge("earwitness_tasks_running", "Tasks that this node listens for.", lambda: reads.tasks()[0])
        self.gauge("earwitness_tasks_room", "How many more this node would take.", lambda: reads.tasks()[1])
        self.gauge(
            "earwitness_task_lag_seconds",
            "How far the task that is furthest behind is behind its stream; 0 without tasks.",
            lambda: max(reads.lags(), default=0.0),
            over=Over.OWN,
        )

    def _of_records(self) -> None:
        waiting, kept, one = self._waiting, self._kept, Over.ONE
        self.gauge(
            "earwitness_store_up",
            "1 when the records answer this node and take changes, 0 when they do not. While they are away, what is "
            "counted of them is missing.",
            lambda: 1.0 if self._up.last else 0.0,
            over=Over.OWN,
        )
        self.gauge(
            "earwitness_housekeeping",
            "1 on the node that does what is done once for all, and that tells the numbers of the records.",
            lambda: float(self._reads.keeps_house()),
        )
        self.gauge(
            "earwitness_tasks",
            "Tasks that have not ended, by status.",
            lambda: waiting.last and {name: float(count) for name, count in waiting.last.tasks.items()},
            label="status",
            over=one,
        )
        self.gauge(
            "earwitness_job_items_waiting",
            "Items of jobs that wait for their turn or are worked on, by the job's kind.",
            lambda: waiting.last and {name: float(count) for name, count in waiting.last.job_items.items()},
            label="kind",
            over=one,
        )
        self.gauge(
            "earwitness_events_waiting",
            "Deliveries of events that wait to be made.",
            lambda: waiting.last and float(waiting.last.events),
            over=one,
        )
        self.gauge(
            "earwitness_events_oldest_waiting_seconds",
            "How old the oldest event is that waits to be delivered; 0 when none does.",
            self._oldest_waiting_seconds,
            over=one,
        )
        self.gauge(
            "earwitness_events_parked",
            "Deliveries that were given up and wait for `earwitness events replay`.",
            lambda: kept.last and float(kept.last.events_parked),
            over=one,
        )
        self.gauge(
            "earwitness_gallery_stored_voiceprints",
            "Voiceprints of profiles in the records.",
            lambda: kept.last and float(kept.last.voiceprints),
            over=one,
        )

    def _of_ledgers(self) -> None:
        ledgers = self._ledgers
        self.gauge(
            "earwitness_ledger_behind",
            "Deletions that the ledger which knows least does not have yet; missing where no ledger is kept.",
            lambda: ledgers.last and float(ledgers.last.behind),
            over=Over.ONE,
        )
        self.gauge(
            "earwitness_ledger_told_timestamp_seconds",
            "When that ledger was last written, in seconds since 1970: every minute, also when nothing is deleted.",
            lambda: ledgers.last and ledgers.last.told_at,
            over=Over.ONE,
        )

    def _of_the_machine(self) -> None:
        disk = self._disk
        self.gauge(
            "earwitness_audit_told_timestamp_seconds",
            "When the place of the audit trail last had all that this node has to say, in seconds since 1970: looked "
            "at every minute, also when there is nothing new; the time of the start until it first had.",
            self._reads.audited,
            over=Over.OWN,
        )
        self.gauge(
            "earwitness_media_bytes", "What media take on the disk.", lambda: disk.last and disk.last.media_bytes
        )
        self.gauge(
            "earwitness_media_free_bytes",
            "What is free on the media's disk; nodes of one machine may share it.",
            lambda: disk.last and disk.last.free_bytes,
            over=Over.OWN,
        )
        self.gauge(
            "earwitness_media_disk_bytes",
            "How large the media's disk is.",
            lambda: disk.last and disk.last.size_bytes,
            over=Over.OWN,
        )
        self.gauge(
            "earwitness_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that clients are shown ends, in seconds since 1970; missing without TLS.",
            lambda: self._certificate.last,
            over=Over.OWN,
        )
        self.counted(
            "earwitness_log_lines_dropped_total",
            "Log lines that could not be written.",
            self._reads.log_lines_dropped,
        )

    def _oldest_waiting_seconds(self) -> float | None:
        waiting = self._waiting.last
        if waiting is None:
            return None
        at = waiting.oldest_event_at
        return 0.0 if at is None else max(0.0, (self._clock() - at).total_seconds())
