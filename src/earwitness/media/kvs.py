"""Streams of AWS's Kinesis Video Streams: connection after connection of GetMedia, made into one row of fragments."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from earwitness.audio.matroska.get_media import ConsumedFragment, ConsumerEvent, ServiceFailed
from earwitness.errors import SourceUnavailable
from earwitness.media.cursor import LIVE_EDGE, ReadCursor
from earwitness.media.get_media import GetMediaConnection, KinesisVideoStream, Selector
from earwitness.media.kvs_errors import failure_of
from earwitness.media.source import StartPosition, StreamFragment

ResultT = TypeVar("ResultT")

_FRAGMENT_NOT_FOUND = 4000

_log = logging.getLogger("earwitness.media.kvs")


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
        """As the seam says; SourceRefused when AWS does not let us.

        No more is read than is asked for: a slow follower makes TCP, and so AWS, wait.
        """
        place, failures = ReadCursor(start), 0
        while True:
            taken = 0
            try:
                async with aclosing(self._connection(place)) as fragments:
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
                self._tell("a stream broke off and is connected again", reason=str(error), failures=failures)
            await asyncio.sleep(wait_seconds)

    async def _connection(self, place: ReadCursor) -> AsyncGenerator[StreamFragment]:
        """What one connection brings that is new."""
        selector = place.selector()
        if not await self._keeps():
            selector = LIVE_EDGE
            if place.is_numbered:
                place.miss()
                self._tell("a stream keeps no media and is read from its live edge on; what came meanwhile is missed")
        connection = await self._connect(selector)
        if connection is None:
            self._lose(place)
            return
        try:
            while (events := await self._run_in_thread(connection.read)) is not None:
                for event in events:
                    fragment = self._taken(event, place)
                    if fragment is not None:
                        yield fragment
        finally:
            connection.interrupt()  # at once, and not behind those that wait for a thread
            self._threads.submit(connection.close)

    def _taken(self, event: ConsumerEvent, place: ReadCursor) -> StreamFragment | None:
        if isinstance(event, ConsumedFragment):
            new = place.take(event.number, event.server_timestamp)
            return _fragment(event, after_gap=place.take_missed()) if new else None
        if isinstance(event, ServiceFailed):
            if event.error_id != _FRAGMENT_NOT_FOUND:
                raise failure_of(error_id=event.error_id)
            self._lose(place)
        elif event.fault.ends_session:
            raise SourceUnavailable(f"what comes is no stream of GetMedia: {event.reason}")
        else:
            place.miss()
            self._tell("a fragment of a stream cannot be read and is left out", reason=event.reason)
        return None

    async def _connect(self, selector: Selector) -> GetMediaConnection | None:
        opening = self._threads.submit(lambda: self._stream.connect(selector))
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise

    async def _keeps(self) -> bool:
        """Whether one can go on where one was."""
        if self._keeps_media is None:
            self._keeps_media = await self._run_in_thread(self._stream.retention_hours) > 0
        return self._keeps_media

    def _lose(self, place: ReadCursor) -> None:
        place.lose()
        start = place.selector()["StartSelectorType"]
        self._tell("a stream no longer has what was to come next; something may be missed", goes_on_at=start)

    def _tell(self, text: str, **context: object) -> None:
        _log.warning(text, extra={"stream_arn": self._stream.arn, **context})

    async def _run_in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _close_opened(opening: "Future[GetMediaConnection | None]") -> None:
    """A connection that was made when nobody wanted it any more."""
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
