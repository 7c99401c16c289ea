"""Tell a recording that is played again: the same speech at the same times, whatever codec it came through.

Embeddings cannot: two utterances of one person on one day are as near to each other as one utterance and its replay
through another codec (docs/accuracy.md). So a fingerprint is made of what does not depend on the voice: how loud the
speech is over time in four bands, with its pauses. It is as personal as the speech rhythm of twenty seconds, and is
sealed and deleted with the voiceprint that it was made with.

The idea is Haitsma's and Kalker's ("A highly robust audio fingerprinting system", ISMIR 2002): levels over time in
bands, compared at every shift. Theirs are signs of differences, made for a search of millions of songs; here few
fingerprints are compared, so that levels themselves can be, which stand noise better.
"""

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.speech import NetSpeech

FRAME_SECONDS = 0.05
_HOP = round(FRAME_SECONDS * CANONICAL_RATE)
_WINDOW = 2 * _HOP

_BANDS_HZ = ((300.0, 700.0), (700.0, 1_300.0), (1_300.0, 2_100.0), (2_100.0, 3_400.0))
"""All in the telephone band; a codec that cuts off the highest leaves three."""

_PAUSE_SECONDS_MAX = 2.0
"""Longer pauses count as this long: somebody else talks in them, and how long they do says nothing."""

_FRAMES_MAX = 1_600
"""80 s: 20 s of speech with its pauses."""

_FRAMES_AT_ONCE = 32
"""A few hundred kilobytes."""

_RANGE_DB = 40.0
"""Below the loudest frame; what is lower is noise in one of two recordings."""

_OVERLAP_FRAMES_MIN = 160
"""8 s. A shorter stretch is like another by chance."""

REPEAT_LIKENESS_MIN = 0.75
"""Likeness from which one is a repeat of the other. docs/accuracy.md has how often that is wrong."""


def fingerprint_of(speech: NetSpeech) -> bytes:
    """Return the levels of speech over time, at most 6.4 KB: per frame of 50 ms a byte for each of four bands."""
    timeline = _timeline(speech)
    count = max(0, (len(timeline) - _WINDOW) // _HOP + 1)
    if count == 0:
        return b""
    frames = np.lib.stride_tricks.sliding_window_view(timeline, _WINDOW)[::_HOP][: min(count, _FRAMES_MAX)]
    # In blocks: all frames at once take 40 MB for a moment, which the heap of a thread seldom gives back.
    blocks = [_band_power(frames[begin : begin + _FRAMES_AT_ONCE]) for begin in range(0, len(frames), _FRAMES_AT_ONCE)]
    level = 10 * np.log10(np.maximum(np.concatenate(blocks), 1e-12))
    floor = level.max(axis=0) - _RANGE_DB
    return np.rint(np.clip((level - floor) / _RANGE_DB, 0, 1) * 255).astype(np.uint8).tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """Return how alike two fingerprints are where they are most alike: their correlation, 1 for the same recording.

    Every shift of one against the other is tried at which they share 8 s; -1 where there is none.
    """
    first, second = _levels(one), _levels(other)
    if min(len(first), len(second)) < _OVERLAP_FRAMES_MIN:
        return -1.0
    size = 1 << (len(first) + len(second)).bit_length()
    # Products of all shifts at once; index s is a shift of `first` by s frames to the left, from -len(second)+1.
    spectrum = np.fft.rfft(first, size, axis=0) * np.conj(np.fft.rfft(second, size, axis=0))
    products = np.fft.irfft(spectrum, size, axis=0)
    shifts = np.arange(-(len(second) - _OVERLAP_FRAMES_MIN), len(first) - _OVERLAP_FRAMES_MIN + 1)
    begin_first, begin_second = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    length = np.minimum(len(first) - begin_first, len(second) - begin_second)
    counted = length[:, np.newaxis]
    sum_first, square_first = _sums(first, begin_first, length)
    sum_second, square_second = _sums(second, begin_second, length)
    covariance = (products[shifts] - sum_first * sum_second / counted).sum(axis=1)
    variance_first = (square_first - sum_first**2 / counted).sum(axis=1)
    variance_second = (square_second - sum_second**2 / counted).sum(axis=1)
    scale = np.sqrt(np.maximum(variance_first * variance_second, 1e-9))
    return float(np.max(covariance / scale))


def _band_power(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power of frames in each band, shape (frames, bands)."""
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    frequency = np.fft.rfftfreq(_WINDOW, 1 / CANONICAL_RATE)
    bands = [power[:, (frequency >= low) & (frequency < high)].sum(axis=1) for low, high in _BANDS_HZ]
    return np.stack(bands, axis=1)


def _levels(fingerprint: bytes) -> NDArray[np.float64]:
    """Return a fingerprint as levels, shape (frames, bands)."""
    return np.frombuffer(fingerprint, np.uint8).reshape(-1, len(_BANDS_HZ)) / 255.0


def _sums(
    levels: NDArray[np.float64], begin: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of levels and of their squares over stretches, shape (stretches, bands) each."""
    zero = np.zeros((1, levels.shape[1]))
    summed = np.concatenate([zero, np.cumsum(levels, axis=0)])
    squared = np.concatenate([zero, np.cumsum(levels**2, axis=0)])
    return summed[begin + length] - summed[begin], squared[begin + length] - squared[begin]


def _timeline(speech: NetSpeech) -> NDArray[np.float32]:
    """Return the speech at its times, silence between, from its start on."""
    parts: list[NDArray[np.float32]] = []
    taken, end = 0, None
    for segment in speech.segments:
        if end is not None:
            pause = min(max(segment.start - end, 0), round(_PAUSE_SECONDS_MAX * CANONICAL_RATE))
            parts.append(np.zeros(pause, np.float32))
        part = speech.samples[taken : taken + segment.end - segment.start]
        parts.append(part)
        taken, end = taken + len(part), segment.end
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
