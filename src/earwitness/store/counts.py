"""How much there is of what operators watch, of all accounts together.

What waits is counted by indexes that hold nothing else. What is kept is counted by going through it, which takes a
tenth of a second for a million rows: not to be asked for often.
"""

from sqlalchemy import func, select

from earwitness.metrics.counts import KeptCounts, LedgerCounts, WaitingCounts
from earwitness.store.backups import BackupReader
from earwitness.store.deletions import DeletionReader
from earwitness.store.job_schema import job_items, jobs
from earwitness.store.outbox import PENDING
from earwitness.store.records import DeliveryState
from earwitness.store.repository import Reader, same
from earwitness.store.schema import deliveries, events, profile_voiceprints, tasks
from earwitness.voice.job import ItemState, JobKind
from earwitness.voice.task_status import TaskStatus, is_active


class CountReader(Reader):
    """What can be counted."""

    def waiting(self) -> WaitingCounts:
        """Return what waits."""
        by_status = select(tasks.c.status, func.count().label("tasks")).where(tasks.c.ended_at.is_(None))
        found = {
            str(row["status"]): int(row["tasks"]) for row in self._session.rows(by_status.group_by(tasks.c.status))
        }
        waiting = select(func.count().label("deliveries"), func.min(deliveries.c.sequence).label("oldest"))
        row = self._session.row(waiting.where(PENDING))
        count, oldest = (0, None) if row is None else (int(row["deliveries"]), row["oldest"])
        event = None
        if oldest is not None:
            event = self._session.row(select(events.c.created_at).where(events.c.sequence == oldest))
        return WaitingCounts(
            tasks={status.value: found.get(status.value, 0) for status in TaskStatus if is_active(status)},
            job_items=self._job_items(),
            events=count,
            oldest_event_at=None if event is None else event["created_at"],
        )

    def _job_items(self) -> dict[str, int]:
        """Count the items of open jobs that wait or are worked on, by the kind of their job."""
        waiting = select(jobs.c.kind, func.count().label("items")).where(
            jobs.c.ended_at.is_(None), job_items.c.state == ItemState.WAITING, same(job_items, jobs, "job_id")
        )
        found = {str(row["kind"]): int(row["items"]) for row in self._session.rows(waiting.group_by(jobs.c.kind))}
        return {kind.value: found.get(kind.value, 0) for kind in JobKind}

    def kept(self) -> KeptCounts:
        """Return what is kept."""
        return KeptCounts(
            events_parked=self._count(deliveries, deliveries.c.state == DeliveryState.PARKED),
            voiceprints=self._count(profile_voiceprints),
        )

    def ledgers(self) -> LedgerCounts | None:
        """Return how far the ledger of deletions that knows least is behind; None where none is kept."""
        places = BackupReader(self._session, self._vault).places()
        if not places:
            return None
        deletions = DeletionReader(self._session, self._vault)
        least = min(place.position for place in places)
        told_at = [0.0 if place.told_at is None else place.told_at.timestamp() for place in places]
        behind = deletions.head()[0] - least + deletions.waiting()
        return LedgerCounts(behind=max(0, behind), told_at=min(told_at))
