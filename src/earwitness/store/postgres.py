"""PostgreSQL through psycopg 3: a bounded pool, limits on everything that could wait."""

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy.exc
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import ConfigurationError, StoreUnavailable
from earwitness.store.border import border, is_collision
from earwitness.store.leading import RowLeading
from earwitness.store.session import ConnectionSession, HotRead, Query, RecordT, Row, WritingSession

ResultT = TypeVar("ResultT")

_ATTEMPTS_MAX = 5
_MIGRATION_LOCK = "earwitness migration"


class PostgresSession(ConnectionSession):
    """A transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())

    def hold(self, name: str) -> None:
        """Take a lock of this name, which ends with the transaction."""
        lock = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self._connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})

    def scrub(self) -> None:
        """Nothing to do here: PostgreSQL overwrites deleted rows when its own vacuum gets to them."""


class PostgresReads:
    """Reads, each on a connection of the pool in autocommit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def rows(self, statement: Query) -> Sequence[Row]:
        """As the seam says."""
        with border(), self._engine.connect() as connection:
            return connection.execute(statement).fetchall()

    def row(self, statement: Query) -> Row | None:
        """As the seam says."""
        with border(), self._engine.connect() as connection:
            return connection.execute(statement).first()

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], *parameters: str) -> RecordT | None:
        """As the seam says."""
        with border(), self._engine.connect() as connection:
            row = connection.execute(read.statement, read.named(parameters)).first()
        return None if row is None else make(row)


class Postgres:
    """A PostgreSQL database, opened. Reads have connections of their own, so writes that wait do not hold them up."""

    def __init__(self, url: URL, *, wait_seconds_max: float, connections_max: int) -> None:
        writing = max(1, connections_max // 2)
        self.engine = _engine(url, wait_seconds_max=wait_seconds_max, connections_max=writing)
        self._reads_engine = _engine(
            url, wait_seconds_max=wait_seconds_max, connections_max=max(1, connections_max - writing)
        )
        self._reads = PostgresReads(self._reads_engine)
        # A connection of its own, lest a busy pool cost this process its place.
        self._leading_engine = _engine(url, wait_seconds_max=wait_seconds_max, connections_max=1)
        self.leading = RowLeading(self._leading_engine)

    @property
    def reads(self) -> PostgresReads:
        """Sessions for reading."""
        return self._reads

    def write(self, work: Callable[[WritingSession], ResultT]) -> ResultT:
        """Run work in a transaction; return when it is durable. Run again when it collided with another.

        AnotherProcessServes when this process has led these records and another one does now.
        """
        with border():
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
        """A connection in a transaction that no other migration runs beside."""
        with border(), self.engine.begin() as connection:
            PostgresSession(connection).hold(_MIGRATION_LOCK)
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection

    def close(self) -> None:
        """Close all connections, and open no more: a pool that is disposed of would begin anew."""
        for engine in (self.engine, self._reads_engine, self._leading_engine):
            event.listen(engine, "do_connect", _refuse)
            engine.dispose()


def _refuse(*_: object) -> None:
    raise StoreUnavailable("the store is closed; open it again")


def _engine(url: URL, *, wait_seconds_max: float, connections_max: int) -> Engine:
    wait_ms = max(1, int(wait_seconds_max * 1000))
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=wait_seconds_max,
            pool_pre_ping=True,  # a server that was restarted is noticed before a request, not by it
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, round(wait_seconds_max)),
                "options": (
                    f"-c statement_timeout={wait_ms} -c lock_timeout={wait_ms} "
                    f"-c idle_in_transaction_session_timeout={wait_ms * 2} -c synchronous_commit=on"
                ),
            },
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "records in PostgreSQL need its driver; install it with `pip install 'earwitness[postgres]'`"
        ) from error
