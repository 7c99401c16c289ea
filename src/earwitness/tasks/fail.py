"""End a task that cannot go on: its record, its events and its pipeline tell why."""

import logging

from earwitness.errors import AttemptSuperseded, CiphertextRefused, Conflict, EarwitnessError
from earwitness.store.records import Pipeline, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.tasks.conclude import Conclusions
from earwitness.tasks.context import TaskContext
from earwitness.tasks.work import WorkItem

_log = logging.getLogger("earwitness.follow")

_RACES = (AttemptSuperseded, Conflict)
"""Another worker, or a request, was faster: the record, read again, says what is to be done."""


def is_final(error: EarwitnessError) -> bool:
    """Say whether an error that ended an attempt would end the next one too.

    Media that cannot be decoded or may not be read, models that are missing or damaged, a deleted domain, a record that
    cannot be opened: none of them goes away by itself.
    """
    return not error.retryable and not isinstance(error, _RACES)


async def give_up(tools: TaskContext, item: WorkItem, reason: str) -> None:
    """End a task that failed too often: its record and its events tell why."""
    task = await tools.write(lambda unit: unit.attempts.adopt(item.scope, item.task_id))
    if task is None:
        return
    try:
        pipeline = await pipeline_of(tools, task)
        if pipeline is not None:
            await fail(tools, task, pipeline, reason, identified=task.identification is not None)
            await end_pipeline(tools, task)
    except AttemptSuperseded:
        _log.info("a task went to another worker", extra={"task_id": item.task_id, "attempt": task.attempt})


async def pipeline_of(tools: TaskContext, task: SpeakerSearchTask) -> Pipeline | None:
    """The pipeline of a task; None when it was deleted with everything that belongs to it, or cannot be opened."""
    try:
        return await tools.wait_for(lambda: tools.store.pipelines.get(task.scope, task.pipeline_id))
    except CiphertextRefused as error:
        await _fail_untold(tools, task, str(error))
        return None


async def fail(
    tools: TaskContext, task: SpeakerSearchTask, pipeline: Pipeline, reason: str, *, identified: bool
) -> None:
    """The task has failed. The results that it still owes are told as failures; `identified` says that one is not."""
    await Conclusions(tools, task, pipeline).failed(
        reason, identification=not identified, voiceprint=task.voiceprint_status is None
    )
    _log.warning("a task failed", extra={"task_id": task.task_id, "reason": reason})


async def _fail_untold(tools: TaskContext, task: SpeakerSearchTask, reason: str) -> None:
    """The task has failed, and its pipeline's record cannot be opened: nobody knows whom to tell."""
    scope, task_id, attempt = task.scope, task.task_id, task.attempt
    await tools.write(lambda unit: unit.attempts.fail(scope, task_id, attempt=attempt, status_message=reason))
    _log.error("a task failed, and no event tells of it", extra={"task_id": task_id, "reason": reason})


async def end_pipeline(tools: TaskContext, task: SpeakerSearchTask) -> None:
    """End the pipeline of a task that is over, if it was only waiting for it."""

    def work(unit: Unit) -> None:
        pipeline = unit.pipelines.get(task.scope, task.pipeline_id)
        if pipeline is not None:
            tools.steering.end_if_idle(unit, task.scope, pipeline)

    await tools.write(work)
    tools.events_written()
