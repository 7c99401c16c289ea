"""Audio to send: recordings, several of them as channels, or raw PCM as it comes; always as 16-bit samples."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from earwitness.audio.files import open_recording
from earwitness.errors import AudioUnreadable
from earwitness.voice.embedding import Samples

_FULL_SCALE = 32_768


@dataclass(frozen=True, kw_only=True)
class PcmSource:
    """Signed 16-bit little-endian samples, channels interleaved."""

    rate: int
    """Hz."""

    channels: int
    blocks: Iterable[bytes]
    """Of any size; each whole number of sample frames or not."""

    seconds: float | None
    """Length, where it is known."""


def recordings(files: Sequence[Path]) -> PcmSource:
    """One recording with all its channels, or one file for each channel.

    Raises AudioError; AudioUnreadable when the rates of several files differ.
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
    """Samples from a pipe or file, sent as they come."""
    return PcmSource(
        rate=rate, channels=channels, blocks=iter(lambda: file.read(rate // 10 * 2 * channels), b""), seconds=None
    )


def _interleaved(channels: Sequence[Iterator[Samples]]) -> Iterator[bytes]:
    """Blocks of all channels together; a channel that ends first is silent from then on."""
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
