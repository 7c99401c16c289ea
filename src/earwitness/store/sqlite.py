"""SQLite: one writer, many readers, write-ahead log, nothing of it readable by others; and what is left on a full disk.

A deletion writes to the write-ahead log before it frees anything. So bytes are kept beside the database and given up
when its disk is full, for what ends or deletes something. Other changes do not get these bytes: while they are given
up, those are refused until the file is whole again.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine

from earwitness.errors import StoreFull, StoreUnavailable
from earwitness.store.driver_errors import translating_errors
from earwitness.store.leading import FileLeading
from earwitness.store.session import ConnectionSession
from earwitness.store.sqlite_reads import SqliteReads, SqliteSession
from earwitness.store.sqlite_writer import SqliteWriter

_ResultT = TypeVar("_ResultT")

RESERVE_BYTES = 16 * 2**20
"""Room for what waits in the write-ahead log, for a deletion of some thousands of voiceprints, and for any number of
small ones."""

_SHARE = 10
"""At most a tenth of the file system, so that a small disk is of use too. Less than 4 MiB helps little: before
a deletion frees anything, what waits in the write-ahead log has to move into the database, and that is as much."""

_log = logging.getLogger("earwitness.store")


class Reserve:
    """A file of zeros. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def fill(self) -> bool:
        """Add what is missing, if the disk has room for all of it; return whether the file is whole."""
        with self._lock:
            disk = os.statvfs(self._path.parent)
            wanted = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // _SHARE)
            if self._size() >= wanted:
                return True
            if disk.f_bavail * disk.f_frsize < 2 * wanted:  # taking the last bytes would refuse others what they need
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(wanted, 1))
            except OSError as error:
                _log.warning("there is no room for the records' reserve", extra={"reason": str(error.strerror)})
                os.ftruncate(descriptor, 0)
                return False
            finally:
                os.close(descriptor)
            return True

    def give_up(self) -> bool:
        """Free the bytes; False when there were none."""
        with self._lock:
            if self._size() == 0:
                return False
            os.truncate(self._path, 0)
        _log.warning("the disk of the records is full; their reserve is used to delete, and other changes are refused")
        return True

    def is_given_up(self) -> bool:
        """Return whether the bytes were given up and are not back."""
        return self._path.exists() and self._size() == 0

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0


class Sqlite:
    """A SQLite database, opened."""

    def __init__(self, path: Path, *, wait_seconds_max: float) -> None:
        self._path = path
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
        self.reads = SqliteReads(_engine(path, wait_seconds_max=0.0), patient=self.engine)
        self._writer = SqliteWriter(self._session.driver, wait_seconds_max=wait_seconds_max)
        self.leading = FileLeading(path.with_name(f"{path.name}.lock"))

    def write(self, work: Callable[[ConnectionSession], _ResultT]) -> _ResultT:
        """Run work in a transaction; return when it is durable.

        Raise StoreFull when the disk is full and the work neither ends nor deletes anything, or the reserve is used up.
        """
        if not self.spends_reserve and self.reserve.is_given_up():
            self.reserve.fill()
        may_spend = self.spends_reserve

        def run() -> _ResultT:
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
            with translating_errors():
                try:
                    return self._writer.run(run)
                except StoreFull:
                    if not (may_spend and self.reserve.give_up()):
                        raise
                    return self._writer.run(run)
        except StoreUnavailable as error:
            self.reads.note(error)
            raise
        finally:
            self.reads.renew()

    def require_usable(self) -> None:
        """Raise StoreDamaged once the database was found damaged, StoreUnavailable where it cannot be written."""
        self.reads.require_intact()
        if not os.access(self._path, os.W_OK):
            raise StoreUnavailable("the database file cannot be written; look at its rights and the disk")

    def _opened(self, path: Path) -> Connection:
        with translating_errors():
            _make_private(path)
            connection = self.engine.connect()
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return connection

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Give a connection in a transaction that nobody else can write beside."""
        with translating_errors(), self.engine.connect() as connection:
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
        self.reads.close()
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
    """Return whether there is no database in this file: neither it nor the write-ahead log beside it has a byte."""
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
