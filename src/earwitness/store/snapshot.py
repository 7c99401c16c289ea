"""What an event loop reads of SQLite: one snapshot a turn, and a row once for as long as nobody changes a record.

A point read costs most of its time to begin and to end: locks on the database's files and a statement's way through the
driver. A server asks for the same access key with every request, and for the same record while somebody waits for it.

Nothing read here is older than a read by itself would give. A snapshot begins with the first read of a turn and ends
before whatever is scheduled after that, so a request is answered from what was committed after it came. Rows are kept
only while SQLite's own count of changes, read with every snapshot, says that no process has changed the file.
"""

from asyncio import AbstractEventLoop

from earwitness.store.session import HotRead, Row
from earwitness.store.sqlite_session import SqliteSession

ROWS_KEPT_MAX = 1_000
"""A pipeline's row has about two kilobytes. What is secret in a row is sealed."""


class Snapshot:
    """A reader's connection that holds a transaction from the first read of a turn of an event loop to its end.

    Not for several threads. Its methods raise the driver's errors; after one it is to be closed.
    """

    def __init__(self, loop: AbstractEventLoop, session: SqliteSession) -> None:
        self.loop = loop
        self.session = session
        self.is_open = False
        self._execute = session.driver.execute
        self._version: int | None = None
        self._rows: dict[tuple[HotRead, tuple[str, ...]], Row] = {}

    def begin(self) -> None:
        """See the database as it is now; what was kept goes if it has changed."""
        self._execute("BEGIN")
        # It reads the file's state, and with that the transaction begins; another number: somebody else has committed.
        version = self._execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._rows.clear()
            self._version = version
        self.is_open = True

    def row(self, read: HotRead, parameters: tuple[str, ...]) -> Row | None:
        """The row, as it was when the snapshot began."""
        row = self._rows.get((read, parameters))
        if row is None:
            row = self._execute(read.sqlite_sql, parameters).fetchone()
            if row is not None:
                self._keep(read, parameters, row)
        return row

    def end(self) -> None:
        """Let go of the database; `begin` may follow."""
        self.is_open = False
        self._execute("COMMIT")

    def close(self) -> None:
        """Give the connection up, and with it the transaction."""
        self.is_open = False
        self.session.close()

    def _keep(self, read: HotRead, parameters: tuple[str, ...], row: Row) -> None:
        if len(self._rows) >= ROWS_KEPT_MAX:
            self._rows.clear()
        self._rows[read, parameters] = row
