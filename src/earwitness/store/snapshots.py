"""One moment of the records, read while they are served, and put back: what a backup has of them.

SQLite: the database file as it is. A reader's snapshot keeps every checkpoint from writing beyond it, so once all of
the write-ahead log up to the snapshot lies in the file, its bytes stand still until the reader ends, and are read at
the speed of a copy. Writers go on in the write-ahead log, which grows meanwhile.

PostgreSQL: every table by COPY in binary form, in one transaction of REPEATABLE READ. No client tools are needed.

What belongs here: bytes out of a database, and into one. What must never: what becomes of them.
"""

import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, BigInteger, Connection, func, select, text

from earwitness.errors import InstallationIncomplete, StoreError, StoreUnavailable
from earwitness.store import migrate
from earwitness.store.deletion_schema import deletions
from earwitness.store.driver_errors import translating_errors
from earwitness.store.postgres import Postgres
from earwitness.store.postgres_engine import connecting
from earwitness.store.schema import domains, kinesis_streams, profile_voiceprints, profiles, tasks
from earwitness.store.store import parse_url
from earwitness.store.tables import metadata

SQLITE_FILE = "records.db"

_BLOCK_BYTES = 16 * 2**20
"""Of the database file, in one read: a thread that has read waits for Python's lock, so it reads seldom and much."""

_PIECE_BYTES = 16 * 2**20
"""Of a table, in one piece; a piece is held in memory."""

_STANDS_STILL_SECONDS = 60.0
_TRY_AGAIN_SECONDS = 0.01
_LINE_BYTES_MAX = 65_536
_COLUMNS = re.compile(r'"[a-z][a-z_0-9]*"(, "[a-z][a-z_0-9]*")*')
_PIECE = re.compile(r"tables/(\d{3})-([a-z][a-z_0-9]{0,62})-(\d{8})")
_COUNTED = (domains, profiles, profile_voiceprints, kinesis_streams, tasks, deletions)


@dataclass(frozen=True, kw_only=True)
class SnapshotFile:
    """A file of a snapshot."""

    name: str
    size: int
    blocks: Iterator[bytes]


@dataclass(frozen=True, kw_only=True)
class RecordsSnapshot:
    """The records as they were at one moment; its files are read once, in their order."""

    #: `sqlite` or `postgresql`.
    kind: str
    #: The revision of the schema.
    schema: str
    #: Rows of some tables, by name.
    counts: dict[str, int]
    #: About how many bytes its files have.
    size: int
    files: Iterator[SnapshotFile]


@contextmanager
def snapshot_of(url: str, *, wait_seconds_max: float) -> Generator[RecordsSnapshot]:
    """Give one moment of the records at this address, while others may change them.

    Raise StoreError when they have another schema than this version, StoreUnavailable and ConfigurationError.
    """
    address = parse_url(url)
    if address.get_backend_name() == "sqlite":
        with _sqlite_snapshot(Path(str(address.database))) as snapshot:
            yield snapshot
    else:
        with _postgres_snapshot(address, wait_seconds_max=wait_seconds_max) as snapshot:
            yield snapshot


@contextmanager
def _sqlite_snapshot(path: Path) -> Generator[RecordsSnapshot]:
    with translating_errors():
        try:
            # Closed after the connections: a process that closes a file loses its locks on it.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnavailable(f"the database {path} cannot be read: {error.strerror}") from error
        try:
            with closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as reader:
                _stand_still(path, reader)
                revision = reader.execute("SELECT version_num FROM alembic_version").fetchone()
                migrate.require_current(None if revision is None else str(revision[0]))
                pages, page_bytes = (int(reader.execute(f"PRAGMA {name}").fetchone()[0]) for name in _SIZE)
                counts = {one.name: _counted(reader, one.name) for one in _COUNTED}
                size = pages * page_bytes
                file = SnapshotFile(name=SQLITE_FILE, size=size, blocks=_read(descriptor, size))
                yield RecordsSnapshot(kind="sqlite", schema=migrate.HEAD, counts=counts, size=size, files=iter([file]))
        finally:
            os.close(descriptor)


_SIZE = ("page_count", "page_size")


def _stand_still(path: Path, reader: sqlite3.Connection) -> None:
    """Begin a read transaction whose snapshot is in the database file as a whole. Raise StoreUnavailable.

    A checkpoint says how much of the write-ahead log there is and how much of it is in the file. Both are equal when
    nobody wrote between the begin of the transaction and the checkpoint, and no older reader is in the way.
    """
    until = time.monotonic() + _STANDS_STILL_SECONDS
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as checkpoints:
        checkpoints.execute("PRAGMA synchronous = FULL")
        while True:
            checkpoints.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            busy, written, moved = checkpoints.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not busy and written == moved and written >= 0:
                return
            reader.execute("ROLLBACK")
            if time.monotonic() > until:
                raise StoreUnavailable("the records are read by something that does not end; try again")
            time.sleep(_TRY_AGAIN_SECONDS)


def _read(descriptor: int, size: int) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        block = os.pread(descriptor, min(_BLOCK_BYTES, size - offset), offset)
        if not block:
            raise StoreUnavailable("the database file ends before its last page; look after its disk")
        offset += len(block)
        yield block


def _counted(reader: sqlite3.Connection, table: str) -> int:
    return int(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  a name of ours


@contextmanager
def _postgres_snapshot(address: URL, *, wait_seconds_max: float) -> Generator[RecordsSnapshot]:
    engine = connecting(address, wait_seconds_max=wait_seconds_max).engine(connections_max=1)
    try:
        with translating_errors(), engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(text(f"SET LOCAL {limit} = 0"))
            migrate.require_current(migrate.current_revision(connection))
            counts = {
                one.name: int(connection.execute(select(func.count()).select_from(one)).scalar_one())
                for one in _COUNTED
            }
            names = [table.name for table in metadata.sorted_tables]
            size = sum(
                int(connection.execute(text("SELECT pg_table_size(to_regclass(:name))"), {"name": name}).scalar_one())
                for name in names
            )
            driver: Any = connection.connection.driver_connection  # `Any`: psycopg is loaded where it is used
            driver.answer_seconds = None
            files = _copied(driver)
            yield RecordsSnapshot(kind="postgresql", schema=migrate.HEAD, counts=counts, size=size, files=files)
    finally:
        engine.dispose()


def _copied(driver: Any) -> Iterator[SnapshotFile]:
    """Yield each table as files in COPY's binary form; the first of each begins with a line that names its columns."""
    for number, table in enumerate(metadata.sorted_tables):
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        piece, gathered = 0, bytearray(columns.encode() + b"\n")
        with (
            driver.cursor() as cursor,
            cursor.copy(
                f'COPY "{table.name}" ({columns}) TO STDOUT (FORMAT binary)'  # names of ours
            ) as copy,
        ):
            for block in copy:
                gathered += block
                if len(gathered) >= _PIECE_BYTES:
                    yield _piece(number, table.name, piece, bytes(gathered))
                    piece, gathered = piece + 1, bytearray()
        yield _piece(number, table.name, piece, bytes(gathered))


def _piece(number: int, table: str, piece: int, content: bytes) -> SnapshotFile:
    return SnapshotFile(name=f"tables/{number:03}-{table}-{piece:08}", size=len(content), blocks=iter([content]))


def is_restoring(url: str, *, wait_seconds_max: float) -> bool:
    """Return whether a restore into PostgreSQL has not finished, or not begun: nobody can have opened these records."""
    with _changing(url, wait_seconds_max) as connection:
        return migrate.current_revision(connection) in (None, migrate.RESTORING)


def require_empty(url: str, *, wait_seconds_max: float) -> None:
    """Raise InstallationIncomplete where PostgreSQL has anything; what a restore left that was cut short is removed."""
    with _changing(url, wait_seconds_max) as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"))
        names = [str(row[0]) for row in found]
        if names and migrate.current_revision(connection) != migrate.RESTORING:
            raise InstallationIncomplete(
                "the database in PostgreSQL is not empty; a restore needs a new one: CREATE DATABASE, and name it"
            )
        for name in names:
            connection.execute(text(f'DROP TABLE "{name}" CASCADE'))


def load_postgres(
    url: str, *, schema: str, files: Iterable[tuple[str, Iterator[bytes]]], wait_seconds_max: float
) -> None:
    """Fill an empty database with the files of a snapshot, and bring it to this version's schema, in one transaction.

    Nobody can open it before `finish_postgres`. Raise StoreError for files that no snapshot has, SchemaTooNew.
    """
    with _changing(url, wait_seconds_max) as connection:
        migrate.make_at(connection, schema)
        _load(connection.connection.driver_connection, files)
        migrate.migrate(connection)
        _count_on(connection)
        migrate.set_revision(connection, migrate.RESTORING)


def finish_postgres(url: str, *, wait_seconds_max: float) -> None:
    """Let the records be opened that `load_postgres` has written."""
    with _changing(url, wait_seconds_max) as connection:
        if migrate.current_revision(connection) == migrate.RESTORING:
            migrate.set_revision(connection, migrate.HEAD)


@contextmanager
def _changing(url: str, wait_seconds_max: float) -> Generator[Connection]:
    with (
        closing(Postgres(parse_url(url), wait_seconds_max=wait_seconds_max, connections_max=1)) as database,
        database.migrating() as connection,
    ):
        yield connection


def _load(driver: Any, files: Iterable[tuple[str, Iterator[bytes]]]) -> None:
    """Write the pieces of tables into them. `Any`: psycopg's connection."""
    expected = (0, "", 0)
    with ExitStack() as open_copy:
        copy: Any = None
        for name, blocks in files:
            found = _PIECE.fullmatch(name)
            if found is None:
                raise StoreError("the backup holds a file that is no part of a table; take another backup")
            number, table, piece = int(found[1]), found[2], int(found[3])
            if piece == 0:
                open_copy.close()
                columns, rest = _first_line(blocks)
                cursor = open_copy.enter_context(driver.cursor())
                copy = open_copy.enter_context(
                    cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN (FORMAT binary)')  # both are plain words
                )
                copy.write(rest)
            elif copy is None or (number, table, piece) != expected:
                raise StoreError("a piece of a table is missing in the backup, or in another's place; take another one")
            for block in blocks:
                copy.write(block)
            expected = (number, table, piece + 1)


def _first_line(blocks: Iterator[bytes]) -> tuple[str, bytes]:
    """Return the columns that the first line of a table names, and the bytes behind it."""
    gathered = b""
    while b"\n" not in gathered and len(gathered) < _LINE_BYTES_MAX and (block := next(blocks, b"")):
        gathered += block
    line, _, rest = gathered.partition(b"\n")
    columns = line.decode("ascii", "replace")
    if not _COLUMNS.fullmatch(columns):
        raise StoreError("a table in the backup does not begin with its columns; take another backup")
    return columns, rest


def _count_on(connection: Connection) -> None:
    """Have PostgreSQL number new rows behind those that are there."""
    for table in metadata.sorted_tables:
        for column in table.primary_key:
            if type(column.type) is BigInteger:
                last = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
                connection.execute(
                    text("SELECT setval(pg_get_serial_sequence(:table, :column), :number, :is_used)"),
                    {"table": table.name, "column": column.name, "number": max(last, 1), "is_used": last > 0},
                )
