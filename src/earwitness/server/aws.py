"""AWS's operations over HTTP: an ASGI application that turns scopes into exchanges and exchanges into answers."""

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from earwitness.errors import Unavailable
from earwitness.server.body import BodyMemory, read_body
from earwitness.server.threads import Threads
from earwitness.wire.exchange import Exchange
from earwitness.wire.gateway import Gateway
from earwitness.wire.messages import Request, Response

DELAYED_AT_ONCE_MAX = 200
"""Answers to bad signatures that are held back at one time; one more is given at once, and its connection closed."""


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one request may take."""

    body_bytes_max: int
    """Of a body that is read as a whole."""

    client_seconds_max: float
    """Until the body has arrived."""

    at_once_max: int
    """Requests in progress, from when their body is there until their answer is known."""


class AwsApplication:
    """The gateway as an ASGI application."""

    def __init__(self, gateway: Gateway, *, threads: Threads, store_is_near: bool, limits: RequestLimits) -> None:
        """`store_is_near`: point reads cost microseconds, so that a thread would cost more than they do."""
        self._gateway = gateway
        self._threads = threads
        self._store_is_near = store_is_near
        self._limits = limits
        self._body_memory = BodyMemory()
        self._in_progress = 0
        self._delayed = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = self._gateway.receive(received(scope), scheme=scope["scheme"])
        try:
            await self._answer(exchange, scope, receive)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the time for stopping is over
            self._gateway.refuse(exchange, Unavailable("the service stopped before it was done; look whether it was"))
            await self._send(exchange, send, close=True)
            raise
        held_back = await self._hold_back(exchange)
        await self._send(exchange, send, close=self.draining or not held_back)

    async def _send(self, exchange: Exchange, send: Send, *, close: bool) -> None:
        if exchange.response is not None:
            await send_response(send, exchange.response, close=close)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        limits = self._limits
        body = b""
        try:
            body = await read_body(
                receive,
                scope["headers"],
                memory=self._body_memory,
                bytes_max=limits.body_bytes_max,
                seconds_max=limits.client_seconds_max,
            )
            if body:
                exchange.request = exchange.request.with_body(body)
            await self._run_within_capacity(exchange)
        except ClientDisconnect:
            raise
        except Exception as error:
            self._gateway.refuse(exchange, error)
        finally:
            self._body_memory.give_back(len(body))

    async def _run_within_capacity(self, exchange: Exchange) -> None:
        """A request counts from when it is complete until its answer is known: who sends or reads slowly takes
        nobody's place."""
        self._require_capacity()
        self._in_progress += 1
        try:
            await self._run(exchange)
        finally:
            self._in_progress -= 1

    def _require_capacity(self) -> None:
        if self.draining:
            raise Unavailable("the service is stopping; try again, another one may answer")
        if self._in_progress >= self._limits.at_once_max:
            raise Unavailable("the service is over its capacity; wait and retry with back-off")

    async def _run(self, exchange: Exchange) -> None:
        gateway = self._gateway
        if not self._store_is_near:
            await self._threads.run(lambda: gateway.answer(exchange))
        elif gateway.prepare(exchange):
            if gateway.is_quick(exchange):
                gateway.finish(exchange)
            else:
                await self._threads.run(lambda: gateway.finish(exchange))

    async def _hold_back(self, exchange: Exchange) -> bool:
        """Hold an answer back for as long as it was ordered; False when too many are, so that it is given at once."""
        if not exchange.delay_seconds:
            return True
        if self._delayed >= DELAYED_AT_ONCE_MAX:
            return False
        self._delayed += 1
        try:
            await asyncio.sleep(exchange.delay_seconds)
        finally:
            self._delayed -= 1
        return True


def received(scope: Scope) -> Request:
    """The request of an ASGI scope, its body still to come."""
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
    if response.status != 204:  # HTTP forbids a length with 204
        headers.append((b"content-length", str(len(response.body)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
