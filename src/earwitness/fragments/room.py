"""Back-pressure: how much may wait for the disk at one time.

What belongs here: the bounds and the queue before them. What must never: what is waiting.
"""

import asyncio
from collections import deque

WAITING_MAX = 4_096
"""Appends that wait for the disk: 20 s of 200 streams, so a disk that stands still holds producers and not memory."""

WAITING_BYTES_MAX = 256 * 2**20
"""Media bytes that wait: five of the greatest fragments, or 80 s of 200 telephone channels."""


class Room:
    """Lets in first who came first, while there is room for one more. Event loop only."""

    def __init__(self, *, waiting_max: int = WAITING_MAX, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._free = waiting_max
        self._free_bytes = waiting_bytes_max
        self._bytes_max = waiting_bytes_max
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()

    async def enter(self, size: int) -> None:
        """Wait for room for this many bytes; more than there is room for at all counts as all."""
        size = min(size, self._bytes_max)
        if not self._queue and self._fits(size):
            self._take(size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)  # its turn had come already
            else:
                self._let_in()
            raise

    def leave(self, size: int) -> None:
        """Give back what `enter` took."""
        self._free += 1
        self._free_bytes += min(size, self._bytes_max)
        self._let_in()

    def _let_in(self) -> None:
        while self._queue:
            turn, size = self._queue[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self._take(size)
                turn.set_result(None)
            self._queue.popleft()

    def _fits(self, size: int) -> bool:
        return self._free > 0 and self._free_bytes >= size

    def _take(self, size: int) -> None:
        self._free -= 1
        self._free_bytes -= size
