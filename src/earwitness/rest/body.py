"""Bodies of requests: bounded in size and time, and recordings in a file that has no name and cannot stay behind."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event
from typing import IO

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from earwitness.errors import BadRequest, BodyTooLarge, Unavailable

DRAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of a body that is too large, so much more is read and thrown away, because a client that still sends does not read
our answer."""

PLAIN_BYTES_MAX = 65_536
"""Of a body where none is needed; it counts for the signature alone."""


@contextmanager
def recording_file() -> "Generator[tuple[IO[bytes], Path]]":
    """A private file, and the path under which it can be opened as long as this lasts.

    The file has no name of its own: the operating system takes it back when the process ends, however that happens.
    Unavailable when the temporary folder cannot hold it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="earwitness-") as folder, tempfile.TemporaryFile() as file:
            path = Path(folder) / "recording"
            path.symlink_to(f"/dev/fd/{file.fileno()}")
            yield file, path
    except OSError as error:
        raise Unavailable(
            f"the recording cannot be kept while it is listened to ({error.strerror or error}); make room in the "
            "service's temporary folder, and try again"
        ) from error


async def receive_body(
    receive: Receive, headers: Sequence[tuple[bytes, bytes]], into: IO[bytes], *, bytes_max: int, seconds_max: float
) -> None:
    """Write the whole body to a file.

    Raises BodyTooLarge, BadRequest when it is too slow, and ClientDisconnect when the client has gone.
    """
    if not _has_body(headers):
        return
    try:
        async with asyncio.timeout(seconds_max):
            size = await _receive(receive, into, bytes_max=bytes_max)
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {seconds_max:g} s; send it faster") from None
    if size > bytes_max:
        raise BodyTooLarge(f"the body is larger than {bytes_max} bytes; send a smaller one")
    into.flush()


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


def _has_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


async def _receive(receive: Receive, into: IO[bytes], *, bytes_max: int) -> int:
    """How many bytes came, of which at most `bytes_max` were written."""
    size, more = 0, True
    while more and size <= bytes_max + DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= bytes_max:
            into.write(piece)
        more = message.get("more_body", False)
    return size
