"""Audio to send, cut into fragments, and when each may be sent.

The audio is recordings, several of them as channels, or raw PCM as it comes; always as 16-bit samples. What must never
be here: sockets, acknowledgements.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import numpy as np

from earwitness.audio.files import open_recording
from earwitness.audio.matroska.writer import write_block, write_cluster
from earwitness.errors import AudioUnreadable
from earwitness.voice.embedding import Samples

FRAGMENT_SECONDS = 1.0
"""AWS takes fragments of 1 to 20 s; the shorter, the sooner a call is heard."""

TRACK = 1
_FRAME_SECONDS = 0.1
_FULL_SCALE = 32_768


@dataclass(frozen=True, kw_only=True)
class PcmSource:
    """Signed 16-bit little-endian samples, channels interleaved."""

    #: Hz.
    rate: int
    channels: int
    #: Of any size; they may end in the middle of a sample frame.
    blocks: Iterable[bytes]
    #: Length, where it is known.
    seconds: float | None


def recordings(files: Sequence[Path]) -> PcmSource:
    """Return one recording with all its channels, or one file for each channel.

    Raise AudioError; AudioUnreadable when the rates of several files differ.
    """
    if len(files) == 1:
        count = open_recording(files[0], channel=0).channels
        opened = [open_recording(files[0], channel=channel) for channel in range(count)]
    else:
        opened = [open_recording(file) for file in files]
    rates = sorted({recording.rate for recording in opened})
    if len(rates) > 1:
        raise AudioUnreadable(f"the files have different sample rates ({rates} Hz); convert them to one")
    return PcmSource(
        rate=rates[0],
        channels=len(opened),
        blocks=_interleaved([recording.blocks() for recording in opened]),
        seconds=max(recording.seconds for recording in opened),
    )


def raw(file: BinaryIO, *, rate: int, channels: int) -> PcmSource:
    """Return the samples of a pipe or file, to be sent as they come."""
    return PcmSource(
        rate=rate, channels=channels, blocks=iter(lambda: file.read(rate // 10 * 2 * channels), b""), seconds=None
    )


def _interleaved(channels: Sequence[Iterator[Samples]]) -> Iterator[bytes]:
    """Return blocks of all channels together; a channel that ends first is silent from then on."""
    waiting: list[Samples] = [np.zeros(0, np.float32) for _ in channels]
    ended = [False] * len(channels)
    while not all(ended):
        for index, channel in enumerate(channels):
            if not ended[index] and not len(waiting[index]):
                block = next(channel, None)
                ended[index] = block is None
                waiting[index] = np.zeros(0, np.float32) if block is None else block
        live = [len(samples) for samples, done in zip(waiting, ended, strict=True) if not done]
        if live:
            yield _pcm([_taken(waiting, index, min(live)) for index in range(len(channels))])


def _taken(waiting: list[Samples], index: int, count: int) -> Samples:
    samples = waiting[index][:count]
    waiting[index] = waiting[index][count:]
    return np.pad(samples, (0, count - len(samples)))


def _pcm(channels: Sequence[Samples]) -> bytes:
    frames = np.stack(channels, axis=1)  # (n, channels)
    return np.clip(np.rint(frames * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()


@dataclass(frozen=True, slots=True)
class OutgoingFragment:
    """A cluster to send."""

    timecode_ms: int
    media: bytes
    #: How long it lasts.
    seconds: float
    #: Seconds from the first sample of the recording to its last.
    ends: float


class Pacing:
    """Real time: a fragment exists when its last sample was spoken, counted from when the pace was made."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` returns seconds, `sleep` waits for some."""
        self._clock, self._sleep = clock, sleep
        self._started = clock()

    async def until_recorded(self, fragment: OutgoingFragment) -> None:
        """Wait until all of it was spoken; not at all when that is past, as after a broken connection."""
        left = self._started + fragment.ends - self._clock()
        if left > 0:
            await self._sleep(left)


def fragments(source: PcmSource, *, start_ms: int) -> Iterator[OutgoingFragment]:
    """Return the source cut into fragments, each of frames of 0.1 s."""
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
