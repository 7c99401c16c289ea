"""Moves of pipelines: what each does to the tasks, and the event that tells of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from earwitness.store.columns import JsonObject
from earwitness.store.records import Pipeline, Scope
from earwitness.store.store import Unit
from earwitness.tasks.events import EventPublisher, live_source_of
from earwitness.voice.events import ElementState, EventKind, PipelineFacts, StateChange, state_change
from earwitness.voice.pipeline_status import (
    ENDED,
    Element,
    ElementStatus,
    PipelineMove,
    PipelineState,
    PipelineStatus,
    next_state,
)
from earwitness.voice.task_status import StopReason, TaskStatus

_CHANGES = {
    PipelineStatus.IN_PROGRESS: StateChange.IN_PROGRESS,
    PipelineStatus.PAUSED: StateChange.PAUSED,
    PipelineStatus.STOPPED: StateChange.STOPPED,
    PipelineStatus.FAILED: StateChange.PERMANENT_FAILURE,
}
"""What is told of a new status; AWS has no event for the others."""

TASKS_LOOKED_AT_MAX = 1_000
"""The latest tasks of a pipeline; nobody starts more on one call."""

SUMMARY_AFTER = timedelta(minutes=5)
"""When what came of a call is summed up, after its end (va-notification-targets)."""


class PipelineMoves:
    """Moves pipelines. Its methods run inside a unit; call `notify` after that is durable."""

    def __init__(
        self,
        events: EventPublisher,
        *,
        pipeline_changed: Callable[[str], None],
    ) -> None:
        """`pipeline_changed` makes the workers of a pipeline's tasks look at their records, and events go out."""
        self._events = events
        self._pipeline_changed = pipeline_changed

    def begin_task(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> None:
        """Note that a task was started."""
        self.move(unit, scope, pipeline, PipelineMove.START_TASK)

    def hear(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> None:
        """Note that a task has its audio; nothing happens to a pipeline that is beyond that."""
        if pipeline.status in (PipelineStatus.NOT_STARTED, PipelineStatus.INITIALIZING):
            self.move(unit, scope, pipeline, PipelineMove.OPEN_MEDIA)

    def pause(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> Pipeline:
        """Stop its tasks, for good, and take no audio until a resume."""
        paused = self.move(unit, scope, pipeline, PipelineMove.PAUSE)
        unit.tasks.request_stop_of_pipeline(scope, pipeline.pipeline_id, reason=StopReason.PIPELINE_PAUSED)
        return paused

    def resume(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> Pipeline:
        """Take audio again; tasks must be started anew."""
        return self.move(unit, scope, pipeline, PipelineMove.RESUME)

    def stop(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> Pipeline:
        """Begin to stop; it has ended when its last task has, which may be now."""
        unit.use_reserve()
        stopping = self.move(unit, scope, pipeline, PipelineMove.STOP)
        unit.tasks.request_stop_of_pipeline(scope, pipeline.pipeline_id, reason=StopReason.PIPELINE_STOPPED)
        return self.end_if_idle(unit, scope, stopping)

    def end_if_idle(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> Pipeline:
        """End a pipeline that is stopping and has no active task left; Failed when every task it had failed."""
        if pipeline.status != PipelineStatus.STOPPING:
            return pipeline
        if unit.tasks.count_active(scope, pipeline_id=pipeline.pipeline_id):
            return pipeline
        unit.use_reserve()
        tasks = unit.tasks.list(scope, pipeline.pipeline_id, limit=TASKS_LOOKED_AT_MAX).items
        failed = bool(tasks) and all(task.status is TaskStatus.FAILED for task in tasks)
        return self.move(unit, scope, pipeline, PipelineMove.FAIL if failed else PipelineMove.END)

    def move(self, unit: Unit, scope: Scope, pipeline: Pipeline, move: PipelineMove) -> Pipeline:
        """Make one move and write its event. Raise Conflict when it may not happen, or somebody else was faster."""
        before = state_of(pipeline)
        after = next_state(before, move)
        if after == before:
            return pipeline
        changed = unit.pipelines.change_status(
            scope,
            pipeline.pipeline_id,
            expected=[pipeline.status],
            status=after.status.value,
            element_statuses=kept_elements(after),
            paused_at=unit.now if after.status is PipelineStatus.PAUSED else None,
            ended_at=unit.now if after.status in ENDED else None,
        )
        if changed is None:
            return pipeline
        if after.status in ENDED:
            unit.summaries.owe(scope, pipeline.pipeline_id, due_at=unit.now + SUMMARY_AFTER)
        if after.status in _CHANGES and after.status != before.status:
            self._append_event(unit, scope, changed, _CHANGES[after.status])
        return changed

    def notify(self, pipeline: Pipeline) -> None:
        """Let those know whom a change concerns, after it is durable."""
        self._pipeline_changed(pipeline.pipeline_id)

    def _append_event(self, unit: Unit, scope: Scope, pipeline: Pipeline, change: StateChange) -> None:
        facts = PipelineFacts(
            pipeline_arn=pipeline.arn,
            change=change,
            elements=[_element(element, unit.now) for element in pipeline.element_statuses],
            runtime_metadata={key: str(value) for key, value in (pipeline.runtime_metadata or {}).items()},
        )
        self._events.append(
            unit, scope, pipeline, EventKind.STATE_CHANGE, lambda envelope: state_change(envelope, facts)
        )


def _element(element: JsonObject, now: datetime) -> ElementState:
    return ElementState(type=str(element["Type"]), status=str(element["Status"]), updated_at=now)


def searches_speakers(configuration: JsonObject) -> bool:
    """Return whether pipelines of this configuration take speaker search tasks."""
    elements: Any = configuration["Elements"]  # `Any`: as the caller sent them, validated then
    processors = [element for element in elements if element["Type"] == "VoiceAnalyticsProcessor"]
    options: list[Mapping[str, str]] = [one.get("VoiceAnalyticsProcessorConfiguration") or {} for one in processors]
    return any(option.get("SpeakerSearchStatus") == "Enabled" for option in options)


def state_of(pipeline: Pipeline) -> PipelineState:
    """Return where a pipeline is, as its record says."""
    elements = [
        Element(type=str(one["Type"]), status=ElementStatus(str(one["Status"]))) for one in pipeline.element_statuses
    ]
    return PipelineState(status=PipelineStatus(pipeline.status), elements=tuple(elements))


def kept_elements(state: PipelineState) -> list[JsonObject]:
    """Return the elements as the store keeps them and as the API shows them."""
    return [{"Type": element.type, "Status": element.status.value} for element in state.elements]


def stream_arns(pipeline: Pipeline) -> list[str]:
    """Return the ARNs of the streams of a live source."""
    return [stream["StreamArn"] for stream in live_source_of(pipeline).get("Streams", ())]
