"""One process serves the records; another one that is started on them is told which.

On PostgreSQL it is a row with a lease by the database's own clock, because a lock of a session does not live through
PgBouncer, and because clocks of two machines differ. Every change that the leader makes holds the key of that row for
the length of its transaction, so nobody takes over in the middle of one, and a leader that was stopped for longer than
its lease changes nothing any more. On SQLite, which is on one machine, it is a lock on a file beside the database.

What belongs here: the claim, its renewal and its proof. What must never: threads, waiting, words for people.
"""

import fcntl
import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    delete,
    literal_column,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import AnotherProcessServes, StoreUnavailable
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.driver_errors import translating_errors
from earwitness.store.schema import service_leaders as leaders
from earwitness.store.session import ConnectionSession

LEASE_SECONDS = 15.0
"""How long a leader that does not renew keeps its place: five renewals, so that a pause of a few seconds costs nothing,
and no longer, because it is what a start waits after a kill."""

_NAME = "serve"
_LOST = "another process serves these records now, and this one is stopping; ask again"
_FILE_BYTES_MAX = 4_096
DATABASE_CLOCK = literal_column("(extract(epoch from clock_timestamp()) * 1000000)::bigint", BigInteger)
"""PostgreSQL's own time, in microseconds since 1970."""

_LEASE = literal_column(str(int(LEASE_SECONDS * 1_000_000)), BigInteger)

_log = logging.getLogger("earwitness.store")


@dataclass(frozen=True, kw_only=True)
class Leader:
    """A process that serves the records."""

    #: Another text for every process.
    holder: str
    host: str
    #: Its number on its host.
    process: int


@dataclass(frozen=True, kw_only=True)
class HeldByAnother:
    """Somebody else's claim."""

    leader: Leader
    since: datetime
    #: Grows whenever the claim is renewed.
    renewed: int
    #: How long it lasts unless it is renewed; None where the process lives for certain.
    seconds_left: float | None


class Leading(Protocol):
    """The claim on one database. Its methods raise StoreUnavailable."""

    def claim(self, me: Leader) -> HeldByAnother | None:
        """Return None when this process leads from now on; otherwise who does."""
        ...

    def renew(self) -> None:
        """Lead on; raise AnotherProcessServes when another process leads."""
        ...

    def release(self) -> None:
        """Lead no longer, so that the next start need not wait."""
        ...


class RowLeading:
    """A row in PostgreSQL. Its connection is its own, so that a busy pool does not cost the place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._me: Leader | None = None

    def claim(self, me: Leader) -> HeldByAnother | None:
        """See `Leading`."""
        with translating_errors(), self._engine.begin() as connection:
            if _take(connection, me):
                self._me = me
                return None
            left = (type_coerce(leaders.c.expires_at, BigInteger) - DATABASE_CLOCK).label("left")
            row = connection.execute(select(leaders, left).where(leaders.c.name == _NAME)).one()
        return HeldByAnother(
            leader=Leader(holder=row.holder, host=row.host, process=row.process),
            since=row.since,
            renewed=to_microseconds(row.expires_at),
            seconds_left=row.left / 1e6,
        )

    def renew(self) -> None:
        """See `Leading`. A lease that ran out and that nobody took is as good as before."""
        if self._me is None:
            return
        with translating_errors(), self._engine.begin() as connection:
            mine = update(leaders).where(_is_held_by(self._me))
            if connection.execute(mine.values(expires_at=DATABASE_CLOCK + _LEASE)).rowcount == 0:
                raise AnotherProcessServes(_LOST)

    def release(self) -> None:
        """See `Leading`."""
        if self._me is None:
            return
        with translating_errors(), self._engine.begin() as connection:
            connection.execute(delete(leaders).where(_is_held_by(self._me)))

    def require(self, session: ConnectionSession) -> None:
        """Raise AnotherProcessServes when this process has led and another one does now.

        Nobody takes over before the end of this transaction. A process that never led, as a command is, may change
        what it likes.
        """
        if self._me is None:
            return
        mine = select(leaders.c.holder).where(_is_held_by(self._me))
        if session.row(mine.with_for_update(read=True, key_share=True)) is None:
            raise AnotherProcessServes(_LOST)


class FileLeading:
    """A lock on a file beside the database, which ends with the process, however it ends.

    The file names the holder of the lock, as far as the disk had room for it; when it was taken is the file's own time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def claim(self, me: Leader) -> HeldByAnother | None:
        """See `Leading`."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"the file {self._path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(descriptor)
        self._descriptor = descriptor
        _write_holder(descriptor, me)
        return None

    def renew(self) -> None:
        """See `Leading`; a lock on a file needs nothing."""

    def release(self) -> None:
        """See `Leading`."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _is_held_by(leader: Leader) -> ColumnElement[bool]:
    return (leaders.c.name == _NAME) & (leaders.c.holder == leader.holder)


def _take(connection: Connection, me: Leader) -> bool:
    """Return whether the row is this process's now: there was none, or its lease had run out."""
    values = {**asdict(me), "since": DATABASE_CLOCK, "expires_at": DATABASE_CLOCK + _LEASE}
    fresh = dialect.insert(leaders).values(name=_NAME, **values).on_conflict_do_nothing()
    if connection.execute(fresh, execution_options={"preserve_rowcount": True}).rowcount == 1:
        return True
    free = (leaders.c.name == _NAME) & (leaders.c.expires_at <= DATABASE_CLOCK)
    return connection.execute(update(leaders).where(free).values(**values)).rowcount == 1


def _write_holder(descriptor: int, me: Leader) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)
    except OSError as error:  # a full disk must not keep the service from starting: things are to be deleted
        _log.warning("the lock of the records does not say who holds it", extra={"reason": str(error.strerror)})


def _holder(descriptor: int) -> HeldByAnother:
    """Return who holds the lock of this file, and close it."""
    since = from_microseconds(round(os.fstat(descriptor).st_mtime * 1e6))
    content = os.pread(descriptor, _FILE_BYTES_MAX, 0)
    os.close(descriptor)
    return HeldByAnother(leader=_read_holder(content), since=since, renewed=0, seconds_left=None)


def _read_holder(content: bytes) -> Leader:
    """Return who wrote this; nobody in particular where a full disk took the words."""
    try:
        return Leader(**json.loads(content))
    except (ValueError, TypeError):
        return Leader(holder="", host="", process=0)
