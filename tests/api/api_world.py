"""A service without a socket: a real gateway over real records, with botocore on the other side of the wire.

Whatever a test asks of it, two things hold of every answer: a fault is one that its operation declares or that is
listed here with a reason, and nobody gets a 5xx unless the test says that it breaks something.
"""

import asyncio
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import stock_client
from api_media import Media, put_media
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from earwitness.access.access import Access
from earwitness.access.roles import Role
from earwitness.api.calls import Calls
from earwitness.api.context import ApiContext
from earwitness.api.operations import ARCHIVED_MEDIA, MEDIA, PIPELINES, STREAMS, TABLE, VOICE, Opened
from earwitness.config.limits import Quotas
from earwitness.store.audit_records import AuditEntry
from earwitness.store.records import NewVoiceprint, Scope, VoiceProfile
from earwitness.store.store import Store, Unit, open_store
from earwitness.tasks.events import EventPublisher
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.retrying import Retrying
from earwitness.tasks.runner import TaskRunner, WorkItem
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper
from earwitness.wire.buckets import Throttle
from earwitness.wire.faults import declared_faults
from earwitness.wire.gateway import Gateway, GatewayLimits
from earwitness.wire.messages import Request, Response
from earwitness.wire.router import Route, Router
from earwitness.wire.service_models import ServiceModel, load_services
from earwitness.wire.wrong_credentials import WrongCredentials

ACCOUNT, OTHER_ACCOUNT, REGION, OTHER_REGION = "111122223333", "999988887777", "us-east-1", "us-west-2"
MINE = Scope(account_id=ACCOUNT, region=REGION)
SIGNING_NAMES = {
    PIPELINES: "chime",
    VOICE: "chime",
    STREAMS: "kinesisvideo",
    MEDIA: "kinesisvideo",
    ARCHIVED_MEDIA: "kinesisvideo",
}
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/earwitness"
KMS_KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
VOICE_ELEMENT = {
    "Type": "VoiceAnalyticsProcessor",
    "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
}

UNDECLARED = {
    "UnknownOperationException": "AWS lists it for every operation; there is no operation yet that could declare it",
    "InternalFailure": "AWS lists it for every operation of Kinesis Video Streams",
    "ServiceUnavailable": "AWS lists it for every operation of Kinesis Video Streams",
    "NotAuthorizedException": "AWS lists it for every operation of Kinesis Video Streams",
    "ThrottledClientException": "tags of voice profiles declare no throttling, and their clients know the exception",
    "ResourceLimitExceededException": "TagResource of media pipelines has a limit and declares no exception for it",
}
"""Faults that an operation may answer without declaring them, and why."""


class Clock:
    """Every look at it is a millisecond later than the one before."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += timedelta(milliseconds=1)
            return self.now


@cache
def services() -> dict[str, ServiceModel]:
    return load_services()


@cache
def router() -> Router:
    return Router(list(services().values()))


STREAMING_PATHS = {services()[row.service].operations[row.operation].path for row in TABLE if isinstance(row, Opened)}
"""Where requests or answers are streams, which the gateway alone does not answer."""


def key_of(role: Role, account: str = ACCOUNT) -> str:
    return f"{role.value}-{account}"


def open_records(url: str, clock: Clock) -> Store:
    vault = Vault(MasterKeyWrapper(MasterKey(key=bytes(range(32)))))
    return open_store(url, vault=vault, clock=clock, wait_seconds_max=20.0)


def make_keys(store: Store) -> None:
    """A key for every role of two accounts; all have the secret that botocore signs with here."""

    def work(unit: Unit) -> None:
        for account, role in itertools.product((ACCOUNT, OTHER_ACCOUNT), Role):
            key_id = key_of(role, account)
            unit.access_keys.create(
                key_id=key_id, account_id=account, role=role, name="test", secret=stock_client.SECRET
            )

    store.write(work)


async def _at_once() -> None:
    """Nobody else serves these records."""


async def _run_no_task(_item: WorkItem, _changed_or_reason: object) -> None:
    raise AssertionError("tasks do not run here")


class World:
    """The service of one test. Tasks that are started wait; nothing runs them."""

    def __init__(
        self,
        url: str,
        media: Path,
        *,
        quotas: Quotas | None = None,
        provoked: Mapping[str, Exception] | None = None,
        calls_per_second: float = 0.0,
        public_url: str = "",
        stream_exists: Callable[[Scope, str], bool] | None = None,
    ) -> None:
        self.clock = Clock()
        self.store = open_records(url, self.clock)
        self.seconds = 0.0
        self.faults: list[str] = []
        self._breaks = False
        self.media = Media(media, self.store, self.clock)
        self.changed: list[str] = []
        context = ApiContext(
            store=self.store,
            quotas=quotas or Quotas(),
            pipeline_moves=PipelineMoves(
                EventPublisher(targets_of=lambda _pipeline, _kind: (), new_id=lambda: str(uuid.uuid4())),
                pipeline_changed=self.changed.append,
            ),
            work=TaskRunner(
                _run_no_task,
                give_up=_run_no_task,
                call_soon=lambda _work: None,
                retrying=Retrying(chance=lambda: 0.0, monotonic=time.monotonic, sleep=asyncio.sleep),
            ),
            streams=self.media.streams,
            new_id=lambda: str(uuid.uuid4()),
            stream_exists=stream_exists or (lambda scope, arn: self.store.streams.get(scope, arn) is not None),
            public_url=public_url,
            node_url="",
            run_on_loop=self.media.on_loop,
            run_in_thread=self.media.threads.run,
            monotonic=time.monotonic,
            is_draining=lambda: False,
            heard_from=lambda _arn: None,
            announce=lambda _task: None,
            may_say_persisted=_at_once,
        )
        access = Access(
            self.store,
            in_background=lambda work: work(),
            clock=self.clock,
            skew_seconds_max=300.0,
        )
        calls = Calls(context=context, access=access)
        self.gateway = Gateway(
            services=list(services().values()),
            operations=calls,
            throttle=Throttle(per_second=calls_per_second),
            wrong_credentials=WrongCredentials(),
            clock=lambda: datetime.now(UTC),  # botocore signs with the real time
            monotonic=lambda: self.seconds,
            new_request_id=lambda: str(uuid.uuid4()),
            limits=GatewayLimits(),
            provoked=None if provoked is None else provoked.get,
        )
        self.media.serve(self.gateway, calls.streaming())

    def close(self) -> None:
        self.media.close()
        self.store.close()

    @contextmanager
    def breaks(self) -> Iterator[None]:
        """Inside, a 5xx is what the test wants."""
        self._breaks = True
        yield
        self._breaks = False

    def call(
        self, service: str, operation: str, *, key_id: str = key_of(Role.ADMIN), region: str = REGION, **params: Any
    ) -> dict[str, Any]:
        """Call an operation with botocore; PutMedia as its producers do."""
        if operation == "PutMedia":
            return put_media(params, self.answer, key_id=key_id, region=region)
        return stock_client.call(service, operation, params, self.answer, key_id=key_id, region=region)

    def answer(self, request: Request) -> Response:
        """Answer a request, and hold the answer against the rules above."""
        if request.raw_path in STREAMING_PATHS:
            response = self.media.answer(request)
            self._check(response, router().match("kinesisvideo", request))
            return response
        exchange = self.gateway.receive(request, scheme="http")
        self.gateway.answer(exchange)
        assert exchange.response is not None
        self._check(exchange.response, getattr(exchange, "route", None))
        return exchange.response

    def _check(self, response: Response, route: Route | None) -> None:
        fault = response.headers.get("x-amzn-ErrorType")
        assert (fault is None) == (response.status < 300)
        if fault is None:
            return
        self.faults.append(fault)
        assert response.status < 500 or self._breaks, f"{route} ended in {fault}"
        if route is not None:
            declared = declared_faults(route.service, route.operation.name)
            assert fault in declared or fault in UNDECLARED, f"{route.operation.name} does not declare {fault}"

    def audit(self, scope: Scope = MINE) -> tuple[AuditEntry, ...]:
        """The trail, the newest first."""
        return self.store.audit.list(scope, limit=1000).items

    def start_task(self, pipeline_id: str, domain_arn: str) -> str:
        """A task that waits for a worker."""
        params = {"Identifier": pipeline_id, "VoiceProfileDomainArn": domain_arn}
        return self.call(PIPELINES, "StartSpeakerSearchTask", **params)["SpeakerSearchTask"]["SpeakerSearchTaskId"]

    def end_task(self, task_id: str, *, with_voiceprint: bool = False) -> None:
        """What a worker does to a task."""
        voiceprint = NewVoiceprint(encoder_id="test", vector=b"\0" * 8, net_speech_seconds=20.0, quality={})

        def work(unit: Unit) -> None:
            task = unit.attempts.adopt(MINE, task_id)
            assert task is not None
            if with_voiceprint:
                unit.attempts.conclude_voiceprint(MINE, task_id, attempt=task.attempt, voiceprint=voiceprint)
            unit.attempts.end(MINE, task_id, attempt=task.attempt)

        self.store.write(work)

    # One of each resource, with the least that it takes.

    def make_configuration(self, name: str = "calls", *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
        made = self.call(
            PIPELINES,
            "CreateMediaInsightsPipelineConfiguration",
            MediaInsightsPipelineConfigurationName=name,
            ResourceAccessRoleArn=ROLE_ARN,
            Elements=list(elements) or [VOICE_ELEMENT],
            **more,
        )
        return made["MediaInsightsPipelineConfiguration"]

    def make_stream(self, name: str = "caller", **more: Any) -> str:
        return self.call(STREAMS, "CreateStream", StreamName=name, **more)["StreamARN"]

    def make_pipeline(self, configuration_arn: str, *stream_arns: str, **more: Any) -> dict[str, Any]:
        source: dict[str, Any] = {"KinesisVideoStreamSourceRuntimeConfiguration": live_source(*stream_arns)}
        made = self.call(
            PIPELINES,
            "CreateMediaInsightsPipeline",
            MediaInsightsPipelineConfigurationArn=configuration_arn,
            **(source | more),
        )
        return made["MediaInsightsPipeline"]

    def make_domain(self, name: str = "callers", **more: Any) -> dict[str, Any]:
        made = self.call(
            VOICE,
            "CreateVoiceProfileDomain",
            Name=name,
            ServerSideEncryptionConfiguration={"KmsKeyArn": KMS_KEY_ARN},
            **more,
        )
        return made["VoiceProfileDomain"]

    def make_connector(self, name: str = "trunk", **more: Any) -> dict[str, Any]:
        return self.call(VOICE, "CreateVoiceConnector", Name=name, RequireEncryption=False, **more)["VoiceConnector"]

    def make_profile(self, domain_id: str) -> VoiceProfile:
        """As a finished task would; there is no operation without one."""
        profile_id = f"vp-{uuid.uuid4()}"

        def work(unit: Unit) -> VoiceProfile:
            arn = f"arn:aws:chime:{REGION}:{ACCOUNT}:voice-profile/{profile_id}"
            expiry = unit.now + timedelta(days=1096)
            return unit.profiles.create(MINE, profile_id=profile_id, domain_id=domain_id, arn=arn, expires_at=expiry)

        return self.store.write(work)


def live_source(*stream_arns: str, channels: int = 1, **more: Any) -> dict[str, Any]:
    """A source of streams with so many channels each."""
    definition = {
        "NumberOfChannels": channels,
        "ChannelDefinitions": [{"ChannelId": number, "ParticipantRole": "CUSTOMER"} for number in range(channels)],
    }
    streams = [{"StreamArn": arn, "StreamChannelDefinition": definition} for arn in stream_arns]
    return {"Streams": streams, "MediaEncoding": "pcm", "MediaSampleRate": 8000, **more}


def exceptions(service: str) -> Any:
    """Botocore's exception classes of a service."""
    return stock_client.client(service).exceptions


def signed(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    signing_name: str = "chime",
    key_id: str = key_of(Role.ADMIN),
    region: str = REGION,
) -> Request:
    """A request of our own making, honestly signed; `target` is path and query as they travel."""
    request = AWSRequest(method, f"http://localhost:8123{target}", data=body, headers={"Host": "localhost:8123"})
    SigV4Auth(Credentials(key_id, stock_client.SECRET), signing_name, region).add_auth(request)
    path, _, query = target.partition("?")
    return Request.received(
        method=method,
        raw_path=path.encode("latin-1"),
        raw_query=query.encode("latin-1"),
        headers=[(name.encode(), str(value).encode()) for name, value in request.headers.items()],
        body=body,
        client="127.0.0.1",
    )
