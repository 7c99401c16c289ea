"""PutMedia: media in while acknowledgements go out, on one request.

A raw ASGI application, because the answer begins before the request has ended. One task reads the body and one sends
what there is to say; fragments are appended in order, several at a time, and PERSISTED follows when each is durable.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.types import Message, Receive

from earwitness.api import acks
from earwitness.api.calls import caller_of
from earwitness.api.media_streams import Look, MediaLimits, MediaStreams
from earwitness.api.stream_names import found, named
from earwitness.audio.matroska.events import (
    Event,
    FragmentReceived,
    FragmentStarted,
    HeaderReceived,
    Refused,
    TagsReceived,
)
from earwitness.audio.matroska.faults import MediaFault
from earwitness.audio.matroska.reader import FragmentReader
from earwitness.errors import BadRequest, EarwitnessError, FragmentLogUnavailable, Gone
from earwitness.fragments.seam import FragmentStream
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store
from earwitness.wire.exchange import Exchange
from earwitness.wire.scalars import Params

IDLE_ACK_SECONDS = 5.0
"""How often a producer that sends nothing hears that its session is open."""

APPENDS_AT_ONCE_MAX = 32
APPENDING_BYTES_MAX = 64 * 1024 * 1024
"""Of one producer; when so much waits for the disk, its body is not read on."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Say = Callable[[bytes], Awaitable[None]]
"""Sends bytes as one HTTP chunk."""

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
        monotonic: Callable[[], float],
        is_draining: Callable[[], bool],
        heard: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._log = log
        self._start_ms = start_ms
        self._limits = limits
        self._monotonic = monotonic
        self._is_draining = is_draining
        self._heard = heard
        self._release = release
        self._reader = FragmentReader()
        self._header = b""
        self._number = ""
        self._appending: asyncio.Queue[_Appending | None] = asyncio.Queue(APPENDS_AT_ONCE_MAX)
        self._appending_bytes = 0
        self._room = asyncio.Event()
        self._failed: MediaFault | None = None

    def close(self) -> None:
        """Let the next producer in."""
        self._release()

    async def run(self, receive: Receive, say: Say) -> None:
        """Take media until it ends, is refused, or stops coming."""
        self._say = say
        async with asyncio.TaskGroup() as group:
            group.create_task(self._confirm())
            try:
                await self._take_all(receive)
            finally:
                await self._appending.put(None)

    async def _take_all(self, receive: Receive) -> None:
        opened = heard = self._monotonic()
        while not self._failed:
            message = await _next_message(receive)
            now = self._monotonic()
            if message is None:
                if now - heard >= self._limits.idle_seconds or self._is_draining():
                    return
                await self._say(acks.idle())
                continue
            if message["type"] == "http.disconnect":
                return
            heard = now
            more = message.get("more_body", False)
            events = self._reader.feed(message.get("body", b""))
            if not await self._take(events if more else [*events, *self._reader.close()]) or not more:
                return
            if now - opened >= self._limits.connection_seconds:
                await self._refuse(MediaFault.MAX_CONNECTION_DURATION_REACHED)
                return
        await self._refuse(self._failed)

    async def _take(self, events: list[Event]) -> bool:
        """Do what the events say; False when the session is over."""
        for event in events:
            match event:
                case HeaderReceived():
                    self._header = event.header.raw
                case FragmentStarted():
                    self._number = (await self._log.reserve()).number
                    await self._say(acks.buffering(event.timecode_ms, self._number))
                case FragmentReceived():
                    self._heard()
                    await self._say(acks.received(event.timecode_ms, self._number))
                    await self._append(event)
                case TagsReceived():
                    if event.tags.own and self._number:
                        await self._append_tags(event.tags.raw)
                case Refused():
                    _log.info("a fragment was refused", extra={"fault": event.fault.name, "reason": event.reason})
                    await self._say(acks.refused(event.fault, event.timecode_ms, self._number))
                    if event.fault.ends_session:
                        return False
        return True

    async def _append(self, event: FragmentReceived) -> None:
        """Begin to append a fragment; wait first when too much is on its way."""
        size = len(self._header) + len(event.cluster)
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
        )
        await self._appending.put(
            _Appending(self._number, event.timecode_ms, size, asyncio.get_running_loop().create_task(append))
        )

    async def _append_tags(self, raw: bytes) -> None:
        """Tags come after their fragment, and are kept after it."""
        append = self._log.append_tags(self._number, raw)
        await self._appending.put(_Appending("", 0, 0, asyncio.get_running_loop().create_task(append)))

    async def _confirm(self) -> None:
        """Say of each fragment, in order, that it is durable."""
        while (appending := await self._appending.get()) is not None:
            try:
                await appending.task
                if appending.number and self._stream.retention_hours:
                    await self._say(acks.persisted(appending.timecode_ms, appending.number))
            except Gone:
                self._failed = MediaFault.STREAM_NOT_ACTIVE
            except FragmentLogUnavailable as error:
                self._failed = MediaFault.ARCHIVAL_ERROR
                _log.error("a fragment could not be kept", extra={"reason": str(error)})
            except EarwitnessError as error:
                self._failed = MediaFault.INTERNAL_ERROR
                _log.error("a fragment could not be kept", extra={"error": type(error).__name__})
            finally:
                self._appending_bytes -= appending.size
                self._room.set()

    async def _refuse(self, fault: MediaFault) -> None:
        await self._say(acks.refused(fault, None, self._number))


class PutMedia:
    """Opens producers' sessions."""

    def __init__(
        self,
        store: Store,
        streams: MediaStreams,
        *,
        look: Look,
        monotonic: Callable[[], float],
        is_draining: Callable[[], bool],
        heard_from: Callable[[str], None],
    ) -> None:
        """`look` runs a read of the records where it hurts nobody; `is_draining` tells that the service is stopping;
        `heard_from` is called with a stream's ARN for each of its fragments."""
        self._heard_from = heard_from
        self._store = store
        self._streams = streams
        self._look = look
        self._monotonic = monotonic
        self._is_draining = is_draining

    async def open(self, exchange: Exchange) -> PutMediaSession:
        """The session of a request that passed its checks. NotFound without such a stream; LimitExceeded when another
        producer is connected; BadRequest for headers that do not go together."""
        scope, name = caller_of(exchange).scope, named(exchange.params)
        start_ms = _start_ms(exchange.params)
        stream = found(await self._look(lambda: self._store.streams.get(scope, name)))
        taken = ExitStack()
        taken.enter_context(self._streams.producing(stream))
        try:
            log = await self._streams.open(scope, stream)
        except BaseException:
            taken.close()
            raise
        return PutMediaSession(
            stream=stream,
            log=log,
            start_ms=start_ms,
            limits=self._streams.limits,
            monotonic=self._monotonic,
            is_draining=self._is_draining,
            heard=lambda: self._heard_from(stream.arn),
            release=taken.close,
        )


async def _next_message(receive: Receive) -> Message | None:
    """The next part of the body; None when none came for a while."""
    try:
        return await asyncio.wait_for(receive(), IDLE_ACK_SECONDS)
    except TimeoutError:
        return None


def _start_ms(params: Params) -> int:
    """What is added to a timecode for the producer's time, in milliseconds. BadRequest for RELATIVE without a start."""
    if params["FragmentTimecodeType"] == "ABSOLUTE":
        return 0
    start: str | None = params.get("ProducerStartTimestamp")
    if start is None:
        raise BadRequest("ProducerStartTimestamp: is missing; relative timecodes count from it")
    return round(float(start) * 1_000)
