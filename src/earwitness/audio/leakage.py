"""Leakage: speech of the other channel that is heard on this one, through the line or the room.

It is told by the levels of both channels at the same time. What belongs here: which frames are leakage. What must
never: whether a frame is speech (`vad.py`).

A channel comes with its reference, the other participant's channel, as samples of shape (n, 2); without one as (n,).
"""

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.embedding import Samples

MARGIN_DB = 15.0
"""A frame so far below the other channel is leakage. Lines and echo cancellers leave 20 to 40 dB; two people who talk
at the same time differ by less."""

DELAY_FRAMES = 10
"""The other channel is heard up to so many frames of 32 ms later: the way to a far telephone and back."""

SMOOTHED_FRAMES = 8
"""Levels are those of so many frames up to this one, so that a pause between two words does not count."""

_MARGIN = 10.0 ** (-MARGIN_DB / 10.0)
_OWN_KEPT, _OTHER_KEPT = SMOOTHED_FRAMES - 1, SMOOTHED_FRAMES - 1 + DELAY_FRAMES

_Powers = NDArray[np.float64]
_Mask = NDArray[np.bool_]


def beside(samples: Samples, other: Samples) -> Samples:
    """Put a channel, shape (n,), and its reference, cut or continued by silence, side by side: shape (n, 2)."""
    pair = np.zeros((len(samples), 2), np.float32)
    pair[:, 0] = samples
    count = min(len(samples), len(other))
    pair[:count, 1] = np.nan_to_num(other[:count], posinf=0.0, neginf=0.0)
    return pair


def with_reference(samples: Samples) -> Samples:
    """Return samples of shape (n, 2): where there is no reference, a silent one, by which nothing is leakage."""
    return samples if samples.ndim == 2 else beside(samples, samples[:0])


class LeakageDetector:
    """Feed whole frames, take which of them are leakage; equal for every grouping of the frames.

    It looks back only, by up to 0.6 s.
    """

    def __init__(self) -> None:
        self._own: _Powers = np.zeros(_OWN_KEPT)
        self._other: _Powers = np.zeros(_OTHER_KEPT)

    def feed(self, pair: Samples, starts: NDArray[np.int64]) -> _Mask:
        """Return which frames are leakage.

        `pair`, shape (n, 2), covers the frames exactly; `starts`, shape (frames,), are their beginnings in it.
        """
        if not len(starts):
            return np.zeros(0, np.bool_)
        own = np.concatenate([self._own, _powers(pair[:, 0], starts)])
        other = np.concatenate([self._other, _powers(pair[:, 1], starts)])
        self._own, self._other = own[-_OWN_KEPT:], other[-_OTHER_KEPT:]
        loudest: _Powers = np.maximum.reduce(_shifted(_smoothed(other), DELAY_FRAMES + 1))
        return _smoothed(own) < _MARGIN * loudest


def _powers(samples: Samples, starts: NDArray[np.int64]) -> _Powers:
    """Return the power of each frame without what is below speech: offset or hum may be loud on one line alone."""
    steps = np.diff(samples.astype(np.float64), prepend=samples[:1])
    steps[starts] = 0.0  # from one frame to the next, which would depend on how the frames were grouped
    return np.add.reduceat(steps**2, starts)


def _smoothed(powers: _Powers) -> _Powers:
    return np.add.reduce(_shifted(powers, SMOOTHED_FRAMES))


def _shifted(powers: _Powers, count: int) -> list[_Powers]:
    """Return the same powers `count` times, each a frame later.

    So a frame is added up in one order, however many there are.
    """
    length = len(powers) - count + 1
    return [powers[first : first + length] for first in range(count)]
