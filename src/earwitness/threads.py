"""Threads beside the event loop: a bounded number for requests, and the types of what runs work there and back here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any, Protocol, TypeVar

from earwitness.errors import Unavailable
from earwitness.log import Recurring, frames_of

ResultT = TypeVar("ResultT")

_log = logging.getLogger("earwitness.server")


class RunInThread(Protocol):
    """Runs work that blocks or computes off the event loop."""

    def __call__(self, work: Callable[[], ResultT], /) -> Awaitable[ResultT]:
        """Return what the work returns."""
        ...


class RunOnThisLoop(Protocol):
    """Runs work that reads records on the event loop that calls it."""

    def __call__(self, work: Callable[[], ResultT], /) -> Awaitable[ResultT]:
        """Return what the work returns. Raise StoreBusy when it would have to wait."""
        ...


class RunOnLoop(Protocol):
    """Runs a coroutine on the event loop from another thread, and waits for it."""

    def __call__(self, work: Coroutine[Any, Any, ResultT], /) -> ResultT:  # `Any`: what a coroutine yields and takes
        """Return what the coroutine returns."""
        ...


class ThreadPool(ThreadPoolExecutor):
    """A pool that goes on with the threads it has when the system gives no more: a container limits processes, say.

    Raise Unavailable from `submit` when it has none yet; that work is not done.
    """

    def __init__(self, count: int, *, thread_name_prefix: str = "") -> None:
        super().__init__(count, thread_name_prefix)
        self._scarce = Recurring(_log)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:  # the work is in the queue by now
            if not self._threads:
                self._work_queue.get_nowait()  # nothing else is in there: `submit` holds a lock, and nothing was kept
                raise Unavailable(
                    "the system gives this process no more threads; see TasksMax of systemd, --pids-limit of Docker"
                ) from error
            self._scarce.tell(logging.ERROR, "the system gives this process no more threads", have=len(self._threads))


class Threads:
    """Runs work in threads; refuses it when too much is waiting."""

    def __init__(self, *, count: int, at_once_max: int) -> None:
        """`at_once_max` counts work that runs and work that waits."""
        self._pool = ThreadPool(count, thread_name_prefix="earwitness request")
        self._places = BoundedSemaphore(at_once_max)

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Return what `work` returns. Raise Unavailable when the queue is full.

        Work that has begun goes on when the caller is gone.
        """
        return await asyncio.wrap_future(self._submit(work))

    def in_background(self, work: Callable[[], None]) -> None:
        """Run work that nobody waits for; when the queue is full it is left out, and the log says so."""
        try:
            self._submit(lambda: _logged(work))
        except Unavailable as error:
            _log.error("background work was left out", extra={"reason": str(error)})

    def close(self) -> None:
        """Finish what runs and waits."""
        self._pool.shutdown(wait=True)

    def _submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        if not self._places.acquire(blocking=False):
            raise Unavailable("the service is over its capacity; wait and retry with back-off")
        try:
            future = self._pool.submit(work)
        except Unavailable:
            self._places.release()
            raise
        except RuntimeError:
            self._places.release()
            raise Unavailable("the service is stopping; try again, another one may answer") from None
        future.add_done_callback(self._give_place_back)  # also when it was given up before it began
        return future

    # `Any`: the future of whatever work it was.
    def _give_place_back(self, _done: Future[Any]) -> None:
        self._places.release()


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        _log.error("background work failed", extra={"error": type(error).__name__, "frames": frames_of(error)})
