"""What a scripted task finds, in the form in which a task that hears a call writes it.

Results say where they come from: their calibration and the encoder of their voiceprints are called `scripted`. No voice
that a model heard is compared with such a voiceprint.
"""

import hashlib
import math
import random
import struct
from dataclasses import fields, replace

from earwitness.errors import ScriptInvalid
from earwitness.store.records import NewVoiceprint, SpeakerSearchTask
from earwitness.store.repeats import HeardAgain, Repeat
from earwitness.store.store import Store
from earwitness.tasks.attempt import Attempt
from earwitness.testing.verdicts import ScriptedVerdict, is_ambiguous
from earwitness.voice.decision import Basis, Candidate, Decision, Outcome, Threshold
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
from earwitness.voice.line import LineState
from earwitness.voice.speech_quality import SpeechQuality

SCRIPTED = "scripted"
"""The calibration of scripted decisions, and the encoder of scripted voiceprints, before its band."""

_DIMENSION = 192
_THRESHOLD = 0.6
_SCORE_RANGE = 0.3
"""How far scores go above the threshold and below it."""

_STRANGERS_NAMED_PERCENT = 1.0


def decision_of(attempt: Attempt, verdict: ScriptedVerdict) -> Decision:
    """Return what the search finds. Raise ScriptInvalid when a profile is not among those that are searched."""
    store, task = attempt.context.store, attempt.task
    domain = store.domains.get(task.scope, task.domain_id)
    basis = Basis(
        line_state=LineState.UNKNOWN,
        line_voices=0,
        line_version=0,
        calibration_id=SCRIPTED,
        gallery_version=None if domain is None else domain.version,
    )
    if not verdict.voices:
        return replace(_found(store, task, verdict, voices=1), basis=basis)
    found = [_found(store, task, voice, voices=len(verdict.voices)) for voice in verdict.voices]
    return Decision(
        outcome=Outcome.SEVERAL_VOICES,
        candidates=(),
        threshold=None,
        nobody_confidence=None,
        margin=None,
        ambiguous=False,
        net_speech_seconds=IDENTIFY_SECONDS,
        voices=tuple(replace(voice, basis=basis) for voice in found),
        basis=basis,
    )


def _found(store: Store, task: SpeakerSearchTask, verdict: ScriptedVerdict, *, voices: int) -> Decision:
    """Return who has one of the voices of a call."""
    named = [(pair, _THRESHOLD + _SCORE_RANGE * pair[1]) for pair in verdict.profiles]
    below = [(pair, _THRESHOLD - _SCORE_RANGE * (1.0 - pair[1])) for pair in verdict.below_threshold]
    found = tuple(_candidate(store, task, *pair, score=score) for pair, score in (*named, *below))
    confidences = tuple(candidate.confidence for candidate in found)
    return Decision(
        outcome=Outcome.MATCH if named else Outcome.NO_MATCH,
        candidates=found,
        threshold=_threshold(sum(store.lines.encoders(task.scope, task.domain_id).values()), searches=voices),
        nobody_confidence=max(0.0, 1.0 - sum(confidences)),
        margin=found[0].score - found[1].score if len(found) > 1 else None,
        ambiguous=bool(named) and is_ambiguous(confidences),
        net_speech_seconds=IDENTIFY_SECONDS / voices,
    )


def _threshold(gallery_size: int, *, searches: int) -> Threshold:
    return Threshold(
        score=_THRESHOLD,
        strangers_named_percent=_STRANGERS_NAMED_PERCENT / searches,
        gallery_size=gallery_size,
        pair_false_match_rate=0.0,
        extrapolated=False,
        persons=0,
        person_pairs=0,
        persons_needed=None,
    )


def _candidate(store: Store, task: SpeakerSearchTask, profile_id: str, confidence: float, *, score: float) -> Candidate:
    profile = store.profiles.get(task.scope, profile_id)
    if profile is None or profile.domain_id != task.domain_id:
        where = "was deleted" if profile is None else "is in another domain"
        raise ScriptInvalid(f"the script finds {profile_id}, which {where}: the task searches {task.domain_id}")
    voiceprints = store.profile_voiceprints.list(task.scope, profile.profile_id)
    if not voiceprints:
        raise ScriptInvalid(f"the script finds {profile_id}, whose voiceprint has expired: nobody would find it")
    return Candidate(
        profile_id=profile.profile_id,
        voiceprint_id=voiceprints[0].voiceprint_id,
        score=score,
        confidence=confidence,
        false_match_rate=0.0,
    )


def heard_again_of(attempt: Attempt, verdict: ScriptedVerdict) -> HeardAgain:
    """Return what is kept of what the call said: nothing but whether an earlier one said it.

    Raise ScriptInvalid where no search could have noticed that.
    """
    store, task, of = attempt.context.store, attempt.task, verdict.repeats
    if not of:
        return HeardAgain(fingerprint=b"", repeat=None)
    earlier = store.tasks.get(task.scope, of)
    if earlier is None or earlier.domain_id != task.domain_id:
        raise ScriptInvalid(f"the script repeats the task {of}, which is not one of the domain {task.domain_id}")
    if earlier.pipeline_id == task.pipeline_id:
        raise ScriptInvalid(f"the script repeats the task {of}, which is one of the same call")
    if store.task_voiceprints.get(task.scope, of) is None:
        raise ScriptInvalid(f"the script repeats the task {of}, whose voiceprint is not there any more, or never was")
    return HeardAgain(fingerprint=b"", repeat=Repeat(of_task_id=of, likeness=1.0))


def voiceprint_of(task: SpeakerSearchTask) -> NewVoiceprint:
    """Return a voiceprint that is like no other one, and the same for every attempt at a task."""
    seed = int.from_bytes(hashlib.sha256(task.task_id.encode()).digest()[:8])
    drawn = random.Random(seed)  # noqa: S311  # nothing is secret in it
    vector = [drawn.gauss(0.0, 1.0) for _ in range(_DIMENSION)]
    length = math.hypot(*vector)
    return NewVoiceprint(
        encoder_id=f"{SCRIPTED}/telephone",
        vector=struct.pack(f"<{_DIMENSION}f", *(value / length for value in vector)),
        net_speech_seconds=SPEECH_SECONDS_MAX,
        quality={field.name: None for field in fields(SpeechQuality)},  # nothing was measured
    )
