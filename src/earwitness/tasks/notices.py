"""Notices that something was written: they wake those who wait on the event loop, from any thread."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock


class Subscription:
    """One that waits for notices. A notice that comes between two waits is not lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.heard = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next notice, at most so long. Return whether there was one."""
        try:
            async with asyncio.timeout(seconds):  # `wait_for` may swallow a cancellation on Python 3.11
                await self.heard.wait()
        except TimeoutError:
            return False
        self.heard.clear()
        return True


class Notices:
    """Wakes all who listen. `notify` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._listeners: set[Subscription] = set()
        self._lock = Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Return whether the service stops, so that nobody should wait any more."""
        return self._closed

    @property
    def listener_count(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    def notify(self) -> None:
        """Say that there is something new."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.loop.call_soon_threadsafe(listener.heard.set)

    def close(self) -> None:
        """Let all who wait go on, for good."""
        self._closed = True
        self.notify()

    @contextmanager
    def listening(self) -> Generator[Subscription]:
        """Subscribe to every notice from now on. Look for what is new after this, and then wait."""
        listener = Subscription(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
