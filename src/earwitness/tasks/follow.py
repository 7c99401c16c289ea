"""Follow one channel of a stream for one task: from its first fragment to its two results.

Positions are kept, never audio. After a crash the passages with speech are read again and the others are not, which
gives the same answers; results that already stand in the record are not concluded again.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from functools import partial

from earwitness.engine.engine import Engine, Voice
from earwitness.errors import Conflict, SpeechTooPoor
from earwitness.media.source import StartPosition, StreamFragment
from earwitness.metrics.reported import InferenceStep
from earwitness.store.records import NewVoiceprint
from earwitness.tasks.attempt import Attempt, AttemptWatch, domain_deleted, require_goes_on, wind_up
from earwitness.tasks.checkpoints import CheckpointWriter
from earwitness.tasks.events import channels_declared, live_source_of
from earwitness.tasks.hear import ChannelListener
from earwitness.tasks.lines import LineName
from earwitness.tasks.repeats import earlier_fingerprints, heard_again
from earwitness.tasks.replay import LOST, FragmentSlice, Replay
from earwitness.tasks.voting import Searched
from earwitness.traces.traces import TraceStep
from earwitness.voice.band import Band
from earwitness.voice.task_status import StopReason, TaskStatus

REST_SECONDS = 0.25
"""How long a fragment may take to be read from where it is kept; longer means that there is none."""

CATCH_UP_SECONDS = 10.0
"""The same for a fragment that was there before an interruption: a stream that is far away is being connected."""

_DECLARED_RATE = 8_000
"""Of a source that declares none. The rate counts where the stream itself states none."""


async def hear_stream(attempt: Attempt, watch: AttemptWatch) -> None:
    """Bring an attempt to its end by hearing its stream, as `ConcludeAttempt` promises."""
    task = attempt.task
    is_to_stop = task.status is TaskStatus.STOPPING and task.stop_reason is not StopReason.PIPELINE_STOPPED
    if is_to_stop or not await _models_are_open(attempt, watch):
        await wind_up(attempt)
        return
    context = attempt.context
    domain = await context.read(lambda: context.store.domains.get(task.scope, task.domain_id))
    if domain is None:
        raise domain_deleted()
    engine = await context.engine(Band(domain.band))
    checkpoints = CheckpointWriter(attempt)
    source = await context.source_of(task.scope, task.stream_arn)
    replay = Replay(
        source,
        start=StartPosition(since=task.created_at, after_number=task.start_fragment_number),
        checkpoint=checkpoints.kept,
        lost=LOST in (attempt.task.status_message or ""),
    )
    await _Listening(attempt, watch, engine, replay, checkpoints).run()


async def _models_are_open(attempt: Attempt, watch: AttemptWatch) -> bool:
    """Wait for the voice models. Return False when a stop comes first, unless the audio ended: it is still heard."""
    opening = asyncio.ensure_future(attempt.context.models_opened())
    await asyncio.sleep(0)  # nearly always they are open, and there is nothing to wait for
    try:
        while not await watch.has_come(opening):
            if attempt.task.stop_reason is not StopReason.PIPELINE_STOPPED:
                return False
    finally:
        opening.cancel()
    opening.result()
    return True


class _Listening:
    """An attempt that hears its stream."""

    def __init__(
        self, attempt: Attempt, watch: AttemptWatch, engine: Engine, replay: Replay, checkpoints: CheckpointWriter
    ) -> None:
        self._attempt = attempt
        self._context = attempt.context
        self._watch = watch
        self._engine = engine
        self._replay = replay
        self._checkpoints = checkpoints
        rate = int(live_source_of(attempt.pipeline).get("MediaSampleRate", _DECLARED_RATE))
        channels = channels_declared(attempt.pipeline, attempt.task.stream_arn)
        self._listener = ChannelListener(
            engine, channel=attempt.task.channel_id, declared_rate=rate, declared_channels=channels
        )
        self._coming: asyncio.Future[FragmentSlice | None] | None = None  # what is being read, if anything
        self._begun = False  # whether the record says that this attempt has its audio
        # When what was heard last had arrived, as a whole; None before the first fragment.
        self._arrived_at: datetime | None = None

    async def run(self) -> None:
        """Hear the stream until both results are there, the call ends, or a stop is asked for; then end the task."""
        pieces = self._replay.pieces()
        try:
            await self._hear_all(pieces)
        finally:
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.wait({self._coming})
            await pieces.aclose()

    async def _hear_all(self, pieces: AsyncGenerator[FragmentSlice]) -> None:
        listener, replay, attempt = self._listener, self._replay, self._attempt
        stopped = attempt.task.status is TaskStatus.STOPPING
        while not (stopped or replay.ended or listener.can_enrol):
            coming = self._next(pieces)
            piece = self._came(coming) if await self._watch.has_come(coming) else None
            if piece is not None:
                await self._hear(piece)
            else:
                stopped = not replay.ended
        if stopped and attempt.task.stop_reason is StopReason.PIPELINE_STOPPED:
            await self._hear_the_rest(pieces, until=attempt.task.updated_at)
        if replay.ended:
            await self._finish()
        if listener.can_enrol:
            await self._make_voiceprint()
        else:
            await wind_up(attempt, call_ended=replay.ended, have=listener.seconds, remarks=replay.remarks())

    async def _hear(self, piece: FragmentSlice) -> None:
        attempt, listener, replay, lags = self._attempt, self._listener, self._replay, self._context.lags
        task_id = attempt.task.task_id
        self._context.heard_from(attempt.task.stream_arn)
        self._context.traces.heard(task_id, attempt.task.stream_arn)
        lags.hears(task_id, behind_seconds=piece.fragment.behind_seconds)
        if not (self._begun or attempt.task.status is TaskStatus.STOPPING):
            await self._begin(piece.fragment)
        # In the record, because no event would tell if the task still finds what it looks for.
        if replay.lost:
            await self._remark(LOST)
        if not piece.is_passed_over:
            await self._hear_samples(piece)
        if listener.remark is not None:
            await self._remark(listener.remark)
        lags.heard(task_id, so_far=listener.so_far())
        await self._identify_if_due()
        if not (replay.catching_up or listener.can_enrol):
            await self._checkpoints.keep(
                listener.passages,
                call=replay.call,
                heard_seconds=listener.heard_seconds,
                net_speech_seconds=listener.seconds,
            )

    async def _remark(self, remark: str) -> None:
        """Write a remark into the record beside what stands there, once: an attempt before may have written it."""
        said = self._attempt.task.status_message
        if said is None or remark not in said:
            await self._attempt.remark(remark if said is None else f"{said}; {remark}")

    async def _hear_samples(self, piece: FragmentSlice) -> None:
        listener, context = self._listener, self._context
        now, seconds, heard = context.clock(), listener.seconds, listener.heard_seconds
        await context.compute(InferenceStep.HEAR, partial(listener.hear, piece))
        context.metrics.net_speech.inc(max(0.0, listener.seconds - seconds))
        # A fragment of a live call takes to arrive as long as it lasts.
        length = timedelta(seconds=max(0.0, listener.heard_seconds - heard))
        self._arrived_at = min(now, piece.fragment.server_time + length)

    async def _hear_the_rest(self, pieces: AsyncGenerator[FragmentSlice], *, until: datetime) -> None:
        """Hear what came before the audio was declared to have ended: a call may be heard late, or after a crash."""
        while not self._listener.can_enrol:
            coming = self._next(pieces)
            rest = CATCH_UP_SECONDS if self._replay.catching_up else REST_SECONDS
            done, _ = await asyncio.wait({coming}, timeout=rest)
            if not done or (piece := self._came(coming)) is None or piece.fragment.server_time > until:
                break
            if self._watch.changed.is_set():
                now = await self._watch.look()
                if now is not None:
                    require_goes_on(now)
            await self._hear(piece)
        await self._finish()

    async def _finish(self) -> None:
        """Count what waited for more of the call, which has ended."""
        if not self._listener.can_enrol:
            self._arrived_at = self._context.clock()  # it was the end that had to come
            await self._context.compute(InferenceStep.HEAR, self._listener.finish)
            await self._identify_if_due()

    def _next(self, pieces: AsyncGenerator[FragmentSlice]) -> "asyncio.Future[FragmentSlice | None]":
        """Return what comes next, which an earlier wait may have asked for already; None at the end of the stream."""
        self._coming = self._coming or asyncio.ensure_future(anext(pieces, None))
        return self._coming

    def _came(self, coming: "asyncio.Future[FragmentSlice | None]") -> FragmentSlice | None:
        self._coming = None
        return coming.result()

    async def _begin(self, first: StreamFragment) -> None:
        try:
            await self._attempt.begin(self._checkpoints.begin(first, call=self._replay.call))
            self._begun = True
        except Conflict:
            self._watch.changed.set()  # stopped just now; the next look sees it

    async def _identify_if_due(self) -> None:
        if not self._listener.can_identify or self._attempt.identified:
            return
        with self._context.traces.step(self._attempt.task.task_id, TraceStep.IDENTIFY):
            voices = await self._context.compute(InferenceStep.EMBEDDING, self._listener.probe)
            # Again when somebody was deleted meanwhile: nobody is found once that was answered.
            while True:
                searched = await self._search(voices)
                if await self._attempt.conclude_identification(searched.decision, searched):
                    break
            if self._arrived_at is not None:
                delay = self._context.clock() - self._arrived_at
                self._context.metrics.result_delay.observe(max(0.0, delay.total_seconds()))

    async def _search(self, voices: Sequence[Voice]) -> Searched:
        context, task, engine, listener = self._context, self._attempt.task, self._engine, self._listener
        line = LineName(task.scope, task.domain_id, listener.codec)
        lines = context.lines()
        gallery = await context.run_in_thread(lambda: lines.gallery(line, engine))

        def search() -> Searched:
            decision = engine.search_voices(voices, gallery)
            speech, now = listener.speech(), context.clock()
            return lines.searched(line, voices, speech, gallery, decision, task_id=task.task_id, at=now)

        return await context.compute(InferenceStep.SEARCH, search)

    async def _make_voiceprint(self) -> None:
        with self._context.traces.step(self._attempt.task.task_id, TraceStep.ENROL):
            try:
                embedding, speech = await self._context.compute(InferenceStep.VOICEPRINT, self._listener.voiceprint)
            except SpeechTooPoor as error:
                await self._attempt.refuse_voiceprint(str(error))
                return
            voiceprint = NewVoiceprint(
                encoder_id=embedding.encoder_id,
                vector=embedding.vector.astype("<f4").tobytes(),
                net_speech_seconds=embedding.net_speech_seconds,
                quality={**speech.quality.as_document()},
                audio=speech.as_pcm() if self._context.keep_audio else None,
            )
            context, task = self._context, self._attempt.task
            earlier = await context.run_in_thread(lambda: earlier_fingerprints(context.store, task, embedding))
            heard = await context.compute(InferenceStep.REPEAT, lambda: heard_again(speech, earlier))
            await self._attempt.conclude_voiceprint(voiceprint, heard)
