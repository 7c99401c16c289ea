"""GetMedia, GetMediaForFragmentList and ListFragments: media out, in the layout of real captures."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from starlette.types import Receive

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, require
from earwitness.api.streams import MISSING, stream_named
from earwitness.audio.matroska.get_media import get_media_chunk, get_media_error
from earwitness.audio.matroska.writer import pcm_track, write_header
from earwitness.errors import BadRequest, EarwitnessError, MatroskaInvalid
from earwitness.fragments.interface import (
    AfterFragment,
    AtTime,
    Earliest,
    Fragment,
    FragmentInfo,
    MissingFragment,
    Now,
    Position,
    ReadResult,
    TimeAxis,
)
from earwitness.fragments.numbers import read_number
from earwitness.nodes.homed_stream import KeptStream
from earwitness.server.aws import SendChunk
from earwitness.store.records import KinesisStream, Page, PageKey
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

END_SECONDS = 3.0
"""A read ends so long after the last fragment when no producer is connected, as AWS's does."""

LISTED_FRAGMENTS = 100
"""How many fragments a list holds when the caller does not say, as AWS documents for MaxResults."""


class _Fault(NamedTuple):
    """Why a read ends in the middle; the ids are documented with GetMedia."""

    error_id: int
    error_code: str
    message: str


_NOT_FOUND = _Fault(4000, "FRAGMENT_NOT_FOUND", "the fragment is not kept")
_DAMAGED = _Fault(5000, "INTERNAL_ERROR", "the fragment is damaged and cannot be read")
_BROKEN_OFF = _Fault(3002, "STREAM_READ_ERROR", "the stream was deleted, or its media cannot be read now")

_AXES = {"SERVER_TIMESTAMP": TimeAxis.SERVER, "PRODUCER_TIMESTAMP": TimeAxis.PRODUCER}

_log = logging.getLogger("earwitness.get_media")


async def open_get_media(context: ApiContext, caller: Caller, params: Params) -> "MediaReading":
    """Return the media of a stream from a position on.

    Raise NotFound; BadRequest for a position that is none; LimitExceeded for one reader too many; Throttled for one
    call too many.
    """
    stream, log = await _open(context, caller, params)
    reader = await log.read(_position(params["StartSelector"]))
    return _reading(context, stream, _follow(context, stream, reader))


async def open_fragment_list(context: ApiContext, caller: Caller, params: Params) -> "MediaReading":
    """Return fragments in the order asked for.

    Raise BadRequest for a number that no stream can have given out; NotFound, LimitExceeded and Throttled as GetMedia.
    """
    numbers: Sequence[str] = params["Fragments"]
    stream, log = await _open(context, caller, params)
    for number in numbers:
        read_number(number)
    context.streams.rates.fetch(stream.arn, len(numbers))
    return _reading(context, stream, _fetch(context, log, numbers))


def list_fragments(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List fragments by number; both ends of the range are included, and mean where a fragment begins."""
    stream = require(context.store.streams.get(caller.scope, stream_named(params)), MISSING)
    context.streams.rates.list(stream.arn, params.get("MaxResults") or LISTED_FRAGMENTS)

    async def read_log(wanted: _Range, limit: int) -> Sequence[FragmentInfo]:
        log = await context.streams.open_to_read(caller.scope, stream)
        return await log.list(wanted.axis, start=wanted.start, end=wanted.end, after=wanted.after, limit=limit)

    def read(*, after: PageKey | None, limit: int) -> Page[FragmentInfo]:
        wanted = _range(params) if after is None else _range_of_token(after)
        listed = context.run_on_loop(read_log(wanted, limit))
        more = len(listed) == limit
        return Page(items=tuple(listed), next_key=_token(wanted, listed[-1].number) if more else None)

    return context.list_page(
        caller, params, "Fragments", read, _described, about=stream.arn, default_length=LISTED_FRAGMENTS
    )


class MediaReading:
    """Chunks on their way to a consumer, until there are no more or it has hung up."""

    content_type = "video/webm"  # what AWS's server says

    def __init__(self, chunks: AsyncGenerator[bytes], *, release: Callable[[], None]) -> None:
        """`release` lets the next reader in."""
        self._chunks = chunks
        self.close = release

    async def run(self, receive: Receive, send_chunk: SendChunk) -> None:
        """Send chunk after chunk; a consumer that hangs up ends it at once."""
        sending = asyncio.ensure_future(self._send_all(send_chunk))
        leaving = asyncio.ensure_future(_disconnect(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
            await self._chunks.aclose()
        if not sending.cancelled() and (error := sending.exception()):
            raise error

    async def _send_all(self, send_chunk: SendChunk) -> None:
        async for chunk in self._chunks:
            await send_chunk(chunk)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _open(context: ApiContext, caller: Caller, params: Params) -> tuple[KinesisStream, KeptStream]:
    name = stream_named(params)
    found = await context.run_in_thread(lambda: context.store.streams.get(caller.scope, name))
    stream = require(found, MISSING)
    context.streams.rates.call(caller.operation, stream.arn)
    return stream, await context.streams.open_to_read(caller.scope, stream)


def _reading(context: ApiContext, stream: KinesisStream, chunks: AsyncGenerator[bytes]) -> MediaReading:
    taken = ExitStack()
    taken.enter_context(context.streams.reading(stream))
    return MediaReading(chunks, release=taken.close)


async def _follow(
    context: ApiContext, stream: KinesisStream, reader: AsyncIterator[ReadResult]
) -> AsyncGenerator[bytes]:
    """Return chunks, live, until no producer is left and nothing has come for a while."""
    pace = context.streams.rates.reader(live=True)
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
                    # Not told to the reader: an error tag says that GetMedia stopped (botocore's service model).
                    gap = {"stream_arn": stream.arn, "before_fragment": last.info.number}
                    _log.warning("a read goes on behind fragments that are lost", extra=gap)
                chunk = _chunk(last, behind_ms=delivery.millis_behind_now)
                yield chunk
                await pace.keep(fragments=1, size=len(chunk), until=context.is_draining)
            elif not context.streams.has_producer(stream) or context.is_draining():
                return
    except EarwitnessError as error:
        yield _broken_off(last, number=last.info.number if last else "0", error=error)
    finally:
        if upcoming is not None:
            upcoming.cancel()


async def _fetch(context: ApiContext, log: KeptStream, numbers: Sequence[str]) -> AsyncGenerator[bytes]:
    pace = context.streams.rates.reader(live=False)
    last: Fragment | None = None
    try:
        async for fragment in log.get(numbers):
            if isinstance(fragment, MissingFragment):
                yield _error(last, number=fragment.number, fault=_DAMAGED if fragment.damaged else _NOT_FOUND)
                return
            last = fragment
            chunk = _chunk(fragment, behind_ms=0, archived=True)
            yield chunk
            await pace.keep(size=len(chunk), until=context.is_draining)
    except EarwitnessError as error:
        yield _broken_off(last, number=last.info.number if last else numbers[0], error=error)


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
    """Return what a reader is told when the answer has begun and cannot go on."""
    _log.info("a read ended early", extra={"reason": type(error).__name__})
    return _error(last, number=number, fault=_BROKEN_OFF)


def _error(last: Fragment | None, *, number: str, fault: _Fault) -> bytes:
    """Return an error in the stream, behind a header: the last fragment's, or one of our own before the first."""
    header = write_header([pcm_track(rate=8_000)]) if last is None else last.header
    try:
        return get_media_error(header, fragment_number=number, **fault._asdict())
    except MatroskaInvalid:
        return b""


def _position(selector: Params) -> Position:
    """Return where reading begins. Raise BadRequest when the selector lacks what its type needs."""
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


@dataclass(frozen=True, kw_only=True)
class _Range:
    """What is listed; a page's token holds it, because it may come without a selector."""

    axis: TimeAxis
    start: datetime
    end: datetime
    after: str | None = None


def _range(params: Params) -> _Range:
    selector: Params | None = params.get("FragmentSelector")
    if selector is None:
        raise BadRequest("FragmentSelector: is missing; give a range of times, or the NextToken of a list")
    times = selector["TimestampRange"]
    start, end = times["StartTimestamp"], times["EndTimestamp"]
    if end < start:
        raise BadRequest("FragmentSelector.TimestampRange: ends before it begins")
    return _Range(axis=_AXES[selector["FragmentSelectorType"]], start=start, end=end)


def _token(wanted: _Range, last: str) -> PageKey:
    return (wanted.axis.value, wanted.start.isoformat(), wanted.end.isoformat(), last)


def _range_of_token(token: PageKey) -> _Range:
    axis, start, end, last = map(str, token)
    return _Range(axis=TimeAxis(axis), start=datetime.fromisoformat(start), end=datetime.fromisoformat(end), after=last)


def _described(fragment: FragmentInfo) -> dict[str, object]:
    return {
        "FragmentNumber": fragment.number,
        "FragmentSizeInBytes": fragment.size_bytes,
        "ProducerTimestamp": fragment.producer_timestamp,
        "ServerTimestamp": fragment.server_timestamp,
        "FragmentLengthInMilliseconds": fragment.duration_ms,
    }
