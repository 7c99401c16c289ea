"""PutMedia: media in while acknowledgements go out, on one request.

One task reads the body and one sends what there is to say; fragments are appended in order, several at a time, and
PERSISTED follows when each is durable.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, require
from earwitness.api.streams import MISSING, stream_named
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
from earwitness.errors import BadRequest, EarwitnessError, FragmentLogUnavailable, Gone
from earwitness.fragments.interface import TAGS_BYTES_MAX
from earwitness.fragments.stream import FragmentStream
from earwitness.media.streams import ConnectionRate, MediaLimits
from earwitness.metrics.reported import MediaMetrics
from earwitness.server.aws import SendChunk
from earwitness.store.records import KinesisStream
from earwitness.traces.traces import Traces
from earwitness.wire.scalars import Params
from earwitness.wire.timestamps import EPOCH

LINGER_SECONDS_MAX, LINGER_SILENCE_SECONDS = 1.0, 0.2
"""How long a refused producer may go on sending, which nobody reads. A connection that is closed while bytes come is
reset, and a reset takes our last words from the producer: why it is refused."""

APPENDING_BYTES_MAX = 64 * 1024 * 1024
"""When one producer has so much waiting for the disk, its body is not read on."""

UNCONFIRMED_MAX = 1_024
"""The same for fragments that are on the disk, and for which it is not certain that this node still serves."""

METRICS_DOOR = "put_media"
"""What metrics call this way in."""

_log = logging.getLogger("earwitness.put_media")


async def open_put_media(context: ApiContext, caller: Caller, params: Params) -> "PutMediaSession":
    """Return the session of a request that passed its checks.

    Raise NotFound without such a stream; LimitExceeded when another producer is connected, Throttled when too many have
    called; BadRequest for headers that do not go together.
    """
    streams, name, start_ms = context.streams, stream_named(params), _start_ms(params)
    found = await context.run_in_thread(lambda: context.store.streams.get(caller.scope, name))
    stream = require(found, MISSING)
    streams.rates.call("PutMedia", stream.arn)
    taken = ExitStack()
    taken.enter_context(streams.producing(stream))
    try:
        log = await streams.open_to_write(caller.scope, stream)
    except BaseException:
        taken.close()
        raise
    return PutMediaSession(
        stream=stream,
        log=log,
        start_ms=start_ms,
        limits=streams.limits,
        pace=streams.rates.producer(stream.arn),
        monotonic=context.monotonic,
        is_draining=context.is_draining,
        heard=lambda: context.heard_from(stream.arn),
        metrics=streams.metrics,
        traces=streams.traces,
        may_say_persisted=context.may_say_persisted,
        release=taken.close,
    )


def _start_ms(params: Params) -> int:
    """Return what to add to a timecode for the producer's time. Raise BadRequest for RELATIVE without a start."""
    if params["FragmentTimecodeType"] == "ABSOLUTE":
        return 0
    start: str | None = params.get("ProducerStartTimestamp")
    if start is None:
        raise BadRequest("ProducerStartTimestamp: is missing; relative timecodes count from it")
    return round(float(start) * 1_000)


@dataclass(frozen=True, kw_only=True)
class FragmentComplete:
    """A fragment can be kept, with the tags that came in time. It follows the fragment's FragmentReceived."""

    fragment: FragmentReceived
    #: Tags elements, one after the other.
    tags: bytes


class TagGatherer:
    """Puts fragments and the tags behind them together before they are kept. It takes events and returns events.

    A live reader gets a fragment when it is kept, so tags that are kept later come too late: a new call could begin
    without its reader's knowing. A fragment waits for as many Tags elements as the fragment before it had; the first
    one never waits. Anything but tags ends the wait. So a producer that stops sending tags delays one fragment, until
    the next begins.
    """

    def __init__(self) -> None:
        self._waiting: FragmentReceived | None = None
        self._tags = b""
        # Tags elements of the fragment before the latest, and of the latest.
        self._usual, self._count = 0, 0

    def gather(self, events: Sequence[MatroskaEvent]) -> list[MatroskaEvent | FragmentComplete]:
        """Return the events of a reader, with a FragmentComplete for each FragmentReceived, at once or later.

        Tags that are part of a FragmentComplete are left out; those that come too late are not.
        """
        gathered: list[MatroskaEvent | FragmentComplete] = []
        for event in events:
            if isinstance(event, TagsReceived):
                self._count += 1
                if self._joins(event):
                    continue
            gathered += self.release()
            gathered.append(event)
            if isinstance(event, FragmentReceived):
                self._waiting, self._usual, self._count = event, self._count, 0
        if self._count >= self._usual:
            gathered += self.release()
        return gathered

    def release(self) -> list[MatroskaEvent | FragmentComplete]:
        """Return the fragment that waits, if one does."""
        fragment, tags, self._waiting, self._tags = self._waiting, self._tags, None, b""
        return [] if fragment is None else [FragmentComplete(fragment=fragment, tags=tags)]

    def _joins(self, event: TagsReceived) -> bool:
        """Add tags to the fragment that waits; False when none does or they are too many."""
        own = event.tags.raw if event.tags.own else b""  # the mark at a fragment's end is not kept
        if self._waiting is None or len(self._tags) + len(own) > TAGS_BYTES_MAX:
            return False
        self._tags += own
        return True


@dataclass(slots=True)
class _Appending:
    """A fragment on its way to the disk; tags that came too late have no number."""

    number: str
    timecode_ms: int
    size: int
    task: "asyncio.Task[None]"


class PutMediaSession:
    """One producer's request, after its checks.

    Each acknowledgement is an HTTP chunk of its own: one of AWS's producers parses the first chunk as one object.
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
        may_say_persisted: Callable[[], Awaitable[None]],
        release: Callable[[], None],
        metrics: MediaMetrics | None = None,
        traces: Traces | None = None,
    ) -> None:
        """`heard` is called for each fragment that comes, `release` lets the next producer in. `may_say_persisted`
        returns when it is certain that this node still serves."""
        self._stream = stream
        self._log = log
        self._start_ms = start_ms
        self._limits = limits
        self._pace = pace
        self._monotonic = monotonic
        self._is_draining = is_draining
        self._heard = heard
        self._may_say_persisted = may_say_persisted
        self._metrics = metrics or MediaMetrics()
        self._traces = traces or Traces()
        self.close = release
        self._reader = PutMediaReader()
        self._gatherer = TagGatherer()
        self._header = b""
        # Number and timecode of the latest fragment that was given a number.
        self._number = ""
        self._timecode_ms: int | None = None
        # While a part of the body is awaited: a fragment that fails meanwhile ends the wait.
        self._waiting: asyncio.Timeout | None = None
        self._appending: asyncio.Queue[_Appending | None] = asyncio.Queue(UNCONFIRMED_MAX)
        self._appending_bytes = 0
        self._has_appended = asyncio.Event()
        self._failed: MediaFault | None = None
        # Whether the producer has hung up: nobody reads the answer, and what it sent before is not waited for.
        self._gone = False

    async def run(self, receive: Receive, send_chunk: SendChunk) -> None:
        """Take media until it ends, is refused, or stops coming."""
        self._send_chunk = send_chunk
        with self._traces.producing(self._stream.arn):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._confirm())
                try:
                    refused = await self._take_all(receive)
                finally:
                    await self._appending.put(None)
        if refused or self._failed:
            await linger(receive)

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
                    await self._send(_ack("IDLE"))
                continue
            if message["type"] == "http.disconnect":
                await self._take(self._gatherer.release())
                return False
            more = message.get("more_body", False)
            body: bytes = message.get("body", b"")
            self._metrics.received(METRICS_DOOR, len(body))
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
                await self._refuse(MediaFault.MAX_CONNECTION_DURATION_REACHED, None, "")
                return True
        return True

    async def _next_message(self, receive: Receive) -> Message | None:
        """Return the next part of the body; None when none came for a while, or a fragment failed meanwhile."""
        try:
            async with asyncio.timeout(self._limits.idle_ack_seconds) as self._waiting:
                return await receive()
        except TimeoutError:
            return None
        finally:
            self._waiting = None

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
                    await self._acknowledge("RECEIVED", event.timecode_ms, self._number)
                case FragmentComplete():
                    await self._append(event.fragment, tags=event.tags)
                    if self._is_draining():
                        return False
                case TagsReceived():
                    if event.tags.own and self._number:  # too late to be kept with their fragment
                        append = self._log.append_tags(self._number, event.tags.raw)
                        await self._appending.put(_Appending("", 0, 0, asyncio.create_task(append)))
                case StreamRefused():
                    self._metrics.refused()
                    _log.info("a fragment was refused", extra={"fault": event.fault.name, "reason": event.reason})
                    number = self._number if event.timecode_ms == self._timecode_ms else ""
                    await self._refuse(event.fault, event.timecode_ms, number)
                    if event.fault.ends_session:
                        return False
        return True

    async def _begin(self, timecode_ms: int) -> bool:
        """Give a fragment its number, in its turn; False when the stream takes none, or its time has no date."""
        if self._start_ms + timecode_ms > TIMESTAMP_MS_MAX:
            await self._refuse(MediaFault.INVALID_PRODUCER_TIMESTAMP, timecode_ms, "")
            return False
        await self._pace.keep(fragments=1, until=self._is_over)
        try:
            number = (await self._log.reserve()).number
        except EarwitnessError as error:
            await self._fail(error, timecode_ms=timecode_ms, number="")
            return False
        self._number, self._timecode_ms = number, timecode_ms
        await self._acknowledge("BUFFERING", timecode_ms, number)
        return True

    async def _append(self, event: FragmentReceived, *, tags: bytes) -> None:
        """Begin to append a fragment; wait first when too much is on its way."""
        size = len(self._header) + len(event.cluster) + len(tags)
        while self._appending_bytes and self._appending_bytes + size > APPENDING_BYTES_MAX:
            self._has_appended.clear()
            await self._has_appended.wait()
        self._appending_bytes += size
        append = self._log.append(
            self._number,
            producer_timestamp=EPOCH + timedelta(milliseconds=self._start_ms + event.timecode_ms),
            duration_ms=event.duration_ms,
            header=self._header,
            cluster=event.cluster,
            tags=tags,
        )
        await self._appending.put(_Appending(self._number, event.timecode_ms, size, asyncio.create_task(append)))

    async def _confirm(self) -> None:
        """Send for each fragment, in order, that it is durable; for the first that is not, what happened."""
        while (appending := await self._appending.get()) is not None:
            try:
                await appending.task
                self._settle(appending)
                if appending.number and self._stream.retention_hours and not self._failed:
                    await self._may_say_persisted()
                    await self._acknowledge("PERSISTED", appending.timecode_ms, appending.number)
            except EarwitnessError as error:
                await self._fail(error, timecode_ms=appending.timecode_ms, number=appending.number)
            finally:
                self._settle(appending)

    def _settle(self, appending: _Appending) -> None:
        """Count a fragment's bytes no longer, which are on the disk, or given up."""
        self._appending_bytes -= appending.size
        appending.size = 0
        self._has_appended.set()

    async def _fail(self, error: EarwitnessError, *, timecode_ms: int, number: str) -> None:
        """Send that a fragment is not kept, and end the session; once."""
        if self._failed:
            return
        self._failed = _fault_of(error)
        if self._failed is not MediaFault.STREAM_NOT_ACTIVE:
            _log.error("a fragment could not be kept", extra={"error": type(error).__name__, "reason": str(error)})
        await self._refuse(self._failed, timecode_ms, number)
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def _acknowledge(self, event_type: str, timecode_ms: int, number: str) -> None:
        await self._send(_ack(event_type, FragmentTimecode=timecode_ms, FragmentNumber=number))

    async def _refuse(self, fault: MediaFault, timecode_ms: int | None, number: str) -> None:
        # A timecode that is not known is left out: AWS's C producer reads an unsigned number, and -1 breaks its parser.
        timecode = {} if timecode_ms is None else {"FragmentTimecode": timecode_ms}
        ids = {"ErrorId": fault.error_id, "ErrorCode": fault.error_code}
        await self._send(_ack("ERROR", **timecode, FragmentNumber=number, **ids))

    async def _send(self, ack: bytes) -> None:
        """Send an acknowledgement, if anybody is there to read it."""
        try:
            await self._send_chunk(ack)
        except ClientDisconnect:
            self._gone = True

    def _is_over(self) -> bool:
        """Return whether there is nothing left to hold a producer back for."""
        return self._failed is not None or self._gone or self._is_draining()


def _ack(event_type: str, **members: str | int) -> bytes:
    """Return an acknowledgement as it travels: one flat JSON object a line, as real captures show them."""
    return json.dumps({"EventType": event_type, **members}, separators=(",", ":")).encode("ascii") + b"\n"


def _fault_of(error: EarwitnessError) -> MediaFault:
    if isinstance(error, Gone):
        return MediaFault.STREAM_NOT_ACTIVE
    return MediaFault.ARCHIVAL_ERROR if isinstance(error, FragmentLogUnavailable) else MediaFault.INTERNAL_ERROR


async def linger(receive: Receive) -> None:
    """Throw away what a refused producer is sending, until it stops."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS_MAX):
            while True:
                async with asyncio.timeout(LINGER_SILENCE_SECONDS):
                    message = await receive()
                if not message.get("more_body", False):
                    return
