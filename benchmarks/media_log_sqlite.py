"""A media log in SQLite, as far as a comparison needs it: WAL, synchronous=FULL, secure_delete, a commit per group.

What belongs here: what `media_log_formats` compares our files with. What must never: being used by the service.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earwitness.fragments.interface import (
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    KeySource,
    ReadResult,
    Reservation,
    Retention,
    StreamIdentity,
    TimeAxis,
)
from earwitness.fragments.numbers import FragmentNumber, from_ms, read_number, to_ms
from earwitness.fragments.stream import Reservations
from earwitness.vault.data_key import SealedPlace

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fragments (
    place INTEGER PRIMARY KEY, stream INTEGER NOT NULL, server_ms INTEGER NOT NULL, producer_ms INTEGER NOT NULL,
    random INTEGER NOT NULL, duration_ms INTEGER NOT NULL, size INTEGER NOT NULL, header_bytes INTEGER NOT NULL,
    tags_bytes INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_producer ON fragments (stream, producer_ms, duration_ms, size);
CREATE TABLE IF NOT EXISTS tags (place INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS tags_of ON tags (place);
CREATE TABLE IF NOT EXISTS sequences (stream INTEGER PRIMARY KEY, sequence INTEGER NOT NULL);
"""
_COLUMNS = "place, server_ms, producer_ms, random, duration_ms, size, header_bytes, tags_bytes"
_INSERT = f"INSERT INTO fragments ({_COLUMNS}, stream, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT = f"SELECT {_COLUMNS}, body FROM fragments WHERE"  # noqa: S608
_SHIFT = 40
_GROUP_LENGTH_MAX = 256
_DURATION_MS_MAX = 60_000
_DELETED_AT_ONCE = 128
"""Fragments in one transaction of a deletion, so that appends come in between."""
PAGE_BYTES = int(os.environ.get("MEDIA_LOG_PAGE_BYTES", "4096"))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        f"page_size={PAGE_BYTES}",
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(_SCHEMA)
    return connection


class _Writer:
    """One thread that commits what waits as one transaction a database, and then says so once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    async def write(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], None]) -> None:
        done = self._loop.create_future()
        self._jobs.put((connection, work, done))
        await done

    async def call(self, work: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._jobs.put((work, future))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        waiting: list[Any] = []
        while True:
            job = waiting.pop() if waiting else self._jobs.get()
            if job is None:
                return
            if len(job) == 2:
                work, future = job
                try:
                    future.set_result(work())
                except Exception as error:
                    future.set_exception(error)
                continue
            group = [job]
            while len(group) < _GROUP_LENGTH_MAX:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None or len(following) == 2:
                    waiting.append(following)
                    break
                group.append(following)
            self._commit(group)

    def _commit(self, group: list[Any]) -> None:
        by_database: dict[sqlite3.Connection, list[Any]] = defaultdict(list)
        for connection, work, done in group:
            by_database[connection].append((work, done))
        settled: list[tuple[asyncio.Future[None], Exception | None]] = []
        for connection, writes in by_database.items():
            error: Exception | None = None
            try:
                connection.execute("BEGIN IMMEDIATE")
                for work, _ in writes:
                    work(connection)
                connection.execute("COMMIT")
            except sqlite3.Error as failure:
                error = failure
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            settled += [(done, error) for _, done in writes]
        self._loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: "list[tuple[asyncio.Future[None], Exception | None]]") -> None:
    for done, error in settled:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)


class SqliteLog:
    """All streams in one database, or each in its own."""

    def __init__(self, folder: Path, *, one_database: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._one = folder, one_database
        loop = asyncio.get_running_loop()
        self._writers = [_Writer(loop) for _ in range(1 if one_database else 4)]
        self.readers = ThreadPoolExecutor(4)
        self._local = threading.local()
        self._connections: dict[str, sqlite3.Connection] = {}
        self._streams: dict[str, SqliteStream] = {}

    async def open_stream(self, stream: StreamIdentity, *, key: KeySource, retention: Retention) -> "SqliteStream":
        """The stream, read as far as its totals and its end need it."""
        if stream.digest not in self._streams:
            name = "all" if self._one else stream.digest
            number = int(stream.digest[:5], 16)
            writer = self._writers[number % len(self._writers)]
            opened = SqliteStream(self, stream, key=key, retention=retention, number=number, writer=writer, name=name)
            await writer.call(opened.load)
            self._streams[stream.digest] = opened
        return self._streams[stream.digest]

    async def delete_stream(self, stream: StreamIdentity) -> None:
        """Remove all of it."""
        opened = self._streams.pop(stream.digest)
        if self._one:
            await opened.remove(before=opened.newest + 1)
            return
        connection = self._connections.pop(opened.name)
        await opened.writer.call(lambda: self._unlink(opened.name, connection))

    def _unlink(self, name: str, connection: sqlite3.Connection) -> None:
        connection.close()
        for path in self._folder.glob(f"{name}.sqlite*"):
            path.unlink()

    async def close(self) -> None:
        """Commit what waits and end the threads."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for writer in self._writers:
            writer.stop()
        self.readers.shutdown()
        for connection in self._connections.values():
            connection.close()

    def writing(self, name: str) -> sqlite3.Connection:
        """The connection that writes."""
        if name not in self._connections:
            self._connections[name] = _connect(self._folder / f"{name}.sqlite")
        return self._connections[name]

    def reading(self, name: str) -> sqlite3.Connection:
        """A connection of this thread, when there is one database; otherwise the stream's, to hold fewer files."""
        if not self._one:
            return self._connections[name]
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(
                self._folder / f"{name}.sqlite", isolation_level=None, check_same_thread=False
            )
        return self._local.connection


class SqliteStream:
    """One stream."""

    def __init__(
        self,
        log: SqliteLog,
        stream: StreamIdentity,
        *,
        key: KeySource,
        retention: Retention,
        number: int,
        writer: _Writer,
        name: str,
    ) -> None:
        self._log, self._stream, self._key, self._number = log, stream, key, number
        self.retention, self.writer, self.name = retention, writer, name
        self._base = number << _SHIFT
        self._arrived = asyncio.Condition()
        self.newest = self.fragments = self.bytes = 0

    def load(self) -> None:
        """Totals and the end of the stream."""
        connection = self._log.writing(self.name)
        totals = "SELECT count(*), coalesce(sum(size), 0) FROM fragments WHERE stream = ?"
        self.fragments, self.bytes = connection.execute(totals, (self._number,)).fetchone()
        last = (
            connection.execute(
                "SELECT max(place), max(server_ms) FROM fragments WHERE place > ? AND place < ?",
                (self._base, self._base + (1 << _SHIFT)),
            ).fetchone()
            if self.fragments
            else (None, None)
        )
        known = connection.execute("SELECT sequence FROM sequences WHERE stream = ?", (self._number,)).fetchone()
        self.newest = last[0] - self._base if last[0] else 0
        self._reservations = Reservations(
            next_sequence=max(self.newest + 1, known[0] if known else 1),
            newest_ms=last[1] or 0,
            remember=self._remember,
        )

    async def _remember(self, end: int) -> None:
        statement = "INSERT OR REPLACE INTO sequences VALUES (?, ?)"
        await self._write(lambda connection: _run(connection, statement, (self._number, end)))

    async def reserve(self) -> Reservation:
        """The next number."""
        now_ms = to_ms(datetime.now(UTC))
        number = await self._reservations.reserve(now_ms=now_ms)
        return Reservation(number=str(number), server_timestamp=from_ms(number.server_ms))

    async def append(
        self,
        number: str,
        *,
        producer_timestamp: datetime,
        duration_ms: int,
        header: bytes,
        cluster: bytes,
        tags: bytes = b"",
    ) -> None:
        """Keep a fragment."""
        read = read_number(number)
        self._reservations.claim(read)
        media = b"".join((header, cluster, tags))
        values = (
            self._base + read.sequence, read.server_ms, to_ms(producer_timestamp), read.random, duration_ms,
            len(media), len(header), len(tags), self._number,
        )  # fmt: skip

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, (*values, self._key().seal(media, self._place(f"fragment of {number}"))))

        await self._write(insert)
        self.newest = max(self.newest, read.sequence)
        self.fragments += 1
        self.bytes += len(media)
        async with self._arrived:
            self._arrived.notify_all()

    async def append_tags(self, number: str, tags: bytes) -> None:
        """Keep tags that came later."""
        place = self._base + read_number(number).sequence

        def insert(connection: sqlite3.Connection) -> None:
            body = self._key().seal(tags, self._place(f"tags of {number}"))
            connection.execute("INSERT INTO tags VALUES (?, ?)", (place, body))

        await self._write(insert)

    async def read(self, position: Any) -> "SqliteReader":
        """A reader that begins there."""
        if isinstance(position, AfterFragment):
            return SqliteReader(self, after=read_number(position.number).sequence)
        if isinstance(position, AtTime):
            return SqliteReader(self, after=await self._in_thread(lambda: self._at(position)))
        return SqliteReader(self, after=0 if isinstance(position, Earliest) else self.newest)

    def _at(self, position: AtTime) -> int:
        time_ms = to_ms(position.time)
        found = self._log.reading(self.name).execute(
            "SELECT min(place) FROM fragments WHERE stream = ? AND producer_ms > ? AND producer_ms <= ? "
            "AND producer_ms + duration_ms > ?",
            (self._number, time_ms - _DURATION_MS_MAX, time_ms, time_ms),
        ).fetchone()  # fmt: skip
        if found[0] is None:
            later = "SELECT place FROM fragments WHERE stream = ? AND producer_ms > ? ORDER BY producer_ms LIMIT 1"
            found = self._log.reading(self.name).execute(later, (self._number, time_ms)).fetchone()
        return (found[0] if found else self._base + self.newest + 1) - self._base - 1

    async def list(
        self, axis: TimeAxis, *, start: datetime, end: datetime, after: str | None = None, limit: int = 1_000
    ) -> tuple[FragmentInfo, ...]:
        """Fragments that begin in this time."""
        assert axis is TimeAxis.PRODUCER and after is None
        statement = (
            f"SELECT {_COLUMNS} FROM fragments WHERE stream = ? AND producer_ms >= ? AND producer_ms <= ? "  # noqa: S608
            "ORDER BY place LIMIT ?"
        )
        values = (self._number, to_ms(start), to_ms(end), limit)
        rows = await self._in_thread(lambda: self._log.reading(self.name).execute(statement, values).fetchall())
        return tuple(self._info(row) for row in rows)

    async def get(self, numbers: Iterable[str]) -> AsyncIterator[Fragment | None]:
        """These fragments."""
        for number in numbers:
            place = self._base + read_number(number).sequence
            yield await self._in_thread(lambda place=place: self.fetch("place = ?", (place,)))

    async def set_retention(self, retention: Retention) -> None:
        """Remove the oldest until no more than this is left."""
        over = self.bytes - retention.bytes_kept
        await self.remove(before=self.newest - int(self.fragments * (1 - over / self.bytes)) + 1)

    async def remove(self, *, before: int) -> None:
        """Delete these fragments, give the pages back and empty the WAL."""
        connection = self._log.writing(self.name)
        first = await self.writer.call(lambda: self._first(connection))
        while first < self._base + before:
            end = min(first + _DELETED_AT_ONCE, self._base + before)
            await self.writer.call(lambda first=first, end=end: _delete(connection, first, end))
            first = end
        await self.writer.call(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def _first(self, connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT min(place) FROM fragments WHERE place > ?", (self._base,)).fetchone()
        return found[0] or 1 << 62

    def after(self, sequence: int) -> Fragment | None:
        """The first fragment behind this sequence."""
        span = (self._base + sequence, self._base + (1 << _SHIFT))
        return self.fetch("place > ? AND place < ? ORDER BY place LIMIT 1", span)

    def fetch(self, where: str, values: tuple[int, ...]) -> Fragment | None:
        """A fragment with its tags."""
        connection = self._log.reading(self.name)
        row = connection.execute(f"{_SELECT} {where}", values).fetchone()
        if row is None:
            return None
        info, key = self._info(row), self._key()
        media = key.open(row[8], self._place(f"fragment of {info.number}"))
        later = connection.execute("SELECT body FROM tags WHERE place = ? ORDER BY rowid", (row[0],)).fetchall()
        tags = [key.open(body, self._place(f"tags of {info.number}")) for (body,) in later]
        split = len(media) - row[7]
        return Fragment(
            info=info, header=media[: row[6]], cluster=media[row[6] : split], tags=b"".join((media[split:], *tags))
        )

    async def wait(self, sequence: int) -> None:
        """Wait until there is something behind this sequence."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.newest > sequence)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._log.readers, work)

    async def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        await self.writer.write(self._log.writing(self.name), work)

    def _info(self, row: Any) -> FragmentInfo:
        number = FragmentNumber(sequence=row[0] - self._base, server_ms=row[1], random=row[3])
        return FragmentInfo(
            number=str(number),
            server_timestamp=from_ms(row[1]),
            producer_timestamp=from_ms(row[2]),
            duration_ms=row[4],
            size_bytes=row[5],
        )

    def _place(self, column: str) -> SealedPlace:
        return SealedPlace(account_id="0", table="fragments", row_id=self._stream.stream_arn, column=column)


class SqliteReader:
    """Follows a stream."""

    def __init__(self, stream: SqliteStream, *, after: int) -> None:
        self._stream, self._after = stream, after

    async def __anext__(self) -> ReadResult:
        """The next fragment, when there is one."""
        await self._stream.wait(self._after)
        after = self._after
        fragment = await self._stream._in_thread(lambda: self._stream.after(after))
        self._after = read_number(fragment.info.number).sequence
        return ReadResult(fragment=fragment, millis_behind_now=0, gap=False)


def _delete(connection: sqlite3.Connection, first: int, end: int) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM tags WHERE place >= ? AND place < ?", (first, end))
        connection.execute("DELETE FROM fragments WHERE place >= ? AND place < ?", (first, end))
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK") if connection.in_transaction else None
        raise
    connection.executescript("PRAGMA incremental_vacuum")  # `execute` would step once: a page


def _run(connection: sqlite3.Connection, statement: str, values: tuple[int, ...]) -> None:
    connection.execute(statement, values)
