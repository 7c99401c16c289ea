"""One attempt at one task: what it works with, and what it writes, each result in one transaction with its event."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from earwitness.engine.engine import Engine
from earwitness.engine.turns import Turns
from earwitness.errors import AttemptSuperseded, CiphertextRefused, Conflict, EarwitnessError
from earwitness.media.source import Source
from earwitness.store.columns import JsonObject
from earwitness.store.records import NewVoiceprint, Pipeline, Scope, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.events import EventPublisher, channel_of, identification_event
from earwitness.tasks.lag import Lags
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.runner import WorkItem
from earwitness.tasks.voting import LineNews, Lines, Searched
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding
from earwitness.voice.events import (
    DetailStatus,
    Envelope,
    EventDocument,
    EventKind,
    SearchedChannel,
    identification_failure,
    voiceprint_generation_failure,
    voiceprint_generation_success,
)
from earwitness.voice.speech import NetSpeech

ResultT = TypeVar("ResultT")

_log = logging.getLogger("earwitness.follow")

_RACES = (AttemptSuperseded, Conflict)
"""Another worker, or a request, was faster: the record, read again, says what is to be done."""


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What all attempts share."""

    store: Store
    #: returns the time in UTC
    clock: Callable[[], datetime]
    #: the stream of an ARN; raises StreamGone when there is none
    source_of: Callable[[Scope, str], Source]
    #: the engine of a band; the first call opens its models and takes a second
    engine_of: Callable[[Band], Engine]
    #: waits until the voice models are open, which takes minutes if they must be fetched first
    models_opened: Callable[[], Awaitable[None]]
    lines: Lines
    #: threads for what computes, as many as there are cores
    inference: Executor
    #: calls compute before recordings
    turns: Turns
    #: threads for what waits for the store
    waiting: Executor
    events: EventPublisher
    #: called from any thread after events were written, so that they go out at once
    events_written: Callable[[], None]
    moves: PipelineMoves
    #: called with a stream's ARN whenever a fragment of it was read
    heard_from: Callable[[str], None]
    lags: Lags
    #: how success is spelt in events
    voiceprint_spelling: DetailStatus = DetailStatus.VOICEPRINT_GENERATION_SUCCESS
    #: whether the speech of a voiceprint is kept, encrypted, to make it again under a new encoder
    keep_audio: bool = False

    async def compute(self, work: Callable[[], ResultT]) -> ResultT:
        """Run what computes, off the event loop and before what computes for recordings."""

        def in_turn() -> ResultT:
            with self.turns.call():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self.inference, in_turn)

    async def run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        """Run what waits, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.waiting, work)

    async def write(self, work: Callable[[Unit], ResultT]) -> ResultT:
        """Change records, and return when the change is durable."""
        return await self.run_in_thread(lambda: self.store.write(work))


class Attempt:
    """One attempt at one task. Every write raises AttemptSuperseded once another attempt has begun."""

    def __init__(self, context: TaskContext, task: SpeakerSearchTask, pipeline: Pipeline) -> None:
        self.context = context
        self.task = task
        """The record as it was last read or written."""

        self.pipeline = pipeline
        self.identified = task.identification is not None  # remembered here: the record forgets it with its domain
        self._channel = channel_of(task, pipeline)
        self._key = (task.scope, task.task_id)
        self._number = task.attempt

    async def begin(self, checkpoint: JsonObject) -> None:
        """Write that the audio has come, and where it began, so that a later attempt begins there too."""
        scope = self.task.scope

        def work(unit: Unit) -> SpeakerSearchTask:
            unit.attempts.open_media(*self._key, attempt=self._number)
            task = unit.attempts.write_progress(*self._key, attempt=self._number, checkpoint=checkpoint)
            pipeline = unit.pipelines.get(scope, task.pipeline_id)
            if pipeline is not None:
                self.context.moves.hear(unit, scope, pipeline)
            return task

        self.task = await self.context.write(work)

    async def keep(self, checkpoint: JsonObject) -> None:
        """Write how far the task has come. Raise NotFound when its domain was deleted."""
        self.task = await self.context.write(
            lambda unit: unit.attempts.write_progress(*self._key, attempt=self._number, checkpoint=checkpoint)
        )

    async def remark(self, message: str) -> None:
        """Write something that readers of the record should know."""
        self.task = await self.context.write(
            lambda unit: unit.attempts.remark(*self._key, attempt=self._number, status_message=message)
        )

    async def conclude_identification(self, searched: Searched) -> bool:
        """Write the answer of the search, with everything needed to judge it, and what it says of the line.

        False when somebody in the answer was deleted meanwhile: search again.
        """
        decision = searched.decision

        def work(unit: Unit) -> tuple[SpeakerSearchTask, LineNews] | None:
            news = self.context.lines.write(unit, searched)
            if news is None:
                return None
            task = unit.attempts.conclude_identification(
                *self._key, attempt=self._number, identification=asdict(decision)
            )
            self._append_event(unit, partial(identification_event, decision=decision))
            return task, news

        written = await self.context.write(work)
        if written is None:
            return False
        self.task, news = written
        self.identified = True
        self.context.events_written()
        news.tell()
        return True

    async def conclude_voiceprint(self, embedding: Embedding, speech: NetSpeech) -> None:
        """Write the voiceprint; the task is over."""
        voiceprint = NewVoiceprint(
            encoder_id=embedding.encoder_id,
            vector=embedding.vector.astype("<f4").tobytes(),
            net_speech_seconds=embedding.net_speech_seconds,
            quality={**speech.quality.as_document()},
            audio=speech.as_pcm() if self.context.keep_audio else None,
        )

        def work(unit: Unit) -> SpeakerSearchTask:
            unit.attempts.conclude_voiceprint(*self._key, attempt=self._number, voiceprint=voiceprint)
            task = unit.attempts.end(*self._key, attempt=self._number)
            self._append_event(unit, partial(voiceprint_generation_success, spelling=self.context.voiceprint_spelling))
            return task

        await self._conclude(work)

    async def refuse_voiceprint(self, reason: str) -> None:
        """Write that the speech would spoil a profile; the task is over, and its record says why as well."""

        def work(unit: Unit) -> SpeakerSearchTask:
            task = unit.attempts.conclude_voiceprint(*self._key, attempt=self._number, voiceprint=None)
            message = reason if task.status_message is None else f"{task.status_message}; {reason}"
            unit.attempts.remark(*self._key, attempt=self._number, status_message=message)
            task = unit.attempts.end(*self._key, attempt=self._number)
            self._append_failures(unit, identification=None, voiceprint=reason)
            return task

        await self._conclude(work)

    async def end_without(self, *, identification: str | None, voiceprint: str | None) -> None:
        """End the task without the results that a reason is given for; an event tells each reason."""

        def work(unit: Unit) -> SpeakerSearchTask:
            if voiceprint is not None:
                unit.attempts.conclude_voiceprint(*self._key, attempt=self._number, voiceprint=None)
            task = unit.attempts.end(*self._key, attempt=self._number)
            self._append_failures(unit, identification=identification, voiceprint=voiceprint)
            return task

        await self._conclude(work)

    async def fail(self, reason: str) -> None:
        """Write that the task cannot go on; events tell of each result that it still owed."""
        owes_voiceprint = self.task.voiceprint_status is None

        def work(unit: Unit) -> SpeakerSearchTask:
            task = unit.attempts.fail(*self._key, attempt=self._number, status_message=reason)
            self._append_failures(
                unit,
                identification=None if self.identified else reason,
                voiceprint=reason if owes_voiceprint else None,
            )
            return task

        await self._conclude(work)
        _log.warning("a task failed", extra={"task_id": self.task.task_id, "reason": reason})

    def _append_failures(self, unit: Unit, *, identification: str | None, voiceprint: str | None) -> None:
        for reason, failure in ((identification, identification_failure), (voiceprint, voiceprint_generation_failure)):
            if reason is not None:
                self._append_event(unit, partial(failure, status_message=reason))

    def _append_event(self, unit: Unit, make: Callable[[Envelope, SearchedChannel], EventDocument]) -> None:
        self.context.events.append(
            unit,
            self.task.scope,
            self.pipeline,
            EventKind.SPEAKER_SEARCH,
            lambda envelope: make(envelope, self._channel),
        )

    async def _conclude(self, work: Callable[[Unit], SpeakerSearchTask]) -> None:
        self.task = await self.context.write(work)
        self.context.events_written()


def is_final(error: EarwitnessError) -> bool:
    """Return whether an error that ended an attempt would end the next one too.

    Media that cannot be decoded or may not be read, models that are missing or damaged, a deleted domain, a record that
    cannot be opened: none of them goes away by itself.
    """
    return not error.retryable and not isinstance(error, _RACES)


async def run_attempt(context: TaskContext, item: WorkItem, work: Callable[[Attempt], Awaitable[None]]) -> None:
    """Begin an attempt at a task, unless the task is over; afterwards end its pipeline, if that only waited for it."""
    task = await context.write(lambda unit: unit.attempts.adopt(item.scope, item.task_id))
    if task is None:
        return
    try:
        pipeline = await _pipeline_of(context, task)
        if pipeline is not None:
            await work(Attempt(context, task, pipeline))
            await _end_pipeline(context, task)
    except AttemptSuperseded:
        _log.info("a task went to another worker", extra={"task_id": item.task_id, "attempt": task.attempt})


async def give_up(context: TaskContext, item: WorkItem, reason: str) -> None:
    """End a task that failed too often; its record and its events tell why."""
    await run_attempt(context, item, lambda attempt: attempt.fail(reason))


async def _pipeline_of(context: TaskContext, task: SpeakerSearchTask) -> Pipeline | None:
    """Return the pipeline of a task; None when it was deleted with all that belongs to it, or cannot be opened."""
    try:
        return await context.run_in_thread(lambda: context.store.pipelines.get(task.scope, task.pipeline_id))
    except CiphertextRefused as error:
        reason = str(error)
    # Without the pipeline's record nobody knows where to send an event.
    await context.write(
        lambda unit: unit.attempts.fail(task.scope, task.task_id, attempt=task.attempt, status_message=reason)
    )
    _log.error("a task failed, and no event tells of it", extra={"task_id": task.task_id, "reason": reason})
    return None


async def _end_pipeline(context: TaskContext, task: SpeakerSearchTask) -> None:
    def work(unit: Unit) -> None:
        pipeline = unit.pipelines.get(task.scope, task.pipeline_id)
        if pipeline is not None:
            context.moves.end_if_idle(unit, task.scope, pipeline)

    await context.write(work)
    context.events_written()
