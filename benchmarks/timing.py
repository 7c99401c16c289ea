"""Take times so that they compare: every piece of work once in turn, again and again.

Noise of the machine then falls on all of them alike, and a ratio of two that ran right after one another means
something even when neither time does.
"""

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], object]
Seconds = NDArray[np.float64]
"""Shape (repeats,)."""

Progress = Callable[[int, int], None]
"""Called with how many rounds are done and how many there are."""


def rounds(
    work: Mapping[str, Work], *, repeats: int, progress: Progress, clock: Callable[[], float] = perf_counter
) -> dict[str, Seconds]:
    """Seconds by `clock` of each piece of work in each round, after one round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for done in range(repeats + 1):
        for name, run in work.items():
            started = clock()
            run()
            taken[name].append(clock() - started)
        progress(done, repeats)
    return {name: np.array(seconds[1:]) for name, seconds in taken.items()}


def median_ms(seconds: Seconds) -> float:
    """The median in milliseconds."""
    return 1e3 * float(np.median(seconds))


def median_ratio(first: Seconds, second: Seconds) -> float:
    """The median of the ratios within each round."""
    return float(np.median(first / second))
