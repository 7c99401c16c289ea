"""Speaker search tasks as their callers see them: start, stop, forget. What a worker does is in attempts.py."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, select

from earwitness.errors import AlreadyExists, Conflict, NotFound
from earwitness.store.columns import to_microseconds
from earwitness.store.domain_keys import require_domain_key
from earwitness.store.records import Scope
from earwitness.store.schema import pipelines
from earwitness.store.schema_search import tasks as table
from earwitness.store.search_records import SpeakerSearchTask
from earwitness.store.session import Writing, in_scope, require_room
from earwitness.store.task_rows import TaskReader, TaskRows
from earwitness.voice.task_status import StopReason, TaskMove, TaskStatus, next_status


class TaskWriter(TaskReader):
    """What can be changed of tasks by their callers, and when they are forgotten."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing
        self._rows = TaskRows(writing)

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
        pipeline_statuses: Collection[str] | None = None,
        active_limit: int | None = None,
    ) -> SpeakerSearchTask:
        """A new one, for a worker to pick up.

        NotFound without such a pipeline or domain. Conflict when another active task searches this domain for the
        speaker of this channel of this stream, or when the pipeline has none of `pipeline_statuses` by now; it keeps
        that status until this unit ends. LimitExceeded when the account has `active_limit` active tasks already.
        """
        require_domain_key(self._session, self._vault, scope, domain_id, hold=True)
        self._hold_pipeline(scope, pipeline_id, statuses=pipeline_statuses)
        require_room(
            self._writing.session,
            lambda: self.count_active(scope),
            limit=active_limit,
            what="active speaker search tasks",
            holder=f"{scope.account_id} {scope.region}",
        )
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
            created_at=self._writing.now,
            updated_at=self._writing.now,
            started_at=None,
            ended_at=None,
        )
        if not self._writing.session.insert_new(table, _values(created)):
            if self.get(scope, task_id) is not None:
                raise AlreadyExists("a speaker search task of this id exists; choose another id")
            raise Conflict("an active task searches this domain on this stream and channel; stop it first")
        return created

    def request_stop(
        self, scope: Scope, task_id: str, *, reason: StopReason, pipeline_id: str | None = None
    ) -> SpeakerSearchTask | None:
        """Ask its worker to wind up; the first reason stays.

        None when there is no such task (of this pipeline, if given); Conflict when it is over.
        """
        task = self._rows.hold(scope, task_id)
        if task is None or pipeline_id not in {None, task.pipeline_id}:
            return None
        return self._stopped(task, reason)

    def request_stop_of_pipeline(
        self, scope: Scope, pipeline_id: str, *, reason: StopReason
    ) -> tuple[SpeakerSearchTask, ...]:
        """Ask the workers of all active tasks of a pipeline to wind up; those that were not stopping before."""
        active = (
            select(table.c.task_id)
            .where(in_scope(table, scope), table.c.pipeline_id == pipeline_id, table.c.ended_at.is_(None))
            .order_by(table.c.task_id)
            .with_for_update()
        )
        held = [self.get(scope, row[0]) for row in self._session.rows(active)]
        running = [task for task in held if task is not None and task.status is not TaskStatus.STOPPING]
        return tuple(self._stopped(task, reason) for task in running)

    def purge(self, *, ended_before: datetime, limit: int) -> int:
        """Remove at most `limit` tasks of all accounts that ended before this time, their results and voiceprints.

        How many were removed.
        """
        session = self._writing.session
        old = (
            select(table.c.account_id, table.c.region, table.c.task_id)
            .where(table.c.ended_at < to_microseconds(ended_before))
            .order_by(table.c.ended_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = session.rows(old)
        for account_id, region, task_id in rows:
            scope = Scope(account_id=account_id, region=region)
            session.change(delete(table).where(in_scope(table, scope), table.c.task_id == task_id))
        if rows:
            session.scrub()
        return len(rows)

    def _stopped(self, task: SpeakerSearchTask, reason: StopReason) -> SpeakerSearchTask:
        self._writing.session.use_reserve()
        status = next_status(task.status, TaskMove.REQUEST_STOP)
        if status is task.status:
            return task
        return self._rows.save(
            replace(task, status=status, stop_reason=task.stop_reason or reason, updated_at=self._writing.now)
        )

    def _hold_pipeline(self, scope: Scope, pipeline_id: str, *, statuses: Collection[str] | None) -> None:
        mine = in_scope(pipelines, scope), pipelines.c.pipeline_id == pipeline_id
        # Held as for a change of status, which the caller's unit may go on to: two that share it could not.
        row = self._session.row(select(pipelines.c.status).where(*mine).with_for_update(key_share=True))
        if row is None:
            raise NotFound("the media insights pipeline does not exist; look at its id")
        if statuses is not None and row[0] not in statuses:
            raise Conflict(f"the pipeline is {row[0]} and takes no tasks now; look at it again, or create another")


def _values(task: SpeakerSearchTask) -> dict[str, object]:
    return {
        "account_id": task.scope.account_id,
        "region": task.scope.region,
        "task_id": task.task_id,
        "pipeline_id": task.pipeline_id,
        "stream_arn": task.stream_arn,
        "channel_id": task.channel_id,
        "domain_id": task.domain_id,
        "domain_arn": task.domain_arn,
        "start_fragment_number": task.start_fragment_number,
        "status": task.status.value,
        "attempt": task.attempt,
        "created_at": to_microseconds(task.created_at),
        "updated_at": to_microseconds(task.updated_at),
    }
