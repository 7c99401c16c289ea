"""Streams of this service: fragments from its own media log."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress

from earwitness.audio.matroska.tags import read_tags
from earwitness.errors import BadRequest, FragmentLogUnavailable, Gone, SourceUnavailable, StreamGone
from earwitness.fragments.interface import AfterFragment, AtTime, ReadResult, TimeAxis
from earwitness.fragments.numbers import number_before
from earwitness.media.source import StartPosition, StreamFragment, whole_milliseconds
from earwitness.nodes.homed_stream import KeptStream


class OwnSource:
    """One stream of the media log."""

    def __init__(self, open_log: Callable[[], Awaitable[KeptStream]]) -> None:
        """`open_log` opens the stream, and raises StreamGone when there is none."""
        self._open_log = open_log

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """Yield fragments as `Source` says."""
        try:
            log = await self._open_log()
            reader, exact = await _reader(log, start)
            async for delivery in reader:
                if exact or delivery.fragment.info.server_timestamp >= whole_milliseconds(start.since):
                    yield _fragment(delivery)
        except Gone as error:
            raise StreamGone("the Kinesis video stream was deleted; start another task on another stream") from error
        except FragmentLogUnavailable as error:
            raise SourceUnavailable("the media log cannot be read now") from error


async def _reader(log: KeptStream, start: StartPosition) -> tuple[AsyncIterator[ReadResult], bool]:
    """Return a reader, and whether it begins at a named fragment; if not, it may begin too early."""
    with suppress(BadRequest):  # a number that this stream has not given out: another stream's, or one of AWS's
        if start.first_number is not None:
            return await log.read(AfterFragment(number_before(start.first_number))), True
        if start.after_number is not None:
            return await log.read(AfterFragment(start.after_number)), True
    return await log.read(AtTime(TimeAxis.SERVER, start.since)), False


def _fragment(delivery: ReadResult) -> StreamFragment:
    info = delivery.fragment.info
    return StreamFragment(
        number=info.number,
        server_time=info.server_timestamp,
        producer_time=info.producer_timestamp,
        header=delivery.fragment.header,
        cluster=delivery.fragment.cluster,
        tags=read_tags(delivery.fragment.tags),
        behind_seconds=delivery.millis_behind_now / 1_000,
        after_gap=delivery.gap,
    )
