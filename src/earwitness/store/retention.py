"""Retention: what domains were told, what is past its time by that, and what each expiry did.

A shorter schedule holds for what is kept already, a longer one for what comes. What is due is counted here apart from
what deletes it, so that a deletion that does nothing is seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, Table, exists, func, select, type_coerce

from earwitness.errors import NotFound
from earwitness.store.columns import to_microseconds
from earwitness.store.hot_reads import HotRead, StoredRow
from earwitness.store.records import DeliveryState, Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, in_scope, record, same, scope_of, select_in_scope
from earwitness.store.retention_schema import expiry_runs, profile_contacts, retention_schedules
from earwitness.store.schema import (
    deliveries,
    domains,
    events,
    line_votes,
    pipelines,
    profile_voiceprints,
    profiles,
    task_voiceprints,
    tasks,
)
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.retention import DEFAULT_SCHEDULE, RetentionKind, RetentionSchedule

_SCHEDULE = HotRead(
    select(retention_schedules),
    retention_schedules.c.account_id,
    retention_schedules.c.region,
    retention_schedules.c.domain_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSchedule:
    """What a domain was told."""

    scope: Scope
    domain_id: str
    schedule: RetentionSchedule
    #: The id of the key that set it.
    key_id: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryRun:
    """What one run of the expiry found and did. All counts are by kind, without those that are 0."""

    run_id: str
    #: None where there is one process alone.
    node_id: str | None
    started_at: datetime
    ended_at: datetime
    #: What was past its time when it began.
    due: dict[str, int]
    deleted: dict[str, int]
    #: What of that was still there afterwards.
    overdue: dict[str, int]
    overdue_count: int


class RetentionReader(Reader):
    """What can be read of retention."""

    def get(self, scope: Scope, domain_id: str) -> StoredSchedule | None:
        """Return what a domain was told; None when it was told nothing, or does not exist."""
        return self._session.hot(_SCHEDULE, _stored, scope.account_id, scope.region, domain_id)

    def schedule(self, scope: Scope, domain_id: str) -> RetentionSchedule:
        """Return how long a domain keeps what it holds."""
        stored = self.get(scope, domain_id)
        return DEFAULT_SCHEDULE if stored is None else stored.schedule

    def list_everywhere(self) -> tuple[StoredSchedule, ...]:
        """Return the schedules of all accounts."""
        key = (retention_schedules.c.account_id, retention_schedules.c.region, retention_schedules.c.domain_id)
        return tuple(_stored(row) for row in self._session.rows(select(retention_schedules).order_by(*key)))

    def count_domains(self) -> int:
        """Return how many domains there are, of all accounts."""
        return self._count(domains)

    def past_contact(self, told: StoredSchedule, *, now: datetime, limit: int) -> tuple[str, ...]:
        """Return profiles of a domain that nobody was found to be, nor enrolled again, for as long as it keeps them."""
        condition = _past_contact(told, now)
        if condition is None:
            return ()
        rows = self._session.rows(select(profiles.c.profile_id).where(condition).limit(limit))
        return tuple(row["profile_id"] for row in rows)

    def past_time(self, now: datetime) -> dict[str, int]:
        """Return how much of all accounts is past its time, by kind; kinds of which there is nothing are left out."""
        told = self.list_everywhere()
        counts = dict.fromkeys(RetentionKind, 0)
        everywhere = DEFAULT_SCHEDULE
        counts[RetentionKind.VOICEPRINT] += self._count(task_voiceprints, task_voiceprints.c.keep_until <= now)
        counts[RetentionKind.VOICEPRINT] += self._count(
            line_votes, line_votes.c.created_at <= now - everywhere.voiceprint
        )
        counts[RetentionKind.RESULTS] += self._count(tasks, tasks.c.ended_at < now - everywhere.results)
        unfinished = deliveries.c.sequence == events.c.sequence, deliveries.c.state != DeliveryState.DELIVERED
        told_long_ago = events.c.created_at < now - everywhere.results
        counts[RetentionKind.RESULTS] += self._count(
            events, told_long_ago, ~exists().where(*unfinished).correlate(events)
        )
        counts[RetentionKind.PROFILE] += self._count(profile_voiceprints, profile_voiceprints.c.expires_at <= now)
        for one in told:
            schedule = one.schedule
            if schedule.voiceprint < everywhere.voiceprint:
                counts[RetentionKind.VOICEPRINT] += self._count(
                    line_votes,
                    in_scope(line_votes, one.scope, domain_id=one.domain_id),
                    line_votes.c.created_at <= now - schedule.voiceprint,
                )
            if schedule.results < everywhere.results:
                counts[RetentionKind.RESULTS] += self._count(tasks, _old_results(one, now))
            for table, condition in _old_audio(one, now):
                counts[RetentionKind.AUDIO] += self._count(table, condition)
            lost = _past_contact(one, now)
            if lost is not None:
                counts[RetentionKind.LAST_CONTACT] += self._count(profiles, lost)
        return {kind.value: count for kind, count in counts.items() if count}

    def runs(self, *, after: PageKey | None = None, limit: int) -> Page[ExpiryRun]:
        """Return the runs of the expiry, the latest first."""
        order = (expiry_runs.c.started_at, expiry_runs.c.run_id)
        return self._page(_run, select(expiry_runs), order=order, after=after, limit=limit, newest_first=True)


class RetentionWriter(Writer, RetentionReader):
    """What can be changed of retention."""

    def put(self, scope: Scope, domain_id: str, schedule: RetentionSchedule, *, key_id: str) -> StoredSchedule:
        """Tell a domain how long to keep what it holds, and what it holds already.

        Raise BadRequest for what is not allowed, NotFound without such a domain.
        """
        schedule.require_allowed()
        chosen = select_in_scope(domains, scope, domain_id=domain_id).with_for_update(key_share=True)
        if self._session.row(chosen) is None:
            raise NotFound("the voice profile domain does not exist; look at its id and the Region")
        told = StoredSchedule(scope=scope, domain_id=domain_id, schedule=schedule, key_id=key_id, updated_at=self._now)
        self._delete(retention_schedules, in_scope(retention_schedules, scope, domain_id=domain_id))
        row = {**asdict(scope), "domain_id": domain_id, "key_id": key_id, "updated_at": self._now, **asdict(schedule)}
        self._writing.session.insert_new(retention_schedules, {**row, "look_back": int(schedule.look_back)})
        self._shorten(told)
        return told

    def contacted(self, scope: Scope, domain_id: str, profile_id: str) -> None:
        """Note that a search has just named a profile, which is there."""
        mine = in_scope(profile_contacts, scope, profile_id=profile_id)
        if not self._update(profile_contacts, mine, contacted_at=self._now):
            row = {**asdict(scope), "domain_id": domain_id, "profile_id": profile_id, "contacted_at": self._now}
            self._writing.session.insert_new(profile_contacts, row)

    def purge_results(self, told: StoredSchedule, *, now: datetime, limit: int) -> int:
        """Delete at most `limit` tasks of a domain whose results are past its time, and the events that tell them.

        Events have no domain, and one may tell of more tasks of its call: of a call that is over all go with the
        first task, of another those from before.
        """
        before = now - told.schedule.results
        found = self._session.rows(
            select(tasks.c.task_id, tasks.c.pipeline_id, pipelines.c.ended_at)
            .join(pipelines, same(tasks, pipelines, "pipeline_id"))
            .where(_old_results(told, now))
            .order_by(tasks.c.ended_at)
            .limit(limit)
        )
        for row in found:
            theirs = in_scope(events, told.scope, pipeline_id=row["pipeline_id"])
            old = (theirs,) if row["ended_at"] is not None else (theirs, events.c.created_at < before)
            self._delete(events, *old)
            self._delete(tasks, in_scope(tasks, told.scope, task_id=row["task_id"]))
            self._writing.note_deleted(told.scope, DeletionKind.TASK, row["task_id"])
        return self._scrubbed(len(found))

    def purge_votes(self, told: StoredSchedule, *, now: datetime, limit: int) -> int:
        """Delete at most `limit` votes of a domain that are older than it keeps voiceprints of calls."""
        old = line_votes.c.created_at <= now - told.schedule.voiceprint
        theirs = select_in_scope(line_votes, told.scope, domain_id=told.domain_id)
        found = self._session.rows(theirs.where(old).limit(limit))
        for row in found:
            one = {name: row[name] for name in ("domain_id", "codec", "number")}
            self._delete(line_votes, in_scope(line_votes, told.scope, **one))
            self._writing.note_deleted(
                told.scope, DeletionKind.VOTE, row["domain_id"], row["codec"], str(row["number"])
            )
        return self._scrubbed(len(found))

    def purge_audio(self, told: StoredSchedule, *, now: datetime) -> int:
        """Delete the speech behind voiceprints of a domain that it keeps no longer; the voiceprints stay."""
        return self._scrubbed(
            sum(self._update(table, condition, audio_ciphertext=None) for table, condition in _old_audio(told, now))
        )

    def append_run(self, run: ExpiryRun) -> None:
        """Keep what a run did."""
        self._insert(expiry_runs, run)

    def purge_runs(self, *, started_before: datetime) -> int:
        """Forget the runs from before this time; return how many there were."""
        return self._delete(expiry_runs, expiry_runs.c.started_at < started_before)

    def _scrubbed(self, count: int) -> int:
        if count:
            self._writing.session.scrub()
        return count

    def _shorten(self, told: StoredSchedule) -> None:
        """Let what is held already end no later than the schedule says."""
        scope, domain_id = told.scope, told.domain_id
        later = _plus(func.coalesce(tasks.c.ended_at, to_microseconds(self._now)), told.schedule.voiceprint)
        until = select(later).where(same(tasks, task_voiceprints, "task_id")).scalar_subquery()
        prints = in_scope(task_voiceprints, scope, domain_id=domain_id)
        self._update(task_voiceprints, prints, _whole(task_voiceprints.c.keep_until) > until, keep_until=until)
        until = _plus(profiles.c.updated_at, told.schedule.profile)
        theirs = in_scope(profiles, scope, domain_id=domain_id)
        self._update(profiles, theirs, _whole(profiles.c.expires_at) > until, expires_at=until)
        own = _whole(profiles.c.expires_at)
        until = select(own).where(same(profiles, profile_voiceprints, "profile_id")).scalar_subquery()
        theirs = in_scope(profile_voiceprints, scope, domain_id=domain_id)
        self._update(profile_voiceprints, theirs, _whole(profile_voiceprints.c.expires_at) > until, expires_at=until)


def _whole(column: ColumnElement[datetime]) -> ColumnElement[int]:
    """Return a time as it lies in the database."""
    return type_coerce(column, BigInteger)


def _plus(column: ColumnElement[datetime], time: timedelta) -> ColumnElement[int]:
    return _whole(column) + time // timedelta(microseconds=1)


def _old_results(told: StoredSchedule, now: datetime) -> ColumnElement[bool]:
    """Return the condition that a task of a domain, and its call if that is over, ended so long ago."""
    before = now - told.schedule.results
    call = exists().where(same(tasks, pipelines, "pipeline_id"), pipelines.c.ended_at >= before).correlate(tasks)
    return in_scope(tasks, told.scope, domain_id=told.domain_id) & (tasks.c.ended_at < before) & ~call


def _old_audio(told: StoredSchedule, now: datetime) -> Sequence[tuple[Table, ColumnElement[bool]]]:
    """Return where speech lies that a domain keeps no longer."""
    kept = told.schedule.audio
    if kept is None:
        return ()
    return [
        (
            table,
            in_scope(table, told.scope, domain_id=told.domain_id)
            & (table.c.created_at <= now - kept)
            & table.c.audio_ciphertext.is_not(None),
        )
        for table in (profile_voiceprints, task_voiceprints)
    ]


def _past_contact(told: StoredSchedule, now: datetime) -> ColumnElement[bool] | None:
    """Return the condition that a profile of a domain had no contact for so long; None where that is not asked."""
    kept = told.schedule.last_contact
    if kept is None:
        return None
    since = now - kept
    contact = same(profiles, profile_contacts, "profile_id"), profile_contacts.c.contacted_at > since
    found = exists().where(*contact).correlate(profiles)
    return in_scope(profiles, told.scope, domain_id=told.domain_id) & (profiles.c.updated_at <= since) & ~found


def _stored(row: StoredRow) -> StoredSchedule:
    schedule = record(RetentionSchedule, row, look_back=bool(row["look_back"]))
    return record(StoredSchedule, row, scope=scope_of(row), schedule=schedule)


def _run(row: StoredRow) -> ExpiryRun:
    return record(ExpiryRun, row)
