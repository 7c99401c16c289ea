"""Streams of AWS's Kinesis Video Streams: connection after connection of GetMedia, made into one row of fragments."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from earwitness.audio.matroska.get_media import ConsumedFragment, ConsumerEvent, ServiceFailed
from earwitness.errors import SourceUnavailable
from earwitness.media.get_media import GetMediaConnection, KinesisVideoStream, Selector, failure_of
from earwitness.media.source import StartPosition, StreamFragment, whole_milliseconds

ResultT = TypeVar("ResultT")

_FRAGMENT_NOT_FOUND = 4000

_NUMBER_DIGITS_MAX = 128

LIVE_EDGE: Selector = {"StartSelectorType": "NOW"}

_log = logging.getLogger("earwitness.media.kvs")


class ReadCursor:
    """Where a reader of GetMedia is in its stream, and so where its next connection begins."""

    def __init__(self, start: StartPosition) -> None:
        self._after = start.after_number
        self._since: datetime | None = start.since
        self._last = -1 if start.after_number is None else int(start.after_number)
        if start.first_number is not None:
            self._after, self._since = None, start.first_server_time or start.since
            self._last = int(start.first_number) - 1
        self._took_one = False
        self._missed = False
        # the earliest time of the first fragment, where no number says which one that is
        self._earliest = None if self.is_numbered else whole_milliseconds(start.since)

    @property
    def is_numbered(self) -> bool:
        """Return whether it lies behind a fragment, so that something can be missed."""
        return self._last >= 0

    def selector(self) -> Selector:
        """Return where the next connection begins: behind the last fragment, or at a time, or at the live edge."""
        if self._after is not None:
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": self._after}
        if self._since is not None:
            return {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": self._since.astimezone(UTC)}
        return LIVE_EDGE

    def take(self, number: str, server_time: datetime) -> bool:
        """Return whether a fragment is new, and move behind it if so. Raise SourceUnavailable for what is no number."""
        if not (number.isascii() and number.isdecimal() and len(number) <= _NUMBER_DIGITS_MAX):
            raise SourceUnavailable("a fragment comes without a number; look at the endpoint of Kinesis Video Streams")
        if int(number) <= self._last or (self._earliest is not None and server_time < self._earliest):
            return False
        self._after, self._since, self._last, self._earliest = number, server_time, int(number), None
        self._took_one = True
        return True

    def miss(self) -> None:
        """Remember that something before the next fragment is missing."""
        self._missed = True

    def take_missed(self) -> bool:
        """Return whether something is missing before the fragment that was just taken, and forget it."""
        missed, self._missed = self._missed, False
        return missed

    def lose(self) -> None:
        """Leave a position that the stream does not have: go on at its time or, without one, at the live edge.

        What was taken before does not come again.
        """
        self.miss()
        if self._after is None:
            self._since = None
        self._after = None
        if not self._took_one:  # the number was another stream's, and says nothing of this one's
            self._last = -1


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait before connecting again, in seconds."""

    delays: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, *(5.0,) * 15)
    """After one failure, after two in a row, …; after so many it is given up. AWS takes five GetMedia a second and
    stream; a pipeline whose audio stays away ends after 15 s, so this is for who waits without one."""

    idle_seconds: float = 0.5
    """After a connection that brought nothing. AWS ends one some 3 s after the last fragment."""


class KvsSource:
    """One stream at AWS."""

    def __init__(
        self, stream: KinesisVideoStream, *, threads: ThreadPoolExecutor, patience: Patience | None = None
    ) -> None:
        """Each reader takes one of `threads` as long as it reads."""
        self._stream = stream
        self._threads = threads
        self._patience = patience or Patience()
        self._keeps_media: bool | None = None

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """Yield fragments as `Source` says. Raise SourceRefused when AWS does not let us.

        No more is read than is asked for: a slow reader makes TCP, and so AWS, wait.
        """
        cursor, failures = ReadCursor(start), 0
        while True:
            taken = 0
            try:
                async with aclosing(self._connection(cursor)) as fragments:
                    async for fragment in fragments:
                        taken, failures = taken + 1, 0
                        yield fragment
                failures = 0
                wait_seconds = 0.0 if taken else self._patience.idle_seconds
            except SourceUnavailable as error:
                if failures == len(self._patience.delays):
                    raise
                wait_seconds = self._patience.delays[failures]
                failures += 1
                self._warn("a stream broke off and is connected again", reason=str(error), failures=failures)
            await asyncio.sleep(wait_seconds)

    async def _connection(self, cursor: ReadCursor) -> AsyncGenerator[StreamFragment]:
        """Yield what is new of one connection."""
        selector = cursor.selector()
        if not await self._keeps():
            selector = LIVE_EDGE
            if cursor.is_numbered:
                cursor.miss()
                self._warn("a stream keeps no media and is read from its live edge on; what came meanwhile is missed")
        connection = await self._connect(selector)
        if connection is None:
            self._lose(cursor)
            return
        try:
            while (events := await self._run_in_thread(connection.read)) is not None:
                for event in events:
                    fragment = self._taken(event, cursor)
                    if fragment is not None:
                        yield fragment
        finally:
            connection.interrupt()  # at once, and not behind those that wait for a thread
            self._threads.submit(connection.close)

    def _taken(self, event: ConsumerEvent, cursor: ReadCursor) -> StreamFragment | None:
        if isinstance(event, ConsumedFragment):
            new = cursor.take(event.number, event.server_timestamp)
            return _fragment(event, after_gap=cursor.take_missed()) if new else None
        if isinstance(event, ServiceFailed):
            if event.error_id != _FRAGMENT_NOT_FOUND:
                raise failure_of(error_id=event.error_id)
            self._lose(cursor)
        elif event.fault.ends_session:
            raise SourceUnavailable(f"what comes is no stream of GetMedia: {event.reason}")
        else:
            cursor.miss()
            self._warn("a fragment of a stream cannot be read and is left out", reason=event.reason)
        return None

    async def _connect(self, selector: Selector) -> GetMediaConnection | None:
        opening = self._threads.submit(lambda: self._stream.connect(selector))
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise

    async def _keeps(self) -> bool:
        """Return whether the stream keeps media, so that reading can go on where it was."""
        if self._keeps_media is None:
            self._keeps_media = await self._run_in_thread(self._stream.retention_hours) > 0
        return self._keeps_media

    def _lose(self, cursor: ReadCursor) -> None:
        cursor.lose()
        start = cursor.selector()["StartSelectorType"]
        self._warn("a stream no longer has what was to come next; something may be missed", goes_on_at=start)

    def _warn(self, text: str, **context: object) -> None:
        _log.warning(text, extra={"stream_arn": self._stream.arn, **context})

    async def _run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _close_opened(opening: "Future[GetMediaConnection | None]") -> None:
    """Close a connection that was made when nobody wanted it any more."""
    if not opening.cancelled() and opening.exception() is None and (connection := opening.result()) is not None:
        connection.interrupt()
        connection.close()


def _fragment(consumed: ConsumedFragment, *, after_gap: bool) -> StreamFragment:
    return StreamFragment(
        number=consumed.number,
        server_time=consumed.server_timestamp,
        producer_time=consumed.producer_timestamp,
        header=consumed.header.raw,
        cluster=consumed.cluster,
        tags=consumed.tags,
        behind_seconds=max(0, consumed.millis_behind_now or 0) / 1_000,
        after_gap=after_gap,
    )
