"""Speaker search tasks of media insights pipelines: start, get, stop."""

from collections.abc import Mapping
from typing import Any

from earwitness.access.caller import Caller
from earwitness.access.once import once
from earwitness.api.context import ApiContext, require
from earwitness.api.pipelines import LIVE
from earwitness.errors import BadRequest, Conflict
from earwitness.store.records import Pipeline, SpeakerSearchTask, SpeakerSearchTaskState
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import searches_speakers
from earwitness.tasks.runner import WorkItem
from earwitness.voice.consent import consent_of
from earwitness.voice.pipeline_status import PipelineStatus
from earwitness.voice.task_status import StopReason
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_TAKES_TASKS = frozenset((PipelineStatus.NOT_STARTED, PipelineStatus.INITIALIZING, PipelineStatus.IN_PROGRESS))
_MISSING = "this pipeline has no speaker search task of this id; tasks are kept for seven days"


def start_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Begin to listen to one channel; at 10 s of its speech the domain is searched."""
    task_id = context.new_id()

    def work(unit: Unit) -> SpeakerSearchTask:
        pipeline = _pipeline(unit, caller, params)
        return once(
            unit,
            caller,
            params,
            within=pipeline.pipeline_id,
            reference=task_id,
            create=lambda: _create(context, unit, caller, params, pipeline, task_id),
            find=lambda made: unit.tasks.get(caller.scope, made),
        )

    task = context.store.write(work)
    context.announce(task)
    return {"SpeakerSearchTask": _described(task)}


def get_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a task; results go to the pipeline's sinks, as at AWS."""
    pipeline, task_id = params["Identifier"], params["SpeakerSearchTaskId"]
    task = context.store.tasks.get_state(caller.scope, task_id, pipeline=pipeline)
    if task is None:
        _pipeline(context.store, caller, params)  # which of the two is missing?
    return {"SpeakerSearchTask": _described(require(task, _MISSING))}


def stop_task(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Stop listening; results that are missing are not reported."""
    pipeline = _pipeline(context.store, caller, params)

    def work(unit: Unit) -> SpeakerSearchTask:
        stopped = unit.tasks.request_stop(
            caller.scope, params["SpeakerSearchTaskId"], reason=StopReason.CALLER, pipeline_id=pipeline.pipeline_id
        )
        task = require(stopped, _MISSING)
        caller.record(unit, f"{pipeline.arn}/{task.task_id}")
        return task

    context.work.changed(_item(context.store.write(work)))
    return {}


def _create(
    context: ApiContext, unit: Unit, caller: Caller, params: Params, pipeline: Pipeline, task_id: str
) -> SpeakerSearchTask:
    _require_speaker_search(pipeline)
    if pipeline.status not in _TAKES_TASKS:
        raise Conflict(f"the pipeline is {pipeline.status} and takes no tasks; resume it, or create another")
    found = unit.domains.get(caller.scope, params["VoiceProfileDomainArn"])
    domain = require(found, "the voice profile domain does not exist in this account and Region; look at its ARN")
    stream_arn, channel_id, after = _channel(pipeline, params.get("KinesisVideoStreamSourceTaskConfiguration"))
    context.require_room(unit, caller.scope, stream_arn)
    carried = consent_of(pipeline.runtime_metadata, unit.tags.list(caller.scope, pipeline.arn), channel_id)
    task = unit.tasks.create(
        caller.scope,
        task_id=task_id,
        pipeline_id=pipeline.pipeline_id,
        stream_arn=stream_arn,
        channel_id=channel_id,
        domain_id=domain.domain_id,
        domain_arn=domain.arn,
        start_fragment_number=after,
        consent=carried,
        pipeline_statuses=_TAKES_TASKS,
        active_limit=context.quotas.active_tasks,
    )
    context.pipeline_moves.begin_task(unit, caller.scope, pipeline)
    caller.record(unit, f"{pipeline.arn}/{task_id}")
    return task


def _require_speaker_search(pipeline: Pipeline) -> None:
    if not searches_speakers(pipeline.configuration):
        raise BadRequest(
            "the pipeline's configuration has no VoiceAnalyticsProcessor with SpeakerSearchStatus Enabled; "
            "update it and create another pipeline"
        )


def _channel(pipeline: Pipeline, wanted: Mapping[str, Any] | None) -> tuple[str, int, str | None]:
    """Return the stream, the channel and the fragment to begin after. Raise BadRequest for those of no source."""
    source: Any = pipeline.source.get(LIVE) or {}  # `Any`: as above
    known = {
        (stream["StreamArn"], channel["ChannelId"]): stream.get("FragmentNumber")
        for stream in source.get("Streams", ())
        for channel in _channels(stream["StreamChannelDefinition"])
    }
    if wanted is None:
        if len(known) != 1:
            raise BadRequest(
                "the pipeline has several channels; choose one by KinesisVideoStreamSourceTaskConfiguration"
            )
        ((stream_arn, channel_id), after) = next(iter(known.items()))
        return stream_arn, channel_id, after
    chosen = wanted["StreamArn"], wanted["ChannelId"]
    if chosen not in known:
        raise BadRequest("the stream and channel are not of this pipeline; name one of its source's")
    return *chosen, wanted.get("FragmentNumber") or known[chosen]


def _channels(definition: Mapping[str, Any]) -> list[dict[str, int]]:
    """Return the channels of a stream: those that are defined, or all by number."""
    return definition.get("ChannelDefinitions") or [
        {"ChannelId": channel} for channel in range(definition["NumberOfChannels"])
    ]


def _pipeline(records: Store | Unit, caller: Caller, params: Params) -> Pipeline:
    found = records.pipelines.get(caller.scope, params["Identifier"])
    return require(found, "the media insights pipeline does not exist in this account and Region; look at its id")


def _item(task: SpeakerSearchTask) -> WorkItem:
    return WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id)


def _described(task: SpeakerSearchTask | SpeakerSearchTaskState) -> dict[str, object]:
    return {
        "SpeakerSearchTaskId": task.task_id,
        "SpeakerSearchTaskStatus": task.status.value,
        "CreatedTimestamp": task.created_at,
        "UpdatedTimestamp": task.updated_at,
    }
