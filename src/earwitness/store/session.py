"""The seam between resources and databases: run a statement, get rows.

A resource module writes statements and turns rows into records; whether a statement runs on a reader's connection or
inside a transaction, in SQLite or PostgreSQL, it does not know.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, CursorResult, Delete, Insert, Select, Table, Update, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from earwitness.errors import LimitExceeded
from earwitness.store.border import made
from earwitness.store.records import Scope
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault

# `Any`: statements differ in their columns; each resource module converts its own rows at once.
Row: TypeAlias = Sequence[Any]
Query: TypeAlias = Select[*tuple[Any, ...]]

RecordT = TypeVar("RecordT")

_CREATES_AT_ONCE_MAX = 200
"""More transactions than run at once on one PostgreSQL server, which by itself allows 100 connections."""


class HotRead:
    """A point read that is compiled once, because SQLAlchemy's execution costs more than the read itself.

    `names` are its bound parameters in the order in which they stand in the statement.
    """

    def __init__(self, statement: Query, *names: str) -> None:
        compiled = statement.compile(dialect=sqlite.dialect())
        if compiled.positiontup != list(names):
            raise ValueError(f"the statement's parameters are {compiled.positiontup}, not {names}")
        self.statement = statement
        self.sqlite_sql = str(compiled)
        self._kinds = tuple(column.type.python_type for column in statement.selected_columns)
        self._names = names

    def named(self, parameters: Sequence[str]) -> dict[str, str]:
        """The parameters as SQLAlchemy takes them."""
        return dict(zip(self._names, parameters, strict=True))

    def require_kinds(self, row: Row) -> Row:
        """The row. ValueError when a column holds another kind of value than its own, as SQLite lets it: damage."""
        for value, kind in zip(row, self._kinds, strict=True):
            if value is not None and type(value) is not kind:
                raise ValueError("a column holds another kind of value")
        return row


class Session(Protocol):
    """Reads. Every call may see newer data than the one before, unless the session is a transaction's."""

    def rows(self, statement: Query) -> Sequence[Row]:
        """All rows; the statement limits their number."""
        ...

    def row(self, statement: Query) -> Row | None:
        """The first row, or None."""
        ...

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], *parameters: str) -> RecordT | None:
        """What `make` makes of the row of a point read, or None without one.

        It may be the record that an earlier read made, where nothing has changed since; a read has one way to make it.
        """
        ...


class WritingSession(Session, Protocol):
    """Reads and changes inside one transaction."""

    def change(self, statement: Insert | Update | Delete) -> int:
        """How many rows were inserted, changed or deleted."""
        ...

    def insert_new(self, table: Table, values: Mapping[str, object]) -> bool:
        """Whether the row was inserted; False when a row of that key or unique name is there already.

        Where another transaction has inserted such a row and not ended yet, this waits for its end.
        """
        ...

    def hold(self, name: str) -> None:
        """Let no other transaction that holds this name run until this one has ended."""
        ...

    def scrub(self) -> None:
        """Before the change is acknowledged, remove from the database's files what it deletes, where that can be."""
        ...

    def use_reserve(self) -> None:
        """This change ends something: on a full disk it may use the room that is kept for that, as deletions may."""
        ...


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What the writing half of a resource works with, for the length of one transaction."""

    session: WritingSession
    """The transaction."""

    vault: Vault
    """Seals what must not lie in clear."""

    digest_key: DataKey
    """Keys the digests of request tokens."""

    now: datetime
    """The time of the whole transaction, in UTC."""

    forgotten: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    """Wrapped keys deleted here, with their owners; the vault forgets them after the commit."""

    def destroy_key(self, wrapped_key: bytes, *, owner: str) -> None:
        """For a row that is deleted here with its wrapped key: leave no copy of the key in memory or the files."""
        self.forgotten.append((wrapped_key, owner))
        self.session.scrub()


class ConnectionSession:
    """What both databases do alike on a SQLAlchemy connection."""

    def __init__(self, connection: Connection, *, insert_unless_there: Callable[[Table], Insert]) -> None:
        self._connection = connection
        self._insert_unless_there = insert_unless_there
        self.uses_reserve = False
        """Whether something was ended or deleted since this was last set to False."""

    def rows(self, statement: Query) -> Sequence[Row]:
        """As the seam says."""
        return made(_all_rows, self._connection.execute(statement))

    def row(self, statement: Query) -> Row | None:
        """As the seam says."""
        return made(_first_row, self._connection.execute(statement))

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], *parameters: str) -> RecordT | None:
        """As the seam says."""
        row = made(_first_row, self._connection.execute(read.statement, read.named(parameters)))
        return None if row is None else made(make, row)

    def change(self, statement: Insert | Update | Delete) -> int:
        """As the seam says."""
        deletes = isinstance(statement, Delete)
        try:
            count = self._connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
        except DBAPIError:
            self.uses_reserve = self.uses_reserve or deletes
            raise
        # A creation also deletes an expired request token, where there is one; most find none.
        self.uses_reserve = self.uses_reserve or (deletes and count > 0)
        return count

    def use_reserve(self) -> None:
        """As the seam says."""
        self.uses_reserve = True

    def insert_new(self, table: Table, values: Mapping[str, object]) -> bool:
        """As the seam says."""
        return self.change(self._insert_unless_there(table).values(**values)) == 1


# Fetching converts a row's values, and finds those that no column of ours can hold. `Any`: as for Row.
def _all_rows(result: CursorResult[Any]) -> Sequence[Row]:
    return result.fetchall()


def _first_row(result: CursorResult[Any]) -> Row | None:
    return result.first()


def count_where(session: Session, table: Table, *conditions: Any) -> int:  # `Any`: SQLAlchemy's own word for conditions
    """How many rows of a table fulfil the conditions."""
    row = session.row(select(func.count()).select_from(table).where(*conditions))
    return 0 if row is None else int(row[0])


def in_scope(table: Table, scope: Scope) -> Any:  # `Any`: as above
    """The condition that every statement on a scoped table begins with."""
    return (table.c.account_id == scope.account_id) & (table.c.region == scope.region)


def require_room(
    session: WritingSession, count: Callable[[], int], *, limit: int | None, what: str, holder: str
) -> None:
    """LimitExceeded when `count` tells as many as the limit already; None for no limit.

    Near the limit, creates of one holder wait for each other, so that the limit is exact. Far from it they do not:
    a lock that is held through a durable commit would make each of them wait for all before it.
    """
    if limit is None:
        return
    have = count()
    if have + _CREATES_AT_ONCE_MAX >= limit:
        session.hold(f"{what} of {holder}")
        have = count()
    if have >= limit:
        raise LimitExceeded(f"there are {have} {what} already and may be {limit}; delete one, or have the limit raised")
