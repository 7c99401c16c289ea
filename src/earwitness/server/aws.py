"""AWS's operations over HTTP: an ASGI application that turns scopes into exchanges and exchanges into answers."""

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from earwitness.errors import StoreBusy, Unavailable
from earwitness.server.body import BodyMemory, has_body, read_body
from earwitness.server.protocol import CONNECTION, IS_CLOSING
from earwitness.server.streaming import Streaming, StreamingOperations
from earwitness.threads import Threads
from earwitness.wire.bad_signatures import address_group
from earwitness.wire.exchange import Exchange
from earwitness.wire.gateway import Gateway
from earwitness.wire.messages import Request, Response
from earwitness.wire.serialize import request_id_headers
from earwitness.wire.shares import Shares

ResultT = TypeVar("ResultT")

_log = logging.getLogger("earwitness.server")

DELAYED_AT_ONCE_MAX = 200
"""Answers to bad signatures that are held back at one time, those of one address half of them at most; one more is
given at once, and its connection closed."""

SUSPECTS_AT_ONCE_MAX = 100
"""Requests in progress of addresses that sent bad signatures before, half of them for one: a crowd of them must not
fill the places of all."""


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

    def __init__(
        self,
        gateway: Gateway,
        *,
        threads: Threads,
        store_is_near: bool,
        limits: RequestLimits,
        streaming: StreamingOperations | None = None,
        upload_paths: Collection[str] = (),
    ) -> None:
        """`store_is_near`: point reads cost microseconds, so that a thread would cost more than they do.

        `streaming` are the operations whose request or answer is a stream; `upload_paths` those whose request is.
        """
        self._streaming = dict(streaming or {})
        self._upload_paths = frozenset(upload_paths)
        self._gateway = gateway
        self._threads = threads
        self._store_is_near = store_is_near
        self._limits = limits
        self._body_memory = BodyMemory()
        self._in_progress = 0
        self._delayed = Shares(DELAYED_AT_ONCE_MAX, refusal="too many answers are held back; try again")
        self._suspects = Shares(
            SUSPECTS_AT_ONCE_MAX,
            refusal="too many requests with bad signatures come from this address; wait and try again",
        )
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
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
        if streaming is not None:
            await _stream(streaming, exchange, receive, send, is_gone=_is_closing(scope))
            return
        held_back = not exchange.delay_seconds or await self._hold_back(exchange)
        await self._send(exchange, send, close=self.draining or not held_back)

    async def _send(self, exchange: Exchange, send: Send, *, close: bool) -> None:
        if exchange.response is not None:
            await send_response(send, exchange.response, close=close)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> Streaming | None:
        """Find the answer; a stream that is to be run, where the answer is one."""
        limits = self._limits
        body = b""
        try:
            if not exchange.unsigned_body and has_body(scope["headers"]):
                body = await read_body(
                    receive,
                    memory=self._body_memory,
                    bytes_max=limits.body_bytes_max,
                    seconds_max=limits.client_seconds_max,
                )
            if body:
                exchange.request = exchange.request.with_body(body)
            return await self._run_within_capacity(exchange)
        except ClientDisconnect:
            raise
        except Exception as error:
            self._gateway.refuse(exchange, error)
            return None
        finally:
            self._body_memory.give_back(len(body))

    async def _run_within_capacity(self, exchange: Exchange) -> Streaming | None:
        """A request counts from when it is complete until its answer is known: who sends or reads slowly takes
        nobody's place."""
        self._require_capacity()
        self._in_progress += 1
        try:
            if not self._gateway.is_suspect(exchange):
                return await self._run(exchange)
            with self._suspects.taken(address_group(exchange.request.client)):
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
        if not await self._here_or_in_thread(gateway.prepare, exchange, here=self._store_is_near):
            return None
        opened = self._streaming.get(exchange.route.operation.name)
        if opened is not None:
            gateway.provoke(exchange)
            return await opened(exchange)
        here = self._store_is_near and gateway.is_quick(exchange)
        await self._here_or_in_thread(gateway.finish, exchange, here=here)
        return None

    async def _here_or_in_thread(
        self, step: Callable[[Exchange], ResultT], exchange: Exchange, *, here: bool
    ) -> ResultT:
        """A step where we are, unless it would have to wait: then in a thread, from its beginning."""
        if here:
            try:
                return step(exchange)
            except StoreBusy:
                _log.info("the records are locked; a thread waits for them", extra=exchange.logged)
        return await self._threads.run(lambda: step(exchange))

    async def _hold_back(self, exchange: Exchange) -> bool:
        """Hold an answer back for as long as it was ordered; False when too many are, so that it is given at once."""
        try:
            with self._delayed.taken(address_group(exchange.request.client)):
                await asyncio.sleep(exchange.delay_seconds)
        except Unavailable:
            return False
        return True


def _is_closing(scope: Scope) -> Callable[[], bool]:
    """Asks whether the connection of a request is closing; a server that cannot say says no."""
    return scope.get("extensions", {}).get(CONNECTION, {}).get(IS_CLOSING, bool)


async def _stream(
    streaming: Streaming, exchange: Exchange, receive: Receive, send: Send, *, is_gone: Callable[[], bool]
) -> None:
    """Begin the answer, and let the operation speak until it has no more to say, or nobody is there."""

    async def say(chunk: bytes) -> None:
        if is_gone():
            raise ClientDisconnect
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    headers = {"content-type": streaming.content_type, "connection": "close"}
    headers |= request_id_headers(exchange.route.service, exchange.request_id)
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        with suppress(ClientDisconnect):
            await streaming.run(receive, say)
        await send({"type": "http.response.body", "body": b""})
    finally:
        streaming.close()


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
