"""A SQLite connection as a session: SQLAlchemy makes the SQL, and for a hot point read its compiled SQL runs on the
driver's connection."""

import sqlite3
from collections.abc import Callable
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite as dialect

from earwitness.store.border import made
from earwitness.store.session import ConnectionSession, HotRead, RecordT, Row


class SqliteSession(ConnectionSession):
    """The writer's session, or a reader's."""

    def __init__(self, connection: Connection, *, want_scrub: Callable[[], None] | None = None) -> None:
        super().__init__(connection, insert_unless_there=lambda table: dialect.insert(table).on_conflict_do_nothing())
        self.driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        self._want_scrub = want_scrub

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], *parameters: str) -> RecordT | None:
        """As the seam says, by SQL that is compiled already, without SQLAlchemy in between."""
        row = self.driver.execute(read.sqlite_sql, parameters).fetchone()
        return None if row is None else made(make, made(read.require_kinds, row))

    def hold(self, name: str) -> None:
        """Nothing to do: there is one writer."""

    def scrub(self) -> None:
        """Have the write-ahead log emptied before this change is acknowledged."""
        if self._want_scrub is not None:
            self._want_scrub()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()
