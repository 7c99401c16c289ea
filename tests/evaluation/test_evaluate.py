"""A whole evaluation of the sample calls: real audio, real model, and a table whose answers are known."""

import dataclasses

import numpy as np
import pytest

from earwitness.engine.engine import Engine
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.conditions import parse_condition
from earwitness.evaluation.evaluate import Evaluator, measure
from earwitness.evaluation.fit import fit_calibration
from earwitness.evaluation.hearing import SpeechPreparer
from earwitness.evaluation.manifest import JoinedRecording, Recordings, TrialRole, Utterance
from earwitness.evaluation.requirements import parse_requirement
from earwitness.evaluation.scores import ScoreTable, Searches, fnir_at_fpir, rates
from earwitness.samples import KNOWN, STRANGERS, first_call, second_call


def sample(name: str, call: int) -> JoinedRecording:
    path = (first_call if call == 1 else second_call)(name)
    spoken = Utterance(path=path, speaker_id=name, sex="", age=None, source="samples", role=TrialRole.ENROL_AND_TEST)
    return JoinedRecording(name=f"{name}/{call}", speaker_id=name, utterances=(spoken,))


@pytest.fixture(scope="module")
def evaluator(engine: Engine) -> Evaluator:
    preparer = SpeechPreparer(vad=engine.vad, encoder=engine.encoder, workers=2, seed=0)
    recordings = Recordings(
        enrolments=tuple(sample(name, 1) for name in KNOWN),
        tests=tuple(sample(name, 2) for name in KNOWN),
        strangers=tuple(sample(name, 2) for name in STRANGERS),
    )
    return Evaluator(
        preparer=preparer,
        compensation=engine.space.compensation,
        recordings=recordings,
        enrol_seconds=10.0,
        progress=lambda *_: None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recorded", "gsm"])
def test_the_sample_calls_are_told_apart(evaluator: Evaluator, engine: Engine, name: str) -> None:
    condition = parse_condition(name)
    table = evaluator.score(condition, test_seconds=5.0)
    result = measure(
        table, condition, engine.calibration, strangers_named_percent=1.0, speakers={}, seed=0, not_enrolled=0
    )
    counts = result.counts
    assert (counts.speakers, counts.targets, counts.nontargets) == (6, 4, 20)
    assert (counts.searches, counts.stranger_searches, counts.not_heard) == (4, 6, 0)
    assert result.rates.eer_percent == 0.0
    assert result.rates.found_percent == 100.0
    assert result.rates.false_alarm_percent == 0.0
    assert [size.gallery for size in result.growing] == [4]
    assert parse_requirement("eer_percent<=0", [name]).failures({name: result.rates}) == []
    assert parse_requirement("found_percent<50", [name]).failures({name: result.rates}) == [
        f"{name}: found_percent is 100, required < 50"
    ]


@pytest.mark.slow
def test_shorter_tests_are_the_starts_of_the_longest(evaluator: Evaluator) -> None:
    together, apart = (dataclasses.replace(evaluator) for _ in range(2))
    together.hear("test", "telephone", net_seconds=[5.0, 3.0])
    for seconds in (3.0, 5.0):
        pairs = zip(
            together.heard("test", "telephone", net_seconds=seconds),
            apart.heard("test", "telephone", net_seconds=seconds),
            strict=True,
        )
        for one, other in pairs:
            assert (one.recording, one.net_seconds) == (other.recording, seconds)
            assert one.raw is not None
            np.testing.assert_array_equal(one.raw, other.raw)


def table_of(scores: list[list[float]], tested: str, enrolled: str = "ab") -> ScoreTable:
    array = np.array(scores)
    return ScoreTable(
        enrolled=np.array(list(enrolled)),
        tested=np.array(list(tested)),
        scores=array,
        net_seconds=np.full(len(tested), 10.0),
        trials=np.ones(array.shape, np.bool_),
        same_recording=np.zeros(array.shape, np.bool_),
    )


def test_searches_by_hand(engine: Engine) -> None:
    table = table_of([[0.9, 0.1], [0.95, 0.9], [0.2, 0.3], [0.9, 0.1]], "abbx")
    searches = Searches.of(table, engine.calibration, strangers_named_percent=1.0)
    assert searches.known.tolist() == [True, True, True, False]
    assert searches.first.tolist() == [True, False, True, False]
    assert searches.found.tolist() == [True, False, False, False]
    assert searches.alarm.tolist() == [False, True, False, True]
    measured = rates(table, engine.calibration, strangers_named_percent=1.0)(None)
    assert measured.top1_percent == pytest.approx(200 / 3)
    assert measured.found_percent == pytest.approx(100 / 3)
    assert measured.false_alarm_percent == pytest.approx(50.0)


def test_a_test_that_was_not_heard_is_missed(engine: Engine) -> None:
    table = table_of([[0.9, 0.1], [np.nan, np.nan]], "ab")
    searches = Searches.of(table, engine.calibration, strangers_named_percent=1.0)
    assert searches.found.tolist() == [True, False]
    assert searches.alarm.tolist() == [False, False]
    assert table.target_cells.sum() == 1
    measured = rates(table, engine.calibration, strangers_named_percent=1.0)(None)
    assert measured.found_percent == 50.0
    assert measured.eer_percent == 0.0


def test_fnir_at_fpir_by_hand() -> None:
    table = table_of([[0.9, 0.1], [0.1, 0.5], [0.6, 0.1], [0.2, 0.1]], "abxy")
    # Strangers' best scores are 0.1, 0.1, 0.6, 0.2: letting none through puts the threshold at 0.6.
    assert fnir_at_fpir(table, gallery_speakers={"a", "b"}, fpir=0.01, weights=None) == 50.0
    assert fnir_at_fpir(table, gallery_speakers={"a", "b"}, fpir=0.25, weights=None) == 0.0
    assert fnir_at_fpir(table, gallery_speakers={"a"}, fpir=0.01, weights=None) == 0.0
    only_b = {"b": 1, "x": 1}
    assert fnir_at_fpir(table, gallery_speakers={"a", "b"}, fpir=0.01, weights=only_b) == 100.0


def test_a_recording_is_no_evidence_of_itself(engine: Engine) -> None:
    table = dataclasses.replace(
        table_of([[1.0, 0.1], [0.9, 0.1], [0.1, 1.0]], "aab"),
        same_recording=np.array([[True, False], [False, False], [False, True]]),
    )
    searches = Searches.of(table, engine.calibration, strangers_named_percent=1.0)
    assert searches.known.tolist() == [False, True, False]
    assert searches.found.tolist() == [False, True, False]
    assert searches.alarm.tolist() == [False, False, False]
    assert fnir_at_fpir(table, gallery_speakers={"a", "b"}, fpir=0.01, weights=None) == 0.0


def test_ids_in_doubt_are_no_strangers_to_each_other(engine: Engine) -> None:
    """Test b reaches a: one person perhaps. Test x reaches a as well: that stays an alarm."""
    labelled = table_of([[0.9, 0.1], [0.95, 0.9], [0.1, 0.9], [0.9, 0.1]], "abbx")
    apart = dataclasses.replace(labelled, doubted=[("b", "a")])
    searches = Searches.of(apart, engine.calibration, strangers_named_percent=1.0)
    assert searches.alarm.tolist() == [False, False, False, True]
    assert searches.found.tolist() == [True, True, True, False]
    assert apart.nontarget_cells.tolist() == [[False, False], [False, False], [False, False], [True, True]]
    assert apart.restricted({"a", "b"}).nontarget_cells.sum() == 0
    assert fnir_at_fpir(labelled, gallery_speakers={"a", "b"}, fpir=0.25, weights=None) == 100.0
    assert fnir_at_fpir(apart, gallery_speakers={"a", "b"}, fpir=0.25, weights=None) == 0.0


def test_nothing_to_measure_is_said(engine: Engine, evaluator: Evaluator) -> None:
    condition = parse_condition("recorded")
    with pytest.raises(TooFewSpeakers, match="no same-speaker"):
        measure(
            table_of([[0.5, 0.1]], "x"),
            condition,
            engine.calibration,
            strangers_named_percent=1,
            speakers={},
            seed=0,
            not_enrolled=0,
        )
    with pytest.raises(TooFewSpeakers, match="at least 2"):
        dataclasses.replace(evaluator, recordings=Recordings(enrolments=(), tests=(), strangers=()))


def test_a_calibration_is_fitted_from_tables() -> None:
    random = np.random.default_rng(0)
    names = [f"s{number}" for number in range(20)]
    own = np.eye(20, dtype=bool)
    scores = np.where(own, random.normal(0.8, 0.1, (20, 20)), random.normal(0.1, 0.15, (20, 20)))
    table = ScoreTable(
        enrolled=np.array(names),
        tested=np.array(names),
        scores=scores,
        net_seconds=np.full(20, 10.0),
        trials=np.ones((20, 20), np.bool_),
        same_recording=np.zeros((20, 20), np.bool_),
    )
    fitted = fit_calibration({5.0: [table], 10.0: [table, table]}, encoder_id="e", made_from="a test")
    assert [fit.net_seconds for fit in fitted.fits] == [5.0, 10.0]
    assert (fitted.persons, fitted.person_pairs, fitted.trials) == (20, 190, 1200)
    assert fitted.llr(0.9, net_seconds=7) > 0 > fitted.llr(0.1, net_seconds=7)
