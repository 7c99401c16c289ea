"""SQLite: one writer, many readers, write-ahead log, nothing of it readable by others."""

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine

from earwitness.errors import StoreFull, StoreUnavailable
from earwitness.store.border import border
from earwitness.store.leading import FileLeading
from earwitness.store.reserve import Reserve
from earwitness.store.session import WritingSession
from earwitness.store.sqlite_reads import SqliteReads
from earwitness.store.sqlite_session import SqliteSession
from earwitness.store.writer import SqliteWriter

ResultT = TypeVar("ResultT")


class Sqlite:
    """A SQLite database, opened."""

    def __init__(self, path: Path, *, wait_seconds_max: float) -> None:
        self.reserve = Reserve(path.with_name(f"{path.name}.reserve"))
        self.spends_reserve = False
        """Whether every change may use the reserve, and not only what ends or deletes something."""

        self.engine = _engine(path, wait_seconds_max=wait_seconds_max)
        try:
            connection = self._opened(path)
        except StoreUnavailable:  # the index of the write-ahead log needs room too
            if not self.reserve.give_up():
                raise
            connection = self._opened(path)
        # The writer takes the connection over; the session uses it only in the writer's work.
        self._session = SqliteSession(connection, want_scrub=self._scrub)
        self._reads = SqliteReads(_engine(path, wait_seconds_max=0.0), patient=self.engine)
        self._writer = SqliteWriter(self._session.driver, wait_seconds_max=wait_seconds_max)
        self.leading = FileLeading(path.with_name(f"{path.name}.lock"))

    @property
    def reads(self) -> SqliteReads:
        """Sessions for reading."""
        return self._reads

    def write(self, work: Callable[[WritingSession], ResultT]) -> ResultT:
        """Run work in a transaction; return when it is durable.

        StoreFull when the disk is full and the work neither ends nor deletes anything, or the reserve is used up.
        """
        if not self.spends_reserve and self.reserve.is_given_up():
            self.reserve.fill()
        may_spend = self.spends_reserve

        def run() -> ResultT:
            nonlocal may_spend
            self._session.uses_reserve = False
            try:
                result = work(self._session)
            finally:
                may_spend = may_spend or self._session.uses_reserve
            if not may_spend and self.reserve.is_given_up():
                raise StoreFull(
                    "the records' disk is full, and the rest is for what ends or deletes something; make room"
                )
            return result

        try:
            with border():
                try:
                    return self._writer.run(run)
                except StoreFull:
                    if not (may_spend and self.reserve.give_up()):
                        raise
                    return self._writer.run(run)
        except StoreUnavailable as error:
            self._reads.note(error)
            raise
        finally:
            self._reads.renew()

    def require_intact(self) -> None:
        """Raise StoreDamaged once the database was found damaged."""
        self._reads.require_intact()

    def _opened(self, path: Path) -> Connection:
        with border():
            _make_private(path)
            connection = self.engine.connect()
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return connection

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


def is_empty(path: Path) -> bool:
    """Whether there is no database in this file: neither it nor the write-ahead log beside it has a byte."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return not any(file.exists() and file.stat().st_size for file in files)


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
