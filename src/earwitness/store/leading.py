"""Who serves the records: one process in SQLite, any number of nodes in PostgreSQL, each with one process.

A node in PostgreSQL is a row with a lease by the database's own clock, because a lock of a session does not live
through PgBouncer, and because clocks of two machines differ. Every change that a node makes holds the key of its row
for the length of the transaction, so nobody takes it for dead in the middle of one, and a node that was stopped for
longer than its lease, and was taken for dead, changes nothing any more. On SQLite, which is on one machine, it is a
lock on a file beside the database.

What belongs here: the claim, its renewal and its proof. What must never: threads, waiting, words for people.
"""

import fcntl
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    literal_column,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql as dialect

from earwitness.errors import AnotherProcessServes, StoreUnavailable
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.driver_errors import translating_errors
from earwitness.store.node_schema import nodes
from earwitness.store.schema import service_leaders as leaders
from earwitness.store.session import ConnectionSession

LEASE_SECONDS = 6.0
"""How long a node that does not renew keeps its place: four renewals, so that a pause of a few seconds costs nothing,
and no longer, because others have its calls and tasks within ten seconds, and a start waits for it after a kill."""

_HOUSEKEEPING = "housekeeping"
_LOST = "this node was taken for dead, or another process is this node now, and this one is stopping; ask again"
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
    #: Its node and version, where it lets other nodes in, and where clients reach it and no other; empty in SQLite.
    node_id: str = ""
    version: str = ""
    internal_url: str = ""
    node_url: str = ""


@dataclass(frozen=True)
class NodeLoad:
    """How many tasks a node runs, and how many more it would."""

    tasks: int = 0
    room: int = 0


@dataclass(frozen=True, kw_only=True)
class HeldByAnother:
    """Somebody else's claim."""

    leader: Leader
    since: datetime
    #: Grows whenever the claim is renewed.
    renewed: int
    #: How long it lasts unless it is renewed; None where the process lives for certain.
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A renewed lease."""

    #: In seconds of this machine's monotonic clock.
    asked_at: float
    answered_at: float
    #: When it was renewed, by the database's clock.
    database_time: datetime


class Leading(Protocol):
    """The claim on one database. Its methods raise StoreUnavailable."""

    def claim(self, me: Leader) -> HeldByAnother | None:
        """Return None when this process leads from now on; otherwise who does."""
        ...

    def renew(self) -> datetime | None:
        """Lead on; return the database's time, where it tells one. Raise AnotherProcessServes when another leads."""
        ...

    def release(self) -> None:
        """Lead no longer, so that the next start need not wait."""
        ...


class NodeLeading:
    """The row of a node in PostgreSQL. Its connection is its own, so that a busy pool does not cost the place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.me: Leader | None = None
        """This process, once it has claimed; commands never do."""
        self.load: Callable[[], NodeLoad] = NodeLoad
        """Tells what this node has to do, for others to know."""
        self.is_draining = False
        """Whether this node was asked to take nothing new, as of the last renewal."""

    def claim(self, me: Leader) -> HeldByAnother | None:
        """See `Leading`. It is a node that is claimed, of which there may be any number beside this one."""
        with translating_errors(), self._engine.begin() as connection:
            if _take(connection, me):
                self.me = me
                return None
            left = (type_coerce(nodes.c.alive_until, BigInteger) - DATABASE_CLOCK).label("left")
            row = connection.execute(select(nodes, left).where(nodes.c.node_id == me.node_id)).one()
        return HeldByAnother(
            leader=Leader(holder=row.run, host=row.host, process=row.process, node_id=row.node_id),
            since=row.started_at,
            renewed=to_microseconds(row.alive_until),
            seconds_left=row.left / 1e6,
        )

    def renew(self) -> datetime | None:
        """See `Leading`. A lease that ran out is as good as before until another node has taken this one for dead."""
        if self.me is None:
            return None
        load = self.load()
        values = {"alive_until": DATABASE_CLOCK + _LEASE, "tasks": load.tasks, "room": load.room}
        mine = update(nodes).where(_is_served_by(self.me)).values(**values)
        told = mine.returning(nodes.c.is_draining, DATABASE_CLOCK.label("now"))
        with translating_errors(), self._engine.begin() as connection:
            row = connection.execute(told).one_or_none()
        if row is None:
            raise AnotherProcessServes(_LOST)
        self.is_draining = bool(row.is_draining)
        return from_microseconds(row.now)

    def release(self) -> None:
        """See `Leading`. The node is dead from now on; what it ran was moved before, or is moved as after a kill."""
        if self.me is None:
            return
        with translating_errors(), self._engine.begin() as connection:
            connection.execute(update(nodes).where(_is_served_by(self.me)).values(alive_until=DATABASE_CLOCK))

    def require(self, session: ConnectionSession) -> None:
        """Raise AnotherProcessServes when this node was taken for dead, or another process is this node now.

        Nobody takes it for dead before the end of this transaction. A process that never claimed, as a command is, may
        change what it likes.
        """
        if self.me is None:
            return
        mine = select(nodes.c.run).where(_is_served_by(self.me))
        if session.row(mine.with_for_update(read=True, key_share=True)) is None:
            raise AnotherProcessServes(_LOST)


class HousekeepingRow:
    """Which node does what is done once for all of them: a row with a lease by the database's clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hold(self, me: Leader) -> bool:
        """Return whether this node does it: it did before, nobody does, or whoever did is silent."""
        values = {"holder": me.holder, "host": me.host, "process": me.process, "expires_at": DATABASE_CLOCK + _LEASE}
        fresh = dialect.insert(leaders).values(name=_HOUSEKEEPING, since=DATABASE_CLOCK, **values)
        mine = (leaders.c.holder == me.holder) | (leaders.c.expires_at <= DATABASE_CLOCK)
        held = fresh.on_conflict_do_update(index_elements=["name"], set_=values, where=mine)
        with translating_errors(), self._engine.begin() as connection:
            return connection.execute(held, execution_options={"preserve_rowcount": True}).rowcount == 1


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
        """See `Leading`; a lock on a file needs nothing, and tells no time."""

    def release(self) -> None:
        """See `Leading`."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _is_served_by(leader: Leader) -> ColumnElement[bool]:
    return (nodes.c.node_id == leader.node_id) & (nodes.c.run == leader.holder) & nodes.c.dead_at.is_(None)


def _take(connection: Connection, me: Leader) -> bool:
    """Return whether the node is this process now: it was unknown or dead, or its lease had run out."""
    values = {
        "run": me.holder,
        "host": me.host,
        "process": me.process,
        "version": me.version,
        "internal_url": me.internal_url,
        "node_url": me.node_url,
        "tasks": 0,
        "room": 0,
        "is_draining": 0,
        "started_at": DATABASE_CLOCK,
        "alive_until": DATABASE_CLOCK + _LEASE,
        "dead_at": None,
    }
    fresh = dialect.insert(nodes).values(node_id=me.node_id, **values).on_conflict_do_nothing()
    if connection.execute(fresh, execution_options={"preserve_rowcount": True}).rowcount == 1:
        return True
    free = (nodes.c.node_id == me.node_id) & ((nodes.c.alive_until <= DATABASE_CLOCK) | nodes.c.dead_at.is_not(None))
    return connection.execute(update(nodes).where(free).values(**values)).rowcount == 1


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
