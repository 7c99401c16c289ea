"""Whether strangers score as strangers: vectors of a made-up line, far fewer dimensions than a voice has."""

import numpy as np
import pytest

from earwitness.engine.monitor import (
    CALLERS_MAX,
    NO_SCORES,
    OFF_FROM,
    SEARCHES_MIN,
    WELL_BELOW,
    StrangerScores,
    health,
    mean_between,
)
from earwitness.voice.line import LineHealth

DIMENSION = 192


def callers(count: int, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Unit vectors; the mean cosine of two of them is about shift² / (1 + shift²)."""
    made = np.random.default_rng(seed).standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION)
    made[:, 0] += shift
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def after(*searches: np.ndarray) -> StrangerScores:
    found = NO_SCORES
    for scores in searches:
        found = found.after(scores.astype(np.float32))
    return found


def test_the_first_searches_count_alike() -> None:
    scores = np.random.default_rng(1).normal(0.05, 0.15, (20, 30))
    found = after(*scores)
    assert found.searches == 20
    assert found.mean == pytest.approx(scores.mean(), abs=1e-6)
    assert found.spread == pytest.approx(scores.std(), abs=1e-6)


def test_later_ones_take_the_place_of_the_first() -> None:
    found = after(*[np.zeros(5)] * 100, *[np.full(5, 0.3)] * 20)
    assert found.mean == pytest.approx(0.3 * (1 - 0.95**20), abs=1e-6)
    assert after(*[np.zeros(5)] * 100, *[np.full(5, 0.3)] * 200).spread == pytest.approx(0.0, abs=0.01)


def test_the_mean_between_callers_is_that_of_all_pairs() -> None:
    voices = callers(CALLERS_MAX, shift=0.5)
    cosines = voices @ voices.T
    pairs = cosines[~np.eye(CALLERS_MAX, dtype=bool)]
    assert mean_between(voices) == pytest.approx(pairs.mean(), abs=1e-6)
    assert mean_between(voices[: SEARCHES_MIN - 1]) is None


@pytest.mark.parametrize("shift", [0.4, 0.65])
def test_a_new_trunk_is_noticed_within_twenty_callers(shift: float) -> None:
    """Real lines differ so: 0.16 to 0.31 between strangers of the new line, against 0.02 to 0.06 on their own."""
    for seed in range(20):
        before, new = callers(CALLERS_MAX, seed=seed), callers(CALLERS_MAX, shift=shift, seed=100 + seed)
        said = health(NO_SCORES, mean_between(before), before=LineHealth.TOO_FEW)
        assert said is LineHealth.WELL
        for count in range(1, CALLERS_MAX + 1):
            last = np.concatenate([before, new[:count]])[-CALLERS_MAX:]
            said = health(NO_SCORES, mean_between(last), before=said)
        assert said is LineHealth.OFF


@pytest.mark.parametrize(
    ("mean", "callers_mean", "before", "said"),
    [
        (0.0, None, LineHealth.TOO_FEW, LineHealth.WELL),
        (OFF_FROM + 0.01, None, LineHealth.WELL, LineHealth.OFF),
        (-OFF_FROM - 0.01, None, LineHealth.WELL, LineHealth.WELL),  # strangers score too little, which names nobody
        (0.0, OFF_FROM + 0.01, LineHealth.WELL, LineHealth.OFF),
        (0.0, OFF_FROM - 0.01, LineHealth.WELL, LineHealth.WELL),
        (OFF_FROM - 0.01, None, LineHealth.OFF, LineHealth.OFF),  # not told again and again
        (WELL_BELOW - 0.01, 0.0, LineHealth.OFF, LineHealth.WELL),
    ],
)
def test_what_is_said(mean: float, callers_mean: float | None, before: LineHealth, said: LineHealth) -> None:
    scores = StrangerScores(searches=SEARCHES_MIN, mean=mean, spread=0.15)
    assert health(scores, callers_mean, before=before) is said


@pytest.mark.parametrize("before", LineHealth)
def test_nothing_new_is_said_of_a_few_searches(before: LineHealth) -> None:
    scores = StrangerScores(searches=SEARCHES_MIN - 1, mean=0.5, spread=0.1)
    assert health(scores, None, before=before) is before
