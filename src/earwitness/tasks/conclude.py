"""What a task concludes, written in one transaction with the event that tells of it."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np

from earwitness.store.records import NewVoiceprint, Pipeline, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.tasks.context import TaskContext
from earwitness.tasks.report import channel_of, envelope_of, identification_event, identification_record
from earwitness.voice.decision import Decision
from earwitness.voice.embedding import Embedding
from earwitness.voice.events import (
    Envelope,
    EventDocument,
    EventKind,
    SearchedChannel,
    event_body,
    identification_failure,
    voiceprint_generation_failure,
    voiceprint_generation_success,
)
from earwitness.voice.speech import NetSpeech

MakeEvent = Callable[[Envelope, SearchedChannel], EventDocument]


class Conclusions:
    """Writes the results of one attempt at one task. Each call is refused when the attempt is superseded."""

    def __init__(self, tools: TaskContext, task: SpeakerSearchTask, pipeline: Pipeline) -> None:
        self._tools = tools
        self._scope = task.scope
        self._task_id = task.task_id
        self._attempt = task.attempt
        self._pipeline = pipeline
        self._channel = channel_of(task, pipeline)

    async def identified(self, decision: Decision) -> SpeakerSearchTask:
        """The search was made."""
        record = identification_record(decision)

        def work(unit: Unit) -> SpeakerSearchTask:
            task = unit.attempts.conclude_identification(
                self._scope, self._task_id, attempt=self._attempt, identification=record
            )
            self._tell(unit, lambda envelope, channel: identification_event(envelope, channel, decision))
            return task

        return await self._write(work)

    async def printed(self, embedding: Embedding, speech: NetSpeech) -> SpeakerSearchTask:
        """A voiceprint was made; the task is over."""
        voiceprint = NewVoiceprint(
            encoder_id=embedding.encoder_id,
            vector=embedding.vector.astype("<f4").tobytes(),
            net_speech_seconds=embedding.net_speech_seconds,
            quality=finite(asdict(speech.quality)),
            audio=as_pcm(speech) if self._tools.keep_audio else None,
        )
        spelling = self._tools.voiceprint_spelling

        def work(unit: Unit) -> SpeakerSearchTask:
            unit.attempts.conclude_voiceprint(self._scope, self._task_id, attempt=self._attempt, voiceprint=voiceprint)
            task = unit.attempts.end(self._scope, self._task_id, attempt=self._attempt)
            self._tell(
                unit, lambda envelope, channel: voiceprint_generation_success(envelope, channel, spelling=spelling)
            )
            return task

        return await self._write(work)

    async def not_printed(self, reason: str) -> SpeakerSearchTask:
        """The speech would spoil a profile; the task is over, and its record says why as well."""

        def work(unit: Unit) -> SpeakerSearchTask:
            task = unit.attempts.conclude_voiceprint(self._scope, self._task_id, attempt=self._attempt, voiceprint=None)
            said = reason if task.status_message is None else f"{task.status_message}; {reason}"
            unit.attempts.remark(self._scope, self._task_id, attempt=self._attempt, status_message=said)
            task = unit.attempts.end(self._scope, self._task_id, attempt=self._attempt)
            self._tell_failures(unit, identification=None, voiceprint=reason)
            return task

        return await self._write(work)

    async def ended_without(self, *, identification: str | None, voiceprint: str | None) -> SpeakerSearchTask:
        """The task is over and lacks what is given here: the reason is told for each."""

        def work(unit: Unit) -> SpeakerSearchTask:
            if voiceprint is not None:
                unit.attempts.conclude_voiceprint(self._scope, self._task_id, attempt=self._attempt, voiceprint=None)
            task = unit.attempts.end(self._scope, self._task_id, attempt=self._attempt)
            self._tell_failures(unit, identification=identification, voiceprint=voiceprint)
            return task

        return await self._write(work)

    async def failed(self, reason: str, *, identification: bool, voiceprint: bool) -> SpeakerSearchTask:
        """The task cannot go on; what it still owed is told as a failure."""

        def work(unit: Unit) -> SpeakerSearchTask:
            task = unit.attempts.fail(self._scope, self._task_id, attempt=self._attempt, status_message=reason)
            self._tell_failures(
                unit, identification=reason if identification else None, voiceprint=reason if voiceprint else None
            )
            return task

        return await self._write(work)

    def _tell_failures(self, unit: Unit, *, identification: str | None, voiceprint: str | None) -> None:
        for reason, failure in ((identification, identification_failure), (voiceprint, voiceprint_generation_failure)):
            if reason is not None:
                self._tell(unit, partial(failure, status_message=reason))

    def _tell(self, unit: Unit, make: MakeEvent) -> None:
        tools, event_id = self._tools, self._tools.new_id()
        event = make(envelope_of(self._scope, event_id=event_id, now=unit.now), self._channel)
        unit.events.append(
            self._scope,
            event_id=event_id,
            pipeline_id=self._pipeline.pipeline_id,
            kind=EventKind.SPEAKER_SEARCH.value,
            body=event_body(event),
            targets=tools.targets_of(self._pipeline, EventKind.SPEAKER_SEARCH),
        )

    async def _write(self, work: Callable[[Unit], SpeakerSearchTask]) -> SpeakerSearchTask:
        task = await self._tools.write(work)
        self._tools.events_written()
        return task


def finite(document: dict[str, float | None]) -> dict[str, object]:
    """Numbers as JSON can hold them: an infinite level, of digital silence, becomes None."""
    return {name: value if value is not None and np.isfinite(value) else None for name, value in document.items()}


def as_pcm(speech: NetSpeech) -> bytes:
    """The speech as 16-bit samples at 16 kHz, which is what a new encoder will want."""
    return np.clip(np.rint(speech.samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()
