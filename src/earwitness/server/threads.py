"""A bounded number of threads for what must not run on the event loop, and a bounded queue before them."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from earwitness.errors import Unavailable
from earwitness.log import frames_of

ResultT = TypeVar("ResultT")

_log = logging.getLogger("earwitness.server")


class Threads:
    """Runs work in threads; refuses it when too much is waiting."""

    def __init__(self, *, count: int, at_once_max: int) -> None:
        """`at_once_max` counts work that runs and work that waits."""
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix="earwitness request")
        self._places = BoundedSemaphore(at_once_max)

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """What `work` returns; Unavailable when the queue is full. Work that began goes on when the caller is gone."""
        self._take_place()
        return await asyncio.wrap_future(self._pool.submit(self._placed, work))

    def in_background(self, work: Callable[[], None]) -> None:
        """Run work that nobody waits for; when the queue is full it is left out, and the log says so."""
        try:
            self._take_place()
        except Unavailable:
            _log.error("background work was left out", extra={"reason": "the queue is full"})
            return
        self._pool.submit(self._placed, lambda: _logged(work))

    def close(self) -> None:
        """Finish what runs and waits."""
        self._pool.shutdown(wait=True)

    def _take_place(self) -> None:
        if not self._places.acquire(blocking=False):
            raise Unavailable("the service is over its capacity; wait and retry with back-off")

    def _placed(self, work: Callable[[], ResultT]) -> ResultT:
        try:
            return work()
        finally:
            self._places.release()


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        _log.error("background work failed", extra={"error": type(error).__name__, "frames": frames_of(error)})
