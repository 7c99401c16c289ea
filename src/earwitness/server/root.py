"""What answers at which path: health, metrics, our own API, the console, and AWS's operations everywhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from earwitness.errors import StoreUnavailable, Unavailable
from earwitness.log import lines_dropped
from earwitness.server.aws import PLAIN, AwsApplication
from earwitness.server.certificate import Certificate
from earwitness.server.web_socket import WebSocket

OWN_PATH = "/earwitness/"
CONSOLE_PATH = "/console"
"""No operation of AWS has a path that begins so."""

METRICS_PATH = "/metrics"

READY_SECONDS_MAX = 0.8
"""How long `/ready` waits for what it looks at: who asks has limits of its own, of one second by itself in Kubernetes.
"""

_SLOW = "the records do not answer; look whether the database and its disk stand still"
_NO_THREAD = "the system gives this process no more threads; see TasksMax of systemd, --pids-limit of Docker"


@dataclass(kw_only=True)
class Root:
    """The outermost application."""

    aws: AwsApplication
    require_ready: Callable[[], None]
    """Raises StoreUnavailable when requests cannot be answered."""

    why_not_started: Callable[[], str]
    """Says what the start still waits for; "" when it is over."""

    start: Callable[[], Awaitable[None]]
    """Called before the first request, on the event loop."""

    stop: Callable[[], Awaitable[None]]
    """Called after the last one."""

    failure: Exception | None = None
    """Why the start failed."""

    doors: Callable[[WebSocket], Awaitable[None]] | None = None
    """Takes every WebSocket; without it they are refused."""

    own: ASGIApp | None = None
    """earwitness's own API, which gets every path under OWN_PATH; without one, AWS's operations get them too."""

    console: ASGIApp | None = None
    """Pages for people, under CONSOLE_PATH."""

    metrics: ASGIApp | None = None
    """Answers METRICS_PATH; without it, AWS's operations get that too."""

    published: Mapping[str, ASGIApp] = field(default_factory=dict[str, ASGIApp])
    """Pages that anybody may read, by path."""

    certificate: Certificate | None = None
    """What clients are shown; `/ready` says when something is wrong with it."""

    key_service_fault: Callable[[], str] = str
    """Tells what is wrong with keys of domains; `/ready` says it, and is ready: other domains are served."""

    _looking: asyncio.Future[str] | None = field(default=None, init=False)
    _looking_until: float = field(default=0.0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "websocket":
            await self._take(WebSocket(scope, receive, send))
            return
        await self._application(scope)(scope, receive, send)

    async def _take(self, web_socket: WebSocket) -> None:
        if self.doors is None:
            await web_socket.refuse(404, "there is no door here")
        else:
            await self.doors(web_socket)

    def _application(self, scope: Scope) -> ASGIApp:
        path: str = scope["path"]
        if self.own is not None and path.startswith(OWN_PATH):
            return self.own
        if self.console is not None:
            if path == CONSOLE_PATH or path.startswith(f"{CONSOLE_PATH}/"):
                return self.console
            if path == "/" and _is_asked_by_browser(scope):
                return RedirectResponse(f"{CONSOLE_PATH}/", 303)
        return self._applications.get(path, self.aws)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end; a start that fails ends the server."""
        await receive()
        try:
            await self.start()
        except Exception as error:
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def probes(self) -> dict[str, ASGIApp]:
        """Return what init systems ask, by path; it says nothing that is anybody's."""
        return {"/health": self._health, "/ready": self._ready}

    @cached_property
    def _applications(self) -> dict[str, ASGIApp]:
        own = {**self.probes, **self.published}
        return own if self.metrics is None else {**own, METRICS_PATH: self.metrics}

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer that the process is alive."""
        await _only_get(Request(scope), JSONResponse({"status": "ok"}, headers=PLAIN))(scope, receive, send)

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whether requests would be answered: models and store are there, and the service is not stopping."""
        status, reason = await self._readiness()
        # `Any`: text and a number, as JSON holds them.
        document: dict[str, Any] = {"status": status}
        if reason:
            document["reason"] = reason
        if self.certificate is not None and (fault := self.certificate.fault()):
            document["certificate"] = fault
        if fault := self.key_service_fault():
            document["keyService"] = fault
        if dropped := lines_dropped():
            document["logLinesDropped"] = dropped
        response = JSONResponse(document, status_code=200 if status == "ready" else 503, headers=PLAIN)
        await _only_get(Request(scope), response)(scope, receive, send)

    async def _readiness(self) -> tuple[str, str]:
        """Return the status, and the reason where it is not `ready`."""
        if self.aws.draining:
            return "stopping", ""
        if reason := self.why_not_started():
            return "starting", reason
        # One look at a time, however many ask, in a thread of its own: others may all wait for the records.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._reason))
            self._looking_until = asyncio.get_running_loop().time() + READY_SECONDS_MAX
        looking, left = self._looking, self._looking_until - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.wait({looking}, timeout=left)
        if not looking.done():
            return "unavailable", _SLOW
        try:
            reason = looking.result()
        except RuntimeError:  # the system gives no thread to look in
            reason = _NO_THREAD
        return ("unavailable", reason) if reason else ("ready", "")

    def _reason(self) -> str:
        """Return why requests cannot be answered; "" when they can."""
        try:
            self.require_ready()
        except (StoreUnavailable, Unavailable) as error:
            return str(error)
        return ""


def _is_asked_by_browser(scope: Scope) -> bool:
    """Return whether somebody typed our address: SDKs, which have operations at this path, ask for no HTML."""
    request = Request(scope)
    return request.method == "GET" and request.headers.get("accept", "").startswith("text/html")


def _only_get(request: Request, response: Response) -> Response:
    if request.method in ("GET", "HEAD"):
        return response
    return JSONResponse({"status": "use GET"}, status_code=405, headers={"Allow": "GET, HEAD"})
