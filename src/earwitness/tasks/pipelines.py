"""Moves of pipelines: what each does to the tasks, the event that tells of it, and the moves that nobody asks for.

The supervisor stops pipelines whose time is over or whose audio has ended. The conditions are AWS's
(managing-call-analytics-pipelines): no new fragment on any one of its streams for 15 s, eight hours since its creation,
two hours of pause. A pipeline without a running task has no audio to miss.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from earwitness.errors import Conflict
from earwitness.store.columns import JsonObject
from earwitness.store.pages import ReadPage, all_records
from earwitness.store.records import Pipeline, Scope, ScopedPipeline
from earwitness.store.store import Store, Unit
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


SILENT_AFTER = timedelta(seconds=15)
OVER_AFTER = timedelta(hours=8)
PAUSED_AFTER = timedelta(hours=2)
JUMP_MIN = timedelta(seconds=5)
"""By how much the clock must have gone ahead or back between two looks to be taken as set. A look that has to wait for
a thread is late by less."""

_log = logging.getLogger("earwitness.supervise")


class Supervisor:
    """Looks at all active pipelines, once a call. Each look reads and writes records, so it belongs in a thread."""

    def __init__(
        self,
        store: Store,
        *,
        moves: PipelineMoves,
        last_arrival: Callable[[str], datetime | None],
        hears_all: Callable[[Scope], bool],
        started_at: datetime,
        comes_here: Callable[[Scope, str], bool] = lambda scope, arn: True,  # noqa: ARG005  one process hears all
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`last_arrival` tells when the last fragment of a stream came to this process, by its ARN; none is missed
        before `started_at`. `hears_all` tells whether all fragments of an account's streams come by here; of other
        streams only those are missed that a task listens to. `comes_here` tells whether a stream's fragments come to
        this node, or to none."""
        self._store = store
        self._moves = moves
        self._last_arrival = last_arrival
        self._hears_all = hears_all
        self._started_at = started_at
        self._comes_here = comes_here
        self._monotonic = monotonic
        self._looked: tuple[datetime, float] | None = None  # when the last look was, by both clocks
        self._jumped: dict[str, timedelta] = {}  # by pipeline: how far the clock was set ahead during its life

    def look(self, now: datetime) -> int:
        """Stop what is to be stopped, and return how many were. Raise StoreUnavailable."""
        return self._look_at(self._store.pipelines.list_active_everywhere, now)

    def look_at_node(self, node_id: str, now: datetime) -> int:
        """Do the same for the pipelines whose tasks a node runs."""
        return self._look_at(partial(self._store.pipelines.list_of_node, node_id), now)

    def look_for_all(self, now: datetime) -> int:
        """Do the same for the pipelines that have no task any more, or whose time is over; for one of all nodes."""
        old, paused = now - OVER_AFTER, now - PAUSED_AFTER
        return self._look_at(partial(self._store.pipelines.list_overdue, created_by=old, paused_by=paused), now)

    def _look_at(self, read: ReadPage[ScopedPipeline], now: datetime) -> int:
        stopped = 0
        entries = list(all_records(read))
        self._notice_a_jump(now, entries)
        for entry in entries:
            reason = self._reason(entry, now)
            if reason is not None:
                self._stop(entry, reason)
                stopped += 1
        return stopped

    def _notice_a_jump(self, now: datetime, entries: Sequence[ScopedPipeline]) -> None:
        """Where the clock was set, or the machine slept, no time has passed for calls: silence counts from now on."""
        read, before = self._monotonic(), self._looked
        self._looked = now, read
        jump = timedelta()
        if before is not None:
            jump = (now - before[0]) - timedelta(seconds=read - before[1])
        if abs(jump) < JUMP_MIN:
            jump = timedelta()
        else:
            _log.warning("the clock was set, or the machine slept", extra={"seconds": jump.total_seconds()})
            self._started_at = now
        ids = [entry.pipeline.pipeline_id for entry in entries]
        totals = {each: self._jumped.get(each, timedelta()) + jump for each in ids}
        self._jumped = {each: total for each, total in totals.items() if total}

    def _passed(self, moment: datetime, pipeline: Pipeline, now: datetime) -> timedelta:
        """Return how much time has passed since, without what the clock was set ahead meanwhile."""
        return now - moment - self._jumped.get(pipeline.pipeline_id, timedelta())

    def _reason(self, entry: ScopedPipeline, now: datetime) -> str | None:
        pipeline = entry.pipeline
        if pipeline.status == PipelineStatus.STOPPING:
            idle = not self._store.tasks.count_active(entry.scope, pipeline_id=pipeline.pipeline_id)
            return "its last task has ended" if idle else None
        if self._passed(pipeline.created_at, pipeline, now) >= OVER_AFTER:
            return "it is eight hours old"
        if pipeline.paused_at is not None:
            paused = self._passed(pipeline.paused_at, pipeline, now)
            return "it was paused for two hours" if paused >= PAUSED_AFTER else None
        if pipeline.status in (PipelineStatus.IN_PROGRESS, PipelineStatus.INITIALIZING):
            return self._silence(entry, now)
        return None

    def _silence(self, entry: ScopedPipeline, now: datetime) -> str | None:
        """Return why a pipeline ends, if one of its streams was silent for too long since its latest task began."""
        heard = [arn for arn in stream_arns(entry.pipeline) if self._comes_here(entry.scope, arn)]
        arrivals = [self._arrival(arn, now) for arn in heard]
        if all(last is not None and now - last < SILENT_AFTER for last in arrivals):
            return None
        tasks = self._store.tasks.list(entry.scope, entry.pipeline.pipeline_id, limit=1).items
        if not tasks or tasks[0].ended_at is not None:
            return None
        created = tasks[0].created_at
        since = max(created, self._started_at) if created <= now else self._started_at
        if not self._hears_all(entry.scope):
            arrivals = [self._arrival(tasks[0].stream_arn, now)]
        silent = any(now - max(since, last or since) >= SILENT_AFTER for last in arrivals)
        return "its audio has ended" if silent else None

    def _arrival(self, stream_arn: str, now: datetime) -> datetime | None:
        """Return when a stream last had a fragment; None too where a clock that was set back since says later."""
        last = self._last_arrival(stream_arn)
        return None if last is None or last > now + JUMP_MIN else last

    def _stop(self, entry: ScopedPipeline, reason: str) -> None:
        def work(unit: Unit) -> Pipeline | None:
            pipeline = unit.pipelines.get(entry.scope, entry.pipeline.pipeline_id)
            if pipeline is None:
                return None
            if pipeline.status == PipelineStatus.STOPPING:
                return self._moves.end_if_idle(unit, entry.scope, pipeline)
            return self._moves.stop(unit, entry.scope, pipeline)

        try:
            pipeline = self._store.write(work)
        except Conflict:
            return  # somebody else moved it just now; the next look sees where it is
        if pipeline is not None:
            _log.info("a pipeline was stopped", extra={"pipeline_id": pipeline.pipeline_id, "reason": reason})
            self._moves.notify(pipeline)


def stream_arns(pipeline: Pipeline) -> list[str]:
    """Return the ARNs of the streams of a live source."""
    return [stream["StreamArn"] for stream in live_source_of(pipeline).get("Streams", ())]
