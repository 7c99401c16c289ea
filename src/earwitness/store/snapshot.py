"""What an event loop reads of SQLite: one snapshot a turn, and a record once for as long as nobody changes any.

A point read costs most of its time to begin and to end: locks on the database's files and a statement's way through the
driver. A server asks for the same access key with every request, and for the same record while somebody waits for it.

Nothing read here is older than a read by itself would give. A snapshot begins with the first read of a turn and ends
before whatever is scheduled after that, so a request is answered from what was committed after it came. Records are
kept only while SQLite's own count of changes, read with every snapshot, says that no process has changed the file.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from threading import get_ident
from typing import Any

from earwitness.store.session import HotRead, RecordT, Row
from earwitness.store.sqlite_session import SqliteSession

RECORDS_KEPT_MAX = 1_000
"""A pipeline, with its documents, has about four kilobytes."""


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
        self._thread = 0
        # `Any`: each kind of read has records of its own; `hot` gives back what its own `make` made.
        self._records: dict[tuple[HotRead, tuple[str, ...]], Any] = {}

    def begin(self) -> None:
        """See the database as it is now; what was kept goes if it has changed."""
        self._execute("BEGIN")
        # It reads the file's state, and with that the transaction begins; another number: somebody else has committed.
        version = self._execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._records.clear()
            self._version = version
        self._thread = get_ident()
        self.is_open = True

    def is_of_this_turn(self) -> bool:
        """Whether this thread's loop has begun it in this very turn. To ask for the loop would be a system call."""
        return self.is_open and self._thread == get_ident() and self.loop.is_running()

    def hot(self, read: HotRead, make: Callable[[Row], RecordT], parameters: tuple[str, ...]) -> RecordT | None:
        """The record, as it was when the snapshot began."""
        record: RecordT | None = self._records.get((read, parameters))
        if record is None:
            record = self.session.hot(read, make, *parameters)
            if record is not None:
                self._keep(read, parameters, record)
        return record

    def end(self) -> None:
        """Let go of the database; `begin` may follow."""
        self.is_open = False
        self._execute("COMMIT")

    def close(self) -> None:
        """Give the connection up, and with it the transaction."""
        self.is_open = False
        self.session.close()

    def _keep(self, read: HotRead, parameters: tuple[str, ...], record: object) -> None:
        if len(self._records) >= RECORDS_KEPT_MAX:
            self._records.clear()
        self._records[read, parameters] = record
