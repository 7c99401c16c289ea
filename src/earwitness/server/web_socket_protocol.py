"""WebSockets with limits (RFC 6455): a connection of HTTP that was upgraded stays counted, bounded and timed.

uvicorn has a protocol of its own for them. It logs paths, which hold secrets here, stops and starts reading for every
message, and bounds neither times nor rates; so this one puts `websockets`' protocol without I/O behind the same ASGI
messages. Compression is never agreed on. What belongs here: frames, times and rates. What must never: what a message
says, who may send it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, ClassVar, TypeAlias, cast
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from earwitness.log import frames_of
from earwitness.server.connections import Connections

CONNECTION, IS_CLOSING, PROVED = "earwitness.connection", "is_closing", "proved"
"""Where a scope's `extensions` say whether the connection is closing. uvicorn does not: it throws away what is sent to
nobody, and whoever does not ask for the body learns nothing. A WebSocket is told there that its client has proved who
it is."""

PIECE_BYTES = 8_192
"""Taken apart at once. More of the smallest frames would keep the event loop longer than a packet of audio lasts."""

_STOPPING = "the service is stopping; call again"

# `Any`: ASGI's messages and scopes hold values of many types.
AsgiMessage: TypeAlias = dict[str, Any]

_log = logging.getLogger("earwitness.server")

_SILENT = logging.getLogger("earwitness.server.frames")
"""For the library, which would log heads and messages."""
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, kw_only=True)
class WebSocketLimits:
    """What one WebSocket may take."""

    message_bytes_max: int = 262_144
    """A message, in however many frames. FreeSWITCH sends what it held back for 2 s at once: 128 KB of 16 kHz
    stereo."""

    message_frames_max: int = 1_024

    unproved_seconds_max: float = 5.0
    unproved_bytes_max: int = 65_536
    """Until the client has proved who it is, from when it was let in to do so. After so many bytes no more are read."""

    frames_per_second: float = 500.0
    bytes_per_second: float = 2_000_000.0
    burst_seconds: float = 10.0
    """A two-legged call has 100 frames a second; phone systems catch up on some 10 s at once. Who is faster waits."""

    waiting_messages_max: int = 64
    waiting_bytes_max: int = 1_048_576
    """That nobody took yet; then the socket is not read until half of them are taken."""

    ping_seconds: float = 20.0
    idle_seconds_max: float = 60.0
    """Without a byte. A client that lives answers pings."""

    close_seconds_max: float = 5.0
    """How long a client may take to confirm the end."""

    write_seconds_max: float = 60.0
    """How long a client may read nothing of what waits for it."""


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket, for uvicorn. The values of its class are set on a subclass by `web_socket_protocol`."""

    limits: ClassVar[WebSocketLimits] = WebSocketLimits()
    connected: ClassVar[Connections]

    # `Any`: uvicorn's own arguments, passed on as they came.
    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._application = config.loaded_app
        self._app_state = app_state
        # Casts: uvicorn's annotations name its own protocols, of which it asks what this one has.
        self._connections = cast("set[object]", server_state.connections)
        self._tasks = server_state.tasks
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(max_size=self.limits.message_bytes_max, logger=_SILENT)
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._refusal: AsgiMessage | None = None
        self._accepted, self._closing, self._lost, self._stopping, self._proved = False, False, False, False, False
        self._unproved_bytes = 0
        self._unread = b""
        self._pieces: list[bytes] = []
        self._is_text = False
        self._waiting: deque[tuple[AsgiMessage, int]] = deque()
        self._waiting_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._held: set[str] = set()
        self._heard_at = self._paid_until = self._loop.time()
        self._unsent_bytes = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # The connection.

    def upgrade(self, transport: asyncio.Transport, scope: AsgiMessage, url: bytes) -> None:
        """Take over a connection whose request, of this scope and URL, asks for a WebSocket."""
        self._transport = transport
        self._connections.add(self)
        lines = [b"GET %b HTTP/1.1" % url, *(name + b": " + value for name, value in scope["headers"])]
        self._protocol.receive_data(b"\r\n".join([*lines, b"", b""]))
        events = self._protocol.events_received()
        response = self._protocol.accept(events[0]) if events and isinstance(events[0], Request) else None
        if response is None or response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            if response is not None:
                self._protocol.send_response(response)
            self._closing = True
            self._flush()
            self._close_transport()
            return
        self._response = response
        self._hold("unaccepted")  # who is not let in has nothing to say
        self._put({"type": "websocket.connect"})
        task = self._loop.create_task(self._run(_scope(scope, url, self._app_state, self._extensions())))
        task.add_done_callback(self._tasks.discard)
        self._tasks.add(task)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it was lost changes nothing
        """Tell whoever waits for a message, and give the place back."""
        self._lost = self._closing = True
        for name in [*self._timers]:
            self._stop_timer(name)
        self._connections.discard(self)
        self.connected.close(self)
        self._writable.set()
        self._put({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})

    def evict(self) -> None:
        """Close at once, for somebody else to have the place."""
        self._abort()

    def proved(self) -> None:
        """Note that the client has proved who it is: it keeps its place, and its time is not limited any more."""
        self._proved = True
        self._stop_timer("unproved")
        self._release("unproved")
        self.connected.is_asked(self)

    def shutdown(self) -> None:
        """Stop with the server: whoever reads is told after the last message, and has the time of the stop."""
        self._stopping = True
        self._hold("stopping")
        self._put({"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART})

    def _extensions(self) -> AsgiMessage:
        return {
            "websocket.http.response": {},
            CONNECTION: {IS_CLOSING: lambda: self._closing, PROVED: self.proved},
        }

    # What comes.

    def data_received(self, data: bytes) -> None:
        """Take frames apart, and pass on the messages they make."""
        if self._lost:
            return
        self._heard_at = self._loop.time()
        self._unread = self._unread + data if self._unread else data
        self._read()

    def _read(self) -> None:
        while self._unread and not self._held and not self._lost:
            piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
            self._take_apart(piece)

    def _take_apart(self, data: bytes) -> None:
        if not self._proved:
            self._unproved_bytes += len(data)
            if self._unproved_bytes >= self.limits.unproved_bytes_max:
                self._hold("unproved")  # what came may prove it
        self._protocol.receive_data(data)
        frames = 0
        for event in self._protocol.events_received():
            frames += 1
            if isinstance(event, Frame) and not self._closing:
                self._take(event)
        if self._protocol.parser_exc is not None and not self._closing:
            self._end(self._protocol.close_sent.code if self._protocol.close_sent else CloseCode.PROTOCOL_ERROR)
        self._flush()
        if self._protocol.eof_sent:
            self._close_transport()
        self._pay(frames, len(data))

    def eof_received(self) -> None:
        """Nothing to do: the transport closes itself."""

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._pass_on(bytes(frame.data))
            else:
                self._pieces = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._pieces.append(bytes(frame.data))
            if len(self._pieces) > self.limits.message_frames_max:
                self._fail(CloseCode.POLICY_VIOLATION, "a message of too many frames")
            elif frame.fin:
                whole, self._pieces = b"".join(self._pieces), []
                self._pass_on(whole)
        elif frame.opcode is Opcode.CLOSE:
            received = self._protocol.close_rcvd
            self._end(received.code if received else CloseCode.NO_STATUS_RCVD)

    def _pass_on(self, data: bytes) -> None:
        if not self._is_text:
            self._put({"type": "websocket.receive", "bytes": data}, len(data))
            return
        try:
            self._put({"type": "websocket.receive", "text": data.decode()}, len(data))
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "text is UTF-8")

    def _put(self, message: AsgiMessage, size: int = 0) -> None:
        self._waiting.append((message, size))
        self._waiting_bytes += size
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self._wait_share() >= 1:
            self._hold("waiting")

    def _wait_share(self) -> float:
        """Return how much waits, as a share of what may."""
        limits = self.limits
        return max(len(self._waiting) / limits.waiting_messages_max, self._waiting_bytes / limits.waiting_bytes_max)

    def _pay(self, frames: int, size: int) -> None:
        """Stop reading for as long as what came was faster than it may be."""
        now, limits = self._loop.time(), self.limits
        costs = max(frames / limits.frames_per_second, size / limits.bytes_per_second)
        burst = limits.burst_seconds if self._proved else 0.0
        self._paid_until = max(self._paid_until, now - burst) + costs
        if self._paid_until > now:
            self._hold("rate")
            self._start_timer("rate", self._paid_until - now, lambda: self._release("rate"))

    def _hold(self, reason: str) -> None:
        if not self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held.add(reason)

    def _release(self, reason: str) -> None:
        if reason in self._held:
            self._held.discard(reason)
            if not self._held and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                self._read()

    # ASGI.

    async def _run(self, scope: AsgiMessage) -> None:
        try:
            with suppress(ConnectionError):  # whoever is gone cannot be sent to
                await self._application(cast("Any", scope), cast("Any", self._receive), cast("Any", self._send))
        except Exception as error:
            _log.error("an error at a WebSocket", extra={"error": type(error).__name__, "frames": frames_of(error)})
            self._give_up(CloseCode.INTERNAL_ERROR)
        finally:
            self._give_up(CloseCode.SERVICE_RESTART if self._stopping else CloseCode.NORMAL_CLOSURE)

    async def _receive(self) -> AsgiMessage:
        while not self._waiting:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message, size = self._waiting.popleft()
        self._waiting_bytes -= size
        if "waiting" in self._held and self._wait_share() <= 0.5:
            self._release("waiting")
        return message

    async def _send(self, message: AsgiMessage) -> None:
        """Send one of ASGI's messages. Raise ConnectionError when the WebSocket is at its end."""
        await self._writable.wait()
        if self._closing:
            raise ConnectionError("the WebSocket is closed")
        kind = message["type"]
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.http.response.start":
            self._refusal = message
        elif kind == "websocket.http.response.body":
            self._refuse(message["body"])
        elif kind == "websocket.close":
            self._start_closing(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason") or "")
        else:
            self._send_message(message)

    def _accept(self, message: AsgiMessage) -> None:
        response = self._response
        if response is None or self._accepted:
            raise RuntimeError("a WebSocket is accepted once")
        if message.get("subprotocol"):
            response.headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._accepted = True
        self._protocol.send_response(response)
        self._flush()
        self._release("unaccepted")
        self._heard_at = self._loop.time()
        self._start_timer("idle", self.limits.ping_seconds, self._require_life)
        if not self._proved:
            self._start_timer(
                "unproved",
                self.limits.unproved_seconds_max,
                lambda: self._fail(CloseCode.POLICY_VIOLATION, "no proof in time"),
            )

    def _refuse(self, body: bytes) -> None:
        if self._accepted or self._refusal is None:
            raise RuntimeError("a WebSocket is refused before it is accepted")
        status = HTTPStatus(self._refusal["status"])
        headers = Headers([("Date", formatdate(usegmt=True)), ("Connection", "close")])
        headers["Content-Length"] = str(len(body))
        for name, value in self._refusal.get("headers", []):
            headers[name.decode("latin-1")] = value.decode("latin-1")
        self._protocol.send_response(Response(status.value, status.phrase, headers, body))
        self._end(CloseCode.ABNORMAL_CLOSURE)
        self._flush()
        self._close_transport()

    def _send_message(self, message: AsgiMessage) -> None:
        try:
            if message.get("text") is not None:
                self._protocol.send_text(message["text"].encode())
            else:
                self._protocol.send_binary(message["bytes"])
        except InvalidState:
            raise ConnectionError("the WebSocket is closed") from None
        self._flush()

    def _start_closing(self, code: int, reason: str) -> None:
        """Close from our side, and wait for the client to confirm it, for some seconds."""
        if not self._accepted:
            self._refusal = {"status": HTTPStatus.FORBIDDEN}
            self._refuse(b"")
            return
        self._waiting.clear()
        self._waiting_bytes = 0
        self._protocol.send_close(code, reason)
        self._end(code)
        self._flush()
        for held in [*self._held]:
            self._release(held)
        self._start_timer("close", self.limits.close_seconds_max, self._close_transport)

    def _give_up(self, code: int) -> None:
        """End what the application has left open."""
        if self._closing:
            return
        if self._accepted:
            self._start_closing(code, "")
            return
        stopping = self._stopping
        self._refusal = {"status": HTTPStatus.SERVICE_UNAVAILABLE if stopping else HTTPStatus.INTERNAL_SERVER_ERROR}
        self._refuse(_STOPPING.encode() if stopping else b"")

    def _end(self, code: int) -> None:
        """Tell whoever reads that no more comes, after what came."""
        self._closing = True
        self._stop_timer("unproved")
        self._stop_timer("idle")
        self._put({"type": "websocket.disconnect", "code": code})

    def _fail(self, code: int, reason: str) -> None:
        """Close because of what the client did or did not do."""
        if self._closing:
            return
        if not self._accepted:
            self._end(code)
            self._abort()
            return
        self._protocol.fail(code, reason)
        self._end(code)
        self._flush()
        self._close_transport()

    def _require_life(self) -> None:
        """Ping a client of which nothing is heard; close when nothing comes back."""
        silent = self._loop.time() - self._heard_at
        if silent >= self.limits.idle_seconds_max and not self._held:
            self._fail(CloseCode.POLICY_VIOLATION, "nothing came for a long time")
            return
        if silent >= self.limits.ping_seconds and not self._closing:
            self._protocol.send_ping(b"")
            self._flush()
        self._start_timer("idle", self.limits.ping_seconds, self._require_life)

    # Bytes out.

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        """Read nothing from a client that does not read, and give it some time to do so."""
        self._writable.clear()
        self._hold("writing")
        self._watch_writing()

    def resume_writing(self) -> None:
        """Go on as before."""
        self._writable.set()
        self._release("writing")
        self._stop_timer("write")

    def _watch_writing(self) -> None:
        if self._transport is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._start_timer("write", self.limits.write_seconds_max, self._require_reading)

    def _require_reading(self) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() >= self._unsent_bytes:
            self._abort()
        else:
            self._watch_writing()

    def _close_transport(self) -> None:
        """Close when everything is sent; a client that does not read has some time for it."""
        self._stop_timer("close")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._watch_writing()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _start_timer(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer(name)
        if not self._lost:
            self._timers[name] = self._loop.call_later(seconds, call)

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def web_socket_protocol(connected: Connections, limits: WebSocketLimits) -> type[WebSocketProtocol]:
    """Return a protocol class with limits, whose connections are counted among `connected`."""
    return type("LimitedWebSocketProtocol", (WebSocketProtocol,), {"connected": connected, "limits": limits})


def _scope(http: AsgiMessage, url: bytes, state: AsgiMessage, extensions: AsgiMessage) -> AsgiMessage:
    parsed = httptools.parse_url(url)
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if http["scheme"] == "https" else "ws",
        "server": http["server"],
        "client": http["client"],
        "root_path": "",
        "path": unquote_to_bytes(parsed.path).decode("utf-8", "replace"),
        "raw_path": parsed.path,
        "query_string": parsed.query or b"",
        "headers": http["headers"],
        "subprotocols": [
            part.strip()
            for name, value in http["headers"]
            if name == b"sec-websocket-protocol"
            for part in value.decode("latin-1").split(",")
        ],
        "state": state.copy(),
        "extensions": extensions,
    }
