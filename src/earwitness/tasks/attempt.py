"""One attempt at one task: what it works with, and what it writes, each result in one transaction with its event.

Belongs here: the life of an attempt, whatever brings it to its end. What must never: hearing, which is heavy; follow.py
does it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from earwitness.engine.turns import Turns
from earwitness.errors import AttemptSuperseded, CiphertextRefused, Conflict, ConsentMissing, EarwitnessError, NotFound
from earwitness.media.source import Source
from earwitness.metrics.reported import InferenceStep, TaskMetrics, TaskResult, VoiceprintResult
from earwitness.store.audit_records import SERVICE
from earwitness.store.columns import JsonObject
from earwitness.store.records import NewVoiceprint, Pipeline, Scope, SpeakerSearchTask
from earwitness.store.repeats import HeardAgain
from earwitness.store.store import Store, Unit
from earwitness.tasks.adopting import Adoption
from earwitness.tasks.events import EventPublisher, channel_of, identification_event
from earwitness.tasks.lag import Lags
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.runner import WorkItem
from earwitness.traces.traces import Traces
from earwitness.voice.band import Band
from earwitness.voice.decision import Decision, Outcome
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
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
from earwitness.voice.task_status import FAILS_AT_ONCE, StopReason, TaskStatus
from earwitness.voice.withdrawal import WITHDRAWN

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine
    from earwitness.tasks.voting import LineNews, Lines, Searched

ResultT = TypeVar("ResultT")

SEARCH_CALL = "SearchCall"
"""The operation of the audit trail when a domain was searched for a voice in a call."""

_log = logging.getLogger("earwitness.follow")

_RACES = (AttemptSuperseded, Conflict)
"""Another worker, or a request, was faster: the record, read again, says what is to be done."""


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What all attempts share."""

    store: Store
    #: begins attempts
    adoption: Adoption
    #: returns the time in UTC
    clock: Callable[[], datetime]
    #: the stream of an ARN; raises StreamGone when there is none
    source_of: Callable[[Scope, str], Awaitable[Source]]
    #: the engine of a band; the first call opens its models and takes a second
    engine_of: "Callable[[Band], Engine]"
    #: waits until the voice models are open, which takes minutes if they must be fetched first
    models_opened: Callable[[], Awaitable[None]]
    #: the lines of domains; the first call reads what searches need
    lines: "Callable[[], Lines]"
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
    metrics: TaskMetrics = field(default_factory=TaskMetrics)
    traces: Traces = field(default_factory=Traces)
    _engines: "dict[Band, Engine]" = field(default_factory=dict["Band", "Engine"])

    async def engine(self, band: Band) -> "Engine":
        """Return the engine of a band. Raise what `engine_of` raises."""
        if band not in self._engines:
            self._engines[band] = await self.compute(InferenceStep.OPEN, lambda: self.engine_of(band))
        return self._engines[band]

    async def compute(self, step: InferenceStep, work: Callable[[], ResultT]) -> ResultT:
        """Run what computes, off the event loop and before what computes for recordings."""
        asked_at = time.perf_counter()

        def in_turn() -> ResultT:
            with self.turns.call(), self.metrics.computing(step, asked_at=asked_at):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self.inference, in_turn)

    async def run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        """Run what waits, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.waiting, work)

    async def read(self, work: Callable[[], ResultT]) -> ResultT:
        """Return what work returns that makes point reads of the records."""
        return await self.store.read(work, in_thread=self.run_in_thread)

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

    async def conclude_identification(self, decision: Decision, searched: "Searched | None") -> bool:
        """Write the answer of the search, with everything needed to judge it, and what it says of the line.

        `searched` is None where no voice was heard. False when somebody in the answer was deleted meanwhile: search
        again.
        """

        def work(unit: Unit) -> "tuple[SpeakerSearchTask, LineNews | None] | None":
            news = None if searched is None else self.context.lines().write(unit, searched)
            if searched is not None and news is None:
                return None
            task = unit.attempts.conclude_identification(
                *self._key, attempt=self._number, identification=asdict(decision)
            )
            self._append_event(unit, partial(identification_event, decision=decision))
            if searched is not None:
                self._audit_search(unit)
            return task, news

        written = await self.context.write(work)
        if written is None:
            return False
        self.task, news = written
        self.identified = True
        self.context.metrics.searched(_result_of(decision))
        self.context.events_written()
        if news is not None:
            news.tell()
        return True

    def _audit_search(self, unit: Unit) -> None:
        """Say whose voiceprints were compared with the call; who was found is sealed, and stays so."""
        unit.audit.append(
            self.task.scope,
            key_id=SERVICE,
            operation=SEARCH_CALL,
            resource_arn=self.task.domain_arn,
            outcome="done",
            request_id=self.task.task_id,
        )

    async def conclude_voiceprint(self, voiceprint: NewVoiceprint, heard: HeardAgain | None = None) -> None:
        """Write the voiceprint, and whether it was `heard` before; the task is over."""

        def work(unit: Unit) -> SpeakerSearchTask:
            unit.attempts.conclude_voiceprint(*self._key, attempt=self._number, voiceprint=voiceprint)
            if heard is not None:
                unit.repeats.keep(self.task, heard.fingerprint, heard.repeat)
            task = unit.attempts.end(*self._key, attempt=self._number)
            self._append_event(unit, partial(voiceprint_generation_success, spelling=self.context.voiceprint_spelling))
            return task

        await self._conclude(work)
        self.context.metrics.enrolled(VoiceprintResult.MADE)

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
        self.context.metrics.enrolled(VoiceprintResult.REFUSED)

    async def end_without(self, *, identification: str | None, voiceprint: str | None) -> None:
        """End the task without the results that a reason is given for; an event tells each reason."""

        def work(unit: Unit) -> SpeakerSearchTask:
            if voiceprint is not None:
                unit.attempts.conclude_voiceprint(*self._key, attempt=self._number, voiceprint=None)
            task = unit.attempts.end(*self._key, attempt=self._number)
            self._append_failures(unit, identification=identification, voiceprint=voiceprint)
            return task

        await self._conclude(work)
        if identification is not None:
            self.context.metrics.searched(TaskResult.TOO_LITTLE_SPEECH)
        if voiceprint is not None:
            self.context.metrics.enrolled(VoiceprintResult.TOO_LITTLE_SPEECH)

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
        if not self.identified:
            self.context.metrics.searched(TaskResult.FAILED)
        if owes_voiceprint:
            self.context.metrics.enrolled(VoiceprintResult.FAILED)
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
        self.task = task = await self.context.write(work)
        self.context.events_written()
        began = task.started_at or task.created_at
        self.context.traces.ended(task.task_id, began=began, status=task.status.value, attempt=task.attempt)


_RESULTS = {
    Outcome.MATCH: TaskResult.MATCH,
    Outcome.NO_MATCH: TaskResult.NO_MATCH,
    Outcome.SEVERAL_VOICES: TaskResult.SEVERAL_VOICES,
    Outcome.NOT_ENOUGH_SPEECH: TaskResult.TOO_LITTLE_SPEECH,
}


def _result_of(decision: Decision) -> TaskResult:
    is_ambiguous = decision.outcome is Outcome.MATCH and decision.ambiguous
    return TaskResult.AMBIGUOUS if is_ambiguous else _RESULTS[decision.outcome]


class AttemptWatch:
    """Waits for things, and meanwhile looks at a task's record when it has changed."""

    def __init__(self, attempt: Attempt, changed: asyncio.Event) -> None:
        self._attempt = attempt
        self.changed = changed

    async def has_come(self, coming: "asyncio.Future[Any]") -> bool:  # `Any`: what it gives is not looked at
        """Wait for something. Return False when a stop was asked for first; the attempt's task then says so."""
        while not coming.done():
            change = asyncio.ensure_future(self.changed.wait())
            try:
                await asyncio.wait({coming, change}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
            if self.changed.is_set() and (stopped := await self.look()):
                self._attempt.task = stopped
                return False
        return True

    async def look(self) -> SpeakerSearchTask | None:
        """Read the record again. Return the task if a stop was asked for or its domain is gone."""
        self.changed.clear()
        context, before = self._attempt.context, self._attempt.task
        task = await context.read(lambda: context.store.tasks.get(before.scope, before.task_id))
        if task is None:
            raise AttemptSuperseded("the task is gone; drop the work on it")
        if task.attempt != before.attempt:
            raise AttemptSuperseded("another attempt at this task has begun; drop this one")
        over = task.status is TaskStatus.STOPPING or task.stop_reason in FAILS_AT_ONCE
        return task if over else None


ConcludeAttempt: TypeAlias = Callable[[Attempt, AttemptWatch], Awaitable[None]]
"""Brings an attempt to its end: hears the stream, as `follow.hear_stream` does, or does what a developer's script says.

It writes each result that the task owes by a method of the attempt, in their order, and looks whether a stop was asked
for whenever it waits; then `wind_up` ends the task. What it raises fails the task if it is final, and is tried again
otherwise."""


async def conclude_task(
    context: TaskContext, item: WorkItem, changed: asyncio.Event, conclude: ConcludeAttempt
) -> None:
    """Run a task to its end. `changed` is set when its record has changed.

    Raise what may go away by itself (the records, the stream or a disk are away): run the task again later.
    """

    async def run(attempt: Attempt) -> None:
        context.lags.begin(item.task_id)
        try:
            await conclude(attempt, AttemptWatch(attempt, changed))
        except EarwitnessError as error:
            if not is_final(error):
                raise
            await attempt.fail(str(error))
        finally:
            context.lags.end(item.task_id)

    await run_attempt(context, item, run)


async def wind_up(
    attempt: Attempt, *, call_ended: bool = False, have: float = 0.0, remarks: Sequence[str] = ()
) -> None:
    """End a task that heard `have` seconds of speech. Missing results are told as failures if the audio has ended."""
    task = attempt.task
    require_goes_on(task)
    if task.stop_reason is not StopReason.PIPELINE_STOPPED and not call_ended:
        await attempt.end_without(identification=None, voiceprint=None)
        return

    def too_little(needed: float) -> str:
        heard = f"only {have:.1f} s of speech were heard before the audio ended and {needed:.0f} s are needed"
        return "; ".join([heard, *remarks])

    await attempt.end_without(
        identification=None if attempt.identified else too_little(IDENTIFY_SECONDS),
        voiceprint=too_little(SPEECH_SECONDS_MAX) if task.voiceprint_status is None else None,
    )


def require_goes_on(task: SpeakerSearchTask) -> None:
    """Raise what fails a task whose domain was deleted, or whose speaker has withdrawn the consent."""
    if task.stop_reason is StopReason.DOMAIN_DELETED:
        raise domain_deleted()
    if task.stop_reason is StopReason.CONSENT_WITHDRAWN:
        raise ConsentMissing(WITHDRAWN)


def domain_deleted() -> NotFound:
    """Return what ends a task whose domain is gone."""
    return NotFound("the voice profile domain was deleted")


def is_final(error: EarwitnessError) -> bool:
    """Return whether an error that ended an attempt would end the next one too.

    Media that cannot be decoded or may not be read, models that are missing or damaged, a deleted domain, a record that
    cannot be opened: none of them goes away by itself.
    """
    return not error.retryable and not isinstance(error, _RACES)


async def run_attempt(context: TaskContext, item: WorkItem, work: Callable[[Attempt], Awaitable[None]]) -> None:
    """Begin an attempt at a task, unless the task is over; afterwards end its pipeline, if that only waited for it."""
    task = await context.adoption.adopt(item)
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
        return await context.read(lambda: context.store.pipelines.get(task.scope, task.pipeline_id))
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
