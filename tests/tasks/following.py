"""What follows a call, with the real engine and real records; the stream, the targets and the clock are made up."""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from search_examples import STREAM, add_task
from store_examples import MINE, START, Clock, add_domain, add_pipeline, guid, opened

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.engine.engine import Engine
from earwitness.engine.turns import Turns
from earwitness.media.source import StartPosition, StreamFragment
from earwitness.metrics.reported import TaskMetrics
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.tasks.adopting import Adoption
from earwitness.tasks.attempt import TaskContext, conclude_task
from earwitness.tasks.events import EventPublisher
from earwitness.tasks.follow import hear_stream
from earwitness.tasks.lag import Lags
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.runner import WorkItem
from earwitness.tasks.voting import Lines
from earwitness.voice.line import LineLearning
from patience import PATIENCE_SECONDS

RATE = 8_000
BYTES_PER_MS = 16
HEADER = write_header([pcm_track(rate=RATE)])
TARGET = "file:///tmp/events.jsonl"


def fragments_of(samples: np.ndarray, cuts: Sequence[int]) -> list[StreamFragment]:
    """A call at 8 kHz as fragments that end at these samples."""
    return fragments_of_bytes(samples, [2 * cut for cut in cuts])


def fragments_of_bytes(
    samples: np.ndarray, cuts: Sequence[int], *, timecode: Callable[[int], int] = lambda ms: ms
) -> list[StreamFragment]:
    """A call at 8 kHz as fragments that end behind so many bytes, inside a sample perhaps.

    `timecode` is what the producer's clock shows so many milliseconds after the beginning.
    """
    pcm = np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()
    edges = [0, *sorted(cuts), len(pcm)]
    made = []
    for number, (first, last) in enumerate(itertools.pairwise(edges), start=1):
        piece = pcm[first:last]
        blocks = [
            write_block(1, round(begin / BYTES_PER_MS), piece[begin : begin + 1_600])
            for begin in range(0, len(piece), 1_600)
        ]
        made.append(fragment(number, cluster=write_cluster(timecode(round(first / BYTES_PER_MS)), blocks)))
    return made


def fragment(number: int, *, cluster: bytes, header: bytes = HEADER) -> StreamFragment:
    time = START + timedelta(seconds=number)
    return StreamFragment(number=str(number), server_time=time, producer_time=time, header=header, cluster=cluster)


class Line:
    """A stream whose fragments are there at once; then it is silent, as a stream is, or fails."""

    def __init__(self, fragments: Sequence[StreamFragment], *, then: BaseException | None = None) -> None:
        self.all = list(fragments)
        self.then = then
        self.starts: list[StartPosition] = []
        self.exhausted = asyncio.Event()

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        self.starts.append(start)
        for one in self.all:
            if start.first_number is None or int(one.number) >= int(start.first_number):
                yield one
        self.exhausted.set()
        if self.then is not None:
            raise self.then
        await asyncio.Event().wait()


class ThreadsSeen:
    """An engine that notes which threads it computed on."""

    def __init__(self, engine: Engine) -> None:
        self.names: set[str] = set()
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name in ("vad", "search", "calibration"):  # not the encoder, whose id is asked for elsewhere
            self.names.add(threading.current_thread().name)
        return getattr(self._engine, name)


async def nothing_to_wait_for() -> None:
    """The voice models are open."""


class Office:
    """Records, threads and the context for following calls."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.clock = Clock()
        self.store: Store = opened(f"sqlite:///{folder / 'records.db'}", clock=self.clock)
        self.lines = Lines(self.store, default=LineLearning.ON)
        self.engine = ThreadsSeen(engine)
        self.engine_of: Any = lambda *_: self.engine
        self.models_opened: Any = nothing_to_wait_for
        self.line: Any = None
        self.changed = asyncio.Event()
        self.lags = Lags(monotonic=lambda: 0.0)
        self.metrics = TaskMetrics()
        self.inference = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self.waiting = ThreadPoolExecutor(1, thread_name_prefix="waiting")
        self.events = EventPublisher(targets_of=lambda *_: (TARGET,), new_id=guid)
        self.moves = PipelineMoves(self.events, pipeline_changed=lambda _: None)

    def context(self) -> TaskContext:
        async def run_in_thread(work: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(self.waiting, work)

        async def source_of(*_: object) -> Any:
            return self.line

        return TaskContext(
            store=self.store,
            adoption=Adoption(self.store, run_in_thread=run_in_thread),
            source_of=source_of,
            engine_of=self.engine_of,
            models_opened=self.models_opened,
            clock=self.clock,
            lines=lambda: self.lines,
            inference=self.inference,
            turns=Turns(1),
            waiting=self.waiting,
            events_written=lambda: None,
            events=self.events,
            moves=self.moves,
            heard_from=lambda _: None,
            lags=self.lags,
            metrics=self.metrics,
        )

    def close(self) -> None:
        self.inference.shutdown()
        self.waiting.shutdown()
        self.store.close()

    def new_task(
        self, domain_id: str = "", *, metadata: dict[str, object] | None = None, channels: int | None = None
    ) -> SpeakerSearchTask:
        """`channels` is what the pipeline says of its stream; None for a pipeline that says nothing of it."""
        definition = {"StreamArn": STREAM, "StreamChannelDefinition": {"NumberOfChannels": channels}}
        streams = () if channels is None else (definition,)

        def work(unit: Any) -> SpeakerSearchTask:
            domain = domain_id or add_domain(unit).domain_id
            pipeline = add_pipeline(unit, metadata=metadata, streams=streams)
            task = add_task(unit, domain, pipeline.pipeline_id)
            self.moves.begin_task(unit, MINE, pipeline)
            return task

        return self.store.write(work)

    def stop_pipeline(self, task: SpeakerSearchTask) -> None:
        def work(unit: Any) -> None:
            pipeline = unit.pipelines.get(MINE, task.pipeline_id)
            self.moves.stop(unit, MINE, pipeline)

        self.clock.advance(timedelta(days=1))
        self.store.write(work)
        self.changed.set()

    def now(self, task: SpeakerSearchTask) -> SpeakerSearchTask:
        found = self.store.tasks.get(MINE, task.task_id)
        assert found is not None
        return found

    def details(self, task: SpeakerSearchTask) -> list[dict[str, Any]]:
        """The details of a task's events, in their order."""
        events = self.store.events.list(MINE, task.pipeline_id, limit=100).items[::-1]
        assert len({event.event_id for event in events}) == len(events)
        bodies = [json.loads(event.body) for event in events if event.body is not None]
        assert [body["id"] for body in bodies] == [event.event_id for event in events]
        return [body["detail"] for body in bodies if body["detail"].get("taskId") == task.task_id]

    async def follow(self, task: SpeakerSearchTask) -> None:
        item = WorkItem(scope=MINE, pipeline_id=task.pipeline_id, task_id=task.task_id)
        await conclude_task(self.context(), item, self.changed, hear_stream)


async def cut_off(office: Office, task: Any, fragments: list[Any]) -> None:
    """An attempt that hears these fragments and is killed."""
    office.line = line = Line(fragments)
    before = asyncio.ensure_future(office.follow(task))
    exhausted = asyncio.ensure_future(line.exhausted.wait())
    await asyncio.wait({before, exhausted}, return_when=asyncio.FIRST_COMPLETED)
    before.cancel()
    await asyncio.wait({before, exhausted} - ({exhausted} if not exhausted.done() else set()))
    exhausted.cancel()


def run(folder: Path, engine: Engine, play: Callable[[Office], Any]) -> Any:
    """Play a scene on an event loop of its own; at most 60 s."""

    async def scene() -> Any:
        office = Office(folder, engine)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await play(office)
        finally:
            office.close()

    return asyncio.run(scene())
