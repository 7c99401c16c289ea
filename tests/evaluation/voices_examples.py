"""Score tables of voices that are made up: vectors of random directions, with noise in each recording."""

import numpy as np

from earwitness.evaluation.scores import ScoreTable

TESTS_EACH = 4


def voices(persons: int, *, seed: int = 0, copied: int = 0) -> ScoreTable:
    """Random voices with four tests each; the last `copied` of them are the first one again under another id."""
    random = np.random.default_rng(seed)
    names = [f"s{number:03}" for number in range(persons)]
    own = random.standard_normal((persons, 24))
    own[persons - copied :] = own[0]
    tested = np.repeat(own, TESTS_EACH, axis=0) + 0.45 * random.standard_normal((persons * TESTS_EACH, 24))
    enrolled = own + 0.2 * random.standard_normal(own.shape)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (tested, enrolled)]
    return ScoreTable(
        enrolled=np.array(names),
        tested=np.repeat(np.array(names), TESTS_EACH),
        scores=units[0] @ units[1].T,
        net_seconds=np.full(persons * TESTS_EACH, 10.0),
        trials=np.ones((persons * TESTS_EACH, persons), np.bool_),
        same_recording=np.zeros((persons * TESTS_EACH, persons), np.bool_),
    )
