"""What answers at which path: health, and AWS's operations everywhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from earwitness.errors import StoreUnavailable, Unavailable
from earwitness.server.aws import AwsApplication
from earwitness.server.threads import Threads


@dataclass(kw_only=True)
class Root:
    """The outermost application."""

    aws: AwsApplication
    threads: Threads
    require_ready: Callable[[], None]
    """Raises StoreUnavailable when requests cannot be answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"there is no application for {scope['type']}")
        application: ASGIApp = self._applications.get(scope["path"], self.aws)
        await application(scope, receive, send)

    @cached_property
    def _applications(self) -> dict[str, ASGIApp]:
        return {"/health": self._health, "/ready": self._ready}

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The process is alive."""
        await _only_get(Request(scope), JSONResponse({"status": "ok"}))(scope, receive, send)

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests would be answered: the store is there, and we are not stopping."""
        await _only_get(Request(scope), await self._readiness())(scope, receive, send)

    async def _readiness(self) -> Response:
        if self.aws.draining:
            return JSONResponse({"status": "stopping"}, status_code=503)
        try:
            await self.threads.run(self.require_ready)
        except (StoreUnavailable, Unavailable) as error:
            return JSONResponse({"status": "unavailable", "reason": str(error)}, status_code=503)
        return JSONResponse({"status": "ready"})


def _only_get(request: Request, response: Response) -> Response:
    if request.method in ("GET", "HEAD"):
        return response
    return JSONResponse({"status": "use GET"}, status_code=405, headers={"Allow": "GET, HEAD"})
