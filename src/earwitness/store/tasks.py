"""Speaker search tasks as their callers see them: start, stop, forget; and the voiceprints that tasks made.

What a worker does to its task is in attempts.py. A task's voiceprint is kept for a day for whoever creates a profile
from it. What is left of it afterwards is the task's word that there was one: so `Gone` is told from `not yet` and
`never`.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, exists, func, literal, literal_column, select, tuple_

from earwitness.errors import AlreadyExists, CiphertextRefused, Conflict, Gone, NotFound
from earwitness.store.columns import JsonObject, from_json, to_json
from earwitness.store.connector_schema import connector_call_tasks
from earwitness.store.consents import ConsentWriter
from earwitness.store.driver_errors import convert
from earwitness.store.homes import HomeWriter
from earwitness.store.hot_reads import HotRead, StoredRow
from earwitness.store.node_records import NoteKind
from earwitness.store.nodes import NodeWriter
from earwitness.store.records import (
    NewVoiceprint,
    Page,
    PageKey,
    Scope,
    SpeakerSearchTask,
    SpeakerSearchTaskState,
    TaskVoiceprint,
)
from earwitness.store.repository import (
    Reader,
    RowSeal,
    Writer,
    holder_of,
    in_scope,
    key_owner,
    record,
    same,
    scope_of,
    select_in_scope,
)
from earwitness.store.schema import domains, pipelines, task_voiceprints, tasks
from earwitness.store.session import Writing
from earwitness.voice.consent import NOTHING_CARRIED, CarriedConsent, ConsentUse
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.task_status import StopReason, TaskMove, TaskStatus, VoiceprintStatus, is_active, next_status

# The domain may be gone; its key opens what is sealed.
_WITH_DOMAIN = select(tasks, domains.c.wrapped_key, connector_call_tasks.c.call_leg).select_from(
    tasks.outerjoin(domains, same(tasks, domains, "domain_id")).outerjoin(
        connector_call_tasks, same(tasks, connector_call_tasks, "task_id")
    )
)
_STATE = select(tasks.c.task_id, tasks.c.status, tasks.c.created_at, tasks.c.updated_at).select_from(
    tasks.join(pipelines, same(tasks, pipelines, "pipeline_id"))
)
_HAS_RARE_STATUS: ColumnElement[bool] = tasks.c.status != literal_column(f"'{TaskStatus.STOPPED.value}'")
"""Where the index of rare statuses has a task. Its value stands in the text of a statement, because a database that
does not know the value when it plans cannot use that index."""

_KEY = tasks.c.account_id, tasks.c.region, tasks.c.task_id
_BY_ID = HotRead(_WITH_DOMAIN, *_KEY)
_STATE_BY_PIPELINE_ID = HotRead(_STATE, *_KEY, pipelines.c.pipeline_id)
_STATE_BY_PIPELINE_ARN = HotRead(_STATE, *_KEY, pipelines.c.arn)
_state = partial(record, SpeakerSearchTaskState)

_SEALED = {"checkpoint", "identification"}

_log = logging.getLogger("earwitness.store")


class TaskReader(Reader):
    """What can be read of tasks."""

    def get(self, scope: Scope, task_id: str) -> SpeakerSearchTask | None:
        """Return the task of this GUID, or None; ended ones too, as long as they are kept."""
        return self._session.hot(_BY_ID, self._record, scope.account_id, scope.region, task_id)

    def get_state(self, scope: Scope, task_id: str, *, pipeline: str) -> SpeakerSearchTaskState | None:
        """Return the status of a task, found by the id or ARN of its pipeline; None without such a task or pipeline.

        Whoever waits for a task asks for this again and again, so it opens nothing that is sealed.
        """
        read = _STATE_BY_PIPELINE_ARN if pipeline.startswith("arn:") else _STATE_BY_PIPELINE_ID
        return self._session.hot(read, _state, scope.account_id, scope.region, task_id, pipeline)

    def list(
        self,
        scope: Scope,
        pipeline_id: str | None,
        *,
        status: TaskStatus | None = None,
        after: PageKey | None = None,
        limit: int,
    ) -> Page[SpeakerSearchTask]:
        """Return the tasks of a pipeline, or of all with None, newest first, ended ones too; of one status if given."""
        given = {"pipeline_id": pipeline_id, "status": status}
        chosen = {name: value for name, value in given.items() if value is not None}
        statement = _WITH_DOMAIN.where(in_scope(tasks, scope, **chosen))
        if pipeline_id is None and status not in (None, TaskStatus.STOPPED):
            statement = statement.where(_HAS_RARE_STATUS)
        return self._page(
            self._record,
            statement,
            order=(tasks.c.created_at, tasks.c.task_id),
            after=after,
            limit=limit,
            newest_first=True,
        )

    def list_active_everywhere(self, *, after: PageKey | None = None, limit: int) -> Page[SpeakerSearchTask]:
        """Return the active tasks of all accounts, for workers that look after them."""
        return self._page(
            self._record,
            _WITH_DOMAIN.where(tasks.c.ended_at.is_(None)),
            order=(tasks.c.account_id, tasks.c.region, tasks.c.task_id),
            after=after,
            limit=limit,
        )

    def list_of_node(self, node_id: str, *, after: PageKey | None = None, limit: int) -> Page[SpeakerSearchTask]:
        """Return the active tasks of all accounts that a node runs."""
        return self._page(
            self._record,
            _WITH_DOMAIN.where(tasks.c.ended_at.is_(None), tasks.c.node_id == node_id),
            order=(tasks.c.account_id, tasks.c.region, tasks.c.task_id),
            after=after,
            limit=limit,
        )

    def chosen(self, condition: ColumnElement[bool], *, limit: int) -> Sequence[SpeakerSearchTask]:
        """Return the tasks that fulfil a condition, in the order of their ids; `limit` at most."""
        rows = self._session.rows(_WITH_DOMAIN.where(condition).order_by(tasks.c.task_id).limit(limit))
        return [convert(self._record, row) for row in rows]

    def count_active(self, scope: Scope, *, pipeline_id: str | None = None) -> int:
        """Return how many have not ended, of all or of those of one pipeline."""
        chosen = {} if pipeline_id is None else {"pipeline_id": pipeline_id}
        return self._count(tasks, in_scope(tasks, scope, ended_at=None, **chosen))

    def _record(self, row: StoredRow) -> SpeakerSearchTask:
        return record(
            SpeakerSearchTask,
            row,
            scope=scope_of(row),
            checkpoint=self._opened(row, "checkpoint_ciphertext"),
            identification=self._opened(row, "identification_ciphertext"),
        )

    def _opened(self, row: StoredRow, column: str) -> JsonObject | None:
        """Return the document of a sealed column.

        None also for what cannot be opened, so that a single damaged task does not hide those around it, and goes on
        as if that had not been written.
        """
        if row[column] is None or row["wrapped_key"] is None:
            return None
        scope, task_id = scope_of(row), row["task_id"]
        try:
            key = self._vault.key(row["wrapped_key"], owner=key_owner(domains, scope, row["domain_id"]))
            return from_json(RowSeal(key, tasks, scope, task_id).open(row, column).decode())
        except CiphertextRefused:
            _log.error("a part of a task's record cannot be opened", extra={"task_id": task_id, "column": column})
            return None


class TaskRows(Writer, TaskReader):
    """What all who change tasks do: lock the row, write it back, delete what is old."""

    def lock(self, scope: Scope, task_id: str) -> SpeakerSearchTask | None:
        """Return the task, which nobody else changes before this transaction ends."""
        chosen = _WITH_DOMAIN.where(in_scope(tasks, scope, task_id=task_id))
        return self._one(self._record, chosen.with_for_update(of=tasks))

    def lock_all(self, keys: Sequence[tuple[Scope, str]]) -> list[SpeakerSearchTask]:
        """Return the tasks of these keys that exist, as `lock` returns one; all who lock several keep to one order."""
        chosen = _WITH_DOMAIN.where(_any_of(keys)).order_by(tasks.c.task_id)
        return [convert(self._record, row) for row in self._session.rows(chosen.with_for_update(of=tasks))]

    def begin_attempts(self, locked: Sequence[SpeakerSearchTask], *, status: TaskStatus) -> list[SpeakerSearchTask]:
        """Begin the next attempt at each of these locked tasks, which get this status; return them as they are now."""
        now = self._now
        self._update(
            tasks,
            _any_of([(task.scope, task.task_id) for task in locked]),
            status=status,
            attempt=tasks.c.attempt + 1,
            started_at=func.coalesce(tasks.c.started_at, literal(now, tasks.c.started_at.type)),
            updated_at=now,
        )
        return [
            replace(
                task,
                status=status,
                attempt=task.attempt + 1,
                started_at=task.started_at or now,
                updated_at=now,
            )
            for task in locked
        ]

    def save(self, task: SpeakerSearchTask, **changes: Any) -> SpeakerSearchTask:
        """Write back these fields of a locked task; return it as it is now.

        Raise NotFound when a document cannot be sealed because the domain was deleted.
        """
        values: dict[str, Any] = {name: value for name, value in changes.items() if name not in _SEALED}
        documents: dict[str, JsonObject | None] = {name: changes[name] for name in _SEALED & changes.keys()}
        plaintexts = {
            f"{name}_ciphertext": None if document is None else to_json(document).encode()
            for name, document in documents.items()
        }
        if any(plaintexts.values()):  # without a document the key is not needed, which may be gone
            key = self._require_domain_key(task.scope, task.domain_id)
            values |= RowSeal(key, tasks, task.scope, task.task_id).seal(**plaintexts)
        else:
            values |= plaintexts
        self._update(tasks, in_scope(tasks, task.scope, task_id=task.task_id), **values)
        return replace(task, **changes)

    def purge(self, table: Table, due: ColumnElement[bool], *, by: Column[Any], limit: int) -> int:
        """Delete at most `limit` rows of tasks that are due, the oldest first, from the files as well.

        Return how many there were.
        """
        old = select(table.c.account_id, table.c.region, table.c.task_id).where(due).order_by(by).limit(limit)
        rows = self._session.rows(old.with_for_update(skip_locked=True))
        kind = DeletionKind.TASK if table is tasks else DeletionKind.TASK_VOICEPRINT
        for row in rows:
            self._delete(table, in_scope(table, scope_of(row), task_id=row["task_id"]))
            self._writing.note_deleted(scope_of(row), kind, row["task_id"])
        if rows:
            self._writing.session.scrub()
        return len(rows)


def _any_of(keys: Sequence[tuple[Scope, str]]) -> ColumnElement[bool]:
    return tuple_(*_KEY).in_([(scope.account_id, scope.region, task_id) for scope, task_id in keys])


class TaskWriter(Writer, TaskReader):
    """What can be changed of tasks by their callers, and when they are forgotten."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._rows = TaskRows(writing)
        self._homes = HomeWriter(writing)
        self._nodes = NodeWriter(writing)

    def create(
        self,
        scope: Scope,
        *,
        task_id: str,
        pipeline_id: str,
        stream_arn: str,
        channel_id: int,
        domain_id: str,
        domain_arn: str,
        start_fragment_number: str | None = None,
        consent: CarriedConsent = NOTHING_CARRIED,
        pipeline_statuses: Collection[str] | None = None,
        active_limit: int | None = None,
    ) -> SpeakerSearchTask:
        """Return a new one, for a worker to pick up.

        Raise NotFound without such a pipeline or domain. Raise Conflict when another active task searches this domain
        for the speaker of this channel of this stream, or when the pipeline has none of `pipeline_statuses` by now; it
        keeps that status until this unit ends. Raise LimitExceeded when the account has `active_limit` active tasks.
        Raise ConsentMissing when the domain needs a consent of whoever is on the channel, as `ConsentWriter.take`.
        """
        subject_digest = ConsentWriter(self._writing).take(scope, domain_id, consent, use=ConsentUse.SEARCH)
        self._require_domain_key(scope, domain_id, lock=True)
        self._lock_pipeline(scope, pipeline_id, statuses=pipeline_statuses)
        self._require_room(
            lambda: self.count_active(scope),
            limit=active_limit,
            what="active speaker search tasks",
            holder=holder_of(scope),
        )
        node_id = self._homes.runner_of(scope, stream_arn)
        created = SpeakerSearchTask(
            scope=scope,
            task_id=task_id,
            pipeline_id=pipeline_id,
            stream_arn=stream_arn,
            channel_id=channel_id,
            domain_id=domain_id,
            domain_arn=domain_arn,
            start_fragment_number=start_fragment_number,
            status=TaskStatus.NOT_STARTED,
            attempt=0,
            stop_reason=None,
            status_message=None,
            checkpoint=None,
            identification=None,
            voiceprint_status=None,
            profile_id=None,
            created_at=self._now,
            updated_at=self._now,
            started_at=None,
            ended_at=None,
            node_id=node_id,
        )
        if not self._insert(tasks, created, **asdict(scope), subject_digest=subject_digest):
            if self.get(scope, task_id) is not None:
                raise AlreadyExists("a speaker search task of this id exists; choose another id")
            raise Conflict("an active task searches this domain on this stream and channel; stop it first")
        self._nodes.note(node_id, NoteKind.TASK, scope, task_id)
        return created

    def request_stop(
        self, scope: Scope, task_id: str, *, reason: StopReason, pipeline_id: str | None = None
    ) -> SpeakerSearchTask | None:
        """Ask its worker to wind up; the first reason stays.

        None when there is no such task (of this pipeline, if given); raise Conflict when it is over.
        """
        task = self._rows.lock(scope, task_id)
        if task is None or pipeline_id not in {None, task.pipeline_id}:
            return None
        return self._stopped(task, reason)

    def request_stop_of_pipeline(
        self, scope: Scope, pipeline_id: str, *, reason: StopReason
    ) -> tuple[SpeakerSearchTask, ...]:
        """Ask the workers of all active tasks of a pipeline to wind up; return those that were not stopping before.

        A pause leaves those alone that a call of a Voice Connector was given, as at AWS (va-in-voice-namespace).
        """
        active = in_scope(tasks, scope, pipeline_id=pipeline_id, ended_at=None)
        if reason is StopReason.PIPELINE_PAUSED:
            active &= ~exists().where(same(connector_call_tasks, tasks, "task_id"))
        locked = self._session.rows(select(tasks.c.task_id).where(active).order_by(tasks.c.task_id).with_for_update())
        found = [self.get(scope, row["task_id"]) for row in locked]
        running = [task for task in found if task is not None and task.status is not TaskStatus.STOPPING]
        return tuple(self._stopped(task, reason) for task in running)

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Remove at most `limit` tasks of all accounts that ended before this time, their results and voiceprints.

        Return how many were removed.
        """
        ended_at = tasks.c.ended_at
        return self._rows.purge(tasks, ended_at < ended_before, by=ended_at, limit=limit)

    def _stopped(self, task: SpeakerSearchTask, reason: StopReason) -> SpeakerSearchTask:
        self._writing.session.use_reserve()
        status = next_status(task.status, TaskMove.REQUEST_STOP)
        if status is task.status:
            return task
        stop_reason = task.stop_reason or reason
        self._nodes.note(task.node_id, NoteKind.TASK, task.scope, task.task_id)
        return self._rows.save(task, status=status, stop_reason=stop_reason, updated_at=self._now)

    def _lock_pipeline(self, scope: Scope, pipeline_id: str, *, statuses: Collection[str] | None) -> None:
        # Locked as for a change of status, which the caller's unit may go on to: two that share it could not.
        row = self._session.row(
            select_in_scope(pipelines, scope, pipeline_id=pipeline_id).with_for_update(key_share=True)
        )
        if row is None:
            raise NotFound("the media insights pipeline does not exist in this account and Region; look at its id")
        status = row["status"]
        if statuses is not None and status not in statuses:
            raise Conflict(f"the pipeline is {status} and takes no tasks now; look at it again, or create another")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptVoice:
    """The voice of a call, as long as its voiceprint is kept."""

    task_id: str
    encoder_id: str
    #: The unit vector: float32, little endian.
    vector: bytes = field(repr=False)
    net_speech_seconds: float
    #: When it was made.
    created_at: datetime


class TaskVoiceprintReader(Reader):
    """What can be read of the voiceprints of tasks."""

    def get(self, scope: Scope, task_id: str) -> TaskVoiceprint | None:
        """Return the voiceprint of a task; None when it has none, or it is deleted already."""
        return self._one(self._record, select_in_scope(task_voiceprints, scope, task_id=task_id))

    def kept(self, scope: Scope, domain_id: str, *, at: datetime, limit: int) -> tuple[KeptVoice, ...]:
        """Return the voices of a domain's calls that are kept at a time, the latest first; without damaged ones.

        Raise NotFound without such a domain.
        """
        key, columns = self._require_domain_key(scope, domain_id), task_voiceprints.c
        names = ("account_id", "region", "task_id", "encoder_id", "net_speech_seconds", "created_at")
        chosen = select(*(columns[name] for name in names), columns.vector_ciphertext).where(
            in_scope(task_voiceprints, scope, domain_id=domain_id), columns.keep_until > at
        )
        latest_first = columns.created_at.desc(), columns.task_id.desc()

        def voice(row: StoredRow) -> KeptVoice | None:
            try:
                seal = RowSeal(key, task_voiceprints, scope, row["task_id"])
                return record(KeptVoice, row, vector=seal.open(row, "vector_ciphertext"))
            except CiphertextRefused:
                _log.error("a task's voiceprint cannot be opened", extra={"task_id": row["task_id"]})
                return None

        rows = self._session.rows(chosen.order_by(*latest_first).limit(limit))
        return tuple(found for row in rows if (found := convert(voice, row)) is not None)

    def count_kept(self, scope: Scope, domain_id: str, *, at: datetime) -> int:
        """Return how many voices of a domain's calls are kept at a time."""
        return self._count(
            task_voiceprints,
            in_scope(task_voiceprints, scope, domain_id=domain_id),
            task_voiceprints.c.keep_until > at,
        )

    def kept_until(self, scope: Scope, task_ids: Collection[str]) -> dict[str, datetime]:
        """Return until when the voiceprints of these tasks are kept, by task; nothing for tasks that have none."""
        if not task_ids:
            return {}
        columns = task_voiceprints.c
        theirs = in_scope(task_voiceprints, scope), columns.task_id.in_(sorted(task_ids))
        rows = self._session.rows(select(columns.task_id, columns.keep_until).where(*theirs))
        return {row["task_id"]: row["keep_until"] for row in rows}

    def _record(self, row: StoredRow) -> TaskVoiceprint:
        scope = scope_of(row)
        key = self._require_domain_key(scope, row["domain_id"])
        seal = RowSeal(key, task_voiceprints, scope, row["task_id"])
        made = record(
            NewVoiceprint,
            row,
            vector=seal.open(row, "vector_ciphertext"),
            audio=seal.open_optional(row, "audio_ciphertext"),
        )
        return record(TaskVoiceprint, row, voiceprint=made)


class TaskVoiceprintWriter(Writer, TaskVoiceprintReader):
    """What can be changed of the voiceprints of tasks."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._rows = TaskRows(writing)

    def require(self, scope: Scope, task_id: str) -> tuple[SpeakerSearchTask, TaskVoiceprint]:
        """Return the task, locked until the unit ends, and its voiceprint.

        Raise Conflict when it has none yet; Gone when it is deleted or past its time; NotFound when it never had one,
        when its domain was deleted, or when there is no such task.
        """
        task = self._rows.lock(scope, task_id)
        if task is None:
            raise NotFound("the speaker search task does not exist in this account and Region; look at its id")
        self._require_domain_key(scope, task.domain_id)
        if task.voiceprint_status is None and is_active(task.status):
            raise Conflict("the task has no voiceprint yet; wait for its event, after 20 s of speech")
        if task.voiceprint_status is not VoiceprintStatus.SUCCESS:
            raise NotFound("the task made no voiceprint; start another and let the speaker talk for 20 s")
        found = self.get(scope, task_id)
        if found is None or found.keep_until <= self._now:
            raise Gone("the task's voiceprint is deleted; start another task")
        return task, found

    def put(self, task: SpeakerSearchTask, voiceprint: NewVoiceprint, *, keep_until: datetime) -> None:
        """Keep the voiceprint of a task; raise NotFound when its domain was deleted."""
        key = self._require_domain_key(task.scope, task.domain_id)
        sealed = RowSeal(key, task_voiceprints, task.scope, task.task_id).seal(
            vector_ciphertext=voiceprint.vector, audio_ciphertext=voiceprint.audio
        )
        row = {"task_id": task.task_id, "domain_id": task.domain_id, "created_at": self._now, "keep_until": keep_until}
        if not self._insert(task_voiceprints, voiceprint, **asdict(task.scope), **row, **sealed):
            raise AlreadyExists("the task has a voiceprint already; go on from its record")

    def keep(self, scope: Scope, task_id: str, *, until: datetime) -> None:
        """Keep the voiceprint of a task until then, if it has one."""
        self._update(task_voiceprints, in_scope(task_voiceprints, scope, task_id=task_id), keep_until=until)

    def purge(self, *, kept_until: datetime, limit: int) -> int:
        """Delete at most `limit` voiceprints of all accounts that were to be kept until this time or an earlier one.

        Return how many were deleted.
        """
        until = task_voiceprints.c.keep_until
        return self._rows.purge(task_voiceprints, until <= kept_until, by=until, limit=limit)
