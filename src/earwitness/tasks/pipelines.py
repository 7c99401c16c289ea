"""Steer pipelines: every move of a pipeline, what it does to its tasks, and the event that tells of it, in one unit."""

from collections.abc import Callable
from datetime import datetime

from earwitness.store.columns import JsonObject
from earwitness.store.records import Pipeline, Scope
from earwitness.store.store import Unit
from earwitness.tasks.report import envelope_of
from earwitness.voice.events import ElementState, EventKind, PipelineFacts, StateChange, event_body, state_change
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

_TASKS_LOOKED_AT_MAX = 1_000
"""The latest tasks of a pipeline; nobody starts more on one call."""


class PipelineMoves:
    """Moves pipelines. Its methods run inside a unit, `told` after that is durable."""

    def __init__(
        self,
        *,
        targets_of: Callable[[Pipeline, EventKind], tuple[str, ...]],
        new_id: Callable[[], str],
        pipeline_changed: Callable[[str], None],
    ) -> None:
        """`pipeline_changed` makes the workers of a pipeline's tasks look at their records, and events go out."""
        self._targets_of = targets_of
        self._new_id = new_id
        self._pipeline_changed = pipeline_changed

    def begin_task(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> None:
        """A task was started."""
        self.move(unit, scope, pipeline, PipelineMove.START_TASK)

    def hear(self, unit: Unit, scope: Scope, pipeline: Pipeline) -> None:
        """A task has its audio; nothing happens to a pipeline that is beyond that."""
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
        tasks = unit.tasks.list(scope, pipeline.pipeline_id, limit=_TASKS_LOOKED_AT_MAX).items
        failed = bool(tasks) and all(task.status is TaskStatus.FAILED for task in tasks)
        return self.move(unit, scope, pipeline, PipelineMove.FAIL if failed else PipelineMove.END)

    def move(self, unit: Unit, scope: Scope, pipeline: Pipeline, move: PipelineMove) -> Pipeline:
        """Make one move and tell of it. Conflict when it may not happen, or somebody else moved it meanwhile."""
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
        if after.status in _CHANGES and after.status != before.status:
            self._tell(unit, scope, changed, _CHANGES[after.status])
        return changed

    def told(self, pipeline: Pipeline) -> None:
        """What was written is durable: let those know whom it concerns."""
        self._pipeline_changed(pipeline.pipeline_id)

    def _tell(self, unit: Unit, scope: Scope, pipeline: Pipeline, change: StateChange) -> None:
        event_id = self._new_id()
        state = PipelineFacts(
            pipeline_arn=pipeline.arn,
            change=change,
            elements=[_element(element, unit.now) for element in pipeline.element_statuses],
            runtime_metadata={key: str(value) for key, value in (pipeline.runtime_metadata or {}).items()},
        )
        unit.events.append(
            scope,
            event_id=event_id,
            pipeline_id=pipeline.pipeline_id,
            kind=EventKind.STATE_CHANGE.value,
            body=event_body(state_change(envelope_of(scope, event_id=event_id, now=unit.now), state)),
            targets=self._targets_of(pipeline, EventKind.STATE_CHANGE),
        )


def _element(element: JsonObject, now: datetime) -> ElementState:
    return ElementState(type=str(element["Type"]), status=str(element["Status"]), updated_at=now)


def state_of(pipeline: Pipeline) -> PipelineState:
    """Where a pipeline is, as its record says."""
    elements = [
        Element(type=str(one["Type"]), status=ElementStatus(str(one["Status"]))) for one in pipeline.element_statuses
    ]
    return PipelineState(status=PipelineStatus(pipeline.status), elements=tuple(elements))


def kept_elements(state: PipelineState) -> list[JsonObject]:
    """The elements as the store keeps and the wire tells them."""
    return [{"Type": element.type, "Status": element.status.value} for element in state.elements]
