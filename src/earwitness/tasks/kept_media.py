"""A stream's kept media as recordings: stretches between two pauses, each read as one file.

What belongs here: which fragments are one recording, and its bytes. What must never: what is done with it.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO

from earwitness.audio.matroska.get_media import get_media_chunk
from earwitness.audio.matroska.tags import read_tags
from earwitness.errors import AudioUnreadable, Gone, StreamGone
from earwitness.fragments.interface import LIST_LENGTH_MAX, LIVE_GAP_MS, Fragment, FragmentInfo, TimeAxis
from earwitness.fragments.numbers import from_ms, number_before, read_number
from earwitness.media.streams import MediaStreams
from earwitness.nodes.homed_stream import KeptStream
from earwitness.store.records import KinesisStream, Scope
from earwitness.tasks.sent_again import SentAgain
from earwitness.threads import RunOnLoop

PAUSE = timedelta(milliseconds=LIVE_GAP_MS)
"""Behind a pause of this length another recording begins: its producer was cut off meanwhile."""

STRETCH_MAX = timedelta(hours=1)
"""A recording that goes on for longer is cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Fragments that are one recording."""

    first_number: str
    last_number: str
    #: When the first began to arrive.
    started_at: datetime
    ended_at: datetime


class KeptMedia:
    """Reads what is kept of streams, from threads; the media log lives on the event loop."""

    def __init__(self, streams: MediaStreams, run_on_loop: RunOnLoop) -> None:
        self._streams = streams
        self._run_on_loop = run_on_loop

    def stretches(self, scope: Scope, stream: KinesisStream, *, start: datetime, end: datetime) -> list[Stretch]:
        """Return the recordings of a stream whose fragments began to arrive from `start` to `end`, the oldest first.

        A recording ends with a pause, where another call begins (its tags say so), and after an hour. Raise
        FragmentLogUnavailable, and StreamGone when the stream is deleted meanwhile.
        """
        return self._run_on_loop(self._stretches(scope, stream, start, end))

    def write(self, scope: Scope, stream: KinesisStream, first_number: str, last_number: str, file: IO[bytes]) -> None:
        """Write the fragments of a stretch to a file, as GetMedia gives them, as far as they are still kept.

        Raise as `stretches` does, and AudioUnreadable when none is kept any more.
        """
        return self._run_on_loop(self._write(scope, stream, (first_number, last_number), file))

    async def _stretches(self, scope: Scope, stream: KinesisStream, start: datetime, end: datetime) -> list[Stretch]:
        try:
            log = await self._streams.open_to_read(scope, stream)
            return [one async for one in _stretches(log, start, end)]
        except Gone as error:
            raise _gone() from error

    async def _write(self, scope: Scope, stream: KinesisStream, numbers: tuple[str, str], file: IO[bytes]) -> None:
        try:
            log = await self._streams.open_to_read(scope, stream)
            count = 0
            async for fragment in _between(log, *numbers):
                file.write(_chunk(fragment))
                count += 1
        except Gone as error:
            raise _gone() from error
        if not count:
            raise AudioUnreadable("the media of this time are not kept any more")
        file.flush()


async def _stretches(log: KeptStream, start: datetime, end: datetime) -> AsyncIterator[Stretch]:
    stretch: Stretch | None = None
    call: str | None = None
    after: str | None = None
    while True:
        infos = await log.list(TimeAxis.SERVER, start=start, end=end, after=after)
        calls = await _calls(log, infos)
        for info in infos:
            begun, ended = info.server_timestamp, info.server_timestamp + timedelta(milliseconds=info.duration_ms)
            following = calls.get(info.number) or call
            if stretch is not None and (
                begun - stretch.ended_at >= PAUSE
                or ended - stretch.started_at > STRETCH_MAX
                or (call is not None and following != call)
            ):
                yield stretch
                stretch = None
            call = following if stretch is not None else calls.get(info.number)
            first = Stretch(first_number=info.number, last_number=info.number, started_at=begun, ended_at=ended)
            stretch = first if stretch is None else replace(stretch, last_number=info.number, ended_at=ended)
        if len(infos) < LIST_LENGTH_MAX:
            break
        after = infos[-1].number
    if stretch is not None:
        yield stretch


async def _calls(log: KeptStream, infos: Iterable[FragmentInfo]) -> dict[str, str]:
    """Return what names the call of each fragment that says so."""
    from earwitness.audio.channel import call_of  # with numpy, which a start need not wait for

    found: dict[str, str] = {}
    async for fragment in log.get([info.number for info in infos]):
        if isinstance(fragment, Fragment) and (call := call_of(read_tags(fragment.tags))):
            found[fragment.info.number] = call
    return found


async def _between(log: KeptStream, first_number: str, last_number: str) -> AsyncIterator[Fragment]:
    """Yield what is kept from one number to another, both included; what a producer sent again once."""
    from earwitness.audio.channel import call_of  # with numpy, as above

    sent_again = SentAgain()
    first, last = read_number(first_number), read_number(last_number)
    after = number_before(first_number)
    while True:
        infos = await log.list(
            TimeAxis.SERVER, start=from_ms(first.server_ms), end=from_ms(last.server_ms), after=after
        )
        async for fragment in log.get([info.number for info in infos if info.number <= last_number]):
            if not isinstance(fragment, Fragment):
                continue
            call, made_at = call_of(read_tags(fragment.tags)), fragment.info.producer_timestamp
            if not sent_again.is_known(made_at, fragment.cluster, call=call):
                yield fragment
        if len(infos) < LIST_LENGTH_MAX:
            return
        after = infos[-1].number


def _chunk(fragment: Fragment) -> bytes:
    return get_media_chunk(
        fragment.header,
        fragment.cluster,
        producer_tags=fragment.tags,
        fragment_number=fragment.info.number,
        server_timestamp=fragment.info.server_timestamp,
        producer_timestamp=fragment.info.producer_timestamp,
        millis_behind_now=0,
        continuation_token=fragment.info.number,
    )


def _gone() -> StreamGone:
    return StreamGone("the Kinesis video stream was deleted; choose another one")
