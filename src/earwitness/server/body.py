"""The body of a request that is read as a whole: bounded in size and in time."""

import asyncio
from collections.abc import Sequence

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from earwitness.errors import BadRequest

DRAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of a body that is too large, so much is read and thrown away, because a client that still sends does not read our
answer. Beyond that the connection is closed on it."""


async def read_body(
    receive: Receive, headers: Sequence[tuple[bytes, bytes]], *, bytes_max: int, seconds_max: float
) -> bytes:
    """The whole body. Raises BadRequest when it is too large or too slow, ClientDisconnect when the client has gone."""
    if not _has_body(headers):
        return b""
    try:
        async with asyncio.timeout(seconds_max):
            return await _read(receive, bytes_max=bytes_max)
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {seconds_max:g} s; send it faster") from None


def _has_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


async def _read(receive: Receive, *, bytes_max: int) -> bytes:
    body = bytearray()
    size, more = 0, True
    while more and size <= DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= bytes_max:
            body += piece
        more = message.get("more_body", False)
    if size > bytes_max:
        raise BadRequest(f"the body is larger than {bytes_max} bytes; send a smaller one")
    return bytes(body)
