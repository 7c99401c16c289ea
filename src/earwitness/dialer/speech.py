"""Recordings as a phone system sends them: legs of 16-bit samples in chunks of 20 ms, and when each is due."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.canonical import resampled
from earwitness.audio.files import open_recording
from earwitness.errors import AudioUnreadable

CHUNK_SECONDS = 0.02
LEGS_MAX = 2


@dataclass(frozen=True, kw_only=True)
class CallSpeech:
    """What is said in a call; all legs are equally long."""

    #: Hz.
    rate: int
    #: Signed 16-bit samples of each leg, the caller's first.
    legs: Sequence[NDArray[np.int16]]

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return len(self.legs[0]) / self.rate

    def chunks(self) -> Iterator[Sequence[NDArray[np.int16]]]:
        """Yield 20 ms of all legs after another; the last ones may be shorter."""
        size = round(self.rate * CHUNK_SECONDS)
        for first in range(0, len(self.legs[0]), size):
            yield [leg[first : first + size] for leg in self.legs]


def speech_of(files: Sequence[Path], *, rate_of: Callable[[int], int]) -> CallSpeech:
    """Return one recording with its channels, or two files as two legs. `rate_of` says what a rate is sent as.

    Raise AudioError; AudioUnreadable for more than two legs.
    """
    if len(files) == 1:
        count = open_recording(files[0], channel=0).channels
        opened = [open_recording(files[0], channel=channel) for channel in range(count)]
    else:
        opened = [open_recording(file) for file in files]
    if len(opened) > LEGS_MAX:
        raise AudioUnreadable(f"a call has one or two legs, and these are {len(opened)}; give fewer files or channels")
    rate = rate_of(opened[0].rate)
    legs = [
        resampled(np.concatenate([*each.blocks(), np.zeros(0, np.float32)]), rate=each.rate, to=rate) for each in opened
    ]
    longest = max(map(len, legs))
    return CallSpeech(rate=rate, legs=[_as_int16(np.pad(leg, (0, longest - len(leg)))) for leg in legs])


def _as_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2")


class Pace:
    """When a chunk is due: in real time, or `speed` times as fast."""

    def __init__(
        self,
        *,
        speed: float,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._speed, self._clock, self._sleep = speed, clock, sleep
        self._began = clock()

    async def until(self, seconds: float) -> None:
        """Wait until so much was spoken; not at all when that is past."""
        left = self._began + seconds / self._speed - self._clock()
        if left > 0:
            await self._sleep(left)
