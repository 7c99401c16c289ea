"""What a worker does to its task. Every change carries the number of its attempt and is refused when that is stale.

A worker that was thought dead may still be running. Whoever adopts its task gets the next number, and from then on the
old one changes nothing: it gets AttemptSuperseded, and drops its work.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from earwitness.errors import AttemptSuperseded, Conflict, ConsentMissing
from earwitness.store.columns import JsonObject
from earwitness.store.records import NewVoiceprint, Scope, SpeakerSearchTask
from earwitness.store.retention import RetentionReader
from earwitness.store.session import Writing
from earwitness.store.tasks import TaskRows, TaskVoiceprintWriter
from earwitness.voice.task_status import StopReason, TaskMove, TaskStatus, VoiceprintStatus, is_active, next_status
from earwitness.voice.withdrawal import WITHDRAWN


class AttemptWriter:
    """Attempts at tasks. All but `adopt` raise AttemptSuperseded when another attempt began or the task is over.

    Those that write a checkpoint or a result raise NotFound when the domain was deleted, and ConsentMissing when the
    consent was withdrawn: fail the task.
    """

    def __init__(self, writing: Writing) -> None:
        self._session = writing.session
        self._now = writing.now
        self._node_id = writing.node_id
        self._tasks = TaskRows(writing)
        self._voiceprints = TaskVoiceprintWriter(writing)
        self._retention = RetentionReader(writing.session, writing.vault)

    def adopt(self, scope: Scope, task_id: str) -> SpeakerSearchTask | None:
        """Take the task over: it gets the next attempt number, and its former worker's writes are refused from now on.

        None when there is nothing to do: it is over, gone, or another node's. A task that is InProgress or Stopping
        stays so; end the latter. One with a checkpoint goes on there; what it has concluded already is in the record.
        """
        return self.adopt_all([(scope, task_id)])[0]

    def adopt_all(self, keys: Sequence[tuple[Scope, str]]) -> list[SpeakerSearchTask | None]:
        """Take several tasks over, as `adopt` does with one; return them in the order of their keys."""
        free = [task for task in self._tasks.lock_all(keys) if task.node_id in (None, self._node_id)]
        by_status: dict[TaskStatus, list[SpeakerSearchTask]] = {}
        for task in free:
            if is_active(task.status):
                by_status.setdefault(task.status, []).append(task)
        if TaskStatus.STOPPING in by_status:  # taken over to be ended
            self._session.use_reserve()
        adopted = [
            task
            for status, some in by_status.items()
            for task in self._tasks.begin_attempts(some, status=next_status(status, TaskMove.PICK_UP))
        ]
        found = {(task.scope, task.task_id): task for task in adopted}
        return [found.get(key) for key in keys]

    def open_media(self, scope: Scope, task_id: str, *, attempt: int) -> SpeakerSearchTask:
        """Note that its audio has come; raise Conflict when it was stopped meanwhile."""
        task = self._locked(scope, task_id, attempt)
        status = next_status(task.status, TaskMove.OPEN_MEDIA)
        return self._tasks.save(task, status=status, updated_at=self._now)

    def write_progress(self, scope: Scope, task_id: str, *, attempt: int, checkpoint: JsonObject) -> SpeakerSearchTask:
        """Note how far it has come, in positions; return the task as it is now, which shows a stop."""
        task = self._consented(scope, task_id, attempt)
        return self._tasks.save(task, checkpoint=checkpoint)

    def remark(self, scope: Scope, task_id: str, *, attempt: int, status_message: str) -> SpeakerSearchTask:
        """Note in words without personal data what it lacks though it goes on; they stay unless it fails."""
        task = self._locked(scope, task_id, attempt)
        return self._tasks.save(task, status_message=status_message)

    def conclude_identification(
        self,
        scope: Scope,
        task_id: str,
        *,
        attempt: int,
        identification: JsonObject,
        checkpoint: JsonObject | None = None,
    ) -> SpeakerSearchTask:
        """Keep the result of the search, and the checkpoint it belongs to if given; raise Conflict when there is one.

        Write the event that reports it in the same unit.
        """
        task = self._consented(scope, task_id, attempt)
        if task.identification is not None:
            raise Conflict("the task has its identification already; go on from its record")
        return self._concluded(task, checkpoint, identification=identification)

    def conclude_voiceprint(
        self,
        scope: Scope,
        task_id: str,
        *,
        attempt: int,
        voiceprint: NewVoiceprint | None,
        checkpoint: JsonObject | None = None,
        kept: timedelta | None = None,
    ) -> SpeakerSearchTask:
        """Keep the voiceprint, or None for the failure to make one; raise Conflict when that is decided already.

        It is kept as long as the domain's schedule says, `kept` if given.

        Write the event that reports it in the same unit.
        """
        task = self._consented(scope, task_id, attempt) if voiceprint else self._locked(scope, task_id, attempt)
        if task.voiceprint_status is not None:
            raise Conflict("the task's voiceprint is decided already; go on from its record")
        if voiceprint is not None:
            schedule = self._retention.schedule(scope, task.domain_id)
            if schedule.audio == timedelta(0):
                voiceprint = replace(voiceprint, audio=None)
            until = self._now + (schedule.voiceprint if kept is None else kept)
            self._voiceprints.put(task, voiceprint, keep_until=until)
        status = VoiceprintStatus.FAILURE if voiceprint is None else VoiceprintStatus.SUCCESS
        return self._concluded(task, checkpoint, voiceprint_status=status)

    def end(self, scope: Scope, task_id: str, *, attempt: int, kept: timedelta | None = None) -> SpeakerSearchTask:
        """Stop it with its results, at the end of the audio or when asked.

        Its voiceprint is kept from now on, as long as the domain's schedule says, or `kept`.
        """
        task = self._locked(scope, task_id, attempt)
        return self._over(task, TaskMove.END, status_message=task.status_message, kept=kept)

    def fail(
        self, scope: Scope, task_id: str, *, attempt: int, status_message: str, kept: timedelta | None = None
    ) -> SpeakerSearchTask:
        """Fail it, and why in words without personal data. A voiceprint that it made is kept as by `end`."""
        task = self._locked(scope, task_id, attempt)
        return self._over(task, TaskMove.FAIL, status_message=status_message, kept=kept)

    def _concluded(self, task: SpeakerSearchTask, checkpoint: JsonObject | None, **result: object) -> SpeakerSearchTask:
        given = {} if checkpoint is None else {"checkpoint": checkpoint}
        return self._tasks.save(task, **result, **given, updated_at=self._now)

    def _over(
        self, task: SpeakerSearchTask, move: TaskMove, *, status_message: str | None, kept: timedelta | None
    ) -> SpeakerSearchTask:
        self._session.use_reserve()
        schedule = self._retention.schedule(task.scope, task.domain_id)
        until = self._now + (schedule.voiceprint if kept is None else kept)
        self._voiceprints.keep(task.scope, task.task_id, until=until)
        return self._tasks.save(
            task,
            status=next_status(task.status, move),
            status_message=status_message,
            checkpoint=None,
            updated_at=self._now,
            ended_at=self._now,
        )

    def _locked(self, scope: Scope, task_id: str, attempt: int) -> SpeakerSearchTask:
        task = self._tasks.lock(scope, task_id)
        if task is None:
            raise AttemptSuperseded("the task is gone; drop the work on it")
        if task.attempt != attempt:
            raise AttemptSuperseded(f"attempt {task.attempt} at this task has begun; drop attempt {attempt}")
        if not is_active(task.status):
            raise AttemptSuperseded(f"the task is {task.status} already; drop the work on it")
        return task

    def _consented(self, scope: Scope, task_id: str, attempt: int) -> SpeakerSearchTask:
        """Return the locked task when something may be kept of it. Raise ConsentMissing otherwise: fail it."""
        task = self._locked(scope, task_id, attempt)
        if task.stop_reason is StopReason.CONSENT_WITHDRAWN:
            raise ConsentMissing(WITHDRAWN)
        return task
