"""Is a passage of speech one voice? Pure: embeddings of its windows in, a score and a grouping out.

The windows are divided into the two groups that differ most (2-means on the sphere), and the cosine of the groups'
means is the score. Two windows of one voice differ by what is said, which the means even out; two voices stay apart.
docs/decisions/2026-11-26-several-voices.md has the numbers and what else was tried.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.voice.embedding import Samples

WINDOW_HOP_SECONDS = 0.5
"""From the beginning of a window to that of the next, as models/campplus.py makes them."""

JUDGED_SECONDS_MIN = 10.0
"""A shorter passage is not judged: each group would be too short to be told from the other by voice."""

VOICE_SECONDS_MIN = 3.0
"""A group with less is a laugh, a cough or a word; the encoder does not embed less either."""

_SCORES = ((10.0, 0.60), (20.0, 0.67))
"""(seconds, score): a passage that scores below is of several voices. Linear between; measured, see the decision."""

_ROUNDS_MAX = 20

_Windows = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouping:
    """The windows of a passage in the two groups that differ most."""

    #: Cosine of the groups' mean embeddings; lower means more likely two voices.
    score: float
    #: Shape (windows,): True for the windows of the group that begins the passage.
    first: _Windows
    #: Length of the passage.
    seconds: float

    @property
    def several_voices(self) -> bool:
        """Whether the groups are of different voices, and each long enough to count."""
        if self.seconds < JUDGED_SECONDS_MIN:
            return False
        return self.smaller_seconds >= VOICE_SECONDS_MIN and self.score < score_needed(self.seconds)

    @property
    def smaller_seconds(self) -> float:
        """Speech of the group that has less of it."""
        return WINDOW_HOP_SECONDS * min(int(self.first.sum()), int((~self.first).sum()))


def score_needed(seconds: float) -> float:
    """Return the score below which a passage of this length is of several voices."""
    lengths, scores = zip(*_SCORES, strict=True)
    return float(np.interp(seconds, lengths, scores))


def group(windows: NDArray[np.float32], *, seconds: float) -> Grouping:
    """Group the window embeddings, shape (count, dimension), unit length, of a passage of `seconds`."""
    first = _two_means(windows)
    if first.all() or not first.any():
        return Grouping(score=1.0, first=np.ones(len(windows), np.bool_), seconds=seconds)
    return Grouping(score=float(_mean(windows, first) @ _mean(windows, ~first)), first=first, seconds=seconds)


def divide(samples: Samples, grouping: Grouping, *, rate: int) -> tuple[Samples, Samples]:
    """Return the samples of the two groups; half a second goes to the group of most of the windows that cover it."""
    hop = round(WINDOW_HOP_SECONDS * rate)
    count = -(-len(samples) // hop)
    votes = np.zeros(count)
    windows = np.where(grouping.first, 1.0, -1.0)
    for offset in range(min(count, _windows_over_a_chunk(count, len(windows)))):
        votes[offset : offset + len(windows)] += windows[: count - offset]
    of_first = np.repeat(votes >= 0.0, hop)[: len(samples)]
    return samples[of_first], samples[~of_first]


def _windows_over_a_chunk(chunks: int, windows: int) -> int:
    """Return how many chunks a window covers: the chunks that are more than the windows, plus one."""
    return max(chunks - windows, 0) + 1


def _two_means(windows: NDArray[np.float32]) -> _Windows:
    """Find two groups of unit vectors, from a start along the direction in which they vary most."""
    if len(windows) < 2:
        return np.ones(len(windows), np.bool_)
    centred = windows - windows.mean(axis=0)
    _, vectors = np.linalg.eigh(centred @ centred.T)  # ascending; eigenvectors say where each window lies
    groups = vectors[:, -1] > 0
    for _ in range(_ROUNDS_MAX):
        if groups.all() or not groups.any():
            break
        nearer = windows @ _mean(windows, groups) > windows @ _mean(windows, ~groups)
        if (nearer == groups).all():
            break
        groups = nearer
    return groups if groups[0] else ~groups


def _mean(windows: NDArray[np.float32], chosen: _Windows) -> NDArray[np.float32]:
    mean = windows[chosen].mean(axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
