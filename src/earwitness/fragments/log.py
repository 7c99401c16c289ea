"""The media log on disk: all streams of this process, below one folder that no other process may use meanwhile.

What belongs here: opening, deleting, expiring and closing over all streams. What must never: one stream's own rules.
"""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from earwitness.errors import EarwitnessError, FragmentLogUnavailable
from earwitness.fragments.appender import DELETED_SUFFIX, Appender, remove_folder
from earwitness.fragments.budget import Budget
from earwitness.fragments.folder import Found, expire_folder, load_folder
from earwitness.fragments.index import StreamIndex
from earwitness.fragments.interface import KeySource, StreamIdentity
from earwitness.fragments.lanes import LANES, OPEN_FILES_MAX, Lane, translated
from earwitness.fragments.names import FILE_RIGHTS, make_folder
from earwitness.fragments.ownership import streams_in, write_owner
from earwitness.fragments.retention import Retention
from earwitness.fragments.room import Room
from earwitness.fragments.state import StreamState, Workshop
from earwitness.fragments.stream import FragmentStream
from earwitness.fragments.times import to_ms

READER_THREADS = 4
"""Threads that read; a read from the page cache takes some 50 µs, so they matter when the disk is slow."""


class FragmentLog:
    """The media log of all streams. Everything but file work happens on the event loop it was opened on."""

    def __init__(
        self,
        folder: Path,
        lock: int,
        *,
        clock: Callable[[], datetime],
        random_bits: Callable[[int], int],
        room: Room,
        budget: Budget | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._folder = folder
        self._budget = budget
        self._lock = lock
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="earwitness fragment reader")
        self._workshop = Workshop(clock=clock, random_bits=random_bits, room=room, readers=self._readers)
        self._lanes = [
            Lane(loop, name=f"earwitness fragment lane {number}", open_files_max=OPEN_FILES_MAX // LANES)
            for number in range(LANES)
        ]
        self._streams: dict[str, asyncio.Task[FragmentStream]] = {}
        self._closed = False

    async def open_stream(self, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> FragmentStream:
        """The stream, made when there is none. Open already: the same object, and its key and retention stay."""
        self._require_open()
        name = stream.digest
        if name not in self._streams:
            self._streams[name] = asyncio.create_task(self._open(name, stream, key=key, retention=retention))
        task = self._streams[name]
        try:
            return await asyncio.shield(task)
        except EarwitnessError:
            if self._streams.get(name) is task:
                del self._streams[name]
            raise

    async def delete_stream(self, stream: StreamIdentity) -> None:
        """Remove all of it, open or not; what it holds is gone from the medium when this returns. Readers get Gone."""
        self._require_open()
        name = stream.digest
        task = self._streams.get(name)
        opened = None if task is None else await _opened(task)
        if self._streams.get(name) is task:
            self._streams.pop(name, None)
        if opened is not None:
            await opened.delete()
        else:
            await self._lane(name).call(lambda: remove_folder(self._folder / name))

    async def expire(self, now: datetime) -> None:
        """Remove what its retention no longer covers, in all open streams. Cheap: call it every few seconds."""
        now_ms = to_ms(now)
        for task in list(self._streams.values()):
            if task.done() and not task.exception():
                await task.result().expire(now_ms)

    async def stored(self) -> frozenset[str]:
        """Digests of the streams that something is stored of, open or not."""
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, streams_in, self._folder)

    async def expire_closed(self, stream: StreamIdentity, *, retention: Retention, now: datetime) -> None:
        """Remove what is too old or too much by this retention from a stream that is not open, and leave it closed.

        In the medium's pieces: one goes when all in it may go. An open stream is left to `expire`. Cheap where nothing
        is due.
        """
        now_ms = to_ms(now)
        await self._on_closed(stream.digest, lambda folder: expire_folder(folder, retention=retention, now_ms=now_ms))

    async def delete_stored(self, digest: str) -> None:
        """Remove all that is stored under a digest, unless the stream is open: for streams that nobody knows."""
        await self._on_closed(digest, remove_folder)

    async def _on_closed(self, name: str, work: Callable[[Path], None]) -> None:
        """Do this to a folder unless its stream is open. Whoever opens it meanwhile waits: both are on its lane."""
        self._require_open()
        if name not in self._streams:
            await self._lane(name).call(lambda: work(self._folder / name))

    async def close(self) -> None:
        """Finish what is being written and end all readers with FragmentLogUnavailable."""
        if self._closed:
            return
        self._closed = True
        streams = await asyncio.gather(*self._streams.values(), return_exceptions=True)
        opened = [stream for stream in streams if isinstance(stream, FragmentStream)]
        failures = await asyncio.gather(*(stream.close() for stream in opened), return_exceptions=True)
        for lane in self._lanes:
            lane.stop()
        await asyncio.to_thread(self._end_threads)
        os.close(self._lock)
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure

    def _end_threads(self) -> None:
        for lane in self._lanes:
            lane.join()
        self._readers.shutdown()

    async def _open(self, name: str, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> FragmentStream:
        folder, lane = self._folder / name, self._lane(name)
        found: Found = await lane.call(lambda: load_folder(folder, self._workshop.clock))
        state = StreamState(
            identity=stream,
            folder=folder,
            key=key,
            retention=retention,
            lane=lane,
            appender=Appender(
                folder,
                stream,
                key=key,
                segments=[segment.first_sequence for segment in found.segments],
                budget=self._budget,
            ),
            index=StreamIndex(found.segments, next_sequence=found.next_sequence, lost_after=found.lost_after),
            workshop=self._workshop,
        )
        opened = FragmentStream(state, next_sequence=found.next_sequence)
        await opened.expire(to_ms(self._workshop.clock()))
        return opened

    def _lane(self, name: str) -> Lane:
        return self._lanes[int(name[:8], 16) % len(self._lanes)]

    def _require_open(self) -> None:
        if self._closed:
            raise FragmentLogUnavailable("the media log is closing; try again")


async def _opened(task: asyncio.Task[FragmentStream]) -> FragmentStream | None:
    """The stream; None when it could not be opened, so that nobody uses it."""
    try:
        return await asyncio.shield(task)
    except EarwitnessError:
        return None


async def open_fragment_log(
    folder: Path,
    *,
    clock: Callable[[], datetime],
    random_bits: Callable[[int], int] = secrets.randbits,
    room: Room | None = None,
    owner: str | None = None,
    budget: Budget | None = None,
) -> FragmentLog:
    """The log in this folder, made when there is none; `clock` tells UTC, `owner` names the records it belongs to,
    `budget` is what the media may take.

    It finishes deletions that a crash interrupted. FragmentLogUnavailable when another process has the log open, or
    the folder cannot be used.
    """
    lock = await asyncio.to_thread(_prepare, folder, owner)
    return FragmentLog(folder, lock, clock=clock, random_bits=random_bits, room=room or Room(), budget=budget)


def _prepare(folder: Path, owner: str | None) -> int:
    """Make and lock the folder, and write down whose it is."""
    try:
        make_folder(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_RIGHTS)
    except OSError as error:
        raise translated(error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for doomed in folder.glob(f"*{DELETED_SUFFIX}"):
            remove_folder(doomed.with_suffix(""))
        if owner is not None:
            write_owner(folder, owner)
    except BlockingIOError:
        os.close(lock)
        raise FragmentLogUnavailable(f"another process has the media log {folder} open; stop it first") from None
    except OSError as error:
        os.close(lock)
        raise translated(error) from error
    return lock
