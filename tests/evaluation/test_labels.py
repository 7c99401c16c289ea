"""Ids that the voices contradict are read off a table of scores."""

import numpy as np
import pytest

from earwitness.engine.calibration import Calibration, shipped_calibration
from earwitness.evaluation.scores import ScoreTable, ids_of_one_person, ids_of_several_people


@pytest.fixture
def calibration() -> Calibration:
    return shipped_calibration("campplus", "telephone")


def table(*rows: tuple[str, float, float, float], same_recording: tuple[int, int] | None = None) -> ScoreTable:
    """Tests of these speakers against the voiceprints of a, b and c."""
    scores = np.array([row[1:] for row in rows])
    shared = np.zeros(scores.shape, np.bool_)
    if same_recording is not None:
        shared[same_recording] = True
    return ScoreTable(
        enrolled=np.array(["a", "b", "c"]),
        tested=np.array([row[0] for row in rows]),
        scores=scores,
        net_seconds=np.full(len(rows), 10.0),
        trials=np.ones(scores.shape, np.bool_),
        same_recording=shared,
    )


def test_labels_that_fit(calibration: Calibration) -> None:
    fitting = table(("a", 0.9, 0.1, 0.6), ("b", 0.1, 0.9, 0.0), ("c", 0.7, 0.2, 0.9), ("nobody", 0.3, 0.2, 0.4))
    assert ids_of_one_person(fitting, calibration) == []
    assert ids_of_several_people(fitting, calibration) == []


def test_one_person_under_two_ids(calibration: Calibration) -> None:
    found = ids_of_one_person(
        table(("a", 0.9, 0.1, 0.86), ("a", 0.9, 0.1, 0.78), ("c", 0.80, 0.2, 0.9), ("d", 0.0, 0.95, 0.0)), calibration
    )
    assert [one.speaker_ids for one in found] == [("b", "d"), ("a", "c")]
    assert found[1].score == pytest.approx((0.86 + 0.78 + 0.80) / 3)


def test_one_test_that_sounds_alike_by_chance_is_no_person(calibration: Calibration) -> None:
    assert ids_of_one_person(table(("a", 0.9, 0.1, 0.85), ("c", 0.5, 0.2, 0.9)), calibration) == []


def test_a_recording_under_two_ids_says_nothing_of_the_voices(calibration: Calibration) -> None:
    shared = table(("a", 0.9, 0.1, 1.0), ("c", 0.5, 0.2, 0.9), same_recording=(0, 2))
    assert ids_of_one_person(shared, calibration) == []


def test_two_people_under_one_id(calibration: Calibration) -> None:
    nan = float("nan")
    mixed = table(("a", 0.9, 0.1, 0.1), ("a", 0.15, 0.1, 0.1), ("a", nan, nan, nan), ("b", 0.1, 0.6, 0.1))
    (found,) = ids_of_several_people(mixed, calibration)
    assert (found.speaker_id, found.tests, found.unlike) == ("a", 2, 1)
