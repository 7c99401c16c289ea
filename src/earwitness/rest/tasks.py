"""Speaker search tasks with their results in full, which AWS's operations do not give."""

from earwitness.errors import NotFound
from earwitness.rest.tools import Call, Document, Tools, paged, time_of
from earwitness.store.search_records import SpeakerSearchTask
from earwitness.voice.decision import decision_document
from earwitness.voice.task_status import VoiceprintStatus


async def list_tasks(tools: Tools, call: Call) -> Document:
    """The tasks of a pipeline, or of all, newest first."""

    def work() -> Document:
        pipeline_id = chosen_pipeline(tools, call)
        found, following = paged(
            tools,
            call,
            lambda after, limit: tools.store.tasks.list(call.scope, pipeline_id, after=after, limit=limit),
            about=pipeline_id or "",
        )
        return {"tasks": [_described(tools, task) for task in found], "nextToken": following}

    return await tools.run(work)


async def get_task(tools: Tools, call: Call) -> Document:
    """One task."""

    def work() -> Document:
        task = tools.store.tasks.get(call.scope, call.values["taskId"])
        if task is None:
            raise NotFound("there is no speaker search task of this id; tasks are kept for seven days")
        return _described(tools, task)

    return await tools.run(work)


def chosen_pipeline(tools: Tools, call: Call) -> str | None:
    """The id of the pipeline that the query names, or None for all. NotFound when there is no such pipeline."""
    named: str | None = call.values["pipelineId"]
    if named is None:
        return None
    pipeline = tools.store.pipelines.get(call.scope, named)
    if pipeline is None:
        raise NotFound("the media insights pipeline does not exist; look at its id and the Region")
    return pipeline.pipeline_id


def _described(tools: Tools, task: SpeakerSearchTask) -> Document:
    return {
        "taskId": task.task_id,
        "pipelineId": task.pipeline_id,
        "status": task.status.value,
        "attempt": task.attempt,
        "stopReason": None if task.stop_reason is None else task.stop_reason.value,
        "statusMessage": task.status_message,
        "stream": {"arn": task.stream_arn, "channelId": task.channel_id},
        "domain": {"id": task.domain_id, "arn": task.domain_arn},
        "createdAt": time_of(task.created_at),
        "updatedAt": time_of(task.updated_at),
        "startedAt": time_of(task.started_at),
        "endedAt": time_of(task.ended_at),
        "identification": None if task.identification is None else decision_document(task.identification),
        "voiceprint": None if task.voiceprint_status is None else _voiceprint(tools, task, task.voiceprint_status),
        "profileId": task.profile_id,
        "lagSeconds": tools.lags.seconds(task.task_id),
    }


def _voiceprint(tools: Tools, task: SpeakerSearchTask, status: VoiceprintStatus) -> Document:
    until = None
    if status is VoiceprintStatus.SUCCESS:
        found = tools.store.task_voiceprints.get(task.scope, task.task_id)
        until = None if found is None or found.keep_until <= tools.clock() else found.keep_until
    return {"status": status.value, "canBeEnrolledUntil": time_of(until)}
