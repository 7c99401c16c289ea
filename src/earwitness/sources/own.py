"""Streams of this service: fragments from its own media log."""

from collections.abc import AsyncGenerator, Awaitable, Callable

from earwitness.errors import BadRequest, FragmentLogUnavailable, Gone, SourceUnavailable, StreamGone
from earwitness.fragments.seam import (
    AfterFragment,
    Delivery,
    Earliest,
    FragmentReader,
    FragmentStream,
    Position,
)
from earwitness.sources.source import StartPosition, StreamFragment


class OwnSource:
    """One stream of the media log."""

    def __init__(self, open_log: Callable[[], Awaitable[FragmentStream]]) -> None:
        """`open_log` opens the stream; StreamGone when there is none."""
        self._open_log = open_log

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        """As the seam says."""
        try:
            log = await self._open_log()
            reader = await _reader(log, start)
            async for delivery in reader:
                yield _fragment(delivery)
        except Gone as error:
            raise StreamGone("the Kinesis video stream was deleted; start another task on another stream") from error
        except FragmentLogUnavailable as error:
            raise SourceUnavailable("the media log cannot be read now") from error


async def _reader(log: FragmentStream, start: StartPosition) -> FragmentReader:
    if start.first_number is not None:
        return await log.read(AfterFragment(str(int(start.first_number) - 1)))
    if start.after_number is not None:
        try:
            return await log.read(AfterFragment(start.after_number))
        except BadRequest:  # a number that this stream has not given out: another stream's, or one of AWS's
            return await log.read(await _live_edge(log))
    return await log.read(await _live_edge(log))


async def _live_edge(log: FragmentStream) -> Position:
    """Behind the latest fragment: what comes from now on."""
    last = (await log.status()).last
    return Earliest() if last is None else AfterFragment(last.number)


def _fragment(delivery: Delivery) -> StreamFragment:
    info = delivery.fragment.info
    return StreamFragment(
        number=info.number,
        server_time=info.server_timestamp,
        producer_time=info.producer_timestamp,
        header=delivery.fragment.header,
        cluster=delivery.fragment.cluster,
    )
