"""Everything that goes on without being asked, on the server's event loop and in threads beside it.

`start` and `stop` are called on the loop, `start` before anything else; the rest may be called from any thread.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from earwitness.engine.turns import Turns
from earwitness.engine.voice_models import VoiceModels
from earwitness.errors import EarwitnessError, Unavailable
from earwitness.fragments.budget import Budget
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.media.origins import MediaOrigins, OriginSettings
from earwitness.media.streams import MediaLimits, MediaRates, MediaStreams
from earwitness.metrics.registry import Metrics
from earwitness.nodes.homes import StreamHomes, StreamKey
from earwitness.nodes.own import OwnNode
from earwitness.store.pages import all_records_in_thread
from earwitness.store.records import KinesisStream, Scope, SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.tasks.call_events import CallEvents
from earwitness.tasks.call_pipelines import CallPipelines
from earwitness.tasks.connector_calls import ConnectorCalls
from earwitness.tasks.deliver import THREADS, Deliverer
from earwitness.tasks.events import EventPublisher, Targets, TargetSettings
from earwitness.tasks.expire import MediaSweep, delete_old_streams, expire_quietly
from earwitness.tasks.jobs import JobWorker
from earwitness.tasks.kept_media import KeptMedia
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.recordings import RecordingLimits, RecordingWork
from earwitness.tasks.regular import RegularWork, end_all, until_done
from earwitness.tasks.retrying import Retrying
from earwitness.tasks.runner import TaskRunner, WorkItem
from earwitness.tasks.sharing import BURY_SECONDS, NOTES_SECONDS, TaskSharing
from earwitness.tasks.summaries import Summaries
from earwitness.tasks.supervise import Supervisor
from earwitness.tasks.withdrawing import WITHDRAW_SECONDS, Withdrawing
from earwitness.threads import ThreadPool
from earwitness.traces.traces import Traces
from earwitness.voice.events import DetailStatus
from earwitness.voice.line import LineLearning

if TYPE_CHECKING:
    from earwitness.tasks.attempt import ConcludeAttempt, TaskContext
    from earwitness.tasks.voting import Lines

ResultT = TypeVar("ResultT")

LOOK_SECONDS = 1.0
"""How often pipelines and the age of media are looked at."""

OWED_SECONDS = 10.0
"""How often ends of calls are written again that could not be."""

SUMMARY_SECONDS = 5.0  # how often calls are looked for whose summary is due
EXPIRE_SECONDS = 60.0

ARRIVALS_KEPT = timedelta(hours=1)
"""How long it is remembered when a stream last had a fragment; what is older is silent for every rule."""

SWEEP_SECONDS = 600.0
"""How often the media of streams that nobody opened are looked at. A glance at a stream and its record takes some
200 µs, so ten thousand streams take two seconds, in small pieces."""

_log = logging.getLogger("earwitness.background")


@dataclass(frozen=True, kw_only=True)
class BackgroundSettings:
    """What goes on in the background may take, and what it works with."""

    media_folder: Path
    #: how much of the disk media may take
    budget: Budget
    media_limits: MediaLimits
    media_rates: MediaRates
    origins: OriginSettings
    targets: TargetSettings
    #: threads that wait for the store
    threads: int
    #: threads that compute voiceprints
    inference_threads: int
    tasks_at_once: int
    voiceprint_spelling: DetailStatus
    keep_audio: bool
    #: whether domains learn their lines that were not told
    line_learning: LineLearning
    #: active pipelines of an account, those of calls among them
    active_pipelines: int
    #: how long a kept fragment waits for the word that this node still serves
    persist_wait_seconds: float
    recording_limits: RecordingLimits
    #: recordings of jobs that are worked on at one time
    job_items_at_once: int


@dataclass(frozen=True)
class _Running:
    """What there is from the start on."""

    loop: asyncio.AbstractEventLoop
    log: FragmentLog
    deliverer: Deliverer
    jobs: list[asyncio.Task[None]]
    regular: list[RegularWork]
    supervisor: Supervisor
    #: None where this process is the only one.
    sharing: TaskSharing | None


class Background:
    """Tasks, deliveries, supervision, expiry."""

    def __init__(
        self,
        settings: BackgroundSettings,
        store: Store,
        models: VoiceModels,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        metrics: Metrics,
        traces: Traces,
        node: OwnNode | None = None,
        conclude: "ConcludeAttempt | None" = None,
    ) -> None:
        """`node` is this process among others on the same records; None where it is the only one.

        `conclude` brings tasks to their end; None hears their streams.
        """
        self._conclude = conclude
        self._metrics, self._traces = metrics, traces
        self.budget, self._settings, self._store = settings.budget, settings, store
        self._node, self._clock, self._new_id = node, clock, new_id
        self._running: _Running | None = None  # before the start
        # Whether this process does what is done once for all nodes.
        self.keeps_house = node is None
        self._arrivals: dict[str, datetime] = {}
        self._lines: Lines | None = None  # before the first search
        self._opening_lines = Lock()
        self._inference = ThreadPool(settings.inference_threads, thread_name_prefix="earwitness inference")
        self._waiting = ThreadPool(settings.threads, thread_name_prefix="earwitness records")
        self._sending = ThreadPool(THREADS, thread_name_prefix="earwitness sender")
        self._targets = Targets(settings.targets, now=clock)
        self._events = EventPublisher(targets_of=self._targets.of, new_id=new_id)
        self.models = models
        self.notices, self.lags = Notices(), Lags()
        self.turns = Turns(settings.inference_threads)
        self.streams = MediaStreams(
            store, log=lambda: self._started().log, limits=settings.media_limits, rates=settings.media_rates
        )
        self.streams.metrics, self.streams.traces = metrics.media, traces
        self.sources = MediaOrigins(settings.origins, store, self.streams, run_in_thread=self._run_in_thread)
        self.work = TaskRunner(
            self._run_task,
            give_up=self._give_up_task,
            call_soon=self._call_soon,
            at_once_max=settings.tasks_at_once,
            require_ready=models.require_installed,
            retrying=Retrying(chance=random.random, monotonic=time.monotonic, sleep=asyncio.sleep),
        )
        self.moves = PipelineMoves(self._events, pipeline_changed=self._pipeline_changed)
        self.desk = self._connector_calls()
        self.recordings = RecordingWork(
            store,
            engine_of=models.engine,
            lines=self.lines,
            turns=self.turns,
            clock=clock,
            new_id=new_id,
            limits=settings.recording_limits,
            keep_audio=settings.keep_audio,
        )
        self.kept_media = KeptMedia(self.streams, self.run_on_loop)
        self._jobs = JobWorker(
            store,
            self.recordings,
            self.kept_media,
            at_once=settings.job_items_at_once,
            run_in_thread=self._run_in_thread,
            new_id=new_id,
            is_alone=self._node is None,  # one process serves the records
            metrics=self._metrics.jobs,
        )

    def _connector_calls(self) -> ConnectorCalls:
        events = CallEvents(self._events, targets_of_account=self._targets.of_account)
        active_max = self._settings.active_pipelines
        return ConnectorCalls(
            self._store,
            media=self.streams,
            events=events,
            pipelines=CallPipelines(events, self.moves, new_id=self._new_id, active_max=active_max),
            run_in_thread=self._run_in_thread,
            new_id=self._new_id,
            heard_from=self.heard_from,
            events_written=self.events_written,
            pipeline_changed=self.moves.notify,
            started_at=self._clock(),
        )

    def heard_from(self, stream_arn: str) -> None:
        """Remember that a fragment of this stream came."""
        self._arrivals[stream_arn] = self._clock()

    def announce(self, task: SpeakerSearchTask) -> None:
        """Have a task run that was started: here, or where its stream is at home, which has been told."""
        self._metrics.tasks.started.inc()
        if task.node_id == self._store.node_id:
            self.work.submit(WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id))

    def homes(self) -> StreamHomes:
        """Return the streams that are at home here. Raise Unavailable before the start."""
        if self.streams.homes is None:
            raise Unavailable("the service is starting; try again")
        return self.streams.homes

    def require_serving(self) -> None:
        """Raise Unavailable when this node was asked to take nothing new, or may be taken for dead."""
        if self._node is None:
            return
        if not self._node.lease.holds():
            raise Unavailable("this node cannot reach the records, and others may have taken over; ask another one")
        if self._store.is_draining():
            raise Unavailable("this node is being drained; ask another one")

    async def may_say_persisted(self) -> None:
        """Return when nobody can have taken this node for dead. Raise Unavailable when that is not known in time."""
        if self._node is not None:
            await self._node.lease.require(seconds_max=self._settings.persist_wait_seconds)

    def media_refusal(self) -> str | None:
        """Return why media are refused for want of room; None when they are taken."""
        return None if self._running is None else self._settings.budget.standing_refusal()

    def events_written(self) -> None:
        """Wake those who deliver events and those who wait for them."""
        self.notices.notify()
        if self._running is not None:
            self._running.deliverer.wake()

    def jobs_changed(self) -> None:
        """Wake those who work on jobs."""
        self._call_soon(self._jobs.wake)

    def run_on_loop(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:  # `Any`: what a coroutine yields and takes
        """Run a coroutine on the event loop from another thread. Raise Unavailable before the start."""
        try:
            loop = self._started().loop
        except Unavailable:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def start(self) -> None:
        """Open the media log, take up what a former process left, and begin. Raise FragmentLogUnavailable."""
        loop = asyncio.get_running_loop()
        log = await open_fragment_log(
            self._settings.media_folder,
            clock=self._clock,
            owner=self._store.identity,
            budget=self._settings.budget,
            metrics=self._metrics.media,
        )
        deliverer = Deliverer(
            self._store,
            sink_of=self._targets.sink,
            threads=self._sending,
            clock=self._clock,
            chance=random.random,
            metrics=self._metrics.deliveries,
            traces=self._traces,
            is_alone=self._node is None,
        )
        sharing = self._share()
        take_up = self._take_up if sharing is None else sharing.take_up
        supervisor = Supervisor(
            self._store,
            moves=self.moves,
            last_arrival=self._arrivals.get,
            hears_all=self.sources.is_own,
            started_at=self._clock(),
            comes_here=self._comes_here,
        )
        media = MediaSweep(
            self._store,
            log,
            retention_of=self.streams.retention_of,
            run_in_thread=self._run_in_thread,
            found=self._found_media,
        )
        regular = [
            RegularWork(LOOK_SECONDS, lambda: self._look(supervisor, log)),
            RegularWork(OWED_SECONDS, self._write_owed),
            RegularWork(SUMMARY_SECONDS, lambda: self._sum_up(Summaries(self._store, self._events))),
            RegularWork(EXPIRE_SECONDS, self._expire),
            RegularWork(SWEEP_SECONDS, lambda: media.sweep(self._clock())),
            RegularWork(WITHDRAW_SECONDS, Withdrawing(self._store, self.streams, self._run_in_thread, self).work),
        ]
        if sharing is not None:
            regular.append(RegularWork(NOTES_SECONDS, sharing.read_notes))
            regular.append(RegularWork(BURY_SECONDS, sharing.bury))
        works = (
            deliverer.run(),
            self._jobs.run(),
            until_done(take_up, "tasks could not be taken up and are looked for again"),
            until_done(self.desk.recover, "calls of a former process could not be ended and are looked for"),
            *(each.run() for each in regular),
        )
        jobs = [loop.create_task(work) for work in works]
        self._running = _Running(loop, log, deliverer, jobs, regular, supervisor, sharing)

    async def catch_up(self) -> None:
        """Do now what is done regularly: a clock was turned. Raise what fails of it."""
        running = self._started()
        for each in running.regular:
            await each.run_once()
        running.deliverer.wake()

    def _share(self) -> TaskSharing | None:
        """Begin to be one of several nodes, if this process is."""
        if self._node is None:
            return None
        from earwitness.nodes.peers import Peers  # with an HTTP client, which one process alone has no use for

        sharing = TaskSharing(
            self._store,
            self.work,
            self.streams,
            lease=self._node.lease,
            run_in_thread=self._run_in_thread,
            heard_from=self.heard_from,
            has_news=self.notices.notify,
            buried=self.desk.end_calls_of_dead_nodes,
        )
        self.streams.homes = StreamHomes(
            self._store,
            Peers(self._store.token_key, now=time.time, new_nonce=self._new_id),
            open_local=self.streams.open_here,
            has_producer=self.streams.has_producer_here,
            run_in_thread=self._run_in_thread,
            came=sharing.came,
        )
        return sharing

    async def _found_media(self, account_id: str, stream: KinesisStream) -> None:
        """Be the home of a stream whose media are here, from before there were nodes."""
        if self._node is not None and stream.home_epoch == 0:
            region = stream.arn.split(":")[3]
            await self.streams.open_to_write(Scope(account_id=account_id, region=region), stream)

    def _comes_here(self, scope: Scope, stream_arn: str) -> bool:
        """Return whether a stream's fragments come to this node, or to none. This may read the records."""
        homes = self.streams.homes
        if homes is None or homes.is_home(StreamKey(scope, stream_arn)):
            return True
        stream = self._store.streams.get(scope, stream_arn)
        return stream is None or stream.home_node in (None, self._store.node_id)

    async def stop(self) -> None:
        """Let go of tasks, which are taken up at the next start; finish deliveries in progress."""
        running = self._started()
        self.notices.close()
        async with AsyncExitStack() as last_first:  # each is done whatever became of those before it
            last_first.push_async_callback(asyncio.to_thread, self.sources.close)
            last_first.callback(self._targets.close)
            for pool in (self._waiting, self._sending):
                last_first.push_async_callback(asyncio.to_thread, pool.shutdown)
            # Nobody waits for what is computed: its tasks are let go of. A computation in progress may take minutes.
            last_first.callback(self._inference.shutdown, wait=False, cancel_futures=True)
            last_first.push_async_callback(running.log.close)
            last_first.push_async_callback(end_all, running.jobs)
            last_first.push_async_callback(asyncio.to_thread, self.models.stop)
            if running.sharing is not None:
                last_first.push_async_callback(self._leave, running.sharing)
            last_first.push_async_callback(self.work.close)

    async def _leave(self, sharing: TaskSharing) -> None:
        try:
            await sharing.leave()
        except EarwitnessError as error:
            _log.warning("tasks are left for other nodes to take, as after a kill", extra={"reason": str(error)})
        await self.homes().close()

    def _call_soon(self, work: Callable[[], None]) -> None:
        self._started().loop.call_soon_threadsafe(work)

    def _started(self) -> _Running:
        if self._running is None:
            raise Unavailable("the service is starting; try again")
        return self._running

    async def _run_task(self, item: WorkItem, changed: asyncio.Event) -> None:
        from earwitness.tasks.attempt import conclude_task

        if (conclude := self._conclude) is None:
            from earwitness.tasks.follow import hear_stream as conclude  # with the codecs: a start need not wait for it
        await conclude_task(self._context, item, changed, conclude)

    async def _give_up_task(self, item: WorkItem, reason: str) -> None:
        from earwitness.tasks.attempt import give_up  # as above

        await give_up(self._context, item, reason)

    def lines(self) -> "Lines":
        """Return the lines of domains, with their voices in memory."""
        with self._opening_lines:
            if self._lines is None:
                from earwitness.tasks.voting import Lines

                self._lines = Lines(self._store, default=self._settings.line_learning, metrics=self._metrics.tasks)
            return self._lines

    @cached_property
    def _context(self) -> "TaskContext":
        from earwitness.tasks.adopting import Adoption
        from earwitness.tasks.attempt import TaskContext

        return TaskContext(
            store=self._store,
            adoption=Adoption(self._store, run_in_thread=self._run_in_thread),
            clock=self._clock,
            source_of=self.sources.of,
            engine_of=self.models.engine,
            models_opened=self.models.opened,
            lines=self.lines,
            inference=self._inference,
            turns=self.turns,
            waiting=self._waiting,
            events=self._events,
            events_written=self.events_written,
            moves=self.moves,
            heard_from=self.heard_from,
            lags=self.lags,
            metrics=self._metrics.tasks,
            traces=self._traces,
            voiceprint_spelling=self._settings.voiceprint_spelling,
            keep_audio=self._settings.keep_audio,
        )

    async def _take_up(self) -> None:
        """Take up tasks that were active when a former process ended."""
        async for task in all_records_in_thread(self._store.tasks.list_active_everywhere, self._run_in_thread):
            self.work.submit(WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id))

    async def _look(self, supervisor: Supervisor, log: FragmentLog) -> None:
        await self._run_in_thread(lambda: self._supervise(supervisor))
        await log.expire(self._clock())

    def _supervise(self, supervisor: Supervisor) -> None:
        self.keeps_house = self._store.keeps_house()
        supervisor.look_at_running(self._store.node_id, self._clock())
        if self.keeps_house:
            supervisor.look_for_overdue(self._clock())

    async def _write_owed(self) -> None:
        await self.desk.write_owed_ends()
        if self._node is not None and self.keeps_house:
            await self.desk.end_calls_of_dead_nodes()

    async def _sum_up(self, summaries: Summaries) -> None:
        if self.keeps_house and await self._run_in_thread(lambda: summaries.tell(self._clock())):
            self.events_written()

    async def _expire(self) -> None:
        now = self._clock()
        if self.keeps_house:
            await self._run_in_thread(lambda: expire_quietly(self._store, now=now, metrics=self._metrics.expiry))
            await delete_old_streams(self._store, self.streams, now=now, run_in_thread=self._run_in_thread)
        for stream_arn, last in list(self._arrivals.items()):
            if now - last >= ARRIVALS_KEPT:
                self._arrivals.pop(stream_arn, None)
        if self._lines is not None:
            lines = self._lines
            await self._run_in_thread(lambda: lines.forget_callers(now=now))
            await self._run_in_thread(lines.forget_deleted)
        await self._run_in_thread(self._store.keep_reserve)

    async def _run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._waiting, work)

    def _pipeline_changed(self, pipeline_id: str) -> None:
        self.work.pipeline_changed(pipeline_id)
        if self._running is not None:
            self._running.supervisor.changed(pipeline_id)
        self.events_written()
