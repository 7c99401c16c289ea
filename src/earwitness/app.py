"""The composition root of the service: builds vault, store, gateway and server from settings, and wires them.

Nothing of the voice engine is imported before it is needed, so that the service answers within a second of its start.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from starlette.types import ASGIApp

from earwitness import descriptors
from earwitness.access.access import TOKEN_CHARACTERS_MIN, Access
from earwitness.api.calls import Calls
from earwitness.api.context import ApiContext
from earwitness.backup.duty import keeping_ledgers
from earwitness.config import Settings
from earwitness.config.addresses import host_and_port
from earwitness.config.settings import EngineSettings
from earwitness.console.app import Console
from earwitness.cores import usable_cores
from earwitness.development import DEV_KEY, Development
from earwitness.doors.desk import Desk
from earwitness.doors.doors import Doors, WebSocketsDoor
from earwitness.doors.socket_handshake import Outside
from earwitness.doors.sockets import SocketDoors
from earwitness.engine.voice_models import ModelPreparation, VoiceModels
from earwitness.errors import StoreBusy, Unavailable
from earwitness.fragments.budget import Budget
from earwitness.from_settings import (
    audit_parts,
    build_doors,
    console_parts,
    operation_names,
    origin_settings,
    rates,
    target_settings,
    traces_of,
)
from earwitness.installation import media_folder, open_installation, store_url
from earwitness.media.streams import MediaLimits, MediaRates
from earwitness.metrics.registry import Metrics
from earwitness.models.cache import ModelCache
from earwitness.nodes.internal import InternalApi
from earwitness.nodes.own import OwnNode, own_node
from earwitness.nodes.signing import SignatureCheck
from earwitness.observing import Observing
from earwitness.rest import published
from earwitness.rest.app import JsonApi
from earwitness.rest.context import RestContext, RestLimits
from earwitness.server.aws import AwsApplication, RequestLimits
from earwitness.server.beside import Beside
from earwitness.server.certificate import Certificate
from earwitness.server.connections import trusted_networks
from earwitness.server.root import Root
from earwitness.server.run import listening_socket
from earwitness.store.leading import NodeLeading
from earwitness.store.store import Store
from earwitness.tasks.auditing import Auditing
from earwitness.tasks.background import Background, BackgroundSettings
from earwitness.tasks.leading import Lead, leading, this_process
from earwitness.tasks.recordings import RecordingLimits
from earwitness.threads import Threads
from earwitness.traces.traces import Traces
from earwitness.voice.band import Band
from earwitness.voice.events import DetailStatus
from earwitness.voice.line import LineLearning
from earwitness.wire.buckets import Throttle
from earwitness.wire.gateway import Gateway, GatewayLimits
from earwitness.wire.guids import new_guid, new_request_id
from earwitness.wire.service_models import load_services
from earwitness.wire.wrong_credentials import WrongCredentials

if TYPE_CHECKING:
    from earwitness.engine.engine import Engine
    from earwitness.tasks.attempt import ConcludeAttempt

ResultT = TypeVar("ResultT")

_SPELLINGS = {status.value.lower(): status for status in DetailStatus}


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def open_records(settings: Settings, *, may_make: bool = True, clock: Callable[[], datetime] = now) -> Store:
    """Return the records that the settings name. Raise as `open_installation` does."""
    return open_installation(settings, clock=clock, may_make=may_make)


@contextmanager
def this_node(settings: Settings) -> Generator[OwnNode | None]:
    """Be a node, with its internal listener; None where the records can have no other process.

    Raise ConfigurationError and InstallationIncomplete.
    """
    if store_url(settings).startswith("sqlite"):
        yield None
        return
    host, port = host_and_port(settings.internal_address, setting="internal_address")
    with own_node(
        media_folder(settings),
        listen=lambda: listening_socket(host, port, advice="change the setting internal_address"),
        internal_url=settings.internal_url,
        node_url=settings.node_url,
        monotonic=time.monotonic,
    ) as node:
        yield node


def serving(store: Store, node: OwnNode | None, *, on_waiting: Callable[[str], None]) -> AbstractContextManager[Lead]:
    """Be the one process that serves these records, or this node; whoever loses the place stops as after SIGTERM.

    Raises AnotherProcessServes when another one has it. `on_waiting` is told when that takes a while to find out.
    """
    place = partial(
        leading,
        store.leading,
        on_waiting=on_waiting,
        on_lost=lambda: os.kill(os.getpid(), signal.SIGTERM),
        pause=time.sleep,
    )
    if node is None:
        me = this_process()
        return place(me, beside=partial(store.master_keys.take_up, me.holder))
    me = this_process(node_id=node.node_id, internal_url=node.internal_url, node_url=node.node_url)
    return place(me, on_renewed=node.renewed, beside=partial(store.master_keys.take_up, me.holder))


class Service:
    """Everything that answers, put together and not yet listening."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        development: Development | None = None,
        node: OwnNode | None = None,
        is_one_of_several: bool = False,
        certificate: Certificate | None = None,
    ) -> None:
        """`is_one_of_several`: other processes answer at the same address. `certificate` is what clients are shown."""
        self._settings, self._store = settings, store
        self._metrics = Metrics(operations=operation_names())
        store.meter.metrics = self._metrics.store
        self._traces = traces_of(settings, instance_id=new_guid() if node is None else node.node_id)
        self._clock = (development and development.clock) or (now if node is None else node.clock)
        self._looking: list[asyncio.Task[None]] = []  # before the start
        store.keep_reserve()
        self._threads = Threads(count=settings.limits.threads, at_once_max=settings.limits.requests_at_once)
        events_file = settings.data_dir / "events.jsonl" if development else None
        conclude = development.conclude if development else None
        self._background = build_background(
            settings,
            store,
            events_file=events_file,
            clock=self._clock,
            node=node,
            conclude=conclude,
            metrics=self._metrics,
            traces=self._traces,
        )
        self._internal = None if node is None else self._internal_listener(node)
        self.desk: Desk = self._background.desk
        self.lags = self._background.lags
        per_second, overrides = rates(settings.calls_per_second)
        self._throttle = Throttle(per_second=per_second, overrides=overrides, refused=self._metrics.requests.throttled)
        self._wrong_credentials = WrongCredentials()
        self.sockets = SocketDoors(
            self.desk,
            self._wrong_credentials,
            outside=Outside(public_url=settings.public_url, trusted_proxies=trusted_networks(settings.trusted_proxies)),
            new_id=new_guid,
        )
        others = build_doors(settings, self.desk, is_drained=store.is_draining)
        self.doors = Doors(self.desk, [WebSocketsDoor(self.sockets), *others])
        self._access = Access(
            store,
            in_background=self._threads.in_background,
            clock=now,
            skew_seconds_max=settings.limits.clock_skew_seconds,
            token_characters_min=1 if development else TOKEN_CHARACTERS_MIN,
            refused_secret=None if development else DEV_KEY,  # also where `serve --dev` is beside us on these records
        )
        self._context = self._api_context(near=store_url(settings).startswith("sqlite"))
        self._calls = Calls(context=self._context, access=self._access)
        self.console = self._console() if settings.console == "on" else None
        self._observing = self._observed(certificate, development, is_shared=is_one_of_several)
        self.root = Root(
            aws=self._aws(development),
            why_not_started=self._background.models.why_not_open,
            require_ready=self._require_ready,
            start=self._start,
            stop=self._stop,
            own=self._rest(),
            console=None if self.console is None else self.console.application(),
            doors=self.sockets,
            metrics=self._observing.application,
            published=dict.fromkeys(published.PATHS, self._retention_page()),
            certificate=certificate,
            key_service_fault=store.key_service_fault,
        )

    def _observed(
        self, certificate: Certificate | None, development: Development | None, *, is_shared: bool
    ) -> Observing:
        """Metrics, and where they are answered."""
        return Observing(
            self._metrics,
            self._settings,
            self._store,
            self._background,
            self.doors,
            self._access,
            run_in_thread=self._threads.run,
            wrong_credentials=self._wrong_credentials,
            clock=self._clock,
            is_development=development is not None,
            is_shared=is_shared,
            certificate=certificate,
            audited_at=self._auditing.told_at_seconds,
        )

    def _retention_page(self) -> ASGIApp:
        kept, days = self._background.recordings.keep_audio, self._settings.backup_days_max
        facts = published.ServiceFacts(keeps_enrolment_audio=kept, backup_days_max=days)
        return published.RetentionPage(self._store, facts, clock=self._clock, run_in_thread=self._threads.run)

    def _require_ready(self) -> None:
        """StoreUnavailable or Unavailable when records or media cannot be written or read, or others shall serve."""
        if (shortage := descriptors.shortage()) is not None:
            raise Unavailable(shortage)
        self._store.require_ready()
        self._background.require_serving()
        refusal = self._background.media_refusal()
        if refusal is not None:
            raise Unavailable(refusal)

    def require_started(self) -> None:
        """Raise what kept the service from starting, if anything did."""
        for failure in (self.root.failure, self._background.models.failure):
            if failure is not None:
                raise failure

    def prepare_models(self, preparation: ModelPreparation) -> None:
        """Make the voice models ready beside all else. Without this they are opened when they are first needed."""
        self._background.models.begin(preparation)

    def has_keys(self) -> bool:
        """Say whether anybody can use the service: there is an access key or a bearer token."""
        return self._store.access_keys.is_any_enabled() or self._store.bearer_tokens.is_any_enabled()

    def begin_to_stop(self) -> None:
        """Take no new requests."""
        self.root.aws.draining = True
        self.doors.drain()
        self._background.notices.close()

    async def catch_up(self) -> None:
        """Do now what is done regularly: a clock was turned. Raise what fails of it."""
        await self._background.catch_up()
        for work in self._auditing.works:
            await work.run_once()

    def close(self) -> None:
        """Finish what runs. The records stay open: whoever opened them gives up the claim on them, then closes them."""
        self._background.models.stop()
        self._threads.close()

    async def _start(self) -> None:
        """Begin with what goes on without a request, then let calls in."""
        await self._background.start()
        try:
            if self._internal is not None:
                await self._internal.open()
            await self._observing.open(self.root.probes)
            await self.doors.open()
        except BaseException:
            await self._background.stop()
            raise
        looking = (
            keeping_ledgers(self._settings, self._store, self._clock, lambda: self._background.keeps_house),
            self._access.held_keys.look_again_and_again(self._threads.run),
            self.doors.look_again_and_again(),
            *(work.run() for work in self._auditing.works),
        )
        self._looking = [asyncio.create_task(each) for each in looking]

    async def _stop(self) -> None:
        """End the calls, then all else."""
        for looking in self._looking:
            looking.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        await self.doors.close()
        await self._background.stop()
        await self._auditing.close()
        if self._internal is not None:
            await self._internal.close()
        await self._observing.close()
        await asyncio.to_thread(self._traces.close)

    @cached_property
    def _auditing(self) -> Auditing:
        """What keeps the audit trail."""
        return Auditing(self._store, run_in_thread=asyncio.to_thread, **audit_parts(self._settings, clock=self._clock))

    def _internal_listener(self, node: OwnNode) -> Beside:
        """Where other nodes are let in."""
        leading = self._store.leading
        if not isinstance(leading, NodeLeading) or leading.me is None:
            raise AssertionError("a node has claimed its place before the service is built")
        leading.load = self._background.work.load
        check, run = SignatureCheck(self._store.token_key), leading.me.holder
        return Beside(InternalApi(self._background.homes, check, run=run, now=time.time).application(), node.listener)

    def _api_context(self, *, near: bool) -> ApiContext:
        """What AWS's operations work with; `near` when reads of the records need no thread."""
        settings, background = self._settings, self._background
        return ApiContext(
            store=self._store,
            quotas=settings.quotas,
            work=background.work,
            pipeline_moves=background.moves,
            streams=background.streams,
            new_id=new_guid,
            stream_exists=background.sources.exists,
            public_url=settings.public_url,
            node_url=settings.node_url,
            run_on_loop=background.run_on_loop,
            run_in_thread=self._run_here if near else self._threads.run,
            monotonic=time.monotonic,
            is_draining=self._is_draining,
            heard_from=background.heard_from,
            announce=background.announce,
            may_say_persisted=background.may_say_persisted,
        )

    async def _run_here(self, read: Callable[[], ResultT]) -> ResultT:
        """Run a read of near records where we are; in a thread when they are locked."""
        try:
            return read()
        except StoreBusy:
            return await self._threads.run(read)

    def _is_draining(self) -> bool:
        return self.root.aws.draining

    @cached_property
    def _own_context(self) -> RestContext:
        """What earwitness's own API and the console work with."""
        settings, background = self._settings, self._background
        limits = RestLimits(
            body_seconds_max=settings.limits.client_seconds,
            domains_max=settings.quotas.domains,
            open_jobs_max=settings.quotas.open_jobs,
            job_bytes_max=settings.quotas.job_bytes,
        )
        return RestContext(
            store=self._store,
            recordings=background.recordings,
            kept_media=background.kept_media,
            jobs_changed=background.jobs_changed,
            run_in_thread=self._threads.run,
            clock=self._clock,
            new_id=new_guid,
            events_changed=background.notices,
            lags=background.lags,
            use_of=self._context.use_of,
            doors=self.doors.status,
            limits=limits,
            line_learning=LineLearning(settings.line_learning),
            on_domain_deleted=background.work.all_changed,
            media_refusal=background.media_refusal,
        )

    def _rest(self) -> ASGIApp:
        """earwitness's own API."""
        return JsonApi(
            self._own_context,
            self._access,
            throttle=self._throttle,
            wrong_credentials=self._wrong_credentials,
            new_request_id=new_request_id,
            monotonic=time.monotonic,
            metrics=self._metrics.requests,
        ).application()

    def _console(self) -> Console:
        """Pages for people."""
        return Console(
            self._own_context,
            self._access,
            **console_parts(self._settings, clock=now),
            throttle=self._throttle,
            wrong_credentials=self._wrong_credentials,
            new_request_id=new_request_id,
            monotonic=time.monotonic,
        )

    def _aws(self, development: Development | None) -> AwsApplication:
        """AWS's operations."""
        settings, limits = self._settings, self._settings.limits
        gateway = Gateway(
            services=list(load_services().values()),
            operations=self._calls,
            throttle=self._throttle,
            wrong_credentials=self._wrong_credentials,
            clock=now,
            monotonic=time.monotonic,
            new_request_id=new_request_id,
            limits=GatewayLimits(
                skew_seconds_max=limits.clock_skew_seconds,
                refuse_session_token=settings.session_tokens == "refuse",
            ),
            provoked=development.provoked.take if development else None,
        )
        return AwsApplication(
            gateway,
            threads=self._threads,
            wrong_credentials=self._wrong_credentials,
            monotonic=time.monotonic,
            on_loop=self._store.on_loop,
            limits=RequestLimits(
                body_bytes_max=limits.body_bytes,
                client_seconds_max=limits.client_seconds,
                at_once_max=limits.requests_at_once,
            ),
            streaming=self._calls.streaming(),
            upload_paths=("/putMedia",),
            metrics=self._metrics.requests,
        )


def build_background(
    settings: Settings,
    store: Store,
    *,
    events_file: Path | None,
    clock: Callable[[], datetime] = now,
    node: OwnNode | None = None,
    conclude: "ConcludeAttempt | None" = None,
    metrics: Metrics | None = None,
    traces: Traces | None = None,
) -> Background:
    """Return what goes on without being asked. `events_file` gets every event as a line.

    `conclude` brings tasks to their end; None hears their streams.
    """
    folder, limits = media_folder(settings), settings.limits
    return Background(
        BackgroundSettings(
            media_folder=folder,
            budget=Budget(folder, reserve_bytes=limits.disk_reserve_bytes, bytes_max=limits.media_bytes),
            media_limits=MediaLimits(
                bytes_per_stream=limits.stream_bytes,
                live_minutes=limits.stream_live_minutes,
                readers_per_stream=limits.stream_readers,
            ),
            media_rates=MediaRates(settings.media_rates),
            origins=origin_settings(settings),
            targets=target_settings(settings, events_file=events_file),
            threads=limits.threads,
            inference_threads=limits.inference_threads or usable_cores(),
            tasks_at_once=settings.tasks_at_once,
            voiceprint_spelling=_SPELLINGS[settings.voiceprint_status.lower()],
            keep_audio=settings.keep_enrolment_audio == "on",
            line_learning=LineLearning(settings.line_learning),
            active_pipelines=settings.quotas.active_pipelines,
            persist_wait_seconds=limits.persist_wait_seconds,
            recording_limits=RecordingLimits(
                decoded_seconds_max=settings.limits.recording_seconds,
                profiles_per_domain_max=settings.quotas.profiles_per_domain,
            ),
            job_items_at_once=limits.job_items_at_once,
        ),
        store,
        VoiceModels(ModelCache(settings.models_dir), partial(_build_engine, settings)),
        clock=clock,
        new_id=new_guid,
        metrics=metrics or Metrics(operations=()),
        traces=traces or Traces(),
        node=node,
        conclude=conclude,
    )


def _build_engine(settings: EngineSettings, band: Band) -> "Engine":
    from earwitness.engine.engine import build_engine  # opens onnxruntime, which a start need not wait for

    return build_engine(settings, band)
