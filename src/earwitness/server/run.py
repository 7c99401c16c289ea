"""Listen, serve, stop: uvicorn with our limits."""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from earwitness import descriptors
from earwitness.errors import ConfigurationError
from earwitness.log import drain, frames_of
from earwitness.server.certificate import Certificate
from earwitness.server.connections import Connections, trusted_networks
from earwitness.server.handshake import behind_handshake
from earwitness.server.protocol import CONNECTIONS_MAX, WRITE_SECONDS_MAX, limited_protocol
from earwitness.server.web_socket_protocol import WebSocketLimits, web_socket_protocol

KEEP_ALIVE_SECONDS = 75
"""Longer than SDKs' and load balancers' own 60 s, so that it is not we who close a connection just as it is used."""

BACKLOG = 2_048

STRICT_SECONDS = 31_536_000
"""A year, for which browsers remember that a host is reached by https alone (RFC 6797)."""

REQUESTS_SHARE = 0.75
"""Of the time for stopping, for requests in progress."""

DESCRIPTORS_KEPT = 256
"""File descriptors that connections leave to the records, media and all else, lest a crowd of idle clients keep the
database from being opened."""

_log = logging.getLogger("earwitness.server")


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where and how to listen."""

    host: str
    port: int
    """0 takes a free one."""

    is_shared: bool = False
    """Whether other processes of this user may listen there too; each gets a share of the connections."""

    certificate: Certificate | None
    """What clients are shown; None for plain HTTP."""

    is_public_https: bool = False
    """Whether clients reach this by https alone, here or at a proxy; browsers are then told to use nothing else."""

    head_seconds_max: float
    """How long a client may take to send the head of a request, and for a TLS handshake."""

    stop_seconds_max: float
    """How long the stop of the process may take. Three quarters of it are for requests in progress, the rest for what
    is done after them."""

    write_seconds_max: float = WRITE_SECONDS_MAX
    """How long a client may read nothing of an answer that waits for it."""

    trusted_proxies: str = ""
    """Addresses and networks, with commas between them, that may have any number of connections."""

    web_sockets: WebSocketLimits = WebSocketLimits()

    @property
    def scheme(self) -> str:
        """http or https."""
        return "https" if self.certificate else "http"


class Server(uvicorn.Server):
    """uvicorn's server, which says when it answers and when it begins to stop, and logs as we do."""

    def __init__(
        self, configuration: uvicorn.Config, *, on_started: Callable[[], None], on_stopping: Callable[[], None]
    ) -> None:
        super().__init__(configuration)
        self._on_started = on_started
        self._on_stopping = on_stopping

    def stop(self) -> None:
        """Begin to stop, as a signal does. From any thread."""
        self.should_exit = True
        self._on_stopping()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so when it is true."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)  # first: it stops whatever becomes of the rest
        self._on_stopping()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until SIGINT or SIGTERM."""
        with _forwarded_logs():
            super().run(sockets)


def open_socket(listening: Listening) -> socket.socket:
    """Return the listening socket. Raise ConfigurationError when the address cannot be had."""
    advice = "choose another with --host and --port"
    return listening_socket(listening.host, listening.port, advice=advice, is_shared=listening.is_shared)


def listening_socket(host: str, port: int, *, advice: str, is_shared: bool = False) -> socket.socket:
    """Return a listening socket. Raise ConfigurationError, with advice, when the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=is_shared)
    except (OSError, UnicodeError, ValueError) as error:  # UnicodeError: a host that cannot be one
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}; {advice}") from error


@contextmanager
def shared_port(host: str, port: int) -> Generator[int]:
    """Yield a port that several processes listen on, reserved until the end; 0 takes a free one.

    Raise ConfigurationError when somebody else listens there, or this system cannot share one.
    """
    advice = "choose another with --host and --port"
    with listening_socket(host, port, advice=advice) as alone:
        family, taken = alone.family, int(alone.getsockname()[1])
    with socket.socket(family) as reserved:
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((host, taken))  # and does not listen: it gets no connections
        except (OSError, AttributeError) as error:
            raise ConfigurationError(f"several processes cannot listen on {host} port {taken} here: {error}") from error
        yield taken


def prepare(
    application: ASGIApp,
    listening: Listening,
    *,
    on_stopping: Callable[[], None],
    on_started: Callable[[], None] = lambda: None,
    descriptors_kept: int = 0,
) -> Server:
    """Make a server to be run. `on_started` is called when it answers, `on_stopping` when it begins to stop.

    Both are called on the event loop or in a signal handler. The last requests are finished after `on_stopping`.
    `descriptors_kept` are file descriptors that doors may take, beside this server.
    """
    connected = Connections(_connections_max(descriptors_kept), trusted=trusted_networks(listening.trusted_proxies))
    protocol = limited_protocol(
        head_seconds_max=listening.head_seconds_max,
        write_seconds_max=listening.write_seconds_max,
        connected=connected,
    )
    configuration = uvicorn.Config(
        application,
        http=protocol,
        loop="uvloop",
        ws=web_socket_protocol(connected, listening.web_sockets),
        lifespan="on",
        proxy_headers=False,  # whoever connects is who it says, unless a proxy is trusted on purpose
        server_header=False,
        headers=[("Strict-Transport-Security", f"max-age={STRICT_SECONDS}")] if listening.is_public_https else [],
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=cast("int", REQUESTS_SHARE * listening.stop_seconds_max),  # a float serves as well
    )
    configuration.load()
    if listening.certificate is not None:
        configuration.http_protocol_class = cast(
            "type[asyncio.Protocol]",
            behind_handshake(protocol, listening.certificate, seconds_max=listening.head_seconds_max),
        )
    return Server(configuration, on_started=on_started, on_stopping=on_stopping)


class Deadline:
    """Ends this process so many seconds after it began to stop, unless it has ended by itself, whatever its threads do.

    Python waits at its exit for threads that compute or wait, however long that takes. Everything acknowledged is on
    the disk by then, and what was in progress is taken up at the next start, as after a kill.
    """

    def __init__(self, seconds: float, *, code: Callable[[], int]) -> None:
        """`code` returns the exit code, by which systemd and containers know whether to start it again."""
        self._seconds = seconds
        self._code = code
        self._begun: SimpleQueue[None] = SimpleQueue()  # which a signal handler may put into
        # From the start on: when it is time to stop, the system may give no more threads.
        threading.Thread(target=self._end, name="earwitness deadline", daemon=True).start()

    def begin(self) -> None:
        """Count from now on. From any thread, and from a signal handler."""
        self._begun.put(None)

    def _end(self) -> None:
        self._begun.get()
        time.sleep(self._seconds)
        _log.error("threads were still at work when the time for stopping was over; ended without them")
        drain()
        os._exit(self._code())


def _connections_max(descriptors_kept: int) -> int:
    """Return how many connections there may be, after taking as many file descriptors as the process may have."""
    kept = DESCRIPTORS_KEPT + descriptors_kept
    most = descriptors.raise_limit(wanted=CONNECTIONS_MAX + kept)
    return min(CONNECTIONS_MAX, max(most - kept, most // 2))


class _Forward(logging.Handler):
    """What uvicorn and the event loop log, in our log: without exceptions' messages and values, which may be personal.

    Their warnings are about what clients sent, of which anybody can send a lot: they become information.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        context = {"error": type(error).__name__, "frames": frames_of(error)} if error else {}
        level = logging.INFO if record.levelno == logging.WARNING else record.levelno
        text = "an error outside of any request" if record.name == "asyncio" else record.getMessage().strip()
        _log.log(level, text, extra=context)


@contextmanager
def _forwarded_logs() -> Generator[None]:
    handler = _Forward()
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    before = [(logger, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
