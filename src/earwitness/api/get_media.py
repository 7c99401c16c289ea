"""GetMedia, GetMediaForFragmentList and ListFragments: media out, in the layout of real captures."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import NamedTuple

from starlette.types import Receive

from earwitness.api.calls import caller_of
from earwitness.api.stream_names import found, named
from earwitness.audio.matroska.get_media import get_media_chunk, get_media_error
from earwitness.audio.matroska.writer import pcm_track, write_header
from earwitness.errors import BadRequest, EarwitnessError, MatroskaInvalid
from earwitness.fragments.interface import (
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    MissingFragment,
    Now,
    Position,
    ReadResult,
    TimeAxis,
)
from earwitness.fragments.numbers import read_number
from earwitness.fragments.reader import FragmentReader
from earwitness.fragments.stream import FragmentStream
from earwitness.media.streams import ConnectionRate, MediaStreams
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store
from earwitness.threads import RunInThread
from earwitness.wire.exchange import Exchange
from earwitness.wire.scalars import Params

END_SECONDS = 3.0
"""A read ends so long after the last fragment when no producer is connected, as AWS's does."""

FRAGMENTS_PER_CALL_MAX = 1_000


class _Fault(NamedTuple):
    """Why a read ends in the middle; the ids are documented with GetMedia."""

    error_id: int
    error_code: str
    message: str


_NOT_FOUND = _Fault(4000, "FRAGMENT_NOT_FOUND", "the fragment is not kept")
_DAMAGED = _Fault(5000, "INTERNAL_ERROR", "the fragment is damaged and cannot be read")
_BROKEN_OFF = _Fault(3002, "STREAM_READ_ERROR", "the stream was deleted, or its media cannot be read now")

_AXES = {"SERVER_TIMESTAMP": TimeAxis.SERVER, "PRODUCER_TIMESTAMP": TimeAxis.PRODUCER}

Say = Callable[[bytes], Awaitable[None]]
"""Sends bytes as one HTTP chunk."""

_log = logging.getLogger("earwitness.get_media")


class MediaReading:
    """Chunks on their way to a consumer, until there are no more or it has gone."""

    content_type = "video/webm"  # what AWS's server says

    def __init__(self, chunks: AsyncGenerator[bytes], *, release: Callable[[], None]) -> None:
        self._chunks = chunks
        self._release = release

    async def run(self, receive: Receive, say: Say) -> None:
        """Send chunk after chunk; a consumer that hangs up ends it at once."""
        sending = asyncio.ensure_future(self._send_all(say))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
            await self._chunks.aclose()
        if not sending.cancelled() and (error := sending.exception()):
            raise error

    def close(self) -> None:
        """Let the next reader in."""
        self._release()

    async def _send_all(self, say: Say) -> None:
        async for chunk in self._chunks:
            await say(chunk)


class MediaReads:
    """Opens reads, and lists what there is."""

    def __init__(
        self, store: Store, streams: MediaStreams, *, run_in_thread: RunInThread, is_draining: Callable[[], bool]
    ) -> None:
        self._store = store
        self._streams = streams
        self._run_in_thread = run_in_thread
        self._is_draining = is_draining

    async def open_get_media(self, exchange: Exchange) -> MediaReading:
        """GetMedia. NotFound, BadRequest for a position that is none, LimitExceeded for one reader too many, Throttled
        for one call too many."""
        stream, log = await self._open(exchange, "GetMedia")
        reader = await log.read(_position(exchange.params["StartSelector"]))
        chunks = self._follow(stream, reader, self._streams.rates.reader(live=True))
        return self._reading(stream, chunks)

    async def open_fragment_list(self, exchange: Exchange) -> MediaReading:
        """GetMediaForFragmentList, in the order asked for. BadRequest for what no stream can have given out; NotFound,
        LimitExceeded and Throttled as GetMedia."""
        numbers: Sequence[str] = exchange.params["Fragments"]
        stream, log = await self._open(exchange, "GetMediaForFragmentList")
        for number in numbers:
            read_number(number)
        self._streams.rates.fetch(stream.arn, len(numbers))
        return self._reading(stream, self._fetch(log, numbers, self._streams.rates.reader(live=False)))

    async def _open(self, exchange: Exchange, operation: str) -> tuple[KinesisStream, FragmentStream]:
        scope, name = caller_of(exchange).scope, named(exchange.params)
        stream = found(await self._run_in_thread(lambda: self._store.streams.get(scope, name)))
        self._streams.rates.call(operation, stream.arn)
        return stream, await self._streams.open(scope, stream)

    def _reading(self, stream: KinesisStream, chunks: AsyncGenerator[bytes]) -> MediaReading:
        taken = ExitStack()
        taken.enter_context(self._streams.reading(stream))
        return MediaReading(chunks, release=taken.close)

    async def _follow(
        self, stream: KinesisStream, reader: FragmentReader, pace: ConnectionRate
    ) -> AsyncGenerator[bytes]:
        """Chunks, live, until no producer is left and nothing has come for a while."""
        last: Fragment | None = None
        upcoming: asyncio.Future[ReadResult] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(aiter(reader)))
                done, _ = await asyncio.wait({upcoming}, timeout=END_SECONDS)
                if done:
                    delivery, upcoming = upcoming.result(), None
                    last = delivery.fragment
                    if delivery.gap:
                        _tell_gap(stream, last)
                    chunk = _chunk(last, behind_ms=delivery.millis_behind_now)
                    yield chunk
                    await pace.keep(fragments=1, size=len(chunk), until=self._is_draining)
                elif not self._streams.has_producer(stream) or self._is_draining():
                    return
        except EarwitnessError as error:
            yield _broken_off(last, number=last.info.number if last else "0", error=error)
        finally:
            if upcoming is not None:
                upcoming.cancel()

    async def _fetch(self, log: FragmentStream, numbers: Sequence[str], pace: ConnectionRate) -> AsyncGenerator[bytes]:
        last: Fragment | None = None
        try:
            async for fragment in log.get(numbers):
                if isinstance(fragment, MissingFragment):
                    yield _error(last, number=fragment.number, fault=_DAMAGED if fragment.damaged else _NOT_FOUND)
                    return
                last = fragment
                chunk = _chunk(fragment, behind_ms=0, archived=True)
                yield chunk
                await pace.keep(size=len(chunk), until=self._is_draining)
        except EarwitnessError as error:
            yield _broken_off(last, number=last.info.number if last else numbers[0], error=error)


def _tell_gap(stream: KinesisStream, following: Fragment) -> None:
    """In the log alone: an error tag says that GetMedia stopped (botocore's service model), and it goes on."""
    context = {"stream_arn": stream.arn, "before_fragment": following.info.number}
    _log.warning("a read goes on behind fragments that are lost", extra=context)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _chunk(fragment: Fragment, *, behind_ms: int, archived: bool = False) -> bytes:
    return get_media_chunk(
        fragment.header,
        fragment.cluster,
        producer_tags=fragment.tags,
        fragment_number=fragment.info.number,
        server_timestamp=fragment.info.server_timestamp,
        producer_timestamp=fragment.info.producer_timestamp,
        millis_behind_now=behind_ms,
        continuation_token=fragment.info.number,
        archived=archived,
    )


def _broken_off(last: Fragment | None, *, number: str, error: EarwitnessError) -> bytes:
    """What a reader is told when the answer has begun and cannot go on."""
    _log.info("a read ended early", extra={"reason": type(error).__name__})
    return _error(last, number=number, fault=_BROKEN_OFF)


def _error(last: Fragment | None, *, number: str, fault: _Fault) -> bytes:
    """An error in the stream, behind a header: the last fragment's, or one of our own before the first."""
    header = write_header([pcm_track(rate=8_000)]) if last is None else last.header
    try:
        return get_media_error(header, fragment_number=number, **fault._asdict())
    except MatroskaInvalid:
        return b""


def _position(selector: Params) -> Position:
    """Where reading begins. BadRequest when the selector lacks what its type needs."""
    kind: str = selector["StartSelectorType"]
    if kind == "NOW":
        return Now()
    if kind == "EARLIEST":
        return Earliest()
    if kind in ("FRAGMENT_NUMBER", "CONTINUATION_TOKEN"):
        member = "AfterFragmentNumber" if kind == "FRAGMENT_NUMBER" else "ContinuationToken"
        number: str | None = selector.get(member)
        if number is None or not number.isdecimal():
            raise BadRequest(f"StartSelector.{member}: is missing or no fragment number, and {kind} needs one")
        return AfterFragment(number)
    time: datetime | None = selector.get("StartTimestamp")
    if time is None:
        raise BadRequest(f"StartSelector.StartTimestamp: is missing, and {kind} needs it")
    return AtTime(_AXES[kind], time)
