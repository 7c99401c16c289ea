"""How repositories reach a database: run a statement, get rows.

A repository writes statements and turns rows into records; whether a statement runs on a reader's connection or inside
a transaction, in SQLite or PostgreSQL, it does not know.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, CursorResult, Delete, Insert, Table, Update, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from earwitness.errors import EarwitnessError
from earwitness.store.driver_errors import convert
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.records import Scope
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault
from earwitness.voice.deletion import DeletionKind

_RecordT = TypeVar("_RecordT")


class StoreSession(Protocol):
    """Reads. Every call may see newer data than the one before, unless the session is a transaction's."""

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """Return all rows; the statement limits their number."""
        ...

    def row(self, statement: Query) -> StoredRow | None:
        """Return the first row, or None."""
        ...

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """Return what `make` makes of the row of a point read, or None without one.

        It may be the record that an earlier read made, where nothing has changed since; a read has one way to make it.
        """
        ...


class ConnectionSession(ABC):
    """Reads and changes on one SQLAlchemy connection."""

    writes_alone = False
    """Whether nobody else writes to the database while a transaction of this session runs."""

    def __init__(self, connection: Connection, *, insert_unless_there: Callable[[Table], Insert]) -> None:
        self._connection = connection
        self._insert_unless_there = insert_unless_there
        self.uses_reserve = False
        """Whether something was ended or deleted since this was last set to False."""

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """See `StoreSession`."""
        return convert(_all_rows, self._connection.execute(statement))

    def row(self, statement: Query) -> StoredRow | None:
        """See `StoreSession`."""
        return convert(_first_row, self._connection.execute(statement))

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`."""
        row = convert(_first_row, self._connection.execute(read.statement, read.named(parameters)))
        return None if row is None else convert(make, row)

    def change(self, statement: Insert | Update | Delete) -> int:
        """Return how many rows were inserted, changed or deleted."""
        deletes = isinstance(statement, Delete)
        try:
            count = self._connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
        except DBAPIError:
            self.uses_reserve = self.uses_reserve or deletes
            raise
        # A creation also deletes an expired request token, where there is one; most find none.
        self.uses_reserve = self.uses_reserve or (deletes and count > 0)
        return count

    def taken(
        self, statement: ReturningUpdate[*tuple[Any, ...]] | ReturningDelete[*tuple[Any, ...]]
    ) -> Sequence[StoredRow]:
        """Return rows as they are after a change of them, or were before their deletion. `Any`: as for StoredRow."""
        deletes = isinstance(statement, ReturningDelete)
        try:
            rows = convert(_all_rows, self._connection.execute(statement))
        except DBAPIError:
            self.uses_reserve = self.uses_reserve or deletes
            raise
        self.uses_reserve = self.uses_reserve or (deletes and bool(rows))
        return rows

    def insert_new(self, table: Table, values: Mapping[str, object]) -> bool:
        """Return whether the row was inserted; False when a row of that key or unique name is there already.

        Where another transaction has inserted such a row and not ended yet, this waits for its end.
        """
        return self.change(self._insert_unless_there(table).values(**values)) == 1

    def insert_all(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows that are not there yet, all with the same columns."""
        if rows:
            self._connection.execute(insert(table), [dict(row) for row in rows])

    def change_all(self, statement: Update, values: Sequence[Mapping[str, object]]) -> None:
        """Run one statement once for each of these values."""
        if values:
            self._connection.execute(statement, [dict(each) for each in values])

    def use_reserve(self) -> None:
        """This change ends something: on a full disk it may use the room that is kept for that, as deletions may."""
        self.uses_reserve = True

    @abstractmethod
    def lock(self, name: str) -> None:
        """Let no other transaction that locks this name run until this one has ended."""

    @abstractmethod
    def clock(self, now: datetime) -> ColumnElement[int]:
        """Return the time by which leases run, in microseconds: the database's own where several machines share it.

        `now` is the time of the transaction by this machine's clock.
        """

    @abstractmethod
    def scrub(self) -> None:
        """Before the change is acknowledged, remove from the database's files what it deletes, where that can be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotedDeletion:
    """Something that was deleted in a transaction, to be written down before its end."""

    #: Without a Region for what belongs to all Regions of an account.
    scope: Scope
    kind: DeletionKind
    #: What identifies it in account and Region; no other thing of its kind ever has the same.
    ids: tuple[str, ...]
    #: The data key that was destroyed with it; None when it had none of its own.
    key_id: str | None = None
    #: How many voiceprints went with it, where it held several.
    voiceprints: int = 0


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What repositories change records with, for the length of one transaction."""

    session: ConnectionSession
    #: Seals what must not lie in clear.
    vault: Vault
    #: Keys the digests of request tokens.
    digest_key: DataKey
    #: The time of the whole transaction, in UTC.
    now: datetime
    #: The node that this process is; None for a command, and in SQLite.
    node_id: str | None = None
    #: Wrapped keys deleted here, with their owners; the vault forgets them after the commit.
    forgotten: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    #: What was deleted here, for the table of deletions.
    deleted: list[NotedDeletion] = field(default_factory=list[NotedDeletion])
    #: The key ids, or the words for commands, under which this transaction wrote into the audit trail.
    audited: list[str] = field(default_factory=list[str])

    def destroy_key(self, wrapped_key: bytes, *, owner: str) -> str | None:
        """For a row that is deleted here with its wrapped key: leave no copy of the key in memory or the files.

        Return the id of the key; None when it does not open, which keeps nobody from deleting it.
        """
        self.forgotten.append((wrapped_key, owner))
        self.session.scrub()
        try:
            return self.vault.key(wrapped_key, owner=owner).key_id
        except EarwitnessError:
            return None

    def note_deleted(
        self,
        scope: Scope,
        kind: DeletionKind,
        *ids: str,
        key_id: str | None = None,
        voiceprints: int = 0,
    ) -> None:
        """Have a deletion written down in this transaction; it is done again when an older backup is restored.

        `ids` are what identifies the thing in its scope, and what nothing else ever had or will have.
        """
        self.deleted.append(NotedDeletion(scope=scope, kind=kind, ids=ids, key_id=key_id, voiceprints=voiceprints))


# Fetching turns a row's values, and finds those that no column of ours can hold. `Any`: as for StoredRow.
def _all_rows(result: CursorResult[Any]) -> Sequence[StoredRow]:
    return result.mappings().all()


def _first_row(result: CursorResult[Any]) -> StoredRow | None:
    return result.mappings().first()
