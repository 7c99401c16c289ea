"""A producer's session: media in while acknowledgements go out, on one request.

One task reads the body and one sends what there is to say; fragments are appended in order, several at a time, and
PERSISTED follows when each is durable. What must never be here: who may send, and to which stream.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from earwitness.api import acks
from earwitness.api.tag_gatherer import FragmentComplete, TagGatherer
from earwitness.audio.matroska.events import (
    FragmentReceived,
    FragmentStarted,
    HeaderReceived,
    MatroskaEvent,
    MediaFault,
    StreamRefused,
    TagsReceived,
)
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.reader import TIMESTAMP_MS_MAX
from earwitness.errors import EarwitnessError, FragmentLogUnavailable, Gone
from earwitness.fragments.stream import FragmentStream
from earwitness.media.streams import ConnectionRate, MediaLimits
from earwitness.store.records import KinesisStream

LINGER_SECONDS_MAX, LINGER_SILENCE_SECONDS = 1.0, 0.2
"""How long a refused producer may go on sending, unheard. A connection that is closed while bytes come is reset, and a
reset takes what we said last from the producer: why it is refused."""

APPENDS_AT_ONCE_MAX = 32
APPENDING_BYTES_MAX = 64 * 1024 * 1024
"""Of one producer; when so much waits for the disk, its body is not read on."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Say = Callable[[bytes], Awaitable[None]]
"""Sends bytes as one HTTP chunk. Raises ClientDisconnect when nobody is there to read them."""

_log = logging.getLogger("earwitness.put_media")


@dataclass(slots=True)
class _Appending:
    """A fragment on its way to the disk."""

    number: str
    timecode_ms: int
    size: int
    task: "asyncio.Task[None]"


class PutMediaSession:
    """One producer's request, after its checks.

    Each acknowledgement is said alone, as an HTTP chunk: one of AWS's producers parses the first chunk as one object.
    """

    content_type = "application/json"

    def __init__(
        self,
        *,
        stream: KinesisStream,
        log: FragmentStream,
        start_ms: int,
        limits: MediaLimits,
        pace: ConnectionRate,
        monotonic: Callable[[], float],
        is_draining: Callable[[], bool],
        heard: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._log = log
        self._start_ms = start_ms
        self._limits = limits
        self._pace = pace
        self._monotonic = monotonic
        self._is_draining = is_draining
        self._heard = heard
        self._release = release
        self._reader = PutMediaReader()
        self._gatherer = TagGatherer()
        self._header = b""
        self._number = ""
        self._timecode_ms: int | None = None
        """Of the latest fragment that was given a number."""

        self._patience: asyncio.Timeout | None = None
        """While a part of the body is awaited."""

        self._appending: asyncio.Queue[_Appending | None] = asyncio.Queue(APPENDS_AT_ONCE_MAX)
        self._appending_bytes = 0
        self._room = asyncio.Event()
        self._failed: MediaFault | None = None
        self._gone = False
        """The producer has hung up: nobody hears what is said, and what it sent before is not waited for."""

    def close(self) -> None:
        """Let the next producer in."""
        self._release()

    async def run(self, receive: Receive, say: Say) -> None:
        """Take media until it ends, is refused, or stops coming."""
        self._say = say
        async with asyncio.TaskGroup() as group:
            group.create_task(self._confirm())
            try:
                refused = await self._take_all(receive)
            finally:
                await self._appending.put(None)
        if refused or self._failed:
            await _linger(receive)

    async def _take_all(self, receive: Receive) -> bool:
        """Take what comes; True when the rest is not wanted."""
        opened = heard = self._monotonic()
        while not self._failed:
            message = await self._next_message(receive)
            if message is None:
                await self._take(self._gatherer.release())
                if self._monotonic() - heard >= self._limits.idle_seconds or self._is_draining():
                    return False
                if not self._failed:
                    await self._tell(acks.idle())
                continue
            if message["type"] == "http.disconnect":
                await self._take(self._gatherer.release())
                return False
            more = message.get("more_body", False)
            body: bytes = message.get("body", b"")
            events = self._gatherer.gather(self._reader.feed(body))
            if not more:
                events += [*self._gatherer.gather(self._reader.close()), *self._gatherer.release()]
            if not await self._take(events):
                return more
            if not more:
                return False
            await self._pace.keep(size=len(body), until=self._is_over)
            heard = self._monotonic()  # not before: who is held back is not silent
            if heard - opened >= self._limits.connection_seconds:
                await self._take(self._gatherer.release())
                await self._tell(acks.refused(MediaFault.MAX_CONNECTION_DURATION_REACHED, None, ""))
                return True
        return True

    async def _tell(self, ack: bytes) -> None:
        """Say something, if anybody is there to hear it."""
        try:
            await self._say(ack)
        except ClientDisconnect:
            self._gone = True

    def _is_over(self) -> bool:
        """Whether there is nothing left to hold a producer back for."""
        return self._failed is not None or self._gone or self._is_draining()

    async def _next_message(self, receive: Receive) -> Message | None:
        """The next part of the body; None when none came for a while, or a fragment failed meanwhile."""
        try:
            async with asyncio.timeout(self._limits.idle_ack_seconds) as self._patience:
                return await receive()
        except TimeoutError:
            return None
        finally:
            self._patience = None

    async def _take(self, events: Sequence[MatroskaEvent | FragmentComplete]) -> bool:
        """Do what the events say; False when the session is over."""
        for event in events:
            if self._gone:
                return False
            match event:
                case HeaderReceived():
                    self._header = event.header.raw
                case FragmentStarted():
                    if not await self._begin(event.timecode_ms):
                        return False
                case FragmentReceived():
                    self._heard()
                    await self._tell(acks.received(event.timecode_ms, self._number))
                case FragmentComplete():
                    await self._append(event.fragment, tags=event.tags)
                    if self._is_draining():
                        return False
                case TagsReceived():
                    if event.tags.own and self._number:
                        await self._append_tags(event.tags.raw)
                case StreamRefused():
                    _log.info("a fragment was refused", extra={"fault": event.fault.name, "reason": event.reason})
                    number = self._number if event.timecode_ms == self._timecode_ms else ""
                    await self._tell(acks.refused(event.fault, event.timecode_ms, number))
                    if event.fault.ends_session:
                        return False
        return True

    async def _begin(self, timecode_ms: int) -> bool:
        """Give a fragment its number, when its turn has come; False when the stream takes none, or it is of no date."""
        if self._start_ms + timecode_ms > TIMESTAMP_MS_MAX:
            await self._tell(acks.refused(MediaFault.INVALID_PRODUCER_TIMESTAMP, timecode_ms, ""))
            return False
        await self._pace.keep(fragments=1, until=self._is_over)
        try:
            number = (await self._log.reserve()).number
        except EarwitnessError as error:
            await self._fail(error, timecode_ms=timecode_ms, number="")
            return False
        self._number, self._timecode_ms = number, timecode_ms
        await self._tell(acks.buffering(timecode_ms, number))
        return True

    async def _append(self, event: FragmentReceived, *, tags: bytes) -> None:
        """Begin to append a fragment; wait first when too much is on its way."""
        size = len(self._header) + len(event.cluster) + len(tags)
        while self._appending_bytes and self._appending_bytes + size > APPENDING_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        self._appending_bytes += size
        recorded = _EPOCH + timedelta(milliseconds=self._start_ms + event.timecode_ms)
        append = self._log.append(
            self._number,
            producer_timestamp=recorded,
            duration_ms=event.duration_ms,
            header=self._header,
            cluster=event.cluster,
            tags=tags,
        )
        await self._appending.put(
            _Appending(self._number, event.timecode_ms, size, asyncio.get_running_loop().create_task(append))
        )

    async def _append_tags(self, raw: bytes) -> None:
        """Keep tags that came too late to be kept with their fragment."""
        append = self._log.append_tags(self._number, raw)
        await self._appending.put(_Appending("", 0, 0, asyncio.get_running_loop().create_task(append)))

    async def _confirm(self) -> None:
        """Say of each fragment, in order, that it is durable; of the first that is not, what happened."""
        while (appending := await self._appending.get()) is not None:
            try:
                await appending.task
                if appending.number and self._stream.retention_hours and not self._failed:
                    await self._tell(acks.persisted(appending.timecode_ms, appending.number))
            except EarwitnessError as error:
                await self._fail(error, timecode_ms=appending.timecode_ms, number=appending.number)
            finally:
                self._appending_bytes -= appending.size
                self._room.set()

    async def _fail(self, error: EarwitnessError, *, timecode_ms: int, number: str) -> None:
        """Say that a fragment is not kept, and have the session end; once."""
        if self._failed:
            return
        self._failed = _fault_of(error)
        if self._failed is not MediaFault.STREAM_NOT_ACTIVE:
            _log.error("a fragment could not be kept", extra={"error": type(error).__name__, "reason": str(error)})
        await self._tell(acks.refused(self._failed, timecode_ms, number))
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())


def _fault_of(error: EarwitnessError) -> MediaFault:
    if isinstance(error, Gone):
        return MediaFault.STREAM_NOT_ACTIVE
    return MediaFault.ARCHIVAL_ERROR if isinstance(error, FragmentLogUnavailable) else MediaFault.INTERNAL_ERROR


async def _linger(receive: Receive) -> None:
    """Throw away what a refused producer is sending, until it stops."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS_MAX):
            while True:
                async with asyncio.timeout(LINGER_SILENCE_SECONDS):
                    message = await receive()
                if not message.get("more_body", False):
                    return
