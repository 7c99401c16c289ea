"""The outline of a recording: its highest sample per short stretch, small enough to draw."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.embedding import Samples
from earwitness.voice.speech import SpeechSegment

_STRETCHES_PER_SECOND = 50


class Outline:
    """Feed samples of any length; read peaks per 20 ms. Two hours take 360,000 numbers."""

    def __init__(self, rate: int) -> None:
        self._length = max(rate // _STRETCHES_PER_SECOND, 1)
        self._rate = rate
        self._rest: Samples = np.zeros(0, np.float32)
        self._peaks: list[NDArray[np.float32]] = []
        self._samples = 0

    def feed(self, samples: Samples) -> None:
        self._samples += len(samples)
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) - len(samples) % self._length
        self._rest = samples[whole:]
        self._peaks.append(np.abs(samples[:whole]).reshape(-1, self._length).max(axis=1, initial=0.0))

    @property
    def seconds(self) -> float:
        return self._samples / self._rate

    def columns(self, count: int) -> NDArray[np.float32]:
        """The peaks of `count` equal parts, 0..1; shape (count,)."""
        peaks = np.concatenate([*self._peaks, np.abs(self._rest).max(initial=0.0, keepdims=True)])
        edges = np.linspace(0, len(peaks), count + 1).astype(np.int64)
        parts = [peaks[low : max(high, low + 1)].max(initial=0.0) for low, high in pairwise(edges.tolist())]
        return np.array(parts, np.float32)


def speech_columns(segments: tuple[SpeechSegment, ...], *, seconds: float, count: int) -> NDArray[np.bool_]:
    """Which of `count` equal parts of a recording hold speech; shape (count,)."""
    marked = np.zeros(count, np.bool_)
    for segment in segments:
        first = int(segment.start_seconds / seconds * count)
        last = int(np.ceil(segment.end_seconds / seconds * count))
        marked[first:last] = True
    return marked
