"""How good a channel's audio is: level, clipping, signal-to-noise ratio, bandwidth; measured frame by frame.

Measured on the channel as it arrived, because the canonical band hides what was wrong with it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from earwitness.audio.vad import FRAME_SAMPLES, SPEECH_ON
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import SpeechQuality

_PAUSE_BELOW = 0.1
"""Probability of speech under which a frame counts as background."""

_PAUSE_FRAMES_MIN = 8
"""Pauses needed before a signal-to-noise ratio is stated: a quarter of a second."""

_FFT_SIZE = 256
_WINDOW = signal.windows.blackmanharris(_FFT_SIZE)
_FLOOR = 1e-12  # power of silence, so that logarithms stay finite (-120 dBFS)
_BANDWIDTH_DROP = 1e-6
_AMPLITUDE_BINS = 1000


def frame_bounds(first: int, count: int, rate: int) -> NDArray[np.int64]:
    """Positions at `rate` where frames `first` … `first + count` of 32 ms begin; shape (count + 1,)."""
    return np.arange(first, first + count + 1, dtype=np.int64) * FRAME_SAMPLES * rate // CANONICAL_RATE


class QualityMeter:
    """Feed whole frames at the channel's own rate with their speech probability; read the quality at any time."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._speech_power, self._speech_frames = 0.0, 0
        self._pause_power, self._pause_frames = 0.0, 0
        self._spectrum = np.zeros(_FFT_SIZE // 2 + 1)
        self._amplitudes = np.zeros(_AMPLITUDE_BINS + 1, np.int64)
        self._peak = 0.0

    def feed(self, samples: Samples, starts: NDArray[np.int64], probabilities: Samples) -> None:
        """`samples` covers the frames exactly; `starts`, shape (frames,), are their beginnings in it."""
        if not len(starts):
            return
        magnitude = np.abs(samples)
        self._peak = max(self._peak, float(magnitude.max(initial=0.0)))
        bins = (np.minimum(magnitude, 1.0) * _AMPLITUDE_BINS).astype(np.int64)
        self._amplitudes += np.bincount(bins, minlength=_AMPLITUDE_BINS + 1)
        lengths = np.diff(np.append(starts, len(samples)))
        power = np.add.reduceat(samples.astype(np.float64) ** 2, starts) / lengths
        speech, pause = probabilities >= SPEECH_ON, probabilities < _PAUSE_BELOW
        self._speech_power += float(power[speech].sum())
        self._speech_frames += int(speech.sum())
        self._pause_power += float(power[pause].sum())
        self._pause_frames += int(pause.sum())
        self._add_spectra(samples, starts[speech])

    def add(self, other: "QualityMeter") -> None:
        """Count what another meter heard as well; of the same rate."""
        self._speech_power += other._speech_power
        self._speech_frames += other._speech_frames
        self._pause_power += other._pause_power
        self._pause_frames += other._pause_frames
        self._spectrum += other._spectrum
        self._amplitudes += other._amplitudes
        self._peak = max(self._peak, other._peak)

    def _add_spectra(self, samples: Samples, starts: NDArray[np.int64]) -> None:
        starts = starts[starts + _FFT_SIZE <= len(samples)]
        if len(starts):
            windows = samples[starts[:, None] + np.arange(_FFT_SIZE)] * _WINDOW
            self._spectrum += (np.abs(np.fft.rfft(windows, axis=1)) ** 2).sum(axis=0)

    def read(self) -> SpeechQuality:
        """The quality so far."""
        speech = self._speech_power / self._speech_frames if self._speech_frames else 0.0
        return SpeechQuality(
            speech_level_dbfs=_decibels(speech) if self._speech_frames else float("-inf"),
            peak_dbfs=_decibels(self._peak**2),
            clipped_percent=self._clipped_percent(),
            snr_db=self._snr(speech),
            bandwidth_hz=self._bandwidth(),
        )

    def _clipped_percent(self) -> float:
        """Speech grows rarer towards its peak; where the highest hundredth holds more samples than the tenth below, the
        top was cut off."""
        top = int(np.flatnonzero(self._amplitudes)[-1]) if self._amplitudes.any() else 0
        if top < _AMPLITUDE_BINS // 50:
            return 0.0
        edge, below = round(top * 0.99), round(top * 0.89)
        at_ceiling = int(self._amplitudes[edge:].sum())
        if at_ceiling <= int(self._amplitudes[below:edge].sum()):
            return 0.0
        return 100.0 * at_ceiling / int(self._amplitudes.sum())

    def _snr(self, speech: float) -> float | None:
        if self._pause_frames < _PAUSE_FRAMES_MIN or not self._speech_frames:
            return None
        noise = max(self._pause_power / self._pause_frames, _FLOOR)
        return 10.0 * float(np.log10(max(speech - noise, _FLOOR) / noise))

    def _bandwidth(self) -> float:
        above = np.flatnonzero(self._spectrum > self._spectrum.max() * _BANDWIDTH_DROP)
        return float(above[-1]) * self._rate / _FFT_SIZE if len(above) else 0.0


def _decibels(power: float) -> float:
    return 10.0 * float(np.log10(max(power, _FLOOR)))
