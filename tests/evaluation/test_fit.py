"""What a calibration is fitted on: pairs of persons for thresholds, trials for the likelihood ratio."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voices_examples import voices

from earwitness.engine.calibration import TAIL_PAIRS_MIN, Calibration, persons_needed
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.fit import PERSONS_MIN, false_match_curve, fit_calibration, require_enough_people
from earwitness.evaluation.scores import PersonPairs, ScoreTable


def table(scores: list[list[float]], *, tested: str, enrolled: str) -> ScoreTable:
    return ScoreTable(
        enrolled=np.array(list(enrolled)),
        tested=np.array(list(tested)),
        scores=np.array(scores),
        net_seconds=np.full(len(tested), 10.0),
        trials=np.ones((len(tested), len(enrolled)), np.bool_),
        same_recording=np.zeros((len(tested), len(enrolled)), np.bool_),
    )


def fitted(*tables: ScoreTable, sexes: dict[str, str] | None = None) -> Calibration:
    return fit_calibration({10.0: tables}, encoder_id="e", made_from="a test", sexes=sexes)


def test_a_pair_of_persons_has_its_highest_score_of_all_conditions() -> None:
    clean = table([[0.9, 0.1, 0.2], [0.3, 0.8, 0.0], [0.2, 0.25, 0.1]], tested="abx", enrolled="abc")
    noisy = table([[0.7, 0.4, 0.1]], tested="a", enrolled="abc")
    unheard = table([[np.nan, np.nan, np.nan]], tested="c", enrolled="abc")
    pairs = PersonPairs.of([clean, noisy, unheard])
    assert pairs.persons == ["a", "b", "c", "x"]
    assert pairs.scores.tolist() == [0.4, 0.2, 0.2, 0.0, 0.25, 0.1]  # ab ac ax bc bx cx


def test_only_trials_of_the_list_are_pairs() -> None:
    listed = table([[0.9, 0.1, 0.2]], tested="a", enrolled="abc")
    listed.trials[0, 2] = False
    pairs = PersonPairs.of([listed])
    assert (pairs.persons, pairs.scores.tolist()) == (["a", "b"], [0.1])


def test_more_recordings_of_the_same_people_are_no_more_pairs() -> None:
    once = voices(20)
    calibration = fitted(once)
    assert (calibration.persons, calibration.person_pairs) == (20, 190)
    again = fitted(once, once, once)
    assert (again.person_pairs, again.trials) == (190, 3 * calibration.trials)
    curve, same = (each.fits[0].false_match for each in (calibration, again))
    assert same.rate_min == pytest.approx(curve.rate_min)
    assert [same.score_at(rate) for rate in (0.2, 0.05, 1e-3)] == pytest.approx(
        [curve.score_at(rate) for rate in (0.2, 0.05, 1e-3)], abs=0.02
    )


def test_a_line_over_which_people_sound_alike_counts_as_one_of_several() -> None:
    clean = voices(30)
    alike = replace(clean, scores=np.minimum(clean.scores + 0.2, 1.0))
    alone, mixed, worst = (fitted(*tables).fits[0].false_match for tables in ((clean,), (clean, alike), (alike,)))
    assert alone.score_at(0.05) < mixed.score_at(0.05) < worst.score_at(0.05)


def random_scores(seed: int, pairs: int, digits: int) -> np.ndarray:
    """Scores with more or fewer ties, and sometimes a few far above the others."""
    random = np.random.default_rng(seed)
    scores = random.normal(random.uniform(-0.2, 0.4), random.uniform(0.0, 0.3), pairs)
    scores[: random.integers(0, 8)] += random.uniform(0.0, 1.0)
    return np.clip(np.round(scores, digits), -1.0, 1.0)


SCORES = st.builds(random_scores, seed=st.integers(0, 2**32 - 1), pairs=st.integers(45, 400), digits=st.integers(0, 4))


@given(scores=SCORES, rate=st.floats(1e-7, 0.5))
def test_a_curve_falls_and_ends_at_the_share_of_five_pairs(scores: np.ndarray, rate: float) -> None:
    try:
        curve = false_match_curve(scores)
    except TooFewSpeakers:
        middle, third = np.sort(scores)[::-1][[len(scores) // 2 - 1, 2]]
        assert third - middle < 0.01  # half of them score alike
        return
    found, shares = zip(*curve.points, strict=True)
    assert (np.diff(found) > 0).all()
    assert (np.diff(shares) < 0).all()
    assert curve.rate_min >= TAIL_PAIRS_MIN / len(scores)
    assert curve.score_at(rate) >= curve.score_at(0.5) == found[0]
    assert curve.score_at(rate / 2) > curve.score_at(rate) or curve.score_at(rate) == found[0]


@given(scores=SCORES)
def test_the_two_highest_scores_move_nothing(scores: np.ndarray) -> None:
    raised = np.sort(scores)
    raised[-2:] = 1.0
    try:
        curve = false_match_curve(scores)
    except TooFewSpeakers:
        return
    assert false_match_curve(raised) == curve


def test_the_rare_end_of_normal_scores_is_found() -> None:
    random = np.random.default_rng(0)
    found = [false_match_curve(random.normal(0.1, 0.15, 4950)).score_at(2e-4) for _ in range(20)]
    truth = 0.1 + 0.15 * 3.54
    assert np.mean(found) == pytest.approx(truth, abs=0.01)
    assert np.std(found) < 0.03


@given(rate=st.floats(1e-9, 0.4))
def test_so_many_persons_are_needed_and_not_one_less(rate: float) -> None:
    needed = persons_needed(rate)
    assert needed * (needed - 1) / 2 * rate >= TAIL_PAIRS_MIN * (1 - 1e-9)
    assert (needed - 1) * (needed - 2) / 2 * rate < TAIL_PAIRS_MIN * (1 + 1e-9)


def test_with_the_persons_needed_it_is_measured() -> None:
    """The number in an answer is the one at which its threshold stops being extrapolated."""
    few = fitted(voices(30)).threshold(gallery_size=4, strangers_named_percent=1.0, net_seconds=10.0)
    assert few.extrapolated
    assert few.persons_needed == 64
    for persons, extrapolated in ((63, True), (64, False)):
        threshold = fitted(voices(persons)).threshold(gallery_size=4, strangers_named_percent=1.0, net_seconds=10.0)
        assert (threshold.extrapolated, threshold.persons_needed is None) == (extrapolated, not extrapolated)


def test_three_speakers_are_refused_however_much_they_said() -> None:
    with pytest.raises(TooFewSpeakers, match=r"10 people .* the list has 3"):
        require_enough_people(3, conditions=6)
    with pytest.raises(TooFewSpeakers, match=r"3 people .* at least 10"):
        fitted(*(voices(3, seed=seed) for seed in range(10)))
    require_enough_people(PERSONS_MIN, conditions=1)
    assert fitted(voices(PERSONS_MIN)).person_pairs == 45


def test_one_person_under_two_ids_moves_the_threshold_little() -> None:
    """Labels are audited before a fit; one pair that slips through does not set the threshold, as its trials would."""
    rate = 0.01 / 50
    clean, dirty = voices(60), voices(60, copied=1)
    by_pairs = [fitted(each).fits[0].false_match.score_at(rate) for each in (clean, dirty)]
    by_trials = [false_match_curve(each.scores[each.nontarget_cells]).score_at(rate) for each in (clean, dirty)]
    assert abs(by_pairs[1] - by_pairs[0]) < 0.02 < 0.05 < by_trials[1] - by_trials[0]


def test_how_many_are_of_each_sex_is_kept() -> None:
    people = voices(12)
    names = people.speakers
    assert fitted(people).sexes is None
    assert fitted(people, sexes=dict.fromkeys(names, "")).sexes is None
    assert fitted(people, sexes=dict.fromkeys(names, "f")).sexes == {"f": 12}
    mixed = dict.fromkeys(names[:7], "m") | {names[7]: "f"}
    assert fitted(people, sexes=mixed).sexes == {"f": 1, "m": 7, "unknown": 4}


def test_the_duration_with_the_fewest_pairs_is_told() -> None:
    calibration = fit_calibration({3.0: [voices(40)], 10.0: [voices(15)]}, encoder_id="e", made_from="a test")
    assert (calibration.persons, calibration.person_pairs) == (15, 105)
