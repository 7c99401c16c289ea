"""The threads that write: each stream is on one lane, and a lane syncs what is waiting as one group.

A durable append costs a sync of its stream's file, whatever it holds. What came during the last round of syncs shares
the next one: several fragments of one stream share one sync, and the syncs of several streams follow one another
without a write in between, so that the file system's journal has little left to do after the first. Results go back
to the event loop once a group.

What belongs here: queues, groups, threads. What must never: what a file looks like.
"""

import asyncio
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from earwitness.errors import FragmentLogUnavailable
from earwitness.fragments.appender import Appender, Written
from earwitness.fragments.record import Record

ResultT = TypeVar("ResultT")
Outcome = Written | Exception
Settle = Callable[[Outcome], None]

LANES = 4
"""Threads that write. Disks serve a few syncs at a time better than one; more threads only make groups smaller."""

GROUP_LENGTH_MAX = 256
"""Appends in one group, so that the first does not wait long for the last."""

OPEN_FILES_MAX = 256
"""Segment files held open between appends: more than the streams of a small machine, a quarter of the 1,024
descriptors that a process commonly has. Opening one again costs some 10 µs."""

_log = logging.getLogger("earwitness.fragments")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Write:
    appender: Appender
    record: Record
    span_ms: int
    settle: Settle


# `Any`: what a call returns has the type of its own work; `call` gives it back to whoever knows it.
@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    work: Callable[[], Any]
    future: Future[Any]


class Lane:
    """One thread and its queue; what one stream asks for is done in the order it was asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, name: str, open_files_max: int) -> None:
        self._loop = loop
        self._open_files_max = open_files_max
        self._open: OrderedDict[Appender, None] = OrderedDict()
        self._jobs: queue.SimpleQueue[_Write | _Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def write(self, appender: Appender, record: Record, *, span_ms: int, settle: Settle) -> None:
        """Append; `settle` is called on the event loop once it is durable, or with what went wrong."""
        self._jobs.put(_Write(appender=appender, record=record, span_ms=span_ms, settle=settle))

    async def call(self, work: Callable[[], ResultT]) -> ResultT:
        """What `work` returns. It is done even when the waiting for it is cancelled. OSErrors are translated."""
        future: Future[ResultT] = Future()
        self._jobs.put(_Call(work=work, future=future))
        return await asyncio.shield(asyncio.wrap_future(future))

    def post(self, work: Callable[[], object]) -> None:
        """Do this when its turn comes; nobody waits for it, and a failure is logged."""
        future: Future[object] = Future()
        future.add_done_callback(_log_failure)
        self._jobs.put(_Call(work=work, future=future))

    def stop(self) -> None:
        """End when what waits is done."""
        self._jobs.put(None)

    def join(self) -> None:
        """Wait for the end; not on the event loop."""
        self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            writes: list[_Write] = []
            following: _Write | _Call | None = job
            while isinstance(following, _Write):
                writes.append(following)
                following = self._waiting() if len(writes) < GROUP_LENGTH_MAX else None
            if writes:
                self._write_group(writes)
            if following is not None:
                _run(following)
        for appender in self._open:
            _release(appender)

    def _waiting(self) -> _Write | _Call | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the end, for `_serve` to see
        return job

    def _write_group(self, writes: list[_Write]) -> None:
        streams: dict[Appender, list[_Write]] = {}
        for write in writes:
            streams.setdefault(write.appender, []).append(write)
        outcomes = {
            appender: _attempt(appender, lambda each=each: _written(each)) for appender, each in streams.items()
        }
        for appender, outcome in outcomes.items():
            if not isinstance(outcome, Exception):
                outcomes[appender] = _attempt(appender, lambda a=appender, done=outcome: _synced(a, done))
        self._keep_few_open(streams)
        settled: list[tuple[Settle, Outcome]] = []
        for appender, each in streams.items():
            outcome = outcomes[appender]
            results = [outcome] * len(each) if isinstance(outcome, Exception) else outcome
            settled += [(write.settle, result) for write, result in zip(each, results, strict=True)]
        self._loop.call_soon_threadsafe(_settle, settled)

    def _keep_few_open(self, used: dict[Appender, list[_Write]]) -> None:
        for appender in used:
            self._open[appender] = None
            self._open.move_to_end(appender)
        while len(self._open) > self._open_files_max:
            _release(self._open.popitem(last=False)[0])


def _release(appender: Appender) -> None:
    try:
        appender.release()
    except OSError as error:
        _log.error("a segment file could not be closed", extra={"reason": str(error.strerror)})


def _written(writes: list[_Write]) -> list[Written]:
    return [write.appender.write(write.record, span_ms=write.span_ms) for write in writes]


def _synced(appender: Appender, written: list[Written]) -> list[Written]:
    appender.sync()
    return written


def _attempt(appender: Appender, work: Callable[[], list[Written]]) -> list[Written] | Exception:
    """What `work` gives, or, after the stream's part of the group is undone, what it raised."""
    try:
        return work()
    except Exception as error:
        try:
            appender.undo()
        except OSError as later:
            _log.error("an append could not be taken back yet", extra={"reason": str(later.strerror)})
        return translated(error)


def translated(error: Exception) -> Exception:
    """FragmentLogUnavailable for what the file system says; anything else as it is."""
    if not isinstance(error, OSError):
        return error
    meaning = FragmentLogUnavailable(f"the media log's disk says: {error.strerror}; make room or look after it")
    meaning.__cause__ = error
    _log.error("the media log's disk fails", extra={"reason": str(error.strerror)})
    return meaning


def _run(call: _Call) -> None:
    try:
        result = call.work()
    except Exception as error:
        call.future.set_exception(translated(error))
    else:
        call.future.set_result(result)


def _log_failure(future: Future[object]) -> None:
    if error := future.exception():
        _log.error("work behind an append failed", extra={"reason": str(error)})


def _settle(settled: list[tuple[Settle, Outcome]]) -> None:
    for settle, outcome in settled:
        settle(outcome)
