"""The body of a request that is read as a whole: bounded in size and in time, and in memory with all others."""

import asyncio
from collections.abc import Sequence

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from earwitness.errors import BadRequest, Unavailable

DRAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of a body that is too large, so much is read and thrown away, because a client that still sends does not read our
answer. Beyond that it is answered at once, and the server throws the rest away for as long as a head may take."""

HELD_BYTES_MAX = 256 * 1024 * 1024
"""Bodies in memory, of all requests together: nobody has proved who they are before their body is there."""


class BodyMemory:
    """Counts the bytes of all bodies that are in memory. For one event loop."""

    def __init__(self, *, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Count bytes; Unavailable when there is no room for them, and then none are counted."""
        if self.held_bytes + size > self._bytes_max:
            raise Unavailable("the service is over its capacity; wait and retry with back-off")
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        """Bytes that were taken are free again."""
        self.held_bytes -= size


def has_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a body follows these headers, their names in lower case."""
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


async def read_body(
    receive: Receive,
    *,
    memory: BodyMemory,
    bytes_max: int,
    seconds_max: float,
) -> bytes:
    """The whole body, whose length is taken from `memory`: the caller gives it back.

    Raises BadRequest when it is too large or too slow, Unavailable when there is no memory for it and ClientDisconnect
    when the client has gone; then nothing stays taken.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds_max):
            await _read(receive, body, memory=memory, bytes_max=bytes_max)
    except TimeoutError:
        memory.give_back(len(body))
        raise BadRequest(f"the body did not arrive within {seconds_max:g} s; send it faster") from None
    except BaseException:
        memory.give_back(len(body))
        raise
    return bytes(body)


async def _read(receive: Receive, body: bytearray, *, memory: BodyMemory, bytes_max: int) -> None:
    """Fill `body`; every byte in it is taken from `memory`."""
    size, more = 0, True
    while more and size <= DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= bytes_max:
            memory.take(len(piece))
            body += piece
        more = message.get("more_body", False)
    if size > bytes_max:
        raise BadRequest(f"the body is larger than {bytes_max} bytes; send a smaller one")
