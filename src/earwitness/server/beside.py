"""A second listener in the same process, for other nodes or for metrics: without signals or a start of its own."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from earwitness.server.protocol import LimitedProtocol

_STOP_SECONDS = 2


class Beside:
    """Serves an application on a socket, on the event loop that opens it."""

    def __init__(
        self, application: ASGIApp, listener: socket.socket, *, protocol: type[LimitedProtocol] | None = None
    ) -> None:
        """`protocol` has limits against clients; without one there are none, which is for machines of our own."""
        configuration = uvicorn.Config(
            application,
            http=protocol or "auto",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = _Quiet(configuration)
        self._listener = listener
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to answer."""
        self._running = asyncio.create_task(self._server.serve([self._listener]))

    async def close(self) -> None:
        """Answer no more; answers in progress end within two seconds."""
        self._server.should_exit = True
        if self._running is not None:
            await self._running


class _Quiet(uvicorn.Server):
    """Leaves signals to the server of the clients."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
