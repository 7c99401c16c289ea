"""Reads and changes of the records, timed for metrics where somebody wants them.

Point reads that many requests share are not timed: a look at the clock would cost a third of one. Their failures are
counted like all others.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from earwitness.errors import StoreBusy, StoreUnavailable
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.session import StoreSession

if TYPE_CHECKING:
    from earwitness.metrics.reported import StoreMetrics

_RecordT = TypeVar("_RecordT")


class StoreMeter:
    """Times what the database does, once it has where to report to."""

    def __init__(self) -> None:
        self.metrics: StoreMetrics | None = None
        """None in commands, where nobody asks."""

    @contextmanager
    def timing(self, kind: str) -> Generator[None]:
        """Time a `read` or a `write`, and count its failure. A read that is done again elsewhere is none."""
        if self.metrics is None:
            yield
            return
        began = time.perf_counter()
        try:
            yield
        except StoreUnavailable as error:
            self.failed(error)
            raise
        finally:
            self.metrics.took(kind, time.perf_counter() - began)

    def failed(self, error: StoreUnavailable) -> None:
        """Count a failure."""
        if self.metrics is not None and not isinstance(error, StoreBusy):
            self.metrics.errors.inc()


class MeasuredReads:
    """Reads through another session, timed."""

    def __init__(self, session: StoreSession, meter: StoreMeter) -> None:
        self._session = session
        self._meter = meter

    def rows(self, statement: Query) -> Sequence[StoredRow]:
        """See `StoreSession`."""
        with self._meter.timing("read"):
            return self._session.rows(statement)

    def row(self, statement: Query) -> StoredRow | None:
        """See `StoreSession`."""
        with self._meter.timing("read"):
            return self._session.row(statement)

    def hot(self, read: HotRead, make: Callable[[StoredRow], _RecordT], *parameters: str) -> _RecordT | None:
        """See `StoreSession`."""
        try:
            return self._session.hot(read, make, *parameters)
        except StoreUnavailable as error:
            self._meter.failed(error)
            raise
