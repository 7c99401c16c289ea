"""Records that the console's tests look at: calls of every outcome, people, events in every state, hostile words."""

import io
import zipfile
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from rest_examples import DECISION, VOICEPRINT, add_event, add_pipeline, add_task

from earwitness.samples import first_call, second_call
from earwitness.store.records import Scope, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.voice.band import Band
from earwitness.voice.decision import Candidate, Decision, Outcome

DOMAIN = "vpd-1"
PRINT = replace(
    VOICEPRINT,
    quality={
        "snr_db": 21.5,
        "speech_level_dbfs": -24.1,
        "clipped_percent": 0.0,
        "bandwidth_hz": 3350.0,
        "peak_dbfs": -3,
    },
)
CONSENT = "form 12 of Mrs Example"
DELETED = "vp-0d9f7d0e-6a4b-4f5e-9c53-0d9a3f4f1b11"
"""A profile that there was."""
KNOWN = "vp-341c3b6f-0f02-436b-a140-83e01d1f6325"
RUNNER_UP = "vp-7f0a91d2-7d0e-4b0e-9b7a-6a4c1f2d9e55"
QUEUE = "arn:aws:sqs:us-east-1:111122223333:results"

MATCH = replace(
    DECISION,
    candidates=(
        replace(DECISION.candidates[0], profile_id=KNOWN),
        replace(DECISION.candidates[1], profile_id=RUNNER_UP),
    ),
)
STRANGER = replace(
    MATCH,
    outcome=Outcome.NO_MATCH,
    candidates=(
        Candidate(profile_id=KNOWN, voiceprint_id="p1", score=0.31, confidence=0.004, false_match_rate=0.03),
        Candidate(profile_id=RUNNER_UP, voiceprint_id="p2", score=0.22, confidence=0.0004, false_match_rate=0.11),
    ),
    nobody_confidence=0.9956,
    margin=0.09,
)
WEAK = replace(
    MATCH,
    candidates=(replace(MATCH.candidates[0], score=0.53, confidence=0.41, false_match_rate=0.004), MATCH.candidates[1]),
    nobody_confidence=0.58,
    margin=0.22,
)
SHORT = Decision(
    outcome=Outcome.NOT_ENOUGH_SPEECH,
    candidates=(),
    threshold=None,
    nobody_confidence=None,
    margin=None,
    ambiguous=False,
    net_speech_seconds=4.2,
)
SEVERAL = replace(SHORT, outcome=Outcome.SEVERAL_VOICES, net_speech_seconds=22.4, voices=(MATCH, STRANGER))

HOSTILE = {
    "script": "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>",
    "directions": "invoice\u202egnp.exe \u2066left",
    "attribute": '" autofocus onfocus="document.title=1" x="',
    "template": "{{ 7 * 7 }}{% for x in y %}",
    "long": "Ω" * 65_536,
}


def task_id(number: int) -> str:
    return f"2df425f5-433d-4778-9fca-{number:012d}"


def fill(store: Store, scope: Scope, *, expires_at: datetime) -> None:
    """Calls of every outcome in one domain, with two people and events that are delivered, waiting and parked."""

    def work(unit: Unit) -> None:
        unit.domains.create(
            scope,
            domain_id=DOMAIN,
            arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/{DOMAIN}",
            name="Callers",
            description="People who call the claims line",
            kms_key_arn="arn:aws:kms:us-east-1:111122223333:key/1",
            band=Band.TELEPHONE,
        )
        for profile_id in (DELETED, KNOWN, RUNNER_UP):
            _enrol(unit, scope, profile_id, expires_at=expires_at)
        unit.profiles.delete(scope, DELETED)
        add_pipeline(unit, scope)
        for number, decision in enumerate((MATCH, STRANGER, WEAK, SEVERAL, SHORT)):
            conclude(unit, add_task(unit, scope, task_id=task_id(number)), decision)
        add_task(unit, scope, task_id=task_id(5))
        _take(unit, add_task(unit, scope, task_id=task_id(6)))
        add_event(unit, QUEUE, "file", event_id="event-1", scope=scope)
        add_event(unit, QUEUE, event_id="event-2", scope=scope)

        _deliver(unit)

    store.write(work)


def name_hostile(store: Store, scope: Scope) -> None:
    """A domain for each hostile name."""

    def work(unit: Unit) -> None:
        for kind, words in HOSTILE.items():
            unit.domains.create(
                scope,
                domain_id=f"vpd-{kind}",
                arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/vpd-{kind}",
                name=words,
                description=words,
                kms_key_arn="arn:aws:kms:us-east-1:111122223333:key/1",
                band=Band.TELEPHONE,
            )

    store.write(work)


def _deliver(unit: Unit) -> None:
    """Deliver the first event to its file, park it at its queue, and let the second wait for an hour, before the
    service sees them."""
    until = unit.now + timedelta(hours=1)
    for one in unit.deliveries.claim(until=until, limit=10):
        if one.target == "file":
            unit.deliveries.record_delivered(one)
        else:
            unit.deliveries.record_failed(one, error="the queue does not exist; create it", retry_at=None)
    unit.deliveries.claim(until=until, limit=10)


def conclude(unit: Unit, task: SpeakerSearchTask, decision: Decision) -> None:
    """Pick a task up, give it a result, and a voiceprint where there was enough speech, and end it."""
    attempt = _take(unit, task)
    unit.attempts.conclude_identification(task.scope, task.task_id, attempt=attempt, identification=asdict(decision))
    if decision.outcome in (Outcome.MATCH, Outcome.NO_MATCH):
        unit.attempts.conclude_voiceprint(task.scope, task.task_id, attempt=attempt, voiceprint=PRINT)
    unit.attempts.end(task.scope, task.task_id, attempt=attempt)


def _take(unit: Unit, task: SpeakerSearchTask) -> int:
    taken = unit.attempts.adopt(task.scope, task.task_id)
    assert taken is not None
    return taken.attempt


def _enrol(unit: Unit, scope: Scope, profile_id: str, *, expires_at: datetime) -> None:
    arn = f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile/{profile_id}"
    unit.profiles.create(scope, profile_id=profile_id, domain_id=DOMAIN, arn=arn, expires_at=expires_at)
    unit.profiles.add_voiceprint(
        scope,
        profile_id,
        voiceprint_id=f"print-of-{profile_id}",
        voiceprint=PRINT,
        expires_at=expires_at,
        consent_reference=CONSENT,
    )


SPEAKERS = ("angus", "fiona", "kal", "marvin", "russell", "sally")


def labelled(*, names: tuple[str, ...] = SPEAKERS, manifest: str | None = None) -> bytes:
    """An archive of two calls of each person."""
    rows = ["file,speaker_id"]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            for which, call in (("first", first_call(name)), ("second", second_call(name))):
                archive.writestr(f"{name}/{which}.flac", call.read_bytes())
                rows.append(f"{name}/{which}.flac,{name}")
        archive.writestr("manifest.csv", "\n".join(rows) if manifest is None else manifest)
    return content.getvalue()
