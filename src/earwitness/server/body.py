"""The body of a request: bounded in size and in time, and in memory with all others.

What belongs here: receiving. What must never: what a body says.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from threading import Event
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from earwitness.errors import BadRequest, BodyTooLarge, Unavailable

DRAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of a body that is too large, so much more is read and thrown away, because a client that still sends does not read
our answer. Beyond that it is answered at once, and the server throws the rest away for as long as a head may take."""

HELD_BYTES_MAX = 256 * 1024 * 1024
"""Bodies in memory, of all requests together: nobody has proved who they are before their body is there."""


class BodyLimit(NamedTuple):
    """What a body may take."""

    bytes_max: int
    seconds_max: float


class BodyMemory:
    """Counts the bytes of all bodies that are in memory. For one event loop."""

    def __init__(self, *, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.held_bytes = 0

    @asynccontextmanager
    async def body(self, scope: Scope, receive: Receive, limit: BodyLimit) -> AsyncGenerator[bytes]:
        """Receive a whole body, and keep it while this lasts.

        Raise as `receive_body` does, and Unavailable when there is no room for it.
        """
        body = bytearray()

        def keep(piece: bytes) -> None:
            if self.held_bytes + len(piece) > self._bytes_max:
                raise Unavailable("the service is over its capacity; wait and retry with back-off")
            self.held_bytes += len(piece)
            body.extend(piece)

        try:
            await receive_body(scope, receive, keep, limit)
            yield bytes(body)
        finally:
            self.held_bytes -= len(body)


async def receive_body(scope: Scope, receive: Receive, keep: Callable[[bytes], object], limit: BodyLimit) -> None:
    """Call `keep` with each piece of a body, as long as that is not too large.

    Raise BodyTooLarge, BadRequest when it is too slow, and ClientDisconnect when the client has gone.
    """
    if not _has_body(scope):
        return
    try:
        async with asyncio.timeout(limit.seconds_max):
            size = await _receive(receive, keep, bytes_max=limit.bytes_max)
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {limit.seconds_max:g} s; send it faster") from None
    if size > limit.bytes_max:
        raise BodyTooLarge(f"the body is larger than {limit.bytes_max} bytes; send a smaller one")


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _receive(receive: Receive, keep: Callable[[bytes], object], *, bytes_max: int) -> int:
    """Return how many bytes came; those up to `bytes_max` were kept."""
    size, more = 0, True
    while more and size <= bytes_max + DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= bytes_max:
            keep(piece)
        more = message.get("more_body", False)
    return size


@asynccontextmanager
async def watching(receive: Receive, *, abandoned: Event) -> AsyncGenerator[None]:
    """Set `abandoned` when the client hangs up while this lasts, and when this ends, for whatever reason.

    The body has to be there: what comes after it can only be the end of the connection.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        abandoned.set()

    watcher = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        abandoned.set()
        watcher.cancel()
