"""Everything that goes on without being asked, on the server's event loop and in threads beside it.

`start` and `stop` are called on the loop; everything else may be called from any thread.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from earwitness.config import Settings
from earwitness.config.settings import EngineSettings
from earwitness.engine.turns import Turns
from earwitness.engine.voice_models import VoiceModels
from earwitness.errors import EarwitnessError, Unavailable
from earwitness.fragments.budget import Budget
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.installation import media_folder
from earwitness.log import frames_of
from earwitness.media.origins import MediaOrigins
from earwitness.media.streams import MediaLimits, MediaRates, MediaStreams
from earwitness.models.cache import ModelCache
from earwitness.store.records import PageKey
from earwitness.store.store import Store
from earwitness.tasks.deliver import THREADS, Deliverer
from earwitness.tasks.expire import expire_quietly
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.retrying import Retrying
from earwitness.tasks.runner import TaskRunner
from earwitness.tasks.supervise import Supervisor
from earwitness.tasks.sweep import MediaSweep
from earwitness.tasks.targets import Targets
from earwitness.tasks.work import WorkItem
from earwitness.voice.band import Band
from earwitness.voice.events import DetailStatus

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine
    from earwitness.tasks.context import TaskContext
    from earwitness.tasks.galleries import Galleries

ResultT = TypeVar("ResultT")

LOOK_SECONDS = 1.0
"""How often pipelines and the age of media are looked at."""

TAKE_UP_AGAIN_SECONDS = 1.0
"""How long after a failure the tasks of a former process are looked for again."""

EXPIRE_SECONDS = 60.0

SWEEP_SECONDS = 600.0
"""How often the media of streams that nobody opened are looked at. A glance at a stream and its record takes some
200 µs, so ten thousand streams take two seconds, in small pieces."""

_PAGE = 500

_SPELLINGS = {status.value.lower(): status for status in DetailStatus}

_log = logging.getLogger("earwitness.background")


class Background:
    """Tasks, deliveries, supervision, expiry."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        events_file: Path | None,
        media_rates: MediaRates,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        """`events_file` gets every event as a line, beside what the settings name."""
        self._settings = settings
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log: FragmentLog | None = None
        self._deliverer: Deliverer | None = None
        self._going_on: list[asyncio.Task[None]] = []
        self._budget = Budget(
            media_folder(settings), reserve_bytes=settings.limits.disk_reserve_bytes, bytes_max=settings.media_bytes
        )
        self._arrivals: dict[str, datetime] = {}
        self._inference = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="earwitness inference")
        self._waiting = ThreadPoolExecutor(settings.threads, thread_name_prefix="earwitness records")
        self._sending = ThreadPoolExecutor(THREADS, thread_name_prefix="earwitness sender")
        self._targets = Targets(settings, events_file=events_file)
        self._clients = self._targets.clients()
        self.models = VoiceModels(ModelCache(settings.models_dir), partial(_build_engine, settings))
        self.notices = Notices()
        self.lags = Lags()
        self.turns = Turns(os.cpu_count() or 1)
        self.streams = MediaStreams(
            store,
            limits=MediaLimits(
                bytes_per_stream=settings.stream_bytes,
                live_minutes=settings.limits.stream_live_minutes,
                readers_per_stream=settings.limits.stream_readers,
            ),
            rates=media_rates,
        )
        self.sources = MediaOrigins(settings, store, self.streams, run_in_thread=self._run_in_thread)
        self.work = TaskRunner(
            self._run_task,
            give_up=self._give_up_task,
            at_once_max=settings.tasks_at_once,
            require_ready=self.models.require_installed,
            retrying=Retrying(chance=random.random, monotonic=time.monotonic, sleep=asyncio.sleep),
        )
        self.steering = PipelineMoves(
            targets_of=self._targets.of, new_id=new_id, pipeline_changed=self._pipeline_changed
        )

    def heard_from(self, stream_arn: str) -> None:
        """A fragment of this stream came."""
        self._arrivals[stream_arn] = self._clock()

    def media_refusal(self) -> str | None:
        """Why media are refused for want of room; None when they are taken."""
        return None if self._log is None else self._budget.standing_refusal()

    def events_written(self) -> None:
        """There are new events to deliver."""
        self.notices.notify()
        if self._deliverer is not None:
            self._deliverer.wake()

    def run_on_loop(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:  # `Any`: what a coroutine yields and takes
        """Run a coroutine on the event loop from another thread, and wait for it. Unavailable before the start."""
        if self._loop is None:
            work.close()
            raise Unavailable("the service is starting; try again")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def start(self) -> None:
        """Open the media log, take up what a former process left, and begin. Raises FragmentLogUnavailable."""
        self._loop = asyncio.get_running_loop()
        self._log = await open_fragment_log(
            media_folder(self._settings), clock=self._clock, owner=self._store.identity, budget=self._budget
        )
        self.streams.log = self._log
        self.work.start()
        self._deliverer = Deliverer(
            self._store,
            sink_of=self._targets.sink_maker(self._clients, now=self._clock),
            threads=self._sending,
            clock=self._clock,
            chance=random.random,
            is_alone=True,  # one process serves the records
        )
        supervisor = Supervisor(
            self._store,
            steering=self.steering,
            last_arrival=self._arrivals.get,
            hears_all=self.sources.is_own,
            started_at=self._clock(),
        )
        media = MediaSweep(
            self._store, self._log, retention_of=self.streams.retention_of, run_in_thread=self._run_in_thread
        )
        self._going_on = [
            self._loop.create_task(work)
            for work in (
                self._deliverer.run(),
                self._take_up(),
                self._every(LOOK_SECONDS, lambda: self._look(supervisor)),
                self._every(EXPIRE_SECONDS, self._expire),
                self._every(SWEEP_SECONDS, lambda: media.sweep(self._clock())),
            )
        ]

    async def stop(self) -> None:
        """Let go of tasks, which are taken up at the next start; finish deliveries in progress."""
        self.notices.close()
        await self.work.close()
        await asyncio.to_thread(self.models.stop)
        for task in self._going_on:
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        if self._log is not None:
            await self._log.close()
        # Nobody waits for what is computed: its tasks are let go of. A computation in progress may take minutes.
        self._inference.shutdown(wait=False, cancel_futures=True)
        for pool in (self._sending, self._waiting):
            await asyncio.to_thread(pool.shutdown)
        self._clients.close()
        await asyncio.to_thread(self.sources.close)

    async def _run_task(self, item: WorkItem, changed: asyncio.Event) -> None:
        from earwitness.tasks.follow import follow  # with numpy and the codecs, which a start need not wait for

        await follow(self._tools, item, changed)

    async def _give_up_task(self, item: WorkItem, reason: str) -> None:
        from earwitness.tasks.fail import give_up  # as above

        await give_up(self._tools, item, reason)

    def galleries(self) -> "Galleries":
        """Domains' voices in memory."""
        return self._galleries

    @cached_property
    def _galleries(self) -> "Galleries":
        from earwitness.tasks.galleries import Galleries

        return Galleries(self._store)

    @cached_property
    def _tools(self) -> "TaskContext":
        from earwitness.tasks.context import TaskContext

        return TaskContext(
            store=self._store,
            source_of=self.sources.of,
            engine_of=self.models.engine,
            models_opened=self.models.opened,
            galleries=self.galleries(),
            inference=self._inference,
            turns=self.turns,
            waiting=self._waiting,
            events_written=self.events_written,
            targets_of=self._targets.of,
            steering=self.steering,
            heard_from=self.heard_from,
            lags=self.lags,
            new_id=self._new_id,
            voiceprint_spelling=_SPELLINGS[self._settings.voiceprint_status.lower()],
            keep_audio=self._settings.keep_enrolment_audio == "on",
        )

    async def _take_up(self) -> None:
        """Tasks that were active when a former process ended; they have no other chance, so until that is done."""
        while True:
            try:
                await self._take_up_all()
                return
            except EarwitnessError as error:
                _log.warning("tasks could not be taken up and are looked for again", extra={"reason": str(error)})
            await asyncio.sleep(TAKE_UP_AGAIN_SECONDS)

    async def _take_up_all(self) -> None:
        after: PageKey | None = None
        while True:
            page = await self._run_in_thread(
                partial(self._store.tasks.list_active_everywhere, after=after, limit=_PAGE)
            )
            for task in page.items:
                self.work.submit(WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id))
            after = page.next_key
            if after is None:
                return

    async def _look(self, supervisor: Supervisor) -> None:
        now = self._clock()
        await self._run_in_thread(lambda: supervisor.look(now))
        if self._log is not None:
            await self._log.expire(now)

    async def _expire(self) -> None:
        await self._run_in_thread(lambda: expire_quietly(self._store, now=self._clock()))
        await self._run_in_thread(self._store.keep_reserve)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Again and again; a failure is logged and the next turn tries again."""
        while True:
            try:
                await work()
            except EarwitnessError as error:
                _log.warning("regular work failed and is tried again", extra={"reason": str(error)})
            except Exception as error:
                context = {"error": type(error).__name__, "frames": frames_of(error)}
                _log.error("regular work failed and is tried again", extra=context)
            await asyncio.sleep(seconds)

    async def _run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._waiting, work)

    def _pipeline_changed(self, pipeline_id: str) -> None:
        self.work.pipeline_changed(pipeline_id)
        self.events_written()


def _build_engine(settings: EngineSettings, band: Band) -> "Engine":
    from earwitness.engine.build import build_engine  # opens onnxruntime, which a start need not wait for

    return build_engine(settings, band)
