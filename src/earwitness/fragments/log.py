"""The media log: all streams of this process, below one folder that no other process may use meanwhile.

The file `records` in that folder names the records that know its streams. Media whose records are others look like
media without a record, which are deleted. So whoever opens both compares them first.

What belongs here: opening, deleting, expiring and closing over all streams. What must never: one stream's own rules.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.errors import EarwitnessError, FragmentLogUnavailable
from earwitness.fragments.budget import Budget
from earwitness.fragments.folder import expire_folder, load_folder
from earwitness.fragments.interface import KeySource, Retention, StreamIdentity
from earwitness.fragments.names import (
    DELETED_SUFFIX,
    FILE_RIGHTS,
    disk_errors,
    make_folder,
    remove_folder,
)
from earwitness.fragments.numbers import to_ms
from earwitness.fragments.owner import streams_in, write_owner
from earwitness.fragments.stream import FragmentStream, LogContext
from earwitness.fragments.writer import WRITER_THREADS, AppendLimiter, WriterThread
from earwitness.threads import ThreadPool

if TYPE_CHECKING:
    from earwitness.metrics.reported import MediaMetrics

READER_THREADS = 4
"""Threads that read; a read from the page cache takes some 50 µs, so they matter when the disk is slow."""


class FragmentLog:
    """The media log of all streams. Everything but file work happens on the event loop it was opened on."""

    def __init__(self, folder: Path, lock: int, context: LogContext) -> None:
        loop = asyncio.get_running_loop()
        self._folder = folder
        self._lock = lock
        self._context = context
        names = [f"earwitness fragment writer {number}" for number in range(WRITER_THREADS)]
        self._writers = [WriterThread(loop, name=name) for name in names]
        self._streams: dict[str, asyncio.Task[FragmentStream]] = {}
        self._closed = False

    async def open_stream(self, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> FragmentStream:
        """Return the stream, made when there is none. Open already: the same object, and its key and retention stay."""
        self._require_open()
        name = stream.digest
        if name not in self._streams:
            self._streams[name] = asyncio.create_task(self._open(stream, key=key, retention=retention))
        task = self._streams[name]
        try:
            return await asyncio.shield(task)
        except EarwitnessError:
            if self._streams.get(name) is task:
                del self._streams[name]
            raise

    async def delete_stream(self, stream: StreamIdentity) -> None:
        """Remove all of it, open or not; what it holds is gone from the disk when this returns. Readers get Gone."""
        self._require_open()
        name = stream.digest
        task = self._streams.get(name)
        opened = None if task is None else await _opened(task)
        if self._streams.get(name) is task:
            self._streams.pop(name, None)
        if opened is not None:
            await opened.delete()
        else:
            await self._writer(name).call(partial(remove_folder, self._folder / name))

    async def expire(self, now: datetime) -> None:
        """Remove what its retention no longer covers, in all open streams. Cheap: call it every few seconds."""
        opened = [task.result() for task in self._streams.values() if task.done() and not task.exception()]
        for stream in opened:
            if stream.holds_media:  # most of ten thousand wait for their first fragment
                await stream.expire(to_ms(now))

    async def stored(self) -> frozenset[str]:
        """Return digests of the streams that something is stored of, open or not."""
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._context.readers, streams_in, self._folder)

    async def expire_closed(self, stream: StreamIdentity, *, retention: Retention, now: datetime) -> None:
        """Remove what is too old or too much by this retention from a stream that is not open, and leave it closed.

        A file goes when all in it may go. An open stream is left to `expire`. Cheap where nothing is due.
        """
        await self._on_closed(stream.digest, partial(expire_folder, retention=retention, now_ms=to_ms(now)))

    async def delete_stored(self, digest: str) -> None:
        """Remove all that is stored under a digest, unless the stream is open: for streams that nobody knows."""
        await self._on_closed(digest, remove_folder)

    async def close(self) -> None:
        """Finish what is being written and end all readers with FragmentLogUnavailable."""
        if self._closed:
            return
        self._closed = True
        streams = await asyncio.gather(*self._streams.values(), return_exceptions=True)
        opened = [stream for stream in streams if isinstance(stream, FragmentStream)]
        failures = await asyncio.gather(*(stream.close() for stream in opened), return_exceptions=True)
        for writer in self._writers:
            writer.stop()
        await asyncio.to_thread(self._end_threads)
        os.close(self._lock)
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure

    async def _on_closed(self, name: str, work: Callable[[Path], None]) -> None:
        """Do this to a folder unless its stream is open. Whoever opens it meanwhile waits for the same thread."""
        self._require_open()
        if name not in self._streams:
            await self._writer(name).call(partial(work, self._folder / name))

    def _end_threads(self) -> None:
        for writer in self._writers:
            writer.join()
        self._context.readers.shutdown()

    async def _open(self, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> FragmentStream:
        folder, writer = self._folder / stream.digest, self._writer(stream.digest)
        found = await writer.call(partial(load_folder, folder, self._context.clock))
        opened = FragmentStream(
            stream, folder, found, key=key, retention=retention, writer=writer, context=self._context
        )
        await opened.expire(self._context.now_ms)
        return opened

    def _writer(self, name: str) -> WriterThread:
        return self._writers[int(name[:8], 16) % len(self._writers)]

    def _require_open(self) -> None:
        if self._closed:
            raise FragmentLogUnavailable("the media log is closing; try again")


async def _opened(task: asyncio.Task[FragmentStream]) -> FragmentStream | None:
    """Return the stream; None when it could not be opened, so that nobody uses it."""
    try:
        return await asyncio.shield(task)
    except EarwitnessError:
        return None


async def open_fragment_log(
    folder: Path,
    *,
    clock: Callable[[], datetime],
    owner: str | None = None,
    budget: Budget | None = None,
    metrics: "MediaMetrics | None" = None,
) -> FragmentLog:
    """Return the log in this folder, made when there is none.

    `clock` tells UTC, `owner` names the records it belongs to, `budget` is what the media may take, `metrics` counts.
    Deletions that a crash interrupted are finished. Raise FragmentLogUnavailable when another process has the log open,
    or the folder cannot be used.
    """
    lock = await asyncio.to_thread(_prepare, folder, owner)
    readers = ThreadPool(READER_THREADS, thread_name_prefix="earwitness fragment reader")
    context = LogContext(
        clock=clock, limiter=AppendLimiter(), budget=budget or Budget(folder), readers=readers, metrics=metrics
    )
    return FragmentLog(folder, lock, context)


def _prepare(folder: Path, owner: str | None) -> int:
    """Make and lock the folder, and write down whose it is."""
    with disk_errors():
        make_folder(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_RIGHTS)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for doomed in folder.glob(f"*{DELETED_SUFFIX}"):
                remove_folder(doomed.with_suffix(""))
            if owner is not None:
                write_owner(folder, owner)
        except BaseException as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise FragmentLogUnavailable(
                    f"another process has the media log {folder} open; stop it first"
                ) from None
            raise
        return lock
