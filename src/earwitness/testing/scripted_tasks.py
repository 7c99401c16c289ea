"""Tasks whose verdict a test has written: what hears and searches is left out, everything else is the service's own.

The life of a task, its status, its events, their delivery and the profile that is made of it are the same code as for a
task that hears a call. What it finds is put into the form of an answer by scripted_answers.py.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from earwitness.errors import Conflict, ScriptInvalid
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.tasks.attempt import Attempt, AttemptWatch, ConcludeAttempt, wind_up
from earwitness.tasks.heard import HeardSoFar, SpeechStretch
from earwitness.testing.scripted_answers import decision_of, heard_again_of, voiceprint_of
from earwitness.testing.turned_clock import TurnedClock
from earwitness.testing.verdicts import SEARCHED, ScriptedVerdict, VerdictKind
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.speech_quality import OF_SEVERAL_VOICES
from earwitness.voice.task_status import StopReason, TaskStatus

CALLER_KEYS = ("fromNumber", "callId", "transactionId")
"""Of a pipeline's runtime metadata: what a caller is known by."""

STEP = timedelta(seconds=0.5)
"""How often it is told how much speech was heard so far."""


@dataclass(eq=False)
class _Rule:
    """Verdicts for the tasks of a stream, of a caller, or of all."""

    stream_arn: str | None
    caller: str | None
    verdicts: Sequence[ScriptedVerdict]
    used: int = 0

    def fits(self, attempt: Attempt) -> bool:
        if self.stream_arn not in (None, attempt.task.stream_arn):
            return False
        metadata = attempt.pipeline.runtime_metadata or {}
        return self.caller is None or self.caller in [str(metadata.get(key)) for key in CALLER_KEYS]

    def take(self) -> ScriptedVerdict:
        """Return the next verdict; the last one as often as asked."""
        verdict = self.verdicts[min(self.used, len(self.verdicts) - 1)]
        self.used += 1
        return verdict


class Script:
    """The verdicts of a service. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules: list[_Rule] = []
        self._taken: dict[str, ScriptedVerdict] = {}  # by task: another attempt at it finds the same
        self._lock = Lock()

    def add(self, scope: Scope, verdicts: Sequence[ScriptedVerdict], *, stream: str | None, caller: str | None) -> None:
        """Write verdicts for the tasks of a stream (ARN or name), of a caller, or of all; the latest that fit count.

        Raise ScriptInvalid where there is no such stream, or no such profile or task that is to be found.
        """
        if not verdicts:
            raise ScriptInvalid("a script has at least one verdict")
        for verdict in verdicts:
            for profile_id in verdict.profile_ids:
                self._require_profile(scope, profile_id)
            if verdict.repeats and self._store.tasks.get(scope, verdict.repeats) is None:
                raise ScriptInvalid(
                    f"there is no speaker search task {verdict.repeats} in {scope.region} to be repeated"
                )
        stream_arn = None if stream is None else self._stream_arn(scope, stream)
        with self._lock:
            self._rules.insert(0, _Rule(stream_arn, caller, tuple(verdicts)))

    def forget(self) -> None:
        """Forget all verdicts but those of tasks that run."""
        with self._lock:
            self._rules.clear()

    def verdict_for(self, attempt: Attempt) -> ScriptedVerdict | None:
        """Return what a task finds; None when nothing is written for it."""
        task_id = attempt.task.task_id
        with self._lock:
            if task_id not in self._taken:
                rule = next((rule for rule in self._rules if rule.fits(attempt)), None)
                if rule is None:
                    return None
                self._taken[task_id] = rule.take()
            return self._taken[task_id]

    def _require_profile(self, scope: Scope, profile_id: str) -> None:
        if self._store.profiles.get(scope, profile_id) is None:
            raise ScriptInvalid(
                f"there is no voice profile {profile_id} in {scope.region} to be found; make it first, with "
                "CreateVoiceProfile of a scripted task"
            )

    def _stream_arn(self, scope: Scope, stream: str) -> str:
        found = self._store.streams.get(scope, stream)
        if found is None:
            raise ScriptInvalid(f"there is no stream {stream} in {scope.region}; make it first, with CreateStream")
        return found.arn


class ScriptedTasks:
    """Brings attempts to their end as the script says; `otherwise` has those for which nothing is written."""

    def __init__(self, script: Script, clock: TurnedClock, *, otherwise: ConcludeAttempt) -> None:
        self._script = script
        self._clock = clock
        self._otherwise = otherwise

    async def __call__(self, attempt: Attempt, watch: AttemptWatch) -> None:
        """Conclude as `ConcludeAttempt` promises."""
        task = attempt.task
        if task.status is TaskStatus.STOPPING and task.stop_reason is not StopReason.PIPELINE_STOPPED:
            await wind_up(attempt)
            return
        verdict = self._script.verdict_for(attempt)
        if verdict is None:
            await self._otherwise(attempt, watch)
            return
        if task.status is not TaskStatus.STOPPING:
            try:
                await attempt.begin({})
            except Conflict:
                watch.changed.set()  # stopped just now
        await _ScriptedCall(attempt, watch, verdict, self._clock).run()


class _ScriptedCall:
    """An attempt that finds what is written. Speech comes evenly, from the begin of the task on."""

    def __init__(self, attempt: Attempt, watch: AttemptWatch, verdict: ScriptedVerdict, clock: TurnedClock) -> None:
        self._attempt = attempt
        self._watch = watch
        self._verdict = verdict
        self._clock = clock
        self._began = attempt.task.created_at  # not now: a test may turn the clock before the task is picked up

    async def run(self) -> None:
        """Bring the attempt to its end."""
        attempt, verdict = self._attempt, self._verdict
        if not await self._heard(verdict.first_seconds):
            await wind_up(attempt, have=self._seconds(most=verdict.first_seconds))
        elif verdict.kind in SEARCHED:
            await self._search()
        elif verdict.kind is VerdictKind.FAILURE:
            await attempt.fail(verdict.reason)
        else:
            if verdict.kind is VerdictKind.LISTENING:
                await self._watch.has_come(asyncio.get_running_loop().create_future())  # nothing comes but a stop
            ended = verdict.kind is VerdictKind.INCONCLUSIVE
            await wind_up(attempt, call_ended=ended, have=verdict.speech_seconds)

    async def _search(self) -> None:
        attempt, verdict = self._attempt, self._verdict
        heard = await attempt.context.run_in_thread(lambda: heard_again_of(attempt, verdict))
        if not attempt.identified:
            decision = await attempt.context.run_in_thread(lambda: decision_of(attempt, verdict))
            await attempt.conclude_identification(decision, None)
        if not await self._heard(verdict.speech_seconds):
            await wind_up(attempt, have=self._seconds(most=verdict.speech_seconds))
        elif verdict.reason:
            await attempt.fail(verdict.reason)
        elif verdict.speech_seconds < SPEECH_SECONDS_MAX:
            await wind_up(attempt, call_ended=True, have=verdict.speech_seconds)
        elif verdict.voiceprint_refused or verdict.voices:
            await attempt.refuse_voiceprint(verdict.voiceprint_refused or OF_SEVERAL_VOICES)
        else:
            await attempt.conclude_voiceprint(voiceprint_of(attempt.task), heard)

    def _when(self, seconds: float) -> datetime:
        """Return when so much speech was heard: `after` is that of the first of all."""
        verdict = self._verdict
        share = seconds / verdict.first_seconds if verdict.first_seconds else 1.0
        return self._began + timedelta(seconds=share * verdict.after)

    def _seconds(self, *, most: float) -> float:
        """Return how much speech was heard by now."""
        verdict, passed = self._verdict, (self._clock() - self._began).total_seconds()
        return most if not verdict.after else max(0.0, min(most, verdict.first_seconds * passed / verdict.after))

    async def _heard(self, seconds: float) -> bool:
        """Wait until so much speech was heard, and tell how much. Return False when a stop was asked for first."""
        moment, is_over = self._when(seconds), False
        while not is_over:
            self._tell(self._seconds(most=seconds))
            # Also where there is nothing to wait for: a stop that was asked for already counts.
            waiting = asyncio.ensure_future(self._clock.reached(min(moment, self._clock() + STEP)))
            try:
                if not await self._watch.has_come(waiting):
                    return False
            finally:
                waiting.cancel()
            is_over = self._clock() >= moment
        self._tell(seconds)
        return True

    def _tell(self, seconds: float) -> None:
        """Tell those who watch; levels there are none, because there is no audio."""
        so_far = HeardSoFar(
            net_speech_seconds=seconds,
            audio_seconds=seconds,
            levels_start_seconds=0.0,
            levels=(),
            speech=(SpeechStretch(start_seconds=0.0, end_seconds=seconds),) if seconds else (),
        )
        self._attempt.context.lags.heard(self._attempt.task.task_id, so_far=so_far)


async def refuse_unscripted(attempt: Attempt, _watch: AttemptWatch) -> None:
    """Fail a task that nothing is written for, in a service without voice models."""
    raise ScriptInvalid(
        f"nothing is scripted for the stream {attempt.task.stream_arn}; call script() for it, for its caller or for "
        "all tasks before the task begins, or start the service with models=True to hear the call"
    )
