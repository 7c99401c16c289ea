"""Ids that the voices contradict are read off a table of scores."""

from pathlib import Path

import numpy as np
import pytest
from voices_examples import voices

from earwitness.engine.calibration import Calibration, shipped_calibration
from earwitness.errors import LabelsDoubtful
from earwitness.evaluation.fit import fit_calibration
from earwitness.evaluation.labels import LabelDoubts, ids_of_one_person, ids_of_several_people, require_no_copies
from earwitness.evaluation.manifest import Utterance
from earwitness.evaluation.scores import ScoreTable


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


def test_one_person_under_many_ids_is_found_by_what_they_raised() -> None:
    """The curve ends where the copies begin, so that by the calibration alone they would sound like anybody."""
    people = voices(60, copied=12)
    calibration = fit_calibration({10.0: [people]}, encoder_id="e", made_from="a test")
    found = {one.speaker_ids for one in ids_of_one_person(people, calibration)}
    ids = ["s000", *(f"s{number:03}" for number in range(48, 60))]
    assert found == {(first, second) for number, first in enumerate(ids) for second in ids[number + 1 :]}
    clean = voices(60)
    assert ids_of_one_person(clean, fit_calibration({10.0: [clean]}, encoder_id="e", made_from="a test")) == []


def test_two_people_under_one_id_do_not_make_others_sound_alike(calibration: Calibration) -> None:
    """What an id of several people scores with itself is no measure of how alike one person sounds."""
    people = voices(24)
    mixed = np.isin(people.tested, ["s001", "s002", "s003"])
    people.scores[np.ix_(mixed, np.isin(people.enrolled, ["s001", "s002", "s003"]))] = 0.1
    doubts = LabelDoubts.of(people, calibration)
    assert [one.speaker_id for one in doubts.several_people] == ["s001", "s002", "s003"]
    assert doubts.one_person == []


def test_doubtful_labels_are_refused_until_each_is_accepted(calibration: Calibration) -> None:
    doubtful = table(("a", 0.9, 0.1, 0.86), ("c", 0.80, 0.2, 0.9), ("b", 0.1, 0.15, 0.1))
    with pytest.raises(LabelsDoubtful) as refused:
        LabelDoubts.of(doubtful, calibration).require_none()
    assert str(refused.value) == (
        "no calibration is fitted on labels in doubt: a and c sound like one person; b sounds like more than one. "
        "Listen to their recordings: give one person one id and two people two, or take the recordings out. Where a "
        "label is right, add --accept-labels a=c --accept-labels b"
    )
    for accepted, left in ((["a=c"], ["b"]), (["b", "a"], ["a=c"]), (["c=b"], ["a=c", "b"])):
        with pytest.raises(LabelsDoubtful) as refused:
            LabelDoubts.of(doubtful, calibration, accepted=accepted).require_none()
        assert str(refused.value).partition("add ")[2] == " ".join(f"--accept-labels {name}" for name in left)
    LabelDoubts.of(doubtful, calibration, accepted=["c=a", "b"]).require_none()


def test_copies_are_refused_by_name() -> None:
    require_no_copies([])
    one, *others = (Utterance(path=Path(f"{number}.wav"), speaker_id=f"s{number}") for number in range(13))
    with pytest.raises(LabelsDoubtful, match=r"copies: 1.wav \(s1\) of 0.wav \(s0\); 2.wav .*10.wav .* and 2 more"):
        require_no_copies([(one, other) for other in others])
