"""HTTP/1.1 with limits: on heads, on what queues behind a request, and on clients that neither send nor read.

uvicorn and its parser bound neither the number and length of headers, nor the requests that are sent before the first
is answered, nor the time that any of it takes. So one client with patience, or without any, could hold memory and
connections as long as it likes. What belongs here: bytes, times and connections. What must never: what a request says.
"""

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from earwitness.server.connections import Connection, Connections
from earwitness.server.web_socket_protocol import CONNECTION, IS_CLOSING, WebSocketProtocol

HEADERS_MAX = 100
"""SDKs send about ten; proxies add a few."""

HEAD_BYTES_MAX = 65_536
"""Names, values and the path, and so much of anything else that the parser keeps to itself. nginx allows 32 KB, AWS's
load balancers 64 KB."""

DOORS_PATH = b"/doors/"
"""A path that begins so may become a WebSocket."""

PIPELINED_MAX = 16
"""Requests that wait on a connection for the one before them. SDKs send none before they have read the last answer."""

WRITE_SECONDS_MAX = 60.0
"""How long a client may read nothing of what waits for it; SDKs give up on us after the same time."""

CONNECTIONS_MAX = 10_000
"""Open connections, unless there are fewer file descriptors."""

GATHERED_BYTES_MAX = 65_536
"""More than this is passed on at once, so that a long body is paused by its reader and not gathered here."""

_REFUSED = "Invalid HTTP request received."


class GatheringTransport:
    """Passes writes on at the end of the turn of the event loop in which they came; all else is the transport's.

    uvicorn writes the head of an answer and its body apart, and uvloop sends each at once. Each costs a system call and
    wakes the client: a bare route answers a fifth more requests a second with one.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:  # `Any`: whatever the transport has under that name
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this, after what was written before."""
        if not self._pieces:
            self._loop.call_soon(self._pass_on)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > GATHERED_BYTES_MAX:
            self._pass_on()

    def is_closing(self) -> bool:
        """Return what the transport says; written out because every answer asks."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._size + self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close when everything is sent."""
        self._pass_on()
        self._transport.close()

    def _pass_on(self) -> None:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if whole and not self._transport.is_closing():
            self._transport.write(whole)


class HeadRefused(Exception):
    """The head of a request is too long; the parser makes a 400 of it and closes the connection."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; their values are set on a subclass by `limited_protocol`."""

    head_seconds_max: float = 30.0
    write_seconds_max: float = WRITE_SECONDS_MAX
    connected: ClassVar[Connections] = Connections(CONNECTIONS_MAX)

    # `Any`: uvicorn's own constructor, whose arguments are its business.
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._in_head = False
        self._parsed = 0
        self._silent_bytes = 0
        self._last_request_came = False
        self._upgrades = False
        # Whether the connection is another protocol's by now.
        self._is_handed_over = False
        self._unsent_bytes = 0
        self.handshake: Connection | None = None
        """What was counted as this connection until its TLS handshake was done."""

        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as uvicorn narrows it
        if self.handshake is not None:
            cast("set[object]", self.connections).discard(self.handshake)
            self.connected.close(self.handshake)
        # A cast: it passes everything on but is no subclass, whose own methods would stand in the way.
        super().connection_made(cast("asyncio.Transport", GatheringTransport(transport, self.loop)))
        if self.connected.open(self, self.client[0] if self.client else ""):
            self._start_head_timer()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        self.connected.close(self)
        super().connection_lost(exc)

    def evict(self) -> None:
        """Close at once, for somebody else to have the place."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._last_request_came:
            return
        parsed = self._parsed
        super().data_received(data)
        if self._is_handed_over:
            return
        # Most heads come as a whole and need no timer.
        if self._head_timer is None and (self._in_head or not self._is_answering()):
            self._start_head_timer()
        self._silent_bytes = self._silent_bytes + len(data) if parsed == self._parsed else 0
        if self._silent_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(_REFUSED)

    # What the parser finds.

    def on_message_begin(self) -> None:
        self._parsed += 1
        self._head_bytes = 0
        self._in_head = True
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: {IS_CLOSING: self.transport.is_closing}}

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._in_head:
            return  # a trailer: it comes after the head was judged, so it must not become part of it
        if len(self.headers) >= HEADERS_MAX:
            raise HeadRefused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._parsed += 1
        if len(self.pipeline) >= PIPELINED_MAX:
            raise HeadRefused
        self._in_head = False
        self._upgrades = self._asks_for_a_door()
        self._stop_head_timer()
        self.connected.is_asked(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsed += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._parsed += 1
        super().on_message_complete()

    def _asks_for_a_door(self) -> bool:
        """Return whether a head that asks for a WebSocket gets one: none has a body or waits behind other requests."""
        return (
            self.url.startswith(DOORS_PATH)
            and self.parser is not None
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and not self._is_answering()
            and not any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        )

    def _should_upgrade_to_ws(self) -> bool:
        return self._upgrades and self.ws_protocol_class is not None

    def handle_websocket_upgrade(self) -> None:
        """Give the connection and its place to the protocol of WebSockets."""
        self._stop_head_timer()
        self._stop_write_timer()
        self._is_handed_over = True
        self.connections.discard(self)
        web_socket = cast("type[WebSocketProtocol]", self.ws_protocol_class)(
            self.config, self.server_state, self.app_state
        )
        self.connected.hand_over(self, web_socket)
        self.transport.set_protocol(web_socket)
        web_socket.upgrade(self.transport, cast("dict[str, Any]", self.scope), self.url)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to say: whoever asks for another protocol is answered in this one (RFC 9110, 7.8)."""

    # The end of a connection.

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed; after the answers to what came before it, should any be awaited still."""
        if not self._is_answering():
            if self._cycle is not None and self._cycle.more_body:
                self._close()  # the end of a request that has its answer already
            else:
                super().send_400_response(msg)
                self._watch_closing()
        elif not self.cycle.more_body:
            self._last_request_came = True
        elif self.pipeline:
            self.pipeline.popleft()  # the request whose body is broken, the last that came
            self._last_request_came = True
        else:
            self._refuse_in_progress(msg)

    def on_response_complete(self) -> None:
        is_last = self._last_request_came and not self.pipeline
        super().on_response_complete()
        if not self._is_answering():
            self.connected.falls_silent(self)
        if is_last:
            self._close()
        elif self.transport.is_closing():
            self._watch_closing()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _refuse_in_progress(self, msg: str) -> None:
        """Tell whoever waits for the body of the request that is being read that it is broken and there is no more."""
        started = self.cycle.response_started
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        if started:
            self._close()
        else:
            super().send_400_response(msg)
            self._watch_closing()

    def _is_answering(self) -> bool:
        return self._cycle is not None and not self._cycle.response_complete

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        """The latest request; None at first, which uvicorn's annotation leaves out."""
        return self.cycle

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._watch_closing()

    def _watch_closing(self) -> None:
        """Limit how long a transport that is closing waits for a client that reads nothing."""
        if self.transport.get_write_buffer_size():
            self._start_write_timer()

    # Clients that do not read.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_write_timer()

    def _start_write_timer(self) -> None:
        self._stop_write_timer()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.write_seconds_max, self._require_reading)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _require_reading(self) -> None:
        if self.transport.get_write_buffer_size() >= self._unsent_bytes:
            self.transport.abort()
        else:
            self._start_write_timer()

    # Clients that do not send.

    def _count(self, size: int) -> None:
        self._parsed += 1
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HeadRefused

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if self._is_answering():
            self._last_request_came = True
        else:
            self._close()


def limited_protocol(
    *, head_seconds_max: float, write_seconds_max: float = WRITE_SECONDS_MAX, connected: Connections | None = None
) -> type[LimitedProtocol]:
    """Return a protocol class with limits: seconds for a head, seconds without a byte read, open connections."""
    limits = {
        "head_seconds_max": head_seconds_max,
        "write_seconds_max": write_seconds_max,
        "connected": connected or Connections(CONNECTIONS_MAX),
    }
    return type("LimitedProtocol", (LimitedProtocol,), limits)
