"""What the tests of the live search have in common: a running task, a voiceprint of two dimensions, a profile."""

import struct
from datetime import timedelta

from store_examples import MINE, START, add_domain, add_pipeline, guid

from earwitness.store.records import NewVoiceprint, Scope, SpeakerSearchTask, VoiceProfile
from earwitness.store.store import Store, Unit
from earwitness.voice.consent import NOTHING_CARRIED, CarriedConsent

STREAM = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/calls/1700000000000"
DAY = timedelta(hours=24)
THREE_YEARS = timedelta(days=3 * 365)
CHECKPOINT = {"fragment": "91343852333181432392682062607743920146264022017", "speech": [[0.5, 4.25]]}
IDENTIFICATION = {"candidates": [{"profileId": "vp-1", "score": 0.71}], "threshold": 0.6, "netSpeechSeconds": 10.0}


def vector(x: float = 0.6, y: float = 0.8) -> bytes:
    return struct.pack("<2f", x, y)


def voiceprint(x: float = 0.6, y: float = 0.8, *, audio: bytes | None = None) -> NewVoiceprint:
    return NewVoiceprint(
        encoder_id="two-d-1",
        vector=vector(x, y),
        net_speech_seconds=20.25,
        quality={"snrDb": 21.5},
        audio=audio,
    )


def add_task(
    unit: Unit,
    domain_id: str,
    pipeline_id: str = "",
    scope: Scope = MINE,
    *,
    stream_arn: str = STREAM,
    channel_id: int = 0,
    active_limit: int | None = None,
    pipeline_statuses: list[str] | None = None,
    consent: CarriedConsent = NOTHING_CARRIED,
) -> SpeakerSearchTask:
    return unit.tasks.create(
        scope,
        task_id=guid(),
        pipeline_id=pipeline_id or add_pipeline(unit, scope).pipeline_id,
        stream_arn=stream_arn,
        channel_id=channel_id,
        domain_id=domain_id,
        domain_arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/{domain_id}",
        active_limit=active_limit,
        pipeline_statuses=pipeline_statuses,
        consent=consent,
    )


def new_task(store: Store, scope: Scope = MINE) -> SpeakerSearchTask:
    """A task that nobody picked up, in a domain and a pipeline of its own."""
    return store.write(lambda unit: add_task(unit, add_domain(unit, scope).domain_id, scope=scope))


def adopted(store: Store, task: SpeakerSearchTask) -> SpeakerSearchTask:
    task_now = store.write(lambda unit: unit.attempts.adopt(task.scope, task.task_id))
    assert task_now is not None
    return task_now


def running_task(store: Store, scope: Scope = MINE) -> SpeakerSearchTask:
    return adopted(store, new_task(store, scope))


def with_voiceprint(store: Store, *, audio: bytes | None = None, scope: Scope = MINE) -> SpeakerSearchTask:
    """A running task that has made its voiceprint."""
    task = running_task(store, scope)
    return store.write(
        lambda unit: unit.attempts.conclude_voiceprint(
            scope, task.task_id, attempt=task.attempt, voiceprint=voiceprint(audio=audio)
        )
    )


def end(store: Store, task: SpeakerSearchTask) -> SpeakerSearchTask:
    return store.write(lambda unit: unit.attempts.end(task.scope, task.task_id, attempt=task.attempt))


def enrol(store: Store, task: SpeakerSearchTask, *, consent: str | None = None) -> VoiceProfile:
    """The profile of a task."""
    profile_id = f"vp-{guid()}"
    return store.write(
        lambda unit: unit.profiles.create_from_task(
            task.scope,
            task_id=task.task_id,
            profile_id=profile_id,
            arn=f"arn:aws:chime:{task.scope.region}:{task.scope.account_id}:voice-profile/{profile_id}",
            voiceprint_id=guid(),
            expires_at=START + THREE_YEARS,
            consent_reference=consent,
        )
    )


def append_event(unit: Unit, pipeline_id: str, *targets: str, body: bytes = b"{}", scope: Scope = MINE) -> str:
    event_id = guid()
    unit.events.append(
        scope, event_id=event_id, pipeline_id=pipeline_id, kind="SpeakerSearchStatus", body=body, targets=targets
    )
    return event_id
