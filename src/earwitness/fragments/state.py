"""What the parts of an open stream share, and how they tell each other that something came or that it is over.

What belongs here: the index with its waiters, fetching what it points to. What must never: rules of a stream.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from earwitness.errors import FragmentLogUnavailable, Gone
from earwitness.fragments.appender import GONE, Appender
from earwitness.fragments.index import Located, StreamIndex
from earwitness.fragments.interface import Fragment, KeySource, StreamIdentity
from earwitness.fragments.lanes import Lane, translated
from earwitness.fragments.names import path_text, segment_path
from earwitness.fragments.reading import Whereabouts, read_fragment
from earwitness.fragments.retention import Retention
from earwitness.fragments.room import Room

_log = logging.getLogger("earwitness.fragments")


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """What all streams of a log share."""

    clock: Callable[[], datetime]
    random_bits: Callable[[int], int]
    room: Room
    readers: Executor


@dataclass(kw_only=True, slots=True, eq=False)
class StreamState:
    """An open stream. Event loop only."""

    identity: StreamIdentity
    folder: Path
    key: KeySource
    retention: Retention
    lane: Lane
    appender: Appender
    index: StreamIndex
    workshop: Workshop

    damaged: set[int] = field(default_factory=set[int])
    """Sequences that were found not to open; each is logged once."""

    closed: bool = False
    deleted: bool = False
    _waiting: "set[asyncio.Future[None]]" = field(default_factory=set["asyncio.Future[None]"])

    def require_open(self) -> None:
        """Nothing, as long as the stream can be used."""
        if self.deleted:
            raise Gone(GONE)
        if self.closed:
            raise FragmentLogUnavailable("the media log is closing; try again")

    async def news(self) -> None:
        """Wait until something came, or it is over."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def tell(self) -> None:
        """Wake everybody who waits for news."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def fetch(self, located: Located) -> Fragment | None:
        """The fragment; None when it expired meanwhile or is damaged (`damaged` knows)."""
        segment, index, number = located.segment, located.index, located.number
        if number.sequence in self.damaged:
            return None
        where = Whereabouts(
            path=segment_path(self.folder, segment.first_sequence),
            number=number,
            info=segment.info(index),
            records=segment.records(index),
        )
        fragment = await asyncio.get_running_loop().run_in_executor(self.workshop.readers, self._read, where)
        self.require_open()
        if fragment is None and number.sequence > self.index.expired_through:
            self.damaged.add(number.sequence)
            _log.error("a fragment is damaged", extra={"file": path_text(self.folder), "number": str(number)})
        return fragment

    def _read(self, where: Whereabouts) -> Fragment | None:
        key = self.key()
        try:
            return read_fragment(where, key=key, stream=self.identity)
        except OSError as error:
            raise translated(error) from error
