"""Audio cut into fragments, and when each may be sent. What must never be here: sockets, acknowledgements."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from earwitness.audio.matroska.writer import write_block, write_cluster
from earwitness.producer.pcm_source import PcmSource

FRAGMENT_SECONDS = 1.0
"""AWS takes fragments of 1 to 20 s; the shorter, the sooner a call is heard."""

TRACK = 1
_FRAME_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class OutgoingFragment:
    """A cluster to send."""

    timecode_ms: int
    media: bytes
    seconds: float
    """How long it lasts."""

    ends: float
    """Seconds from the first sample of the recording to its last."""


class Pacing:
    """Real time: a fragment exists when its last sample was spoken, counted from when the pace was made."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` tells seconds, `sleep` lets some go by."""
        self._clock, self._sleep = clock, sleep
        self._started = clock()

    async def until_recorded(self, fragment: OutgoingFragment) -> None:
        """Wait until all of it was spoken; not at all when that is past, as after a broken connection."""
        left = self._started + fragment.ends - self._clock()
        if left > 0:
            await self._sleep(left)


def fragments(source: PcmSource, *, start_ms: int) -> Iterator[OutgoingFragment]:
    """The source cut into fragments, each of frames of 0.1 s."""
    frame_bytes = round(source.rate * _FRAME_SECONDS) * 2 * source.channels
    bytes_per_second = source.rate * 2 * source.channels
    sent = 0
    for piece in _pieces(source.blocks, round(source.rate * FRAGMENT_SECONDS) * 2 * source.channels):
        timecode_ms = start_ms + round(1_000 * sent / bytes_per_second)
        blocks = [
            write_block(TRACK, round(1_000 * first / bytes_per_second), piece[first : first + frame_bytes])
            for first in range(0, len(piece), frame_bytes)
        ]
        sent += len(piece)
        yield OutgoingFragment(
            timecode_ms,
            write_cluster(timecode_ms, blocks),
            seconds=len(piece) / bytes_per_second,
            ends=sent / bytes_per_second,
        )


def _pieces(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    waiting = bytearray()
    for block in blocks:
        waiting += block
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)
