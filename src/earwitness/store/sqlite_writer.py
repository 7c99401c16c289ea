"""The one writer of a SQLite database: a thread that commits what is waiting as one group.

SQLite lets one connection write at a time, and a durable commit costs an fsync, whatever it holds. So all changes go
through a queue; those that came during the last fsync share the next one. Each runs in a savepoint: one that fails
takes nothing of the others with it. Success is reported only when the group is on the disk.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from earwitness.errors import StoreUnavailable
from earwitness.store.driver_errors import translated

_ResultT = TypeVar("_ResultT")

QUEUE_LENGTH_MAX = 1_000
"""Changes that wait; far more than worker threads of one process."""

GROUP_LENGTH_MAX = 256
"""Changes in one commit, so that the first does not wait long for the last."""

_SCRUB_WAIT_MS = 50
_IDLE_SECONDS = 1.0

_log = logging.getLogger("earwitness.store")


class _GroupLost(Exception):
    """SQLite rolled the whole transaction back by itself, as it may when the disk is full."""


# `Any`: a job's result has the type of its own work; `run` gives it back to the caller who knows it.
class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.result: Any = None


class SqliteWriter:
    """Runs work in transactions, on its own thread. The connection is in autocommit, and nobody else's."""

    def __init__(self, connection: sqlite3.Connection, *, wait_seconds_max: float) -> None:
        self._connection = connection
        self._wait_seconds_max = wait_seconds_max
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=QUEUE_LENGTH_MAX)
        self._scrub_wanted = False
        self._scrub_pending = False
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="earwitness sqlite writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Return what `work` returns, after it is durable; raise what it raises, after it is undone.

        Raise StoreUnavailable when it could not begin within the limit (nothing was written), or did not end within
        twice the limit (it may still be written: a request token shows it).
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a change was asked for inside a change; use the unit that is there")
        if self._closing:
            raise StoreUnavailable("the store is closing; try again")
        job = _Job(work)
        try:
            self._jobs.put(job, timeout=self._wait_seconds_max)
        except queue.Full:
            raise StoreUnavailable("too many changes are waiting for the disk; try again") from None
        return self._await(job)

    def want_scrub(self) -> None:
        """For work that runs: clean the files of deleted bytes before this group is acknowledged."""
        self._scrub_wanted = True

    def close(self) -> None:
        """Finish what waits, and end."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        self._thread.join()

    def _await(self, job: _Job) -> Any:
        for _ in range(2):
            try:
                return job.future.result(timeout=self._wait_seconds_max)
            except FutureTimeoutError:
                if job.future.done():
                    return job.future.result()
                if job.future.cancel():
                    raise StoreUnavailable("the database did not get to this change in time; try again") from None
        raise StoreUnavailable("the disk has not confirmed this change in time; look whether it is there")

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS if self._scrub_pending else None)
            except queue.Empty:
                self._scrub()
                continue
            if job is None:
                break
            self._serve_group(job)
        _fail_waiting(self._waiting(), StoreUnavailable("the store is closing; try again"))

    def _serve_group(self, first: _Job) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            _fail_waiting([first, *self._waiting()], error)
            return
        ran: list[_Job] = []
        try:
            self._run_group(first, ran)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, _GroupLost) as error:
            self._roll_back()
            _fail_ran(ran, error)
            return
        if self._scrub_wanted or self._scrub_pending:
            self._scrub()
        for job in ran:
            if not job.future.done():
                job.future.set_result(job.result)

    def _run_group(self, first: _Job, ran: list[_Job]) -> None:
        """Run jobs until none waits or the group is full; those that began are added to `ran`."""
        job: _Job | None = first
        while job is not None:
            if job.future.set_running_or_notify_cancel():
                ran.append(job)
                self._run_job(job)
            job = self._next_waiting() if len(ran) < GROUP_LENGTH_MAX else None

    def _run_job(self, job: _Job) -> None:
        self._connection.execute("SAVEPOINT job")
        try:
            job.result = job.work()
        except BaseException as error:
            job.future.set_exception(error)
            if not self._connection.in_transaction:
                raise _GroupLost from error
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")

    def _next_waiting(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the end, for `_serve` to see
        return job

    def _waiting(self) -> list[_Job]:
        jobs: list[_Job] = []
        while (job := self._next_waiting()) is not None:
            jobs.append(job)
        return jobs

    def _roll_back(self) -> None:
        self._scrub_wanted = False
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("a transaction could not be rolled back", extra={"reason": str(error)})

    def _scrub(self) -> None:
        """Move the write-ahead log into the database and empty it; deleted bytes are overwritten by the move.

        A long read can be in the way. Then it is tried again later, and nobody waits for it.
        """
        wait_ms = _SCRUB_WAIT_MS if self._scrub_wanted else 0
        self._scrub_wanted = False
        try:
            self._connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
            row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._scrub_pending = bool(row[0])
        except sqlite3.Error as error:
            self._scrub_pending = True
            _log.warning("deleted bytes are not cleaned from the files yet", extra={"reason": str(error)})
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._wait_seconds_max * 1000)}")


def _fail_waiting(jobs: list[_Job], error: Exception) -> None:
    """Give the error to those that have not begun."""
    for job in jobs:
        if job.future.set_running_or_notify_cancel():
            _fail(job, error)


def _fail_ran(jobs: list[_Job], error: Exception) -> None:
    """Give the error to those whose work is undone because the group could not be committed."""
    for job in jobs:
        if not job.future.done():
            _fail(job, error)


def _fail(job: _Job, error: Exception) -> None:
    if isinstance(error, _GroupLost):
        meaning: Exception = StoreUnavailable("the database undid this change with another one; try again")
    else:
        meaning = translated(error)
    if meaning is not error:
        meaning.__cause__ = error
    job.future.set_exception(meaning)
