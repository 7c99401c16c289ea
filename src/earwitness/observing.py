"""What operators see of a running service: its state joined to what it counts, and where that is read."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from starlette.types import ASGIApp, Receive, Scope, Send

from earwitness import __version__
from earwitness.access.access import Access
from earwitness.access.roles import Role
from earwitness.config import Settings
from earwitness.config.addresses import host_and_port
from earwitness.doors.doors import Doors
from earwitness.log import lines_dropped
from earwitness.metrics.registry import Metrics
from earwitness.metrics.state import Reads, StateMetrics
from earwitness.scrape import ScrapeAccess, Scrapes, is_loopback, refuse_shared
from earwitness.server.beside import Beside
from earwitness.server.certificate import Certificate
from earwitness.server.connections import Connections
from earwitness.server.protocol import limited_protocol
from earwitness.server.run import listening_socket
from earwitness.store.store import Store
from earwitness.tasks.background import Background
from earwitness.threads import RunInThread
from earwitness.wire.guids import new_request_id
from earwitness.wire.wrong_credentials import WrongCredentials

CONNECTIONS_MAX = 64
"""At an address of its own; those who scrape have one each."""

_log = logging.getLogger("earwitness.metrics")


class Observing:
    """Metrics of one process: gathered, and answered where the settings say."""

    def __init__(
        self,
        metrics: Metrics,
        settings: Settings,
        store: Store,
        background: Background,
        doors: Doors,
        access: Access,
        *,
        run_in_thread: RunInThread,
        wrong_credentials: WrongCredentials,
        clock: Callable[[], datetime],
        is_development: bool,
        is_shared: bool,
        certificate: Certificate | None,
        audited_at: Callable[[], float],
    ) -> None:
        """`is_shared`: other processes answer at the service's address. `audited_at`: when the place of the audit trail
        last had all, in seconds since 1970. Raise ConfigurationError for a metrics_address that is none."""
        self._settings = settings
        reads = _reads(store, background, doors, certificate, audited_at)
        self._state = StateMetrics(reads, version=__version__, clock=clock)
        metrics.add_state(self._state)
        scrapes = Scrapes(metrics)
        with_token = ScrapeAccess(
            access,
            # In development there is one account, whose key everybody has.
            roles=(Role.MONITOR, Role.ADMIN) if is_development else (Role.MONITOR,),
            run_in_thread=run_in_thread,
            wrong_credentials=wrong_credentials,
            new_request_id=new_request_id,
        )
        self.application: ASGIApp = refuse_shared if is_shared else scrapes.application(with_token)
        """What answers at the service's own address."""

        self._own: Beside | None = None
        self._address = None
        if settings.metrics_address:
            self._address = host_and_port(settings.metrics_address, setting="metrics_address")
            is_open = is_loopback(self._address[0]) or settings.metrics_access == "anybody"
            self._application = scrapes.application(None if is_open else with_token)

    async def open(self, probes: Mapping[str, ASGIApp]) -> None:
        """Answer at an address of its own, if one is set, and `probes` by their paths beside metrics.

        Raise ConfigurationError when it cannot be had.
        """
        if self._address is None:
            return
        host, port = self._address
        listener = listening_socket(host, port, advice="change the setting metrics_address")
        protocol = limited_protocol(
            head_seconds_max=self._settings.limits.client_seconds, connected=Connections(CONNECTIONS_MAX)
        )
        self._own = Beside(_beside(self._application, probes), listener, protocol=protocol)
        await self._own.open()
        _log.info("metrics are answered", extra={"host": host, "port": listener.getsockname()[1]})

    async def close(self) -> None:
        """Answer no more there."""
        if self._own is not None:
            await self._own.close()
        self._state.close()


def _beside(metrics: ASGIApp, probes: Mapping[str, ASGIApp]) -> ASGIApp:
    """Return what answers at an address of its own."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await probes.get(scope["path"], metrics)(scope, receive, send)

    return answer


def _reads(
    store: Store,
    background: Background,
    doors: Doors,
    certificate: Certificate | None,
    audited_at: Callable[[], float],
) -> Reads:
    def tasks() -> tuple[int, int]:
        load = background.work.load()
        return load.tasks, load.room

    return Reads(
        calls=doors.calls,
        refused=doors.refused,
        producers=lambda: background.streams.producer_count,
        tasks=tasks,
        lags=background.lags.all_seconds,
        log_lines_dropped=lines_dropped,
        keeps_house=lambda: background.keeps_house,
        require_store=store.require_ready,
        waiting=store.counts.waiting,
        kept=store.counts.kept,
        ledgers=store.counts.ledgers,
        disk=background.budget.state,
        audited=audited_at,
        certificate_ends=lambda: None if certificate is None else certificate.ends_at().timestamp(),
    )
