"""Point reads of PostgreSQL for an event loop: read before what needs them goes on, many in one round trip.

The steps of a request are plain functions that read records on their way. On SQLite such a read costs microseconds;
here it is a round trip, and a thread that waits for it costs more than the read. So work is begun on the loop. Where it
lacks a row it is left, the row is read together with all that other work lacks at this moment, and the work is begun
anew. A row belongs to one piece of work: it was read after that began, and is not kept for others.

Such work therefore changes nothing before its last read. Where reading takes long, or goes wrong, the caller does the
work in a thread instead, which knows what errors mean and holds nobody up.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from earwitness.errors import StoreBusy, StoreUnavailable, Unavailable
from earwitness.store.hot_reads import HotRead
from earwitness.threads import ThreadPool

ROUNDS_MAX = 8
"""Rows that one piece of work may lack; what needs more is no point read."""

TOGETHER_MAX = 200
"""Rows in one round trip. Ten thousand tasks may begin at once, and PostgreSQL has seconds for an answer."""

SLOW_SECONDS = 0.25
"""When reads take longer than this, whoever comes does not wait for them but takes a thread."""

_ResultT = TypeVar("_ResultT")

WantedRow: TypeAlias = tuple[HotRead, tuple[str, ...]]
"""A read and its parameters."""

# `Any`: values of whatever columns, here and below; None where there is no such row.
_Row: TypeAlias = Sequence[Any] | None

_Wanted: TypeAlias = dict[WantedRow, list["Future[_Row]"]]
"""What is to be read, and who waits for each row."""

_rows_here: ContextVar[dict[WantedRow, _Row] | None] = ContextVar("rows_here", default=None)


class RowWanted(StoreBusy):
    """Work on an event loop lacks a row, and is to be begun anew with it."""

    def __init__(self, wanted: WantedRow) -> None:
        super().__init__("a row has yet to be read")
        self.wanted = wanted


def is_on_loop() -> bool:
    """Return whether this is work that `ReadAhead` runs on an event loop, and that may not wait for the database."""
    return _rows_here.get() is not None


def row_here(wanted: WantedRow) -> _Row:
    """Return a row that was read ahead, to work that `ReadAhead` runs. Raise RowWanted when it has yet to be."""
    rows = _rows_here.get() or {}
    if wanted not in rows:
        raise RowWanted(wanted)
    return rows[wanted]


class ReadAhead:
    """Runs work on one event loop. One thread reads; what is wanted meanwhile is read together after that."""

    def __init__(self, read_together: Callable[[Sequence[WantedRow]], Sequence[_Row]]) -> None:
        """`read_together` reads rows; it may raise StoreUnavailable."""
        self._read_together = read_together
        self._thread = ThreadPool(1, thread_name_prefix="earwitness read ahead")
        self._wanted: _Wanted = {}
        self._wanted_later: _Wanted = {}  # by those who wait, whom others need not wait for
        self._reading_since: float | None = None

    async def run(self, work: Callable[[], _ResultT], *, waits: bool = False) -> _ResultT:
        """Return what `work` returns; it is called again until it lacks no row.

        Raise StoreBusy when it has to run in a thread, and StoreUnavailable. `waits`: also while reads take long, as
        after the death of a node, when a thousand tasks ask at once and threads for all of them would take longer.
        """
        rows: dict[WantedRow, _Row] = {}
        while len(rows) < ROUNDS_MAX:
            here = _rows_here.set(rows)
            try:
                return work()
            except RowWanted as missing:
                wanted = missing.wanted
            finally:
                _rows_here.reset(here)
            rows[wanted] = await self._row(wanted, waits=waits)
        raise StoreBusy("this needs too many reads; a thread makes them")

    def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _row(self, wanted: WantedRow, *, waits: bool) -> _Row:
        loop = asyncio.get_running_loop()
        since = self._reading_since
        if not waits and since is not None and loop.time() - since > SLOW_SECONDS:
            raise StoreBusy("reads take long just now")
        coming: Future[_Row] = loop.create_future()
        (self._wanted_later if waits else self._wanted).setdefault(wanted, []).append(coming)
        if since is None:
            self._reading_since = loop.time()
            loop.call_soon(self._begin, loop)  # after all that is ready to run has said what it wants
        return await coming

    def _begin(self, loop: AbstractEventLoop) -> None:
        wanted = self._next()
        self._reading_since = loop.time()
        try:
            self._thread.submit(self._read, loop, wanted)
        except RuntimeError:  # closed
            self._give(loop, wanted, StoreUnavailable("the store is closed; open it again"))
        except Unavailable as error:  # no thread
            self._give(loop, wanted, StoreUnavailable(str(error)))

    def _next(self) -> _Wanted:
        """Take what is read next, not more than comes soon: all of it that cannot wait, before what can."""
        together: _Wanted = {}
        for waiting in (self._wanted, self._wanted_later):
            for wanted in list(islice(waiting, TOGETHER_MAX - len(together))):
                together.setdefault(wanted, []).extend(waiting.pop(wanted))
        return together

    def _read(self, loop: AbstractEventLoop, wanted: _Wanted) -> None:
        try:
            found = self._read_together(list(wanted))
        except Exception as error:  # each of those who wait is told, on the loop
            loop.call_soon_threadsafe(self._give, loop, wanted, error)
        else:
            loop.call_soon_threadsafe(self._give, loop, wanted, found)

    def _give(self, loop: AbstractEventLoop, wanted: _Wanted, found: Sequence[_Row] | Exception) -> None:
        if self._wanted or self._wanted_later:
            self._begin(loop)
        else:
            self._reading_since = None
        for place, waiting in enumerate(wanted.values()):
            for coming in waiting:
                if coming.done():  # nobody waits any more
                    continue
                if not isinstance(found, Exception):
                    coming.set_result(found[place])
                elif isinstance(found, StoreUnavailable):
                    coming.set_exception(StoreUnavailable(str(found)))
                else:
                    coming.set_exception(StoreBusy("reading went wrong; a thread does it once more"))
