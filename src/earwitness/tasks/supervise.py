"""The moves of pipelines that nobody asks for: those whose time is over or whose audio has ended are stopped.

The conditions are AWS's (managing-call-analytics-pipelines): no new fragment on any one of its streams for 15 s, eight
hours since its creation, two hours of pause. A pipeline without a running task has no audio to miss.

Silence begins anew with a fragment, a task, a start of this process and a move to this node, so a pipeline in which one
of them was seen cannot be silent for the next 15 s, whatever else happens to it. Until then it is not looked at, and
afterwards its records are read only if no fragment has come. Which pipelines there are is read every ten seconds.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from earwitness.errors import Conflict
from earwitness.store.pages import all_records
from earwitness.store.records import Pipeline, Scope, ScopedPipeline
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import PipelineMoves, stream_arns
from earwitness.voice.pipeline_status import ENDED, PipelineStatus

SILENT_AFTER = timedelta(seconds=15)
OVER_AFTER = timedelta(hours=8)
PAUSED_AFTER = timedelta(hours=2)
JUMP_MIN = timedelta(seconds=5)
"""By how much the clock must have gone ahead or back between two looks to be taken as set. A look that has to wait for
a thread is late by less."""

LIST_SECONDS = 10.0
"""How often it is read which pipelines have running tasks: more often than one of them could become silent."""

_HEARS = (PipelineStatus.IN_PROGRESS, PipelineStatus.INITIALIZING)

_log = logging.getLogger("earwitness.supervise")


@dataclass(slots=True)
class _Watched:
    """A pipeline with running tasks."""

    scope: Scope
    #: Before this time it cannot be silent.
    not_before: datetime
    #: Its streams; empty until its record was read.
    streams: Sequence[str] = ()


class Supervisor:
    """Looks at active pipelines. Each look reads and writes records, so it belongs in a thread; one at a time."""

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
        self._watched: dict[str, _Watched] = {}  # by pipeline
        self._listed_at: float | None = None
        self._changed: set[str] = set()
        self._looked: tuple[datetime, float] | None = None  # when the last look was, by both clocks
        self._jumped: dict[str, timedelta] = {}  # by pipeline: how far the clock was set ahead during its life
        self._jumped_at = float("-inf")

    def changed(self, pipeline_id: str) -> None:
        """Have a pipeline looked at whose streams may be others now. From any thread."""
        self._changed.add(pipeline_id)

    def look_at_running(self, node_id: str | None, now: datetime) -> int:
        """Stop the pipelines whose audio has ended, among those whose tasks a node runs, or all with None.

        Return how many were stopped. Raise StoreUnavailable.
        """
        self._notice_a_jump(now)
        self._list(node_id, now)
        while self._changed:
            watched = self._watched.get(self._changed.pop())
            if watched is not None:
                watched.not_before, watched.streams = now, ()
        due = [key for key, watched in self._watched.items() if watched.not_before <= now]
        began, stopped = self._monotonic(), 0
        for pipeline_id in due:
            # Time passes while thousands are looked at, and fragments come.
            passed = timedelta(seconds=self._monotonic() - began)
            stopped += self._look_at(pipeline_id, self._watched[pipeline_id], now + passed)
        return stopped

    def look_for_overdue(self, now: datetime) -> int:
        """Stop the pipelines whose time is over, and end those whose last task has ended; for one of all nodes.

        Return how many there were. Raise StoreUnavailable.
        """
        self._notice_a_jump(now)
        # Pipelines older than a clock that was set back are younger by it.
        set_back = min([*self._jumped.values(), timedelta()])
        old, paused = now - OVER_AFTER - set_back, now - PAUSED_AFTER - set_back
        read = partial(self._store.pipelines.list_overdue, created_by=old, paused_by=paused)
        stopped = 0
        for entry in list(all_records(read)):
            reason = self._over(entry, now)
            if reason is not None:
                self._stop(entry, reason)
                stopped += 1
        return stopped

    def _list(self, node_id: str | None, now: datetime) -> None:
        read, before = self._monotonic(), self._listed_at
        if before is not None and read - before < LIST_SECONDS:
            return
        # What was not there at the last reading has come here since, or begun: its silence counts from then at most.
        last_read = self._started_at if before is None else now - timedelta(seconds=read - before)
        known, not_before = self._watched, last_read + SILENT_AFTER
        self._watched = {
            pipeline_id: known.get(pipeline_id) or _Watched(scope, not_before=not_before)
            for scope, pipeline_id in self._store.pipelines.running(node_id)
        }
        self._listed_at = read

    def _notice_a_jump(self, now: datetime) -> None:
        """Where the clock was set, or the machine slept, no time has passed for calls: silence counts from now on."""
        read, before = self._monotonic(), self._looked
        self._looked = now, read
        if read - self._jumped_at >= OVER_AFTER.total_seconds():
            self._jumped = {}  # all that were active then are over
        if before is None:
            return
        jump = (now - before[0]) - timedelta(seconds=read - before[1])
        if abs(jump) < JUMP_MIN:
            return
        _log.warning("the clock was set, or the machine slept", extra={"seconds": jump.total_seconds()})
        self._started_at, self._jumped_at = now, read
        ids = [entry.pipeline.pipeline_id for entry in all_records(self._store.pipelines.list_active_everywhere)]
        self._jumped = {each: self._jumped.get(each, timedelta()) + jump for each in ids}
        for watched in self._watched.values():
            watched.not_before = now + SILENT_AFTER

    def _over(self, entry: ScopedPipeline, now: datetime) -> str | None:
        """Return why a pipeline ends whatever its audio does."""
        pipeline = entry.pipeline
        if pipeline.status == PipelineStatus.STOPPING:
            idle = not self._store.tasks.count_active(entry.scope, pipeline_id=pipeline.pipeline_id)
            return "its last task has ended" if idle else None
        if self._passed(pipeline.created_at, pipeline, now) >= OVER_AFTER:
            return "it is eight hours old"
        if pipeline.paused_at is not None and self._passed(pipeline.paused_at, pipeline, now) >= PAUSED_AFTER:
            return "it was paused for two hours"
        return None

    def _passed(self, moment: datetime, pipeline: Pipeline, now: datetime) -> timedelta:
        """Return how much time has passed since, without what the clock was set ahead meanwhile."""
        return now - moment - self._jumped.get(pipeline.pipeline_id, timedelta())

    def _look_at(self, pipeline_id: str, watched: _Watched, now: datetime) -> bool:
        """Stop a pipeline if its audio has ended; return whether it was. Otherwise note until when it cannot have."""
        if (heard_until := self._heard_until(watched.scope, watched.streams, now)) is not None:
            watched.not_before = heard_until
            return False
        pipeline = self._store.pipelines.get(watched.scope, pipeline_id)
        if pipeline is None or pipeline.status in ENDED:
            del self._watched[pipeline_id]
            return False
        watched.streams, silent_at = stream_arns(pipeline), None
        if pipeline.status in _HEARS:
            heard_until = self._heard_until(watched.scope, watched.streams, now)
            silent_at = heard_until or self._silent_at(watched, pipeline_id, now)
        watched.not_before = silent_at or now + SILENT_AFTER  # where no task is missed, one must be started first
        if watched.not_before > now:
            return False
        self._stop(ScopedPipeline(scope=watched.scope, pipeline=pipeline), "its audio has ended")
        return True

    def _heard_until(self, scope: Scope, streams: Sequence[str], now: datetime) -> datetime | None:
        """Return until when none of these streams is silent; None when one is, or fragments say nothing of it."""
        heard: list[datetime] = []
        for arn in streams:
            last = self._arrival(arn, now)
            if last is not None and now - last < SILENT_AFTER:
                heard.append(last)
            elif self._comes_here(scope, arn):
                return None
        return min(heard) + SILENT_AFTER if heard else None

    def _silent_at(self, watched: _Watched, pipeline_id: str, now: datetime) -> datetime | None:
        """Return when a stream of a pipeline has been silent for too long since its latest task began, at the earliest.

        None when that task has ended, or no stream of it comes here.
        """
        tasks = self._store.tasks.list(watched.scope, pipeline_id, limit=1).items
        if not tasks or tasks[0].ended_at is not None:
            return None
        created = tasks[0].created_at
        since = max(created, self._started_at) if created <= now else self._started_at
        missed = [arn for arn in watched.streams if self._comes_here(watched.scope, arn)]
        if not self._hears_all(watched.scope):
            missed = [tasks[0].stream_arn]
        arrivals = [self._arrival(arn, now) for arn in missed]
        return min((max(since, last or since) + SILENT_AFTER for last in arrivals), default=None)

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
