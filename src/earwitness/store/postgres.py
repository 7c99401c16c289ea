"""PostgreSQL through psycopg 3: a bounded pool, limits on everything that could wait."""

import hashlib
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TypeVar

import sqlalchemy.exc
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import StoreUnavailable
from earwitness.store.driver_errors import is_collision, translating_errors
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.leading import RowLeading
from earwitness.store.postgres_engine import connecting
from earwitness.store.session import ConnectionSession

_ResultT = TypeVar("_ResultT")
_RecordT = TypeVar("_RecordT")

_ATTEMPTS_MAX = 5
_MIGRATION_LOCK = "earwitness migration"

_log = logging.getLogger("earwitness.store")


class PostgresSession(ConnectionSession):
    """A connection of a reader, or a transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())

    def lock(self, name: str) -> None:
        """Take a lock of this name, which ends with the transaction."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self._connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def scrub(self) -> None:
        """Nothing to do here: PostgreSQL overwrites deleted rows when its own vacuum gets to them."""


class PostgresReads:
    """Reads, each on a connection of the pool in autocommit.

    No connection is asked whether it lives before it is used, which would double what a point read costs. Where it does
    not, the read is done once more, with all connections made anew: it has changed nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """See `StoreSession`."""
        return self._read(lambda session: session.rows(statement))

    def row(self, statement: Query) -> StoredRow | None:
        """See `StoreSession`."""
        return self._read(lambda session: session.row(statement))

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`."""
        try:
            with translating_errors(), closing(self._engine.raw_connection()) as pooled:
                return read.run_on_postgres(pooled.driver_connection, make, parameters)
        except self._driver_error as error:
            _log.debug("a point read failed", extra={"error": type(error).__name__})
        return self._read(lambda session: session.hot(read, make, *parameters))  # it knows what errors mean

    def _read(self, read: Callable[[PostgresSession], _ResultT]) -> _ResultT:
        with translating_errors():
            try:
                return self._read_once(read)
            except sqlalchemy.exc.DBAPIError as error:
                if not error.connection_invalidated:
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
        self.reads = PostgresReads(self._reads_engine)
        # A connection of its own, so that a busy pool does not cost this process its place.
        self._leading_engine = to.engine(connections_max=1)
        self.leading = RowLeading(self._leading_engine)

    def write(self, work: Callable[[ConnectionSession], _ResultT]) -> _ResultT:
        """Run work in a transaction; return when it is durable. Run again when it collided with another.

        Raise AnotherProcessServes when this process has led these records and another one does now.
        """
        with translating_errors():
            for _ in range(_ATTEMPTS_MAX):
                try:
                    with self.engine.begin() as connection:
                        session = PostgresSession(connection)
                        self.leading.require(session)
                        return work(session)
                except sqlalchemy.exc.DBAPIError as error:
                    if not is_collision(error):
                        raise
        raise StoreUnavailable("this change collided with others again and again; try again")

    def require_intact(self) -> None:
        """Nothing: a server of PostgreSQL looks after its own files."""

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Give a connection in a transaction that no other migration runs beside."""
        with translating_errors(), self.engine.begin() as connection:
            PostgresSession(connection).lock(_MIGRATION_LOCK)
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection

    def close(self) -> None:
        """Close all connections, and open no more: a pool that is disposed of would begin anew."""
        for engine in (self.engine, self._reads_engine, self._leading_engine):
            event.listen(engine, "do_connect", _refuse)
            engine.dispose()


def _refuse(*_: object) -> None:
    raise StoreUnavailable("the store is closed; open it again")
