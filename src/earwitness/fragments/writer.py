"""The threads that write: each stream is on one of them, and a thread syncs what is waiting as one group.

A durable append costs a sync of its stream's file, whatever it holds. What came during the last round of syncs shares
the next one: several fragments of one stream share one sync, and the syncs of several streams follow one another
without a write in between, so that the file system's journal has little left to do after the first. Results go back
to the event loop once a group.

What belongs here: queues, groups, threads, and how much may wait before them. What must never: what a file looks like.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from earwitness import descriptors
from earwitness.fragments.appender import Appender, Written
from earwitness.fragments.names import translated
from earwitness.fragments.record import RecordHead

ResultT = TypeVar("ResultT")

WRITER_THREADS = 4
"""Disks serve a few syncs at a time better than one; more threads only make groups smaller."""

GROUP_LENGTH_MAX = 256
"""Appends in one group, so that the first does not wait long for the last."""

FILES_MAX = 32
"""Files that one thread has open before it syncs them. A stream has one, or two where a new one begins."""

FILES_SHARE = 16
"""The part of the process's file descriptors that one thread takes, where that is less: a quarter for all threads."""

WAITING_MAX = 4_096
"""Appends that wait for the disk: 20 s of 200 streams, so a disk that stands still holds producers and not memory."""

WAITING_BYTES_MAX = 256 * 2**20
"""Media bytes that wait: five of the greatest fragments, or 80 s of 200 telephone channels."""

_log = logging.getLogger("earwitness.fragments")


class AppendLimiter:
    """Lets appends in, first come first served, while there is room for one more. Event loop only."""

    def __init__(self, *, waiting_max: int = WAITING_MAX, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._free = waiting_max
        self._free_bytes = self._bytes_max = waiting_bytes_max
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()

    async def enter(self, size: int) -> None:
        """Wait for room for this many bytes; more than there is room for at all counts as all."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((turn, min(size, self._bytes_max)))
        self._let_in()
        if turn.done():
            return
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
                if self._free <= 0 or self._free_bytes < size:
                    return
                self._free -= 1
                self._free_bytes -= size
                turn.set_result(None)
            self._queue.popleft()


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """A record to write; `settle` is called on the event loop once it is durable, or with what went wrong."""

    appender: Appender
    head: RecordHead
    #: Parts that follow one another; joined on the writer thread, since that takes milliseconds for a great fragment.
    media: tuple[bytes, ...]
    span_ms: int
    settle: Callable[[Written | Exception], None]


class WriterThread:
    """One thread and its queue; what one stream asks for is done in the order it was asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, name: str) -> None:
        self._loop = loop
        self._files_max = max(1, min(FILES_MAX, descriptors.limit() // FILES_SHARE))
        self._jobs: queue.SimpleQueue[Append | Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def append(self, append: Append) -> None:
        """Write this with what else is waiting."""
        self._jobs.put(append)

    async def call(self, work: Callable[[], ResultT]) -> ResultT:
        """Return what `work` returns. It is done even when the waiting for it is cancelled. OSErrors are translated."""
        return await asyncio.shield(asyncio.wrap_future(self._submit(work)))

    def post(self, work: Callable[[], object]) -> None:
        """Do this when its turn comes; nobody waits for it, and a failure is logged."""
        self._submit(work).add_done_callback(_log_failure)

    def stop(self) -> None:
        """End when what waits is done."""
        self._jobs.put(None)

    def join(self) -> None:
        """Wait for the end; not on the event loop."""
        self._thread.join()

    def _submit(self, work: Callable[[], ResultT]) -> "Future[ResultT]":
        future: Future[ResultT] = Future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                future.set_exception(translated(error))
            else:
                future.set_result(result)

        self._jobs.put(run)
        return future

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            writes: list[Append] = []
            while isinstance(job, Append):
                writes.append(job)
                job = self._waiting() if len(writes) < GROUP_LENGTH_MAX else None
            if writes:
                self._write_group(writes)
            if job is not None:
                job()

    def _waiting(self) -> "Append | Callable[[], None] | None":
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the end, for `_serve` to see
        return job

    def _write_group(self, writes: list[Append]) -> None:
        """Write all, then sync all; what fails for one stream fails its part of the group only.

        Where more files would be open than may be, those written so far are synced, and closed, before the next one.
        """
        by_appender: dict[Appender, list[Append]] = {}
        for write in writes:
            by_appender.setdefault(write.appender, []).append(write)
        outcomes: dict[Appender, list[Written] | Exception] = {}
        unsynced: list[Appender] = []
        for appender, each in by_appender.items():
            outcomes[appender] = _attempt(appender, partial(_written, each))
            unsynced.append(appender)
            if sum(one.files_open for one in unsynced) >= self._files_max:
                _sync(unsynced, outcomes)
                unsynced.clear()
        _sync(unsynced, outcomes)
        self._loop.call_soon_threadsafe(_settle, by_appender, outcomes)


def _written(writes: list[Append]) -> list[Written]:
    return [write.appender.write(write.head, write.media, span_ms=write.span_ms) for write in writes]


def _sync(appenders: list[Appender], outcomes: dict[Appender, list[Written] | Exception]) -> None:
    for appender in appenders:
        outcome = outcomes[appender]
        if not isinstance(outcome, Exception):
            outcomes[appender] = _attempt(appender, partial(_synced, appender, outcome))


def _synced(appender: Appender, written: list[Written]) -> list[Written]:
    appender.sync()
    return written


def _attempt(appender: Appender, step: Callable[[], list[Written]]) -> list[Written] | Exception:
    """Return what the step gives, or, after the stream's part of the group is undone, what it raised."""
    try:
        return step()
    except Exception as error:
        try:
            appender.undo()
        except OSError as later:
            _log.error("an append could not be taken back yet", extra={"reason": str(later.strerror)})
        return translated(error)


def _settle(groups: dict[Appender, list[Append]], outcomes: dict[Appender, list[Written] | Exception]) -> None:
    for appender, writes in groups.items():
        outcome = outcomes[appender]
        for place, write in enumerate(writes):
            write.settle(outcome if isinstance(outcome, Exception) else outcome[place])


def _log_failure(future: "Future[object]") -> None:
    if error := future.exception():
        _log.error("work behind an append failed", extra={"reason": str(error)})
