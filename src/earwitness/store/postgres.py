"""PostgreSQL through psycopg 3: a bounded pool, limits on everything that could wait."""

import hashlib
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import sqlalchemy.exc
from sqlalchemy import URL, ColumnElement, Connection, Engine, func, select, text
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import ChangedMeanwhile, StoreBusy, StoreFull, StoreUnavailable
from earwitness.store.driver_errors import is_collision, is_silent, translating_errors
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.leading import DATABASE_CLOCK, HousekeepingRow, NodeLeading
from earwitness.store.postgres_answers import SILENT, Answers
from earwitness.store.postgres_engine import connecting
from earwitness.store.read_ahead import ReadAhead, WantedRow, is_on_loop, row_here
from earwitness.store.session import ConnectionSession

_ResultT = TypeVar("_ResultT")
_RecordT = TypeVar("_RecordT")

_ATTEMPTS_MAX = 5
_MIGRATION_LOCK = "earwitness migration"

_READ_ONLY = func.current_setting("transaction_read_only")
_STANDBY = "PostgreSQL is a standby, which takes no changes: promote it, or lead EARWITNESS_STORE_URL to the primary"
_ONLY_READ = "PostgreSQL takes no changes (default_transaction_read_only is on): switch that off for role and database"

_log = logging.getLogger("earwitness.store")


class PostgresSession(ConnectionSession):
    """A connection of a reader, or a transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())

    def lock(self, name: str) -> None:
        """Take a lock of this name, which ends with the transaction."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self._connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def clock(self, now: datetime) -> ColumnElement[int]:  # noqa: ARG002  another database takes it
        """See `ConnectionSession`."""
        return DATABASE_CLOCK

    def scrub(self) -> None:
        """Nothing to do here: PostgreSQL frees the place of deleted rows at its next vacuum, and uses it later."""


class PostgresReads:
    """Reads, each on a connection of the pool in autocommit.

    No connection is asked whether it lives before it is used, which would double what a point read costs. Where it does
    not, the read is done once more, with all connections made anew: it has changed nothing.
    """

    def __init__(self, engine: Engine, answers: Answers) -> None:
        self._engine = engine
        self._answers = answers

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """See `StoreSession`."""
        return self._read(lambda session: session.rows(statement))

    def row(self, statement: Query) -> StoredRow | None:
        """See `StoreSession`."""
        return self._read(lambda session: session.row(statement))

    def together(self, wanted: Sequence[WantedRow]) -> Sequence[Any]:
        """Return the rows of several point reads, in one round trip. Raise StoreUnavailable and the driver's errors."""
        try:
            with self._answers.asking(), translating_errors(), self._pooled() as driver:
                if len(wanted) == 1:
                    return [wanted[0][0].ask_postgres(driver, wanted[0][1]).fetchone()]
                with driver.pipeline():
                    cursors = [read.ask_postgres(driver, parameters) for read, parameters in wanted]
                return [cursor.fetchone() for cursor in cursors]
        except self._driver_error as error:
            if is_silent(error):
                raise StoreUnavailable(SILENT) from error
            raise

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`. On an event loop, the row is one that was read ahead."""
        if is_on_loop():
            return read.made_on_postgres(row_here((read, parameters)), make)
        try:
            with self._answers.asking(), translating_errors(), self._pooled() as driver:
                return read.run_on_postgres(driver, make, parameters)
        except self._driver_error as error:
            if is_silent(error):
                raise StoreUnavailable(SILENT) from error
            _log.debug("a point read failed", extra={"error": type(error).__name__})
        return self._read(lambda session: session.hot(read, make, *parameters))  # it knows what errors mean

    @contextmanager
    def _pooled(self) -> Generator[Any]:  # `Any`: psycopg's connection, which is not loaded where SQLite is used
        """Give a connection of the pool; one that breaks does not go back there."""
        with closing(self._engine.raw_connection()) as pooled:
            driver: Any = pooled.driver_connection
            try:
                yield driver
            except self._driver_error as error:
                if driver.closed:
                    pooled.invalidate(error)
                raise

    def _read(self, read: Callable[[PostgresSession], _ResultT]) -> _ResultT:
        if is_on_loop():
            raise StoreBusy("this read waits for PostgreSQL; a thread makes it")
        with self._answers.asking(), translating_errors():
            try:
                return self._read_once(read)
            except sqlalchemy.exc.DBAPIError as error:
                if not error.connection_invalidated or is_silent(error):
                    raise
            return self._read_once(read)

    def _read_once(self, read: Callable[[PostgresSession], _ResultT]) -> _ResultT:
        with self._engine.connect() as connection:
            return read(PostgresSession(connection))

    @cached_property
    def _driver_error(self) -> type[Exception]:
        return self._engine.dialect.loaded_dbapi.Error


class Postgres:
    """A PostgreSQL database, opened. Reads have connections of their own, so writes that wait do not hold them up."""

    def __init__(self, url: URL, *, wait_seconds_max: float, connections_max: int) -> None:
        """Raise StoreUnavailable and ConfigurationError."""
        to = connecting(url, wait_seconds_max=wait_seconds_max)
        writing = max(1, connections_max // 2)
        self.engine = to.engine(connections_max=writing)
        self._reads_engine = to.engine(connections_max=max(1, connections_max - writing), reads_only=True)
        self._answers = to.answers
        self.reads = PostgresReads(self._reads_engine, self._answers)
        self.ahead = ReadAhead(self.reads.together)
        # A connection of its own, so that a busy pool does not cost this process its place.
        self._leading_engine = to.engine(connections_max=1)
        self.leading = NodeLeading(self._leading_engine)
        self.housekeeping = HousekeepingRow(self._leading_engine)
        self._was_full = False

    def write(self, work: Callable[[ConnectionSession], _ResultT]) -> _ResultT:
        """Run work in a transaction; return when it is durable. Run again when it collided with another, or
        what it read was changed meanwhile.

        Raise AnotherProcessServes when this process is a node that was taken for dead.
        """
        try:
            return self._write(work)
        except StoreFull:
            self._was_full = True
            raise

    def _write(self, work: Callable[[ConnectionSession], _ResultT]) -> _ResultT:
        changed: ChangedMeanwhile | None = None
        with self._answers.asking(), translating_errors():
            for _ in range(_ATTEMPTS_MAX):
                try:
                    with self.engine.begin() as connection:
                        session = PostgresSession(connection)
                        self.leading.require(session)
                        return work(session)
                except ChangedMeanwhile as error:
                    changed = error
                except sqlalchemy.exc.DBAPIError as error:
                    if not is_collision(error):
                        raise
        if changed is not None:
            raise changed
        raise StoreUnavailable("this change collided with others again and again; try again")

    def require_usable(self) -> None:
        """Raise StoreUnavailable where this server takes no changes. Connections to it are given up then: a fail-over
        may have left them behind."""
        standing = self.reads.row(select(func.pg_is_in_recovery().label("standby"), _READ_ONLY.label("read_only")))
        if standing is not None and (standing["standby"] or standing["read_only"] == "on"):
            self._reads_engine.dispose()
            raise StoreUnavailable(_STANDBY if standing["standby"] else _ONLY_READ)
        if self._was_full:
            self._require_room()

    def _require_room(self) -> None:
        """Raise StoreFull while the disk has no page for a new table. Small changes may find room all the same."""
        with self._answers.asking(), translating_errors(), self.engine.begin() as connection:
            connection.execute(text("SET LOCAL temp_tablespaces = ''"))  # where the records are
            connection.execute(text("CREATE TEMP TABLE earwitness_room ON COMMIT DROP AS SELECT 1 AS room"))
        self._was_full = False

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Give a connection in a transaction that no other migration runs beside."""
        with translating_errors(), self.engine.begin() as connection:
            PostgresSession(connection).lock(_MIGRATION_LOCK)
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            driver: Any = connection.connection.driver_connection  # `Any`: psycopg is not loaded here
            patience, driver.answer_seconds = driver.answer_seconds, None
            try:
                yield connection
            finally:
                driver.answer_seconds = patience

    def close(self) -> None:
        """Close all connections, and open no more: a pool that is disposed of would begin anew."""
        self._answers.close()
        self.ahead.close()
        for engine in (self.engine, self._reads_engine, self._leading_engine):
            engine.dispose()
