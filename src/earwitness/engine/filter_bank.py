"""Kaldi-compatible log-mel filter bank, vectorised.

Follows Kaldi's `compute-fbank-feats` with 80 bins, 25 ms frames every 10 ms, Povey window, pre-emphasis 0.97, low cut
20 Hz, no dither, snip edges, samples in -1..1. Largest difference to kaldi-native-fbank: 7e-4.
"""

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.embedding import Samples

BINS = 80
FRAME_LENGTH = 400
"""Samples in 25 ms."""

FRAME_SHIFT = 160
"""Samples in 10 ms."""

_FFT_SIZE = 512
_PRE_EMPHASIS = 0.97
_LOW_HZ = 20.0
_LOG_FLOOR = 1.1920929e-07  # float32 epsilon, Kaldi's floor before the logarithm

Features = NDArray[np.float32]
"""Shape (frames, 80)."""


def log_mel(samples: Samples) -> Features:
    """Log-mel energies of 16 kHz samples; shape (1 + (n - 400) // 160, 80)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::FRAME_SHIFT]
    frames = frames - frames.mean(axis=1, keepdims=True)
    emphasised = np.empty_like(frames)
    emphasised[:, 1:] = frames[:, 1:] - np.float32(_PRE_EMPHASIS) * frames[:, :-1]
    emphasised[:, 0] = frames[:, 0] * np.float32(1.0 - _PRE_EMPHASIS)
    emphasised *= _POVEY_WINDOW
    spectrum = np.fft.rfft(emphasised, _FFT_SIZE, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(np.maximum(power.astype(np.float32) @ _MEL_BANK, np.float32(_LOG_FLOOR)))


def without_mean(features: Features) -> Features:
    """Subtract each bin's mean over time, which takes out a steady channel."""
    return features - features.mean(axis=0, keepdims=True)


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127.0 * np.log1p(hz / 700.0)


def _mel_bank() -> Features:
    """Triangular filters, equally spaced in mel, on power bins; shape (257, 80). Kaldi leaves the last bin out."""
    low, high = _mel(np.array([_LOW_HZ, CANONICAL_RATE / 2])).tolist()
    corners = np.arange(BINS + 2, dtype=np.float64) * ((high - low) / (BINS + 1)) + low
    left, centre, right = (corners[start : start + BINS].reshape(BINS, 1) for start in (0, 1, 2))
    bins = _mel(np.arange(_FFT_SIZE // 2, dtype=np.float64) * (CANONICAL_RATE / _FFT_SIZE))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    bank = np.zeros((BINS, _FFT_SIZE // 2 + 1))
    bank[:, :-1] = np.maximum(0.0, np.minimum(rising, falling))
    return bank.T.astype(np.float32)


_POVEY_WINDOW = (np.hanning(FRAME_LENGTH) ** 0.85).astype(np.float32)
_MEL_BANK = _mel_bank()
