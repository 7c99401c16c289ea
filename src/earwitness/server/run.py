"""Listen, serve, stop: uvicorn with our limits."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from earwitness.errors import ConfigurationError
from earwitness.server.protocol import limited_protocol

KEEP_ALIVE_SECONDS = 75
"""Longer than SDKs' and load balancers' own 60 s, so that it is not we who close a connection just as it is used."""

BACKLOG = 2_048


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where and how to listen."""

    host: str
    port: int
    """0 takes a free one."""

    tls_certificate: Path | None
    tls_key: Path | None
    head_seconds_max: float
    """How long a client may take to send the head of a request."""

    stop_seconds_max: float
    """How long requests in progress may take when we stop."""

    @property
    def scheme(self) -> str:
        """http or https."""
        return "https" if self.tls_certificate else "http"


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it begins to stop."""

    def __init__(self, configuration: uvicorn.Config, on_stopping: Callable[[], None]) -> None:
        super().__init__(configuration)
        self._on_stopping = on_stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stopping()
        super().handle_exit(sig, frame)


def open_socket(listening: Listening) -> socket.socket:
    """The listening socket. Raises ConfigurationError when the address cannot be had."""
    try:
        family = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((listening.host, listening.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {listening.host} port {listening.port}: {error.strerror or error}; "
            "choose another with --host and --port"
        ) from error


def serve(
    application: ASGIApp, listening: Listening, sockets: list[socket.socket], *, on_stopping: Callable[[], None]
) -> None:
    """Answer until SIGINT or SIGTERM; `on_stopping` is called when one comes, before the last requests are finished.

    Raises ConfigurationError when the certificate cannot be used.
    """
    configuration = uvicorn.Config(
        application,
        http=limited_protocol(head_seconds_max=listening.head_seconds_max),
        loop="uvloop",
        ws="none",
        lifespan="off",
        proxy_headers=False,  # whoever connects is who it says, unless a proxy is trusted on purpose
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(listening.stop_seconds_max)),
        ssl_certfile=listening.tls_certificate,
        ssl_keyfile=listening.tls_key,
    )
    try:
        configuration.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"the TLS certificate or key cannot be used: {error}") from error
    _Server(configuration, on_stopping).run(sockets=sockets)
