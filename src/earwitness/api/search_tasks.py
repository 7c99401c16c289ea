"""Speaker search tasks of media insights pipelines: start, get, stop."""

from collections.abc import Callable, Mapping
from typing import Any

from earwitness.access.caller import Caller, Handler
from earwitness.access.once import once
from earwitness.config.settings import Quotas
from earwitness.errors import BadRequest, Conflict, NotFound
from earwitness.store.records import Pipeline
from earwitness.store.search_records import SpeakerSearchTask, SpeakerSearchTaskState
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.work import Work, WorkItem
from earwitness.voice.pipeline_status import PipelineStatus
from earwitness.voice.task_status import StopReason
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

TAKES_TASKS = frozenset((PipelineStatus.NOT_STARTED, PipelineStatus.INITIALIZING, PipelineStatus.IN_PROGRESS))
"""Pipelines that a task may be started on."""


class SearchTasks:
    """The three operations on speaker search tasks."""

    def __init__(
        self,
        *,
        store: Store,
        work: Work,
        quotas: Quotas,
        new_id: Callable[[], str],
        steering: PipelineMoves,
    ) -> None:
        self._store = store
        self._work = work
        self._quotas = quotas
        self._new_id = new_id
        self._steering = steering

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "StartSpeakerSearchTask": self.start,
            "GetSpeakerSearchTask": self.get,
            "StopSpeakerSearchTask": self.stop,
        }

    def start(self, caller: Caller, params: Params) -> Result:
        """Begin to listen to one channel; at 10 s of its speech the domain is searched."""
        task_id = self._new_id()

        def work(unit: Unit) -> SpeakerSearchTask:
            pipeline = _pipeline(unit.pipelines.get(caller.scope, params["Identifier"]))
            return once(
                unit,
                caller,
                params,
                within=pipeline.pipeline_id,
                reference=task_id,
                create=lambda: self._create(unit, caller, params, pipeline, task_id),
                find=lambda made: unit.tasks.get(caller.scope, made),
            )

        task = self._store.write(work)
        self._work.submit(_item(task))
        return {"SpeakerSearchTask": _described(task)}

    def get(self, caller: Caller, params: Params) -> Result:
        """Its status; results go to the pipeline's sinks, as at AWS."""
        pipeline, task_id = params["Identifier"], params["SpeakerSearchTaskId"]
        task = self._store.tasks.get_state(caller.scope, task_id, pipeline=pipeline)
        if task is None:
            self._pipeline_id(caller, pipeline)  # which of the two is missing?
            raise _no_task()
        return {"SpeakerSearchTask": _described(task)}

    def stop(self, caller: Caller, params: Params) -> Result:
        """Stop listening; results that are missing are not reported."""
        pipeline_id = self._pipeline_id(caller, params["Identifier"])

        def work(unit: Unit) -> SpeakerSearchTask:
            stopped = unit.tasks.request_stop(
                caller.scope, params["SpeakerSearchTaskId"], reason=StopReason.CALLER, pipeline_id=pipeline_id
            )
            task = _task(stopped, pipeline_id)
            caller.record(unit, f"{caller.arn('chime', f'media-pipeline/{pipeline_id}')}/{task.task_id}")
            return task

        self._work.changed(_item(self._store.write(work)))
        return {}

    def _create(
        self, unit: Unit, caller: Caller, params: Params, pipeline: Pipeline, task_id: str
    ) -> SpeakerSearchTask:
        _require_speaker_search(pipeline)
        if pipeline.status not in TAKES_TASKS:
            raise Conflict(f"the pipeline is {pipeline.status} and takes no tasks; resume it, or create another")
        account_id = caller.scope.account_id
        self._work.require_room(account_id, is_alone=unit.access_keys.is_only_account(account_id))
        domain = unit.domains.get(caller.scope, params["VoiceProfileDomainArn"])
        if domain is None:
            raise NotFound("the voice profile domain does not exist; look at its ARN")
        stream_arn, channel_id, after = _channel(pipeline, params.get("KinesisVideoStreamSourceTaskConfiguration"))
        task = unit.tasks.create(
            caller.scope,
            task_id=task_id,
            pipeline_id=pipeline.pipeline_id,
            stream_arn=stream_arn,
            channel_id=channel_id,
            domain_id=domain.domain_id,
            domain_arn=domain.arn,
            start_fragment_number=after,
            pipeline_statuses=TAKES_TASKS,
            active_limit=self._quotas.active_tasks,
        )
        self._steering.begin_task(unit, caller.scope, pipeline)
        caller.record(unit, f"{pipeline.arn}/{task_id}")
        return task

    def _pipeline_id(self, caller: Caller, id_or_arn: str) -> str:
        return _pipeline(self._store.pipelines.get(caller.scope, id_or_arn)).pipeline_id


def _require_speaker_search(pipeline: Pipeline) -> None:
    elements: Any = pipeline.configuration["Elements"]  # `Any`: as the caller sent them, validated then
    for element in elements:
        processor: Mapping[str, str] = element.get("VoiceAnalyticsProcessorConfiguration") or {}
        if element["Type"] == "VoiceAnalyticsProcessor" and processor.get("SpeakerSearchStatus") == "Enabled":
            return
    raise BadRequest(
        "the pipeline's configuration has no VoiceAnalyticsProcessor with SpeakerSearchStatus Enabled; "
        "update it and create another pipeline"
    )


def _channel(pipeline: Pipeline, wanted: Mapping[str, Any] | None) -> tuple[str, int, str | None]:
    """The stream, the channel and the fragment to begin after. BadRequest when they are not the pipeline's."""
    source: Any = pipeline.source.get("KinesisVideoStreamSourceRuntimeConfiguration") or {}  # `Any`: as above
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
    """The channels of a stream: those that are defined, or all by number."""
    return definition.get("ChannelDefinitions") or [
        {"ChannelId": channel} for channel in range(definition["NumberOfChannels"])
    ]


def _pipeline(pipeline: Pipeline | None) -> Pipeline:
    if pipeline is None:
        raise NotFound("the media insights pipeline does not exist; look at its id")
    return pipeline


def _task(task: SpeakerSearchTask | None, pipeline_id: str) -> SpeakerSearchTask:
    if task is None or task.pipeline_id != pipeline_id:
        raise _no_task()
    return task


def _no_task() -> NotFound:
    return NotFound("this pipeline has no speaker search task of this id; tasks are kept for seven days")


def _item(task: SpeakerSearchTask) -> WorkItem:
    return WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id)


def _described(task: SpeakerSearchTask | SpeakerSearchTaskState) -> dict[str, object]:
    return {
        "SpeakerSearchTaskId": task.task_id,
        "SpeakerSearchTaskStatus": task.status.value,
        "CreatedTimestamp": task.created_at,
        "UpdatedTimestamp": task.updated_at,
    }
