"""A transport that sends together what is written together.

uvicorn writes the head of an answer and its body apart. Each write is a system call that wakes the client, and that
costs more than many an answer.
"""

import asyncio
from typing import Any

GATHERED_BYTES_MAX = 65_536
"""More than this is passed on at once, so that a long body is paused by its reader and not gathered here."""


class GatheringTransport:
    """Passes writes on at the end of the turn of the event loop in which they came; all else as the transport does."""

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
        """As the transport says; written out because it is asked for every answer."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """How many bytes are not sent yet."""
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
