"""Supervise pipelines: stop those whose time is over or whose audio has ended.

The conditions are AWS's (managing-call-analytics-pipelines): no new fragment on any one of its streams for 15 s, eight
hours since its creation, two hours of pause. A pipeline without a running task has no audio to miss.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from earwitness.errors import Conflict
from earwitness.store.records import Pipeline, Scope, ScopedPipeline
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.voice.pipeline_status import PipelineStatus

SILENT_AFTER = timedelta(seconds=15)
OVER_AFTER = timedelta(hours=8)
PAUSED_AFTER = timedelta(hours=2)

_PAGE = 500

_log = logging.getLogger("earwitness.supervise")


class Supervisor:
    """Looks at all active pipelines, once a call. Each look reads and writes records, so it belongs in a thread."""

    def __init__(
        self,
        store: Store,
        *,
        steering: PipelineMoves,
        last_arrival: Callable[[str], datetime | None],
        hears_all: Callable[[Scope], bool],
        started_at: datetime,
    ) -> None:
        """`last_arrival` tells when the last fragment of a stream came to this process, by its ARN; none is missed
        before `started_at`. `hears_all` tells whether all fragments of an account's streams come by here; of other
        streams only those are missed that a task listens to."""
        self._store = store
        self._steering = steering
        self._last_arrival = last_arrival
        self._hears_all = hears_all
        self._started_at = started_at

    def look(self, now: datetime) -> int:
        """Stop what is to be stopped; how many were. Raises StoreUnavailable."""
        stopped, after = 0, None
        while True:
            page = self._store.pipelines.list_active_everywhere(after=after, limit=_PAGE)
            for entry in page.items:
                reason = self._reason(entry, now)
                if reason is not None:
                    self._stop(entry, reason)
                    stopped += 1
            after = page.next_key
            if after is None:
                return stopped

    def _reason(self, entry: ScopedPipeline, now: datetime) -> str | None:
        pipeline = entry.pipeline
        if pipeline.status == PipelineStatus.STOPPING:
            idle = not self._store.tasks.count_active(entry.scope, pipeline_id=pipeline.pipeline_id)
            return "its last task has ended" if idle else None
        if now - pipeline.created_at >= OVER_AFTER:
            return "it is eight hours old"
        if pipeline.paused_at is not None:
            return "it was paused for two hours" if now - pipeline.paused_at >= PAUSED_AFTER else None
        if pipeline.status in (PipelineStatus.IN_PROGRESS, PipelineStatus.INITIALIZING):
            return self._silence(entry, now)
        return None

    def _silence(self, entry: ScopedPipeline, now: datetime) -> str | None:
        """Whether one of its streams has been without a fragment for too long, since its latest task began at most."""
        arrivals = [self._last_arrival(arn) for arn in stream_arns(entry.pipeline)]
        if all(last is not None and now - last < SILENT_AFTER for last in arrivals):
            return None
        tasks = self._store.tasks.list(entry.scope, entry.pipeline.pipeline_id, limit=1).items
        if not tasks or tasks[0].ended_at is not None:
            return None
        since = max(tasks[0].created_at, self._started_at)
        if not self._hears_all(entry.scope):
            arrivals = [self._last_arrival(tasks[0].stream_arn)]
        silent = any(now - max(since, last or since) >= SILENT_AFTER for last in arrivals)
        return "its audio has ended" if silent else None

    def _stop(self, entry: ScopedPipeline, reason: str) -> None:
        def work(unit: Unit) -> Pipeline | None:
            pipeline = unit.pipelines.get(entry.scope, entry.pipeline.pipeline_id)
            if pipeline is None:
                return None
            if pipeline.status == PipelineStatus.STOPPING:
                return self._steering.end_if_idle(unit, entry.scope, pipeline)
            return self._steering.stop(unit, entry.scope, pipeline)

        try:
            pipeline = self._store.write(work)
        except Conflict:
            return  # somebody else moved it just now; the next look sees where it is
        if pipeline is not None:
            _log.info("a pipeline was stopped", extra={"pipeline_id": pipeline.pipeline_id, "reason": reason})
            self._steering.told(pipeline)


def stream_arns(pipeline: Pipeline) -> list[str]:
    """The streams of a live source."""
    # `Any`: the runtime configuration as the caller sent it, validated then.
    source: Any = pipeline.source.get("KinesisVideoStreamSourceRuntimeConfiguration") or {}
    return [stream["StreamArn"] for stream in source.get("Streams", ())]
