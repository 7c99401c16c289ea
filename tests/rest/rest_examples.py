"""The tests of the JSON API: an application over real records, keys of every role, a record of every kind."""

import asyncio
import itertools
import json
import struct
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from jsonschema import Draft202012Validator

from earwitness.access.access import TOKEN_CHARACTERS_MIN, Access
from earwitness.engine.engine import Engine
from earwitness.engine.turns import Turns
from earwitness.models.catalogue import ENCODER_MODEL, entry
from earwitness.rest.app import JsonApi
from earwitness.rest.context import RestContext, RestLimits
from earwitness.rest.routes import openapi
from earwitness.store.job_records import ItemInput, Job
from earwitness.store.records import LineVersion, NewVoiceprint, Pipeline, Scope, SpeakerSearchTask, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.tasks.recordings import RecordingLimits, RecordingWork
from earwitness.tasks.voting import Lines
from earwitness.voice.band import Band
from earwitness.voice.call import AudioCoding, Leg
from earwitness.voice.connector import DoorStatus
from earwitness.voice.decision import Candidate, Decision, Outcome, Threshold
from earwitness.voice.job import JobKind, PartKind
from earwitness.voice.label import Picked, Spoke
from earwitness.voice.line import Codec, LineLearning
from earwitness.wire.buckets import Throttle
from earwitness.wire.wrong_credentials import WrongCredentials

ResultT = TypeVar("ResultT")

BASE = "http://earwitness.test"
V1 = "/earwitness/v1"
MINE = Scope(account_id="111122223333", region="eu-central-1")
THEIRS = Scope(account_id="999988887777", region="eu-central-1")
START = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = ("admin", "operator", "reader", "producer", "auditor")
SECRET = "a secret of forty characters, as AWS has"  # noqa: S105  # made up

DECISION = Decision(
    outcome=Outcome.MATCH,
    candidates=(
        Candidate(profile_id="vp-1", voiceprint_id="p1", score=0.81, confidence=0.98, false_match_rate=1e-6),
        Candidate(profile_id="vp-2", voiceprint_id="p2", score=0.31, confidence=0.001, false_match_rate=0.02),
    ),
    threshold=Threshold(
        score=0.52,
        strangers_named_percent=1.0,
        gallery_size=2,
        pair_false_match_rate=0.005,
        extrapolated=False,
        persons=70,
        person_pairs=2415,
        persons_needed=None,
    ),
    nobody_confidence=0.019,
    margin=0.5,
    ambiguous=False,
    net_speech_seconds=10.0,
)


class Clock:
    """The time in UTC; stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


async def run(work: Callable[[], ResultT]) -> ResultT:
    return await asyncio.to_thread(work)


def token(role: str, scope: Scope = MINE) -> str:
    return f"ewt_{role}_of_{scope.account_id}".ljust(47, "x")


def key_id(role: str, scope: Scope = MINE) -> str:
    return f"KEY{role.upper()}{scope.account_id}"


@dataclass(kw_only=True)
class Rest:
    """The application, and how to ask it."""

    store: Store
    engine: Engine
    clock: Clock = field(default_factory=Clock)
    notices: Notices = field(default_factory=Notices)
    lags: Lags = field(default_factory=lambda: Lags(monotonic=lambda: 0.0))
    turns: Turns = field(default_factory=lambda: Turns(2))
    limits: RestLimits = field(default_factory=RestLimits)
    recording_limits: RecordingLimits = field(default_factory=RecordingLimits)
    kept_media: Any = None
    """Of streams; only jobs on a stream need one. `Any`: none, where there is no media log."""

    jobs_changed: list[None] = field(default_factory=list[None])
    """Grows whenever those who work on jobs are told that there is something to do."""

    random: Random = field(default_factory=lambda: Random(0))
    throttle: Throttle = field(default_factory=lambda: Throttle(per_second=0))
    keep_audio: bool = False
    line_learning: LineLearning = LineLearning.ON
    deleted: list[None] = field(default_factory=list[None])
    """Grows whenever running tasks are told that a domain was deleted."""

    doors: dict[str, list[DoorStatus]] = field(default_factory=dict[str, list[DoorStatus]])
    monotonic: Callable[[], float] = lambda: 0.0
    wrong_credentials: WrongCredentials = field(default_factory=WrongCredentials)
    token_characters_min: int = TOKEN_CHARACTERS_MIN

    def __post_init__(self) -> None:
        lines = Lines(self.store, default=self.line_learning)
        numbers, lock = itertools.count(1_000_000), threading.Lock()

        def new_id() -> str:
            with lock:
                return str(UUID(int=next(numbers)))

        access = Access(
            self.store,
            in_background=lambda work: work(),
            clock=self.clock,
            skew_seconds_max=300.0,
            token_characters_min=self.token_characters_min,
        )
        self.recordings = RecordingWork(
            self.store,
            engine_of=lambda band: {Band.TELEPHONE: self.engine}[band],
            lines=lambda: lines,
            turns=self.turns,
            clock=self.clock,
            new_id=new_id,
            limits=self.recording_limits,
            keep_audio=self.keep_audio,
        )
        context = RestContext(
            store=self.store,
            recordings=self.recordings,
            kept_media=self.kept_media,
            jobs_changed=lambda: self.jobs_changed.append(None),
            run_in_thread=run,
            clock=self.clock,
            new_id=new_id,
            events_changed=self.notices,
            lags=self.lags,
            doors=lambda account_id: self.doors.get(account_id, []),
            use_of=lambda _scope: {"streams": (3, 10)},
            limits=self.limits,
            random=self.random,
            line_learning=self.line_learning,
            on_domain_deleted=lambda: self.deleted.append(None),
            media_refusal=lambda: None,
        )
        self.app = JsonApi(
            context,
            access,
            throttle=self.throttle,
            wrong_credentials=self.wrong_credentials,
            new_request_id=new_id,
            monotonic=self.monotonic,
        ).application()

    @property
    def waiting(self) -> bool:
        """Whether a request listens for notices."""
        return bool(self.notices.listener_count)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE)

    # `Any`: whatever httpx takes.
    def ask(self, method: str, path: str, *, role: str = "admin", scope: Scope = MINE, **more: Any) -> httpx.Response:
        """Ask with the token of a role, in the Region of the scope."""
        headers = {"authorization": f"Bearer {token(role, scope)}", **more.pop("headers", {})}
        params = {"region": scope.region, **more.pop("params", {})}
        return self.send(method, path, headers=headers, params=params, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask with what is given and nothing else."""

        async def one() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path if path.startswith("/") else f"{V1}/{path}", **more)

        return asyncio.run(one())

    def ask_signed(
        self,
        method: str,
        path: str,
        *,
        role: str = "admin",
        secret: str = SECRET,
        service: str = "earwitness",
        content: bytes = b"",
        sent: bytes | None = None,
    ) -> httpx.Response:
        """Ask with a signature that botocore makes, over the real time; `sent` goes in place of what was signed."""
        self.clock.now = datetime.now(UTC)
        request = AWSRequest(method=method, url=f"{BASE}{V1}/{path}", data=content)
        SigV4Auth(Credentials(key_id(role), secret), service, MINE.region).add_auth(request)
        return self.send(
            method, f"{V1}/{path}", headers=dict(request.headers), content=content if sent is None else sent
        )


def open_accounts(store: Store) -> None:
    """Tokens and keys of every role, in two accounts."""

    def work(unit: Unit) -> None:
        for scope, role in itertools.product((MINE, THEIRS), ROLES):
            name = f"{role} {scope.account_id}"
            unit.bearer_tokens.create(
                token=token(role, scope), token_id=f"tok-{name}", account_id=scope.account_id, role=role, name=name
            )
            unit.access_keys.create(
                key_id=key_id(role, scope), account_id=scope.account_id, role=role, name=name, secret=SECRET
            )

    store.write(work)


def add_domain(unit: Unit, scope: Scope = MINE, *, domain_id: str = "vpd-1") -> VoiceProfileDomain:
    return unit.domains.create(
        scope,
        domain_id=domain_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/{domain_id}",
        name="callers",
        description="",
        kms_key_arn="arn:aws:kms:eu-central-1:111122223333:key/1",
        band=Band.TELEPHONE,
    )


def add_job(unit: Unit, scope: Scope = MINE, *, job_id: str = "job-1", kind: JobKind = JobKind.SEARCH) -> Job:
    """A job of two recordings in the domain."""
    arn = f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/vpd-1"
    job, _ = unit.jobs.create(
        scope, job_id=job_id, kind=kind, domain_id="vpd-1", domain_arn=arn, items=2, key_id=key_id("admin", scope)
    )
    return job


def add_export(unit: Unit, *, job_id: str = "job-2", domain_id: str = "vpd-1") -> None:
    """An export that is complete and holds nothing but a few bytes."""
    unit.jobs.create(
        MINE,
        job_id=job_id,
        kind=JobKind.EXPORT,
        domain_id=domain_id,
        domain_arn=f"arn:aws:chime:{MINE.region}:{MINE.account_id}:voice-profile-domain/{domain_id}",
        items=1,
        key_id=key_id("admin"),
        source={"recipient": None, "audio": False},
    )
    job = unit.jobs.get(MINE, job_id)
    assert job is not None
    unit.jobs.put_all(job, [ItemInput(name="", part=PartKind.DOMAIN)])
    claimed = unit.jobs.claim(holder="h", after=None)
    assert claimed is not None
    unit.exports.put_part(claimed, b"a part")
    unit.jobs.finish(claimed, {"bytes": 6, "sha256": "00", "lines": 1, "recordings": 0})


def add_connector(unit: Unit, scope: Scope = MINE) -> None:
    """A Voice Connector with a call in progress."""
    arn = f"arn:aws:chime:{scope.region}:{scope.account_id}:vc/connector-1"
    unit.connectors.create(scope, connector_id="connector-1", arn=arn, name="trunk", body={"RequireEncryption": True})
    call = unit.connector_calls.begin(
        scope,
        transaction_id="transaction-1",
        connector_id="connector-1",
        call_id="call-1",
        door="siprec",
        direction="Inbound",
        from_number="+49secret",
        to_number="",
    )
    stream = f"arn:aws:kinesisvideo:{scope.region}:{scope.account_id}:stream/leg/1"
    unit.streams.create(scope, name="leg", arn=stream, version="v", retention_hours=0, status="ACTIVE")
    leg = Leg(label="1", is_caller=True, coding=AudioCoding.PCMU, rate=8_000)
    unit.connector_calls.put_leg(call, leg, stream_arn=stream, start_fragment_number="1")


def add_pipeline(unit: Unit, scope: Scope = MINE, *, pipeline_id: str = "pipeline-1") -> Pipeline:
    return unit.pipelines.create(
        scope,
        pipeline_id=pipeline_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:media-pipeline/{pipeline_id}",
        configuration_arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:media-insights-pipeline-configuration/c",
        configuration={"Elements": []},
        status="InProgress",
        element_statuses=[],
        source={},
        runtime_metadata=None,
    )


def add_task(unit: Unit, scope: Scope = MINE, *, task_id: str, pipeline_id: str = "pipeline-1") -> SpeakerSearchTask:
    return unit.tasks.create(
        scope,
        task_id=task_id,
        pipeline_id=pipeline_id,
        stream_arn=f"arn:aws:kinesisvideo:eu-central-1:{scope.account_id}:stream/{task_id}/1",
        channel_id=0,
        domain_id="vpd-1",
        domain_arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/vpd-1",
    )


def add_event(unit: Unit, *targets: str, event_id: str, scope: Scope = MINE, pipeline_id: str = "pipeline-1") -> None:
    body = json.dumps({"id": event_id, "detail": {"detailStatus": "IdentificationSuccessful"}}).encode()
    unit.events.append(
        scope, event_id=event_id, pipeline_id=pipeline_id, kind="speaker search", body=body, targets=targets
    )


VOICEPRINT = NewVoiceprint(
    encoder_id="two-d-1", vector=struct.pack("<2f", 0.6, 0.8), net_speech_seconds=20.25, quality={"snrDb": 21.5}
)


def conclude(unit: Unit, task: SpeakerSearchTask, decision: Decision = DECISION) -> None:
    """Pick a task up, give it both results, end it."""
    taken = unit.attempts.adopt(task.scope, task.task_id)
    assert taken is not None
    attempt = taken.attempt
    unit.attempts.conclude_identification(task.scope, task.task_id, attempt=attempt, identification=asdict(decision))
    unit.attempts.conclude_voiceprint(task.scope, task.task_id, attempt=attempt, voiceprint=VOICEPRINT)
    unit.attempts.end(task.scope, task.task_id, attempt=attempt)


def enrol(
    unit: Unit,
    *,
    profile_id: str = "vp-1",
    scope: Scope = MINE,
    consent: str | None = "form 12",
    voiceprint: NewVoiceprint = VOICEPRINT,
) -> None:
    """A profile with one voiceprint in the domain."""
    expires_at = START + timedelta(days=1_000)
    arn = f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile/{profile_id}"
    unit.profiles.create(scope, profile_id=profile_id, domain_id="vpd-1", arn=arn, expires_at=expires_at)
    unit.profiles.add_voiceprint(
        scope,
        profile_id,
        voiceprint_id=f"print-of-{profile_id}",
        voiceprint=voiceprint,
        expires_at=expires_at,
        consent_reference=consent,
    )


def label(
    unit: Unit, *, task_id: str = "task-1", spoke: Spoke = Spoke.PROFILE, profile_id: str | None = "vp-1"
) -> None:
    """Somebody's word on who spoke in the call of a task."""
    task = unit.tasks.get(MINE, task_id)
    assert task is not None
    unit.labels.put(task, spoke=spoke, profile_id=profile_id, picked=Picked.CHOSEN, key_id=key_id("operator"))


def learn(unit: Unit, codec: Codec = Codec.PCM, *, voices: int = 10) -> LineVersion:
    """A version of a line of the domain, of voices that the present encoder heard."""
    encoder = entry(ENCODER_MODEL)
    mean = struct.pack(f"<{encoder.dimension}f", *[0.01] * encoder.dimension)
    encoder_id = encoder.encoder_id(Band.TELEPHONE)
    return unit.lines.learn(MINE, "vpd-1", codec, encoder_id=encoder_id, mean=mean, voices=voices)


def require_fits(document: object, schema: str) -> None:
    """Fail when a document is not what the OpenAPI document promises."""
    components = openapi()["components"]
    Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components}).validate(document)


def require_error(response: httpx.Response, status: int, kind: str) -> str:
    """Fail when a response is not this error; its message."""
    assert response.status_code == status, response.text
    require_fits(response.json(), "Error")
    error = response.json()["error"]
    assert error["type"] == kind
    assert error["requestId"] == response.headers["x-request-id"]
    return error["message"]
