"""SQLite: one writer, many readers, write-ahead log, nothing of it readable by others.

SQLAlchemy makes the SQL; for a hot point read its compiled SQL runs on the driver's connection.
"""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.dialects import sqlite as dialect

from earwitness.errors import StoreBusy, StoreUnavailable
from earwitness.store.border import border, is_busy
from earwitness.store.session import ConnectionSession, HotRead, Query, Row, WritingSession
from earwitness.store.writer import SqliteWriter

ResultT = TypeVar("ResultT")

READERS_KEPT_MAX = 32
"""Connections kept open for reading: the threads of one process."""


class SqliteSession(ConnectionSession):
    """The writer's session, or a reader's."""

    def __init__(self, connection: Connection, *, want_scrub: Callable[[], None] | None = None) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())
        self.driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        self._want_scrub = want_scrub

    def hot_row(self, read: HotRead, *parameters: str) -> Row | None:
        """The row by SQL that is compiled already, without SQLAlchemy in between."""
        return self.driver.execute(read.sqlite_sql, parameters).fetchone()

    def hold(self, name: str) -> None:
        """Nothing to do: there is one writer."""

    def scrub(self) -> None:
        """Have the write-ahead log emptied before this change is acknowledged."""
        if self._want_scrub is not None:
            self._want_scrub()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


class SqliteReads:
    """The reading sessions, one for each thread that is reading just now; the latest used is used first.

    Their connections wait for no lock. A read that meets one is done again on a connection that waits, unless this
    thread runs an event loop: then it ends in StoreBusy, for the caller to do it again in another thread.
    """

    def __init__(self, engine: Engine, *, patient: Engine) -> None:
        """`engine` opens connections that wait for no lock, `patient` such that do."""
        self._engine = engine
        self._patient = patient
        self._idle: deque[SqliteSession] = deque()
        self._closed = False

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

    def hot_row(self, read: HotRead, *parameters: str) -> Row | None:
        """As the seam says. Written out, because context managers would cost as much as the read."""
        try:
            session = self._take()
            try:
                row = session.driver.execute(read.sqlite_sql, parameters).fetchone()
            except BaseException:
                session.close()
                with border():
                    raise
        except StoreUnavailable as error:
            return self._again(error, lambda patient: patient.hot_row(read, *parameters))
        self._give_back(session)
        return row

    def close(self) -> None:
        """Close what is idle now, and what is given back later."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _taken(self) -> Generator[SqliteSession]:
        session = self._take()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        self._give_back(session)

    def _again(self, error: StoreUnavailable, read: Callable[[SqliteSession], ResultT]) -> ResultT:
        """A read that met a lock once more, on a connection that waits for it; any other error as it is."""
        if not is_busy(error.__cause__):
            raise error
        if _runs_event_loop():
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


def _runs_event_loop() -> bool:
    """Whether this thread runs an event loop, whose other tasks would wait with us."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Sqlite:
    """A SQLite database, opened."""

    def __init__(self, path: Path, *, wait_seconds_max: float) -> None:
        with border():
            _make_private(path)
            self.engine = _engine(path, wait_seconds_max=wait_seconds_max)
            connection = self.engine.connect()
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            # The writer takes the connection over; the session uses it only in the writer's work.
            self._session = SqliteSession(connection, want_scrub=self._scrub)
        self._reads = SqliteReads(_engine(path, wait_seconds_max=0.0), patient=self.engine)
        self._writer = SqliteWriter(self._session.driver, wait_seconds_max=wait_seconds_max)

    @property
    def reads(self) -> SqliteReads:
        """Sessions for reading."""
        return self._reads

    def write(self, work: Callable[[WritingSession], ResultT]) -> ResultT:
        """Run work in a transaction; return when it is durable."""
        with border():
            return self._writer.run(lambda: work(self._session))

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """A connection in a transaction that nobody else can write beside."""
        with border(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def close(self) -> None:
        """End the writer, then close all connections; the last one moves the write-ahead log into the database."""
        self._writer.close()
        self._reads.close()
        self._session.close()
        self.engine.dispose()

    def _scrub(self) -> None:
        self._writer.want_scrub()


def _engine(path: Path, *, wait_seconds_max: float) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=wait_seconds_max)
        for setting in (
            "synchronous = FULL",  # a commit is on the disk
            "foreign_keys = ON",
            "secure_delete = ON",  # what is deleted is overwritten
            "temp_store = MEMORY",  # sorting and savepoints leave nothing in temporary files
        ):
            connection.execute(f"PRAGMA {setting}")
        return connection

    return create_engine(
        "sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True
    )


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, with rights for its owner alone; its journals copy them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreUnavailable(f"the database {path} cannot be opened: {error.strerror}") from error
