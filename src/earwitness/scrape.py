"""`/metrics`: who may read it, and its answer. At the service's own address, and at one of its own where that is set.

Metrics count all accounts together, so the key of none of them opens them: only a bearer token of role `monitor` does.
What belongs here: one request for metrics. What must never: what they say.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Collection
from hashlib import sha256
from ipaddress import ip_address

from starlette.requests import Request as Incoming
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from earwitness.access.access import Access, require_role
from earwitness.access.caller import Caller
from earwitness.access.roles import Role
from earwitness.errors import EarwitnessError, Forbidden, StoreUnavailable, Unauthorized, Unavailable
from earwitness.metrics.registry import CONTENT_TYPE, Metrics
from earwitness.server.aws import received
from earwitness.threads import RunInThread
from earwitness.wire.messages import Request
from earwitness.wire.wrong_credentials import WrongCredentials

OPERATION = "GetMetrics"
"""What a scrape is called in the audit trail."""

LOOK_UP_SECONDS_MAX = 1.0
"""How long a token is looked up: whoever scrapes wants to hear that the records do not answer, and has not long."""

REMEMBERED_SECONDS = 3_600.0
"""How long the last token that was good is good while the records are away, and cannot be asked."""

_ADVICE = "metrics take a bearer token of role monitor: `earwitness keys token --role monitor` makes one"

_log = logging.getLogger("earwitness.metrics")


class ScrapeAccess:
    """Who may read metrics. Lives on the event loop."""

    def __init__(
        self,
        access: Access,
        *,
        roles: Collection[Role] = (Role.MONITOR,),
        run_in_thread: RunInThread,
        wrong_credentials: WrongCredentials,
        new_request_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wrong_credentials` slows down who tries tokens."""
        self._access = access
        self._roles = frozenset(roles)
        self._run_in_thread = run_in_thread
        self._wrong_credentials = wrong_credentials
        self._new_request_id = new_request_id
        self._monotonic = monotonic
        self._known: tuple[bytes, float] | None = None

    async def require(self, request: Request) -> None:
        """Raise Unauthorized without a token that is good, Forbidden when its role may not."""
        lines = request.header_values.get("authorization", [])
        if len(lines) != 1 or not lines[0].lower().startswith("bearer "):
            raise Unauthorized(_ADVICE)
        shown = sha256(lines[0].encode()).digest()
        try:
            with self._wrong_credentials.place_of(request.client, now_seconds=self._monotonic()):
                async with asyncio.timeout(LOOK_UP_SECONDS_MAX):
                    claimed = await self._run_in_thread(lambda: self._access.claimed(request))
        except (StoreUnavailable, Unavailable, TimeoutError) as error:
            if self._is_remembered(shown):
                return
            raise Unavailable("the token cannot be looked up: the records do not answer; try again") from error
        except Unauthorized:
            if self._is_remembered(shown):
                self._known = None
            raise
        principal = claimed.principal
        try:
            require_role(principal, OPERATION, self._roles)
        except Forbidden:
            caller = Caller(
                principal=principal, region="", operation=OPERATION, request_id=self._new_request_id(), endpoint=""
            )
            self._access.record_refusal(caller, Forbidden.__name__)
            raise
        self._known = shown, self._monotonic()

    async def hold_back(self, client: str) -> None:
        """Let who showed a wrong token wait."""
        seconds = self._wrong_credentials.failed(client, now_seconds=self._monotonic())
        await self._wrong_credentials.hold_back(client, seconds)

    def _is_remembered(self, shown: bytes) -> bool:
        if self._known is None:
            return False
        known, at = self._known
        return self._monotonic() - at < REMEMBERED_SECONDS and hmac.compare_digest(known, shown)


class Scrapes:
    """Answers scrapes; many at once cost what one does. Lives on the event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._writing: asyncio.Task[bytes] | None = None

    def application(self, access: ScrapeAccess | None) -> "ScrapeApplication":
        """Return what answers at one address; without `access` it answers everybody."""
        return ScrapeApplication(self, access)

    async def text(self) -> bytes:
        """Return the metrics as they are now."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await asyncio.shield(self._writing)

    async def _write(self) -> bytes:
        await self._metrics.renew()
        # Off the event loop: some milliseconds, in which fragments and calls go on.
        return await asyncio.to_thread(self._metrics.text)


class ScrapeApplication:
    """One address as an ASGI application."""

    def __init__(self, scrapes: Scrapes, access: ScrapeAccess | None) -> None:
        self._scrapes = scrapes
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (await self._response(Incoming(scope)))(scope, receive, send)

    async def _response(self, incoming: Incoming) -> Response:
        if incoming.scope["path"] != "/metrics":
            return PlainTextResponse("there are only /metrics, /health and /ready here\n", 404)
        if incoming.method not in ("GET", "HEAD"):
            return PlainTextResponse("use GET\n", 405, {"Allow": "GET, HEAD"})
        request = received(incoming.scope)
        try:
            if self._access is not None:
                await self._access.require(request)
            return Response(await self._scrapes.text(), 200, media_type=None, headers={"Content-Type": CONTENT_TYPE})
        except Unauthorized as error:
            if self._access is not None:
                await self._access.hold_back(request.client)
            return PlainTextResponse(f"{error}\n", 401, {"WWW-Authenticate": 'Bearer realm="earwitness"'})
        except Forbidden as error:
            return PlainTextResponse(f"{error}\n", 403)
        except EarwitnessError as error:
            _log.warning("metrics cannot be read", extra={"reason": str(error)})
            return PlainTextResponse(f"{error}\n", 503)


async def refuse_shared(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at an address that several processes share, where nobody knows whose metrics would come."""
    text = (
        "several processes share this port, and each has metrics of its own: set metrics_address, and scrape the ports"
    )
    await PlainTextResponse(f"{text} from there on\n", 404)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
