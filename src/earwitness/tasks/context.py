"""What the flows of calls in progress work with. Built by the composition root, shared by all tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from earwitness.engine.engine import Engine
from earwitness.engine.turns import Turns
from earwitness.media.source import Source
from earwitness.store.records import Pipeline, Scope
from earwitness.store.store import Store, Unit
from earwitness.tasks.galleries import Galleries
from earwitness.tasks.lag import Lags
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.voice.band import Band
from earwitness.voice.events import DetailStatus, EventKind

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """Shared by everything that follows calls. No field changes."""

    store: Store
    """The records."""

    source_of: Callable[[Scope, str], Source]
    """The stream of an ARN. Raises StreamGone when there is none."""

    engine_of: Callable[[Band], Engine]
    """The engine of a band; the first call opens its models and takes a second."""

    models_opened: Callable[[], Awaitable[None]]
    """Waits until the voice models are open, which takes minutes where they are fetched first."""

    galleries: Galleries
    """Domains' voices in memory."""

    inference: Executor
    """Threads for what computes; as many as there are cores."""

    turns: Turns
    """At computing; recordings have the others."""

    waiting: Executor
    """Threads for what waits: the store."""

    events_written: Callable[[], None]
    """Called after events were written, so that they go out at once. From any thread."""

    targets_of: Callable[[Pipeline, EventKind], tuple[str, ...]]
    """Where an event of a pipeline goes."""

    steering: PipelineMoves
    """Moves pipelines."""

    heard_from: Callable[[str], None]
    """Called with a stream's ARN whenever a fragment of it was read."""

    lags: Lags
    """Is told how far behind the tasks are."""

    new_id: Callable[[], str]
    """A new UUID."""

    voiceprint_spelling: DetailStatus = DetailStatus.VOICEPRINT_GENERATION_SUCCESS
    """How success is spelt in events."""

    keep_audio: bool = False
    """Whether the speech behind a voiceprint is kept, encrypted, for rebuilding it under a new encoder."""

    async def compute(self, work: Callable[[], ResultT]) -> ResultT:
        """Run what computes, off the event loop and before what computes for recordings."""

        def in_turn() -> ResultT:
            with self.turns.call():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self.inference, in_turn)

    async def wait_for(self, work: Callable[[], ResultT]) -> ResultT:
        """Run what waits, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.waiting, work)

    async def write(self, work: Callable[[Unit], ResultT]) -> ResultT:
        """Change records, and come back when that is durable."""
        return await self.wait_for(lambda: self.store.write(work))
