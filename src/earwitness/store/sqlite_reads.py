"""Reading from SQLite: a connection for each thread that reads just now, a snapshot for a turn of an event loop.

A point read costs most of its time to begin and to end: locks on the database's files and a statement's way through the
driver. A server asks for the same access key with every request, and for the same record while somebody waits for it.
So what an event loop reads is one snapshot a turn, and a record is made once for as long as nobody changes any.

Nothing read so is older than a read by itself would give. A snapshot begins with the first read of a turn and ends
before whatever is scheduled after that, so a request is answered from what was committed after it came. Records are
kept only while SQLite's own count of changes, read with every snapshot, says that no process has changed the file.
"""

import asyncio
import logging
import sqlite3
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import get_ident
from typing import Any, TypeVar, cast

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, literal
from sqlalchemy.dialects import sqlite as dialect

from earwitness.errors import StoreBusy, StoreDamaged, StoreUnavailable
from earwitness.store.columns import to_microseconds
from earwitness.store.driver_errors import is_busy, translating_errors
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.session import ConnectionSession

_ResultT = TypeVar("_ResultT")
_RecordT = TypeVar("_RecordT")

RECORDS_KEPT_MAX = 1_000
"""A pipeline, with its documents, has about four kilobytes."""

READERS_KEPT_MAX = 32
"""Connections kept open for reading: the threads of one process."""

_log = logging.getLogger("earwitness.store")


class SqliteSession(ConnectionSession):
    """The writer's session, or a reader's. A hot read's compiled SQL runs on the driver's connection."""

    writes_alone = True

    def __init__(self, connection: Connection, *, want_scrub: Callable[[], None] = lambda: None) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())
        self.driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        self._want_scrub = want_scrub

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`."""
        return read.run_on_sqlite(self.driver, make, parameters)

    def lock(self, name: str) -> None:
        """Nothing to do: there is one writer."""

    def clock(self, now: datetime) -> ColumnElement[int]:
        """See `ConnectionSession`. The database is on this machine."""
        return literal(to_microseconds(now), BigInteger)

    def scrub(self) -> None:
        """Have the write-ahead log emptied before this change is acknowledged."""
        self._want_scrub()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


class Snapshot:
    """A reader's connection that holds a transaction from the first read of a turn of an event loop to its end.

    Not for several threads. Its methods raise the driver's errors; after one it is to be closed.
    """

    def __init__(self, loop: AbstractEventLoop, session: SqliteSession) -> None:
        self.loop = loop
        self.session = session
        self.is_open = False
        self._execute = session.driver.execute
        self._version: int | None = None
        self._thread = 0
        # `Any`: each kind of read has records of its own; `hot` gives back what its own `make` made.
        self._records: dict[tuple[HotRead, tuple[str, ...]], Any] = {}

    def begin(self) -> None:
        """See the database as it is now; what was kept goes if it has changed."""
        self._execute("BEGIN")
        # It reads the file's state, and with that the transaction begins; another number: somebody else has committed.
        version = self._execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or len(self._records) >= RECORDS_KEPT_MAX:
            self._records.clear()
            self._version = version
        self._thread = get_ident()
        self.is_open = True

    def is_of_this_turn(self) -> bool:
        """Return whether this thread's loop has begun it in this very turn. To ask for the loop is a system call."""
        return self.is_open and self._thread == get_ident() and self.loop.is_running()

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], parameters: tuple[str, ...]) -> _RecordT | None:
        """Return the record, as it was when the snapshot began."""
        found: _RecordT | None = self._records.get((read, parameters))
        if found is None:
            found = self.session.hot(read, make, *parameters)
            if found is not None:
                self._records[read, parameters] = found
        return found

    def end(self) -> None:
        """Let go of the database; `begin` may follow."""
        self.is_open = False
        self._execute("COMMIT")

    def close(self) -> None:
        """Give the connection up, and with it the transaction."""
        self.is_open = False
        self.session.close()


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

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """See `StoreSession`."""
        return self._read(lambda session: session.rows(statement))

    def row(self, statement: Query) -> StoredRow | None:
        """See `StoreSession`."""
        return self._read(lambda session: session.row(statement))

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`."""
        snapshot = self._snapshot
        try:
            if snapshot is None or not snapshot.is_of_this_turn():
                loop = _running_loop()
                snapshot = None if loop is None else self._snapshot_of(loop)
            if snapshot is not None:
                return self._hot_of(snapshot, read, make, parameters)
        except StoreUnavailable as error:
            return self._again(error, lambda patient: patient.hot(read, make, *parameters))
        return self._read(lambda session: session.hot(read, make, *parameters))

    def note(self, error: StoreUnavailable) -> None:
        """Remember that the database is damaged, if that is what an error says, and write it once to the log."""
        if isinstance(error, StoreDamaged) and self._damage is None:
            self._damage = error
            _log.error("the records are damaged", extra={"reason": str(error)})

    def require_intact(self) -> None:
        """Raise StoreDamaged once a read or a change has found the database damaged."""
        if self._damage is not None:
            raise StoreDamaged(str(self._damage))

    def renew(self) -> None:
        """Let what the thread that made a change reads from now on have it."""
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
        """Return the loop's own; None where another loop has one, which has to share with threads then."""
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
        self, snapshot: Snapshot, read: HotRead, make: Callable[[StoredRow], _RecordT], parameters: tuple[str, ...]
    ) -> _RecordT | None:
        try:
            if not snapshot.is_open:
                snapshot.begin()
                snapshot.loop.call_soon(self._end, snapshot)
            return snapshot.hot(read, make, parameters)
        except BaseException:
            self._drop(snapshot)
            with translating_errors():
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

    def _read(self, read: Callable[[SqliteSession], _ResultT]) -> _ResultT:
        try:
            with translating_errors(), self._taken() as session:
                return read(session)
        except StoreUnavailable as error:
            return self._again(error, read)

    def _again(self, error: StoreUnavailable, read: Callable[[SqliteSession], _ResultT]) -> _ResultT:
        """Read once more what met a lock, on a connection that waits for it; raise any other error as it is."""
        self.note(error)
        if not is_busy(error.__cause__):
            raise error
        if _running_loop() is not None:
            raise StoreBusy(str(error)) from error.__cause__
        with translating_errors():
            session = self._open(self._patient)
            try:
                return read(session)
            finally:
                session.close()

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
        if self._closed or len(self._idle) >= READERS_KEPT_MAX:
            session.close()
        else:
            self._idle.append(session)

    def _take(self) -> SqliteSession:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open(self._engine)

    def _open(self, engine: Engine) -> SqliteSession:
        if self._closed:
            raise StoreUnavailable("the store is closed; open it again")
        with translating_errors():
            connection = engine.connect()
            connection.exec_driver_sql("PRAGMA query_only = ON")
            return SqliteSession(connection)


def _running_loop() -> AbstractEventLoop | None:
    """Return the event loop that this thread runs, whose other tasks would wait with us."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
