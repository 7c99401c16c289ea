"""How loud the latest minute of a channel was, for those who watch. Samples go in; peaks are kept, nothing else."""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from earwitness.tasks.heard import LEVEL_MIN_DBFS, STEP_SECONDS, STEPS_MAX, HeardSoFar, SpeechStretch
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import SpeechSegment


class LevelStrip:
    """The peaks of the latest minute of one channel. It feeds on chunks of any size."""

    def __init__(self, rate: int) -> None:
        """`rate` in Hz."""
        self._rate = rate
        self._step = round(rate * STEP_SECONDS)
        self._levels: deque[int] = deque(maxlen=STEPS_MAX)
        self._steps = 0  # all that were complete
        self._begun = 0  # samples of the current step
        self._peak = 0.0  # of the current step

    def feed(self, samples: Samples) -> None:
        """Take the next samples, of shape (n,), finite."""
        while len(samples):
            part, samples = samples[: self._step - self._begun], samples[self._step - self._begun :]
            self._peak = max(self._peak, float(np.abs(part).max()))
            self._begun += len(part)
            if self._begun == self._step:
                self._levels.append(_level(self._peak))
                self._steps, self._begun, self._peak = self._steps + 1, 0, 0.0

    def so_far(self, *, net_speech_seconds: float, segments: Sequence[SpeechSegment]) -> HeardSoFar:
        """Return what was heard. `segments` are in the channel's own time."""
        start = (self._steps - len(self._levels)) * STEP_SECONDS
        return HeardSoFar(
            net_speech_seconds=net_speech_seconds,
            audio_seconds=self._steps * STEP_SECONDS + self._begun / self._rate,
            levels_start_seconds=start,
            levels=tuple(self._levels),
            speech=tuple(
                SpeechStretch(start_seconds=max(start, segment.start_seconds), end_seconds=segment.end_seconds)
                for segment in segments
                if segment.end_seconds > start
            ),
        )


def _level(peak: float) -> int:
    return LEVEL_MIN_DBFS if peak <= 0.0 else max(LEVEL_MIN_DBFS, min(0, round(20.0 * math.log10(peak))))
