"""Reading from SQLite: a connection for each thread that reads just now, a snapshot for a turn of an event loop."""

import asyncio
import logging
import sqlite3
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Engine

from earwitness.errors import StoreBusy, StoreDamaged, StoreUnavailable
from earwitness.store.border import border, is_busy
from earwitness.store.session import HotRead, Query, RecordT, Row
from earwitness.store.snapshot import Snapshot
from earwitness.store.sqlite_session import SqliteSession

ResultT = TypeVar("ResultT")

READERS_KEPT_MAX = 32
"""Connections kept open for reading: the threads of one process."""

_log = logging.getLogger("earwitness.store")


class SqliteReads:
    """The reading sessions, one for each thread that is reading just now; the latest used is used first.

    A thread that runs an event loop has a snapshot for each turn instead, from that turn's first hot read on.

    Their connections wait for no lock. A read that meets one is done again on a connection that waits, unless this
    thread runs an event loop: then it ends in StoreBusy, for the caller to do it again in another thread.
    """

    def __init__(self, engine: Engine, *, patient: Engine) -> None:
        """`engine` opens connections that wait for no lock, `patient` such that do."""
        self._engine = engine
        self._patient = patient
        self._idle: deque[SqliteSession] = deque()
        self._snapshot: Snapshot | None = None
        self._closed = False
        self._damage: StoreDamaged | None = None

    def rows(self, statement: Query) -> Sequence[Row]:
        """As the seam says."""
        try:
            with border(), self._taken() as session:
                return session.rows(statement)
        except StoreUnavailable as error:
            return self._again(error, lambda session: session.rows(statement))

    def row(self, statement: Query) -> Row | None:
        """As the seam says."""
        try:
            with border(), self._taken() as session:
                return session.row(statement)
        except StoreUnavailable as error:
            return self._again(error, lambda session: session.row(statement))

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], *parameters: str) -> RecordT | None:
        """As the seam says."""
        snapshot = self._snapshot
        try:
            if snapshot is None or not snapshot.is_of_this_turn():
                loop = _running_loop()
                snapshot = None if loop is None else self._snapshot_of(loop)
            if snapshot is None:
                with border(), self._taken() as session:
                    return session.hot(read, make, *parameters)
            return self._hot_of(snapshot, read, make, parameters)
        except StoreUnavailable as error:
            return self._again(error, lambda patient: patient.hot(read, make, *parameters))

    def note(self, error: StoreUnavailable) -> None:
        """Remember that the database is damaged, if that is what an error says, and tell it once in the log."""
        if isinstance(error, StoreDamaged) and self._damage is None:
            self._damage = error
            _log.error("the records are damaged", extra={"reason": str(error)})

    def require_intact(self) -> None:
        """Raise StoreDamaged once a read or a change has found the database damaged."""
        if self._damage is not None:
            raise StoreDamaged(str(self._damage))

    def renew(self) -> None:
        """A change was made: what the thread that made it reads from now on has it."""
        snapshot = self._snapshot
        if snapshot is not None and snapshot.is_of_this_turn():
            self._end(snapshot)

    def close(self) -> None:
        """Close what is idle now, and what is given back later."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        snapshot = self._snapshot
        if snapshot is not None and (not snapshot.is_open or snapshot.loop.is_closed()):
            self._drop(snapshot)

    # The snapshot of a turn. Written out where a request passes, because a context manager costs as much as a read.

    def _snapshot_of(self, loop: AbstractEventLoop) -> Snapshot | None:
        """The loop's own; None where another loop has one, which has to share with threads then."""
        snapshot = self._snapshot
        if snapshot is not None and snapshot.loop is not loop:
            if not snapshot.loop.is_closed():
                return None
            self._drop(snapshot)
            snapshot = None
        if snapshot is None:
            self._snapshot = snapshot = Snapshot(loop, self._take())
        return snapshot

    def _hot_of(
        self, snapshot: Snapshot, read: HotRead, make: Callable[[Row], RecordT], parameters: tuple[str, ...]
    ) -> RecordT | None:
        try:
            if not snapshot.is_open:
                snapshot.begin()
                snapshot.loop.call_soon(self._end, snapshot)
            return snapshot.hot(read, make, parameters)
        except BaseException:
            self._drop(snapshot)
            with border():
                raise

    def _end(self, snapshot: Snapshot) -> None:
        if not snapshot.is_open:
            return
        try:
            snapshot.end()
        except sqlite3.Error as error:
            _log.warning("a snapshot did not end; its connection is closed", extra={"error": type(error).__name__})
            self._drop(snapshot)
        if self._closed:
            self._drop(snapshot)

    def _drop(self, snapshot: Snapshot) -> None:
        if self._snapshot is snapshot:
            self._snapshot = None
        snapshot.close()

    # Sessions.

    @contextmanager
    def _taken(self) -> Generator[SqliteSession]:
        snapshot = self._snapshot
        if snapshot is not None and snapshot.is_of_this_turn():
            # A read of this turn, which must not be newer than the next hot one.
            try:
                yield snapshot.session
            except BaseException:
                self._drop(snapshot)
                raise
            return
        session = self._take()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        self._give_back(session)

    def _again(self, error: StoreUnavailable, read: Callable[[SqliteSession], ResultT]) -> ResultT:
        """A read that met a lock once more, on a connection that waits for it; any other error as it is."""
        self.note(error)
        if not is_busy(error.__cause__):
            raise error
        if _running_loop() is not None:
            raise StoreBusy(str(error)) from error.__cause__
        with border():
            session = self._open(self._patient)
            try:
                return read(session)
            finally:
                session.close()

    def _take(self) -> SqliteSession:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open(self._engine)

    def _give_back(self, session: SqliteSession) -> None:
        if self._closed or len(self._idle) >= READERS_KEPT_MAX:
            session.close()
        else:
            self._idle.append(session)

    def _open(self, engine: Engine) -> SqliteSession:
        if self._closed:
            raise StoreUnavailable("the store is closed; open it again")
        with border():
            connection = engine.connect()
            connection.exec_driver_sql("PRAGMA query_only = ON")
            return SqliteSession(connection)


def _running_loop() -> AbstractEventLoop | None:
    """The event loop that this thread runs, whose other tasks would wait with us."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
