"""Delete what is older than it may be: records in small steps, so that nobody waits for it, and media.

Records are deleted, not hidden: voiceprints of tasks, votes on lines and exports after 24 hours, tasks with their
results, ended pipelines, calls and jobs after seven days, embeddings and audio of profiles when they expire, request
tokens and notes of changed galleries after 24 hours, delivered events after seven days, streams of calls when
their retention has passed. Where a domain's schedule says so, earlier, and profiles without contact too. Audit entries
go after a year, by a way of their own (`tasks/auditing.py`).

Each run counts what is past its time before and after, apart from the deletions, and keeps what it found and did for
30 days: that it ran is seen.

The media log expires what is open by itself. After a start nothing is, so `MediaSweep` goes through all streams, one
after the other and without opening them. A folder without a record is what a kill left between a stream's record and
its media, whose key went with the record. It is deleted when this process has seen it for an hour, because the service
may also have been started with other records than these media belong to; a clock that is set shortens no hour.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from earwitness.errors import StoreFull, StoreUnavailable
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog
from earwitness.media.streams import MediaStreams
from earwitness.metrics.reported import ExpiryMetrics
from earwitness.store.pages import all_records_in_thread
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.retention import ExpiryRun, StoredSchedule
from earwitness.store.store import Store, Unit
from earwitness.threads import RunInThread
from earwitness.voice.retention import RESULTS_KEPT, VOICEPRINT_KEPT

BATCH = 200
"""Deleted in one transaction at most."""

EXPORTS_KEPT = timedelta(hours=24)
"""After they were complete: time to fetch them."""

REQUEST_TOKENS_KEPT = timedelta(hours=24)

VOTES_KEPT = VOICEPRINT_KEPT

CHANGES_KEPT = timedelta(hours=24)
"""Notes of which profiles changed; a gallery in memory that is older is loaded anew."""

AUDIT_KEPT = timedelta(days=365)

_log = logging.getLogger("earwitness.expire")


RUNS_KEPT = timedelta(days=30)


def expire(store: Store, *, now: datetime) -> dict[str, int]:
    """Delete all that is due, and return how many of each were deleted. Raise StoreUnavailable."""
    old, voted = now - RESULTS_KEPT, now - VOTES_KEPT
    steps: dict[str, Callable[[Unit, int], int]] = {
        "task voiceprints": lambda unit, limit: unit.task_voiceprints.purge(kept_until=now, limit=limit),
        "tasks": lambda unit, limit: unit.tasks.purge(ended_before=old, limit=limit),
        "calls": lambda unit, limit: unit.connector_calls.purge(ended_before=old, limit=limit),
        "pieces of exports": lambda unit, _: unit.exports.purge_parts(ended_before=now - EXPORTS_KEPT),
        "pieces of recordings of jobs": lambda unit, _: unit.jobs.purge_recordings(),
        "items of jobs": lambda unit, limit: unit.jobs.purge_items(ended_before=old, limit=limit),
        "jobs": lambda unit, limit: unit.jobs.purge(ended_before=old, limit=limit),
        "pipelines": lambda unit, limit: unit.pipelines.purge(ended_before=old, limit=limit),
        "profile voiceprints": lambda unit, limit: unit.profile_voiceprints.expire(expired_before=now, limit=limit),
        "line votes": lambda unit, limit: unit.lines.purge_votes(cast_before=voted, limit=limit),
        "events": lambda unit, limit: unit.events.purge(created_before=old, limit=limit),
    }
    done = _by_schedules(store, now)
    done |= {name: done.get(name, 0) + _all(store, step) for name, step in steps.items()}
    yesterday, long_ago, noted = now - REQUEST_TOKENS_KEPT, now - AUDIT_KEPT, now - CHANGES_KEPT
    done["voiceprint changes"] = _deleted(store, lambda unit: unit.domains.purge_changes(noted_before=noted))
    done["announced calls"] = _deleted(store, lambda unit: unit.connectors.purge_announced())
    done["request tokens"] = _deleted(store, lambda unit: unit.idempotency.purge(claimed_before=yesterday))
    done["runs"] = _deleted(store, lambda unit: unit.retention.purge_runs(started_before=now - RUNS_KEPT))
    done["audit entries without a chain"] = _deleted(
        store, lambda unit: unit.audit.purge_without_a_chain(before=long_ago)
    )
    return done


def _by_schedules(store: Store, now: datetime) -> dict[str, int]:
    """Delete what domains keep for a shorter time than the service does."""
    done: dict[str, int] = {}

    def delete_all(name: str, step: Callable[[Unit, int], int]) -> None:
        done[name] = done.get(name, 0) + _all(store, step)

    for told in store.retention.list_everywhere():
        schedule = told.schedule
        if schedule.results < RESULTS_KEPT:
            delete_all("tasks", lambda unit, limit, of=told: unit.retention.purge_results(of, now=now, limit=limit))
        if schedule.voiceprint < VOICEPRINT_KEPT:
            delete_all("line votes", lambda unit, limit, of=told: unit.retention.purge_votes(of, now=now, limit=limit))
        if schedule.audio is not None:
            delete_all("audio", lambda unit, _, of=told: unit.retention.purge_audio(of, now=now))
        if schedule.last_contact is not None:
            delete_all("profiles without contact", lambda unit, limit, of=told: _forget_lost(unit, of, now, limit))
    return done


def _forget_lost(unit: Unit, told: StoredSchedule, now: datetime, limit: int) -> int:
    """Delete profiles without contact, as somebody would who asks for it; each of its own, because domains lock."""
    lost = unit.retention.past_contact(told, now=now, limit=limit)
    return sum(unit.profiles.delete(told.scope, profile_id) for profile_id in lost)


def expire_and_note(store: Store, *, now: datetime) -> ExpiryRun:
    """Delete all that is due, and keep what was found and done. Raise StoreUnavailable."""
    due = store.retention.past_time(now)
    deleted = {name: count for name, count in expire(store, now=now).items() if count}
    overdue = store.retention.past_time(now)

    def note(unit: Unit) -> ExpiryRun:
        unit.use_reserve()
        run = ExpiryRun(
            run_id=secrets.token_hex(8),
            node_id=store.node_id,
            started_at=now,
            ended_at=unit.now,
            due=due,
            deleted=deleted,
            overdue=overdue,
            overdue_count=sum(overdue.values()),
        )
        unit.retention.append_run(run)
        return run

    return store.write(note)


def expire_quietly(store: Store, *, now: datetime, metrics: ExpiryMetrics | None = None) -> None:
    """Expire for a timer: what was deleted goes to the log, and a store that is away is tried at the next turn."""
    try:
        run = expire_and_note(store, now=now)
    except StoreUnavailable as error:
        _log.error("what is old cannot be deleted now", extra={"reason": str(error)})
        return
    if metrics is not None:
        metrics.ran(now.timestamp(), overdue=run.overdue_count)
        for name, count in run.deleted.items():
            metrics.deleted(name, count)
    if run.deleted:
        _log.info("deleted what was old", extra={"deleted": run.deleted})
    if run.overdue:
        _log.error("something old could not be deleted; the next run tries again", extra={"overdue": run.overdue})


def _all(store: Store, step: Callable[[Unit, int], int]) -> int:
    """Repeat a step until it deletes nothing. On a full disk its batches get smaller until the reserve has room."""
    total, limit = 0, BATCH
    while True:
        try:
            count = _deleted(store, lambda unit, most=limit: step(unit, most))
        except StoreFull:
            if limit == 1:
                raise
            limit = max(1, limit // 8)
            continue
        if count == 0:
            return total
        total += count


def _deleted(store: Store, step: Callable[[Unit], int]) -> int:
    """Return how many a step deleted. It may use the room for deletions even where it finds nothing to delete."""

    def work(unit: Unit) -> int:
        unit.use_reserve()
        return step(unit)

    return store.write(work)


async def delete_old_streams(store: Store, media: MediaStreams, *, now: datetime, run_in_thread: RunInThread) -> None:
    """Delete streams of the legs of calls, and their media, whose retention has passed. Raise StoreUnavailable."""
    while True:
        old = await run_in_thread(lambda: store.connector_calls.list_old_streams(now=now, limit=BATCH))
        for scope, stream_arn in old:
            stream = await run_in_thread(partial(_delete_stream, store, scope, stream_arn))
            if stream is not None:
                # Should the service be killed before this, the sweep deletes media without a record.
                await media.delete(scope, stream.arn)
        if len(old) < BATCH:
            return


def _delete_stream(store: Store, scope: Scope, stream_arn: str) -> KinesisStream | None:
    """Return the stream whose record was deleted; None when it is gone already."""

    def work(unit: Unit) -> KinesisStream | None:
        stream = unit.streams.get(scope, stream_arn)
        if stream is not None:
            unit.streams.delete(scope, stream_arn)
        return stream

    return store.write(work)


GRACE = timedelta(hours=1)
"""How long media may be without a record before they are deleted: time to see the warning and to stop the service."""

_sweep_log = logging.getLogger("earwitness.sweep")


RetentionOf = Callable[[KinesisStream], Retention]
"""How much of a stream is kept."""


class MediaSweep:
    """Goes through all stored media again and again."""

    def __init__(
        self,
        store: Store,
        log: FragmentLog,
        *,
        retention_of: RetentionOf,
        run_in_thread: RunInThread,
        found: Callable[[str, KinesisStream], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`found` is called with each stream, and its account, of which there are media here.

        `monotonic` is in seconds: the hour of media without a record is one that has passed, whatever the clock says.
        """
        self._found = found
        self._store = store
        self._log = log
        self._retention_of = retention_of
        self._run_in_thread = run_in_thread
        self._monotonic = monotonic
        self._unknown_since: dict[str, float] = {}

    async def sweep(self, now: datetime) -> None:
        """Go through all streams once. Raise StoreUnavailable or FragmentLogUnavailable; nothing is deleted by half.

        What is stored is looked up before the records are: a stream's record is there before its media, so media that
        were there and have no record now had lost it, and are of no stream that is just being made.
        """
        stored = await self._log.stored()
        known: set[str] = set()
        streams = all_records_in_thread(self._store.streams.list_everywhere, self._run_in_thread)
        async for account_id, stream in streams:
            identity = StreamIdentity(account_id=account_id, stream_arn=stream.arn)
            known.add(identity.digest)
            if identity.digest in stored:
                await self._found(account_id, stream)
                await self._log.expire_closed(identity, retention=self._retention_of(stream), now=now)
        await self._delete_unknown(stored - known)

    async def _delete_unknown(self, unknown: frozenset[str]) -> None:
        read = self._monotonic()
        new = unknown - self._unknown_since.keys()
        self._unknown_since = {digest: self._unknown_since.get(digest, read) for digest in unknown}
        if new:
            _sweep_log.warning(
                "there are media of streams that have no record; they are deleted in an hour. If these are the wrong "
                "records for this media folder, stop the service",
                extra={"streams": len(new)},
            )
        due = [digest for digest, since in self._unknown_since.items() if read - since >= GRACE.total_seconds()]
        for digest in due:
            await self._log.delete_stored(digest)
            del self._unknown_since[digest]
        if due:
            _sweep_log.info("deleted media of streams that have no record", extra={"streams": len(due)})
