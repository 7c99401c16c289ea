"""AWS's operations over HTTP: an ASGI application that turns scopes into exchanges and exchanges into answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from earwitness.errors import StoreBusy, Unavailable
from earwitness.metrics.reported import RequestMetrics
from earwitness.server.body import BodyLimit, BodyMemory
from earwitness.server.web_socket_protocol import CONNECTION, IS_CLOSING
from earwitness.threads import RunOnThisLoop, Threads
from earwitness.wire.exchange import Exchange
from earwitness.wire.gateway import Gateway
from earwitness.wire.messages import Request, Response
from earwitness.wire.serialize import request_id_headers
from earwitness.wire.wrong_credentials import WrongCredentials

ResultT = TypeVar("ResultT")

PLAIN = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""With every answer of the APIs: nobody guesses at what it is, and nobody keeps it, because it may be personal."""

_PLAIN = [(name.lower().encode(), value.encode()) for name, value in PLAIN.items()]

_log = logging.getLogger("earwitness.server")

# Operations whose request or answer is a stream: what the server needs of them.

SendChunk: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends bytes as one HTTP chunk of the answer. Raises ClientDisconnect when the client has hung up."""


class Streaming(Protocol):
    """An operation that has passed its checks; what comes now is its stream."""

    #: Of the answer.
    content_type: str

    async def run(self, receive: Receive, send_chunk: SendChunk) -> None:
        """Take and give what there is, until the end. The answer has begun with its status; there are no errors now."""
        ...

    def close(self) -> None:
        """Let go of what was taken when it was opened. Called once, whether it ran or not."""
        ...


OpenStreaming: TypeAlias = Callable[[Exchange], Awaitable[Streaming]]
"""Opens an operation whose parameters are parsed and validated; raises what operations raise."""

StreamingOperations: TypeAlias = Mapping[str, OpenStreaming]
"""By operation."""


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one request may take."""

    #: Of a body that is read as a whole.
    body_bytes_max: int
    #: Until the body has arrived.
    client_seconds_max: float
    #: Requests in progress, from when their body is there until their answer is known.
    at_once_max: int


class AwsApplication:
    """The gateway as an ASGI application."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        threads: Threads,
        wrong_credentials: WrongCredentials,
        monotonic: Callable[[], float],
        on_loop: RunOnThisLoop,
        limits: RequestLimits,
        streaming: StreamingOperations | None = None,
        upload_paths: Collection[str] = (),
        metrics: RequestMetrics | None = None,
    ) -> None:
        """`on_loop` runs what makes point reads; it raises StoreBusy when that is to be done in a thread.

        `streaming` are the operations whose request or answer is a stream; `upload_paths` those whose request is.
        """
        self._streaming = dict(streaming or {})
        self._upload_paths = frozenset(upload_paths)
        self._gateway = gateway
        self._threads = threads
        self._on_loop = on_loop
        self._limits = limits
        self._body_memory = BodyMemory()
        self._wrong_credentials = wrong_credentials
        self._monotonic = monotonic
        self._metrics = metrics or RequestMetrics()
        self._in_progress = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = self._monotonic()
        upload = scope["path"] in self._upload_paths
        exchange = self._gateway.receive(
            received(scope), scheme=scope["scheme"], unsigned_body=upload, server=scope.get("server")
        )
        try:
            streaming = await self._answer(exchange, scope, receive)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the time for stopping is over
            self._gateway.refuse(exchange, Unavailable("the service stopped before it was done; look whether it was"))
            await self._send(exchange, send, close=True)
            raise
        self._count(exchange, seconds=self._monotonic() - began)
        if streaming is not None:
            await _stream(streaming, exchange, receive, send, is_gone=_is_closing(scope))
            return
        held_back = await self._wrong_credentials.hold_back(exchange.request.client, exchange.delay_seconds)
        await self._send(exchange, send, close=self.draining or not held_back)

    def _count(self, exchange: Exchange, *, seconds: float) -> None:
        """Count what is about to be answered; a stream is answered with 200."""
        operation, response = exchange.operation, exchange.response
        status = 200 if response is None else response.status
        self._metrics.answered(operation.name if operation else None, status, seconds=seconds)

    async def _send(self, exchange: Exchange, send: Send, *, close: bool) -> None:
        if exchange.response is not None:
            await send_response(send, exchange.response, close=close)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> Streaming | None:
        """Find the answer. Return a stream that is to be run, where the answer is one."""
        limit = BodyLimit(self._limits.body_bytes_max, self._limits.client_seconds_max)
        try:
            if exchange.unsigned_body:
                return await self._run_within_capacity(exchange)
            async with self._body_memory.body(scope, receive, limit) as body:
                if body:
                    exchange.request = exchange.request.with_body(body)
                return await self._run_within_capacity(exchange)
        except ClientDisconnect:
            raise
        except Exception as error:
            self._gateway.refuse(exchange, error)
            return None

    async def _run_within_capacity(self, exchange: Exchange) -> Streaming | None:
        """Count a request from when it is complete until its answer is known: slow clients take nobody's place."""
        self._require_capacity()
        self._in_progress += 1
        try:
            with self._wrong_credentials.place_of(exchange.request.client, now_seconds=self._monotonic()):
                return await self._run(exchange)
        finally:
            self._in_progress -= 1

    def _require_capacity(self) -> None:
        if self.draining:
            raise Unavailable("the service is stopping; try again, another one may answer")
        if self._in_progress >= self._limits.at_once_max:
            raise Unavailable("the service is over its capacity; wait and retry with back-off")

    async def _run(self, exchange: Exchange) -> Streaming | None:
        gateway = self._gateway
        if not await self._here_or_in_thread(gateway.prepare, exchange, here=True):
            return None
        opened = self._streaming.get(exchange.route.operation.name)
        if opened is not None:
            gateway.provoke(exchange)
            return await opened(exchange)
        await self._here_or_in_thread(gateway.finish, exchange, here=gateway.is_quick(exchange))
        return None

    async def _here_or_in_thread(
        self, step: Callable[[Exchange], ResultT], exchange: Exchange, *, here: bool
    ) -> ResultT:
        """Run a step on the event loop; if it would have to wait, run it again in a thread."""
        if here:
            try:
                return await self._on_loop(lambda: step(exchange))
            except StoreBusy as busy:
                _log.info("a thread waits for the records", extra={**exchange.logged, "reason": str(busy)})
        return await self._threads.run(lambda: step(exchange))


def _is_closing(scope: Scope) -> Callable[[], bool]:
    """Return what asks whether the connection of a request is closing; no, where the server cannot say."""
    return scope.get("extensions", {}).get(CONNECTION, {}).get(IS_CLOSING, bool)


async def _stream(
    streaming: Streaming, exchange: Exchange, receive: Receive, send: Send, *, is_gone: Callable[[], bool]
) -> None:
    """Begin the answer, and run the operation until it has no more to send, or nobody is there."""

    async def send_chunk(chunk: bytes) -> None:
        if is_gone():
            raise ClientDisconnect
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    headers = {"content-type": streaming.content_type, "connection": "close"}
    headers |= request_id_headers(exchange.route.service, exchange.request_id) | PLAIN
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        with suppress(ClientDisconnect):
            await streaming.run(receive, send_chunk)
        await send({"type": "http.response.body", "body": b""})
    finally:
        streaming.close()


def received(scope: Scope) -> Request:
    """Return the request of an ASGI scope, without its body."""
    client = scope.get("client")
    return Request.received(
        method=scope["method"],
        raw_path=scope["raw_path"],
        raw_query=scope["query_string"],
        headers=scope["headers"],
        client=client[0] if client else "",
    )


async def send_response(send: Send, response: Response, *, close: bool = False) -> None:
    """Send a response with its length."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    headers += _PLAIN
    if response.status != 204:  # HTTP forbids a length with 204
        headers.append((b"content-length", str(len(response.body)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
