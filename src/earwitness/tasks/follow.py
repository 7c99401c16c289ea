"""Follow one channel of a stream for one task: the way from its first fragment to its two results.

Positions are remembered, never audio. After a crash the passages with speech are read again, the others are not, which
gives the same answers; what is concluded already stands in the record and is not concluded again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from earwitness.engine.engine import Engine
from earwitness.engine.gallery import Gallery
from earwitness.errors import AttemptSuperseded, Conflict, EarwitnessError, NotFound, SpeechTooPoor
from earwitness.media.source import StartPosition, StreamFragment
from earwitness.store.records import Pipeline, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.tasks.checkpoint_writer import CheckpointWriter
from earwitness.tasks.conclude import Conclusions
from earwitness.tasks.context import TaskContext
from earwitness.tasks.fail import end_pipeline, fail, is_final, pipeline_of
from earwitness.tasks.hear import ChannelListener
from earwitness.tasks.replay import LOST, FragmentSlice, Replay
from earwitness.tasks.report import declared_rate_of
from earwitness.tasks.work import WorkItem
from earwitness.voice.band import Band
from earwitness.voice.decision import Decision
from earwitness.voice.embedding import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
from earwitness.voice.task_status import StopReason, TaskStatus

ValueT = TypeVar("ValueT")

_log = logging.getLogger("earwitness.follow")

REST_SECONDS = 0.25
"""How long a fragment may take to be read from where it is kept; longer means that there is none."""

CATCH_UP_SECONDS = 10.0
"""The same for a fragment that was there before an interruption: a stream that is far away is being connected."""


async def follow(tools: TaskContext, item: WorkItem, changed: asyncio.Event) -> None:
    """Run a task to its end. `changed` is set when its record has changed.

    Raises what may go away by itself: the records, the stream or a disk are away. Run it again later.
    """
    task = await tools.write(lambda unit: unit.attempts.adopt(item.scope, item.task_id))
    if task is None:
        return
    tools.lags.begin(item.task_id)
    try:
        await _follow(tools, task, changed)
    except AttemptSuperseded:
        _log.info("a task went to another worker", extra={"task_id": item.task_id, "attempt": task.attempt})
    finally:
        tools.lags.end(item.task_id)


async def _follow(tools: TaskContext, task: SpeakerSearchTask, changed: asyncio.Event) -> None:
    pipeline = await pipeline_of(tools, task)
    if pipeline is not None:
        await _Follower(tools, task, pipeline, changed).run()
        await end_pipeline(tools, task)


class _Follower:
    """One attempt at one task."""

    def __init__(self, tools: TaskContext, task: SpeakerSearchTask, pipeline: Pipeline, changed: asyncio.Event) -> None:
        self._tools = tools
        self._task = task
        self._pipeline = pipeline
        self._identified = task.identification is not None  # the record forgets it with its domain
        self._changed = changed
        self._conclusions = Conclusions(tools, task, pipeline)
        self._declared_rate = declared_rate_of(pipeline)
        self._engine: Engine | None = None
        self._ear: ChannelListener | None = None
        self._reading: Replay | None = None
        self._coming: asyncio.Future[FragmentSlice | None] | None = None
        self._place = CheckpointWriter(tools, task)

    async def run(self) -> None:
        try:
            if self._task.status is TaskStatus.STOPPING and self._task.stop_reason is not StopReason.PIPELINE_STOPPED:
                await self._wind_up()
            else:
                await self._listen()
        except EarwitnessError as error:
            if not is_final(error):
                raise
            await fail(self._tools, self._task, self._pipeline, str(error), identified=self._identified)

    async def _listen(self) -> None:
        if not await self._models_are_open():
            await self._wind_up()
            return
        task = self._task
        domain = await self._tools.wait_for(lambda: self._tools.store.domains.get(task.scope, task.domain_id))
        if domain is None:
            raise NotFound("the voice profile domain was deleted")
        self._engine = await self._tools.compute(lambda: self._tools.engine_of(Band(domain.band)))
        self._ear = ChannelListener(self._engine, channel=task.channel_id, declared_rate=self._declared_rate)
        self._reading = Replay(
            self._tools.source_of(task.scope, task.stream_arn),
            start=StartPosition(since=task.created_at, after_number=task.start_fragment_number),
            checkpoint=self._place.kept,
            lost=task.status_message == LOST,
        )
        pieces = self._reading.pieces()
        try:
            await self._hear_all(pieces)
        finally:
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.wait({self._coming})
            await pieces.aclose()

    async def _models_are_open(self) -> bool:
        """Wait for the voice models. False when a stop comes first; after the end of the audio all is still heard."""
        opening = asyncio.ensure_future(self._tools.models_opened())
        try:
            while not await self._has_come(opening):
                if self._task.stop_reason is not StopReason.PIPELINE_STOPPED:
                    return False
        finally:
            opening.cancel()
        opening.result()
        return True

    async def _hear_all(self, pieces: AsyncGenerator[FragmentSlice]) -> None:
        ear, reading = _there(self._ear), _there(self._reading)
        stopped = self._task.status is TaskStatus.STOPPING
        while not (stopped or reading.ended or ear.can_enrol):
            next_one = await self._next(pieces)
            if next_one is not None:
                await self._hear(next_one)
            else:
                stopped = not reading.ended
        if stopped and self._task.stop_reason is StopReason.PIPELINE_STOPPED:
            await self._hear_the_rest(pieces, until=self._task.updated_at)
        if reading.ended:
            await self._finish()
        if ear.can_enrol:
            await self._make_voiceprint()
        else:
            await self._wind_up()

    async def _hear(self, piece: FragmentSlice) -> None:
        ear, lags, task_id = _there(self._ear), self._tools.lags, self._task.task_id
        self._tools.heard_from(self._task.stream_arn)
        lags.hears(task_id, behind_seconds=piece.fragment.behind_seconds)
        if self._task.status is TaskStatus.INITIALIZING:
            await self._begin(piece.fragment)
        if _there(self._reading).lost and self._task.status_message is None:
            await self._tell_loss()
        if not piece.is_passed_over:
            await self._tools.compute(partial(ear.hear, piece))
        lags.heard(task_id)
        await self._identify_if_due()
        if not (_there(self._reading).catching_up or ear.can_enrol):
            kept = await self._place.keep(ear.course, call=_there(self._reading).call, heard_seconds=ear.heard_seconds)
            self._task = kept or self._task

    async def _hear_the_rest(self, pieces: AsyncGenerator[FragmentSlice], *, until: datetime) -> None:
        """What came before the audio was declared to have ended: a call may be heard late, or after a crash."""
        ear = _there(self._ear)
        while not ear.can_enrol:
            coming = self._coming = self._coming or asyncio.ensure_future(anext(pieces, None))
            rest = CATCH_UP_SECONDS if _there(self._reading).catching_up else REST_SECONDS
            done, _ = await asyncio.wait({coming}, timeout=rest)
            if not done or (piece := self._came(coming)) is None or piece.fragment.server_time > until:
                break
            if self._changed.is_set() and (now := await self._look()) and now.stop_reason is StopReason.DOMAIN_DELETED:
                raise NotFound("the voice profile domain was deleted")
            await self._hear(piece)
        await self._finish()

    async def _finish(self) -> None:
        """The call has ended: what waited for more of it counts."""
        ear = _there(self._ear)
        if not ear.can_enrol:
            await self._tools.compute(ear.finish)
            await self._identify_if_due()

    async def _next(self, pieces: AsyncGenerator[FragmentSlice]) -> FragmentSlice | None:
        """What comes next; None when the call has ended, or with the news that there is to be none."""
        coming = self._coming = self._coming or asyncio.ensure_future(anext(pieces, None))
        return self._came(coming) if await self._has_come(coming) else None

    async def _has_come(self, coming: "asyncio.Future[Any]") -> bool:  # `Any`: what it gives is not looked at
        """Wait for something. False when a stop was asked for first, which the task then tells."""
        while not coming.done():
            change = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({coming, change}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
            if self._changed.is_set() and (stopped := await self._look()):
                self._task = stopped
                return False
        return True

    def _came(self, coming: "asyncio.Future[FragmentSlice | None]") -> FragmentSlice | None:
        self._coming = None
        return coming.result()

    async def _look(self) -> SpeakerSearchTask | None:
        """Read the record again: the task, if a stop was asked for or its domain is gone."""
        self._changed.clear()
        task = await self._tools.wait_for(lambda: self._tools.store.tasks.get(self._task.scope, self._task.task_id))
        if task is None:
            raise AttemptSuperseded("the task is gone; drop the work on it")
        if task.attempt != self._task.attempt:
            raise AttemptSuperseded("another attempt at this task has begun; drop this one")
        over = task.status is TaskStatus.STOPPING or task.stop_reason is StopReason.DOMAIN_DELETED
        return task if over else None

    async def _begin(self, first: StreamFragment) -> None:
        """The audio has come: remember where it began, so that a later attempt begins there too."""
        scope, task_id, attempt = self._task.scope, self._task.task_id, self._task.attempt
        checkpoint = self._place.begin(first, call=_there(self._reading).call)

        def work(unit: Unit) -> SpeakerSearchTask:
            unit.attempts.open_media(scope, task_id, attempt=attempt)
            task = unit.attempts.write_progress(scope, task_id, attempt=attempt, checkpoint=checkpoint)
            pipeline = unit.pipelines.get(scope, task.pipeline_id)
            if pipeline is not None:
                self._tools.steering.hear(unit, scope, pipeline)
            return task

        try:
            self._task = await self._tools.write(work)
        except Conflict:
            self._changed.set()  # stopped just now; the next look sees it

    async def _tell_loss(self) -> None:
        """In the record, because the task may yet find what it looks for, and then no event would tell."""
        scope, task_id, attempt = self._task.scope, self._task.task_id, self._task.attempt
        self._task = await self._tools.write(
            lambda unit: unit.attempts.remark(scope, task_id, attempt=attempt, status_message=LOST)
        )

    async def _identify_if_due(self) -> None:
        if _there(self._ear).can_identify and not self._identified:
            self._task = await self._conclusions.identified(await self._identify())
            self._identified = True

    async def _identify(self) -> Decision:
        engine, ear, task = _there(self._engine), _there(self._ear), self._task

        def gallery() -> Gallery:
            return self._tools.galleries.get(
                task.scope, task.domain_id, encoder_id=engine.encoder.encoder_id, dimension=engine.encoder.dimension
            )

        def search(voices: Gallery) -> Decision:
            return engine.search_voices(ear.voices(), voices)

        voices = await self._tools.wait_for(gallery)
        return await self._tools.compute(lambda: search(voices))

    async def _make_voiceprint(self) -> None:
        ear = _there(self._ear)
        try:
            embedding, speech = await self._tools.compute(ear.voiceprint)
        except SpeechTooPoor as error:
            await self._conclusions.not_printed(str(error))
            return
        await self._conclusions.printed(embedding, speech)

    async def _wind_up(self) -> None:
        """End after a stop. At the end of the audio every missing result is told as a failure; else nothing is."""
        task = self._task
        if task.stop_reason is StopReason.DOMAIN_DELETED:
            raise NotFound("the voice profile domain was deleted")
        call_ended = self._reading is not None and self._reading.ended
        if task.stop_reason is not StopReason.PIPELINE_STOPPED and not call_ended:
            await self._conclusions.ended_without(identification=None, voiceprint=None)
            return
        await self._conclusions.ended_without(
            identification=None if self._identified else self._too_little(IDENTIFY_SECONDS),
            voiceprint=self._too_little(SPEECH_SECONDS_MAX) if task.voiceprint_status is None else None,
        )

    def _too_little(self, needed_seconds: float) -> str:
        have = self._ear.seconds if self._ear is not None else 0.0
        said = f"only {have:.1f} s of speech were heard before the audio ended and {needed_seconds:.0f} s are needed"
        return "; ".join([said, *(self._reading.remarks() if self._reading is not None else ())])


def _there(value: ValueT | None) -> ValueT:
    if value is None:
        raise RuntimeError("a task was heard before its stream was opened")
    return value
