"""Tasks whose verdict a test has written: what hears and searches is left out, everything else is the service's own.

The life of a task, its status, its events, their delivery and the profile that is made of it are the same code as for a
task that hears a call. Results say where they come from: their calibration and the encoder of their voiceprints are
called `scripted`. No voice that a model heard is compared with such a voiceprint.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from threading import Lock

import numpy as np

from earwitness.errors import Conflict, ScriptInvalid
from earwitness.store.records import NewVoiceprint, Scope, SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.tasks.attempt import Attempt, AttemptWatch, ConcludeAttempt, wind_up
from earwitness.testing.turned_clock import TurnedClock
from earwitness.testing.verdicts import VOICEPRINT_AFTER, ScriptedVerdict, VerdictKind
from earwitness.voice.decision import Basis, Candidate, Decision, Outcome, Threshold
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
from earwitness.voice.line import LineState
from earwitness.voice.speech import SpeechQuality
from earwitness.voice.task_status import StopReason, TaskStatus

SCRIPTED = "scripted"
"""The calibration of scripted decisions, and the encoder of scripted voiceprints, before its band."""

CALLER_KEYS = ("fromNumber", "callId", "transactionId")
"""Of a pipeline's runtime metadata: what a caller is known by."""

_DIMENSION = 192
_SCORE = 0.9
_THRESHOLD = 0.6


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

        Raise ScriptInvalid where there is no such stream, or a profile that is to be found does not exist.
        """
        if not verdicts:
            raise ScriptInvalid("a script has at least one verdict")
        for verdict in verdicts:
            for profile_id, _ in verdict.profiles:
                self._require_profile(scope, profile_id)
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
        began = task.created_at  # not now: a test may turn the clock before the task is picked up
        if task.status is not TaskStatus.STOPPING:
            try:
                await attempt.begin({})
            except Conflict:
                watch.changed.set()  # stopped just now
        if not await self._reached(began + timedelta(seconds=verdict.after), watch):
            await self._stop(attempt, began)
        elif verdict.kind is VerdictKind.FAILURE:
            await attempt.fail(verdict.reason)
        elif verdict.kind is VerdictKind.INCONCLUSIVE:
            await wind_up(attempt, call_ended=True, have=verdict.speech_seconds)
        else:
            await self._conclude(attempt, watch, verdict, began)

    async def _conclude(self, attempt: Attempt, watch: AttemptWatch, verdict: ScriptedVerdict, began: datetime) -> None:
        if not attempt.identified:
            decision = await attempt.context.run_in_thread(lambda: _decision(attempt, verdict))
            await attempt.conclude_identification(decision, None)
        if not await self._reached(began + timedelta(seconds=VOICEPRINT_AFTER * verdict.after), watch):
            await self._stop(attempt, began)
        elif verdict.voiceprint_refused:
            await attempt.refuse_voiceprint(verdict.voiceprint_refused)
        else:
            await attempt.conclude_voiceprint(_voiceprint(attempt.task))

    async def _reached(self, moment: datetime, watch: AttemptWatch) -> bool:
        """Wait for a time. Return False when a stop was asked for first."""
        waiting = asyncio.ensure_future(self._clock.reached(moment))
        try:
            return await watch.has_come(waiting)
        finally:
            waiting.cancel()

    async def _stop(self, attempt: Attempt, began: datetime) -> None:
        """End a task before its time: a caller who spoke all the while was heard so long."""
        await wind_up(attempt, have=(self._clock() - began).total_seconds())


async def refuse_unscripted(attempt: Attempt, _watch: AttemptWatch) -> None:
    """Fail a task that nothing is written for, in a service without voice models."""
    raise ScriptInvalid(
        f"nothing is scripted for the stream {attempt.task.stream_arn}; call script() for it, for its caller or for "
        "all tasks before the task begins, or start the service with models=True to hear the call"
    )


def _decision(attempt: Attempt, verdict: ScriptedVerdict) -> Decision:
    """Return what the search finds. Raise ScriptInvalid when a profile is not among those that are searched."""
    store, task = attempt.context.store, attempt.task
    domain = store.domains.get(task.scope, task.domain_id)
    found = [_candidate(store, task, *pair, place) for place, pair in enumerate(verdict.profiles)]
    scores = [candidate.score for candidate in found]
    return Decision(
        outcome=Outcome.MATCH if found else Outcome.NO_MATCH,
        candidates=tuple(found),
        threshold=Threshold(
            score=_THRESHOLD,
            strangers_named_percent=1.0,
            gallery_size=len(found),
            pair_false_match_rate=0.0,
            extrapolated=False,
            persons=0,
            person_pairs=0,
            persons_needed=None,
        ),
        nobody_confidence=max(0.0, 1.0 - sum(candidate.confidence for candidate in found)),
        margin=scores[0] - scores[1] if len(scores) > 1 else None,
        ambiguous=False,
        net_speech_seconds=IDENTIFY_SECONDS,
        basis=Basis(
            line_state=LineState.UNKNOWN,
            line_voices=0,
            line_version=0,
            calibration_id=SCRIPTED,
            gallery_version=None if domain is None else domain.version,
        ),
    )


def _candidate(store: Store, task: SpeakerSearchTask, profile_id: str, confidence: float, place: int) -> Candidate:
    profile = store.profiles.get(task.scope, profile_id)
    if profile is None or profile.domain_id != task.domain_id:
        where = "was deleted" if profile is None else "is in another domain"
        raise ScriptInvalid(f"the script finds {profile_id}, which {where}: the task searches {task.domain_id}")
    voiceprints = store.profile_voiceprints.list(task.scope, profile.profile_id)
    if not voiceprints:
        raise ScriptInvalid(f"the script finds {profile_id}, whose voiceprint has expired: nobody would find it")
    score = _THRESHOLD + (_SCORE - _THRESHOLD) / (1 + place)
    return Candidate(
        profile_id=profile.profile_id,
        voiceprint_id=voiceprints[0].voiceprint_id,
        score=score,
        confidence=confidence,
        false_match_rate=0.0,
    )


def _voiceprint(task: SpeakerSearchTask) -> NewVoiceprint:
    """Return a voiceprint that is like no other one, and the same for every attempt at a task."""
    seed = int.from_bytes(hashlib.sha256(task.task_id.encode()).digest()[:8])
    vector = np.random.default_rng(seed).standard_normal(_DIMENSION)
    return NewVoiceprint(
        encoder_id=f"{SCRIPTED}/telephone",
        vector=(vector / np.linalg.norm(vector)).astype("<f4").tobytes(),
        net_speech_seconds=SPEECH_SECONDS_MAX,
        quality={field.name: None for field in fields(SpeechQuality)},  # nothing was measured
    )
