"""Error rates: values worked out by hand, known distributions, and invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from earwitness.engine.calibration import DurationFit
from earwitness.engine.compensation import Compensation
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.fit import fit_compensation, fit_duration, line_means
from earwitness.evaluation.metrics import TrialSet, cllr, draws, percentiles, widened
from earwitness.evaluation.scores import PersonPairs


def trials(targets: list[float], nontargets: list[float]) -> TrialSet:
    return TrialSet(np.array(targets, np.float64), np.array(nontargets, np.float64))


@pytest.mark.parametrize(
    ("targets", "nontargets", "eer"),
    [
        ([3, 4, 5], [0, 1, 2], 0.0),
        ([0, 1, 2], [3, 4, 5], 1.0),
        ([1, 3], [0, 2], 0.5),
        ([1, 1], [1, 1], 0.5),
        ([2, 3, 4, 5], [0, 0, 0, 3.5], 0.25),
    ],
)
def test_eer_by_hand(targets: list[float], nontargets: list[float], eer: float) -> None:
    assert trials(targets, nontargets).curve().eer() == pytest.approx(eer)


def test_eer_of_two_normal_distributions() -> None:
    random = np.random.default_rng(0)
    curve = TrialSet(random.normal(1, 0.5, 200_000), random.normal(0, 0.5, 200_000)).curve()
    assert curve.eer() == pytest.approx(ndtr(-1.0), abs=0.002)


def test_min_dcf_by_hand() -> None:
    assert trials([3, 4], [0, 1]).curve().min_dcf() == 0.0
    # One target in four lies below everything: rejecting it costs 0.01 * 1/4, relative to 0.01.
    assert trials([-1, 5, 6, 7], [0, 1, 2, 3]).curve().min_dcf() == pytest.approx(0.25)
    # Nothing is better than rejecting all when every threshold lets half the strangers in.
    assert trials([0, 0], [0, 1]).curve().min_dcf() == pytest.approx(1.0)


def test_weights_count_trials_several_times() -> None:
    plain = trials([1, 2, 2], [0, 0, 1.5]).curve()
    weighted = trials([1, 2], [0, 1.5]).curve(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    assert weighted.eer() == pytest.approx(plain.eer())
    assert weighted.min_dcf() == pytest.approx(plain.min_dcf())


@given(
    targets=st.lists(st.integers(-20, 20), min_size=1, max_size=30),
    nontargets=st.lists(st.integers(-20, 20), min_size=1, max_size=30),
)
def test_rates_depend_on_order_alone(targets: list[int], nontargets: list[int]) -> None:
    curve = trials([float(t) for t in targets], [float(n) for n in nontargets]).curve()
    stretched = trials([np.exp(t / 5) for t in targets], [np.exp(n / 5) for n in nontargets]).curve()
    assert 0.0 <= curve.eer() <= 1.0
    assert curve.eer() == pytest.approx(stretched.eer())
    assert (np.diff(curve.misses) >= 0).all()
    assert (np.diff(curve.false_alarms) <= 1e-12).all()
    assert (curve.misses[0], curve.false_alarms[0]) == (0.0, 1.0)
    assert (curve.misses[-1], curve.false_alarms[-1]) == pytest.approx((1.0, 0.0))
    assert 0.0 <= curve.min_dcf() <= 1.0


def test_cllr() -> None:
    assert cllr(np.zeros(3), np.zeros(5)) == pytest.approx(1.0)
    assert cllr(np.full(3, 50.0), np.full(5, -50.0)) == pytest.approx(0.0)
    assert cllr(np.array([-20.0]), np.array([0.0])) > 10


def fit_of(targets: np.ndarray, nontargets: np.ndarray, *, persons: int = 20) -> DurationFit:
    """Each pair of recordings is a pair of persons too."""
    pairs = PersonPairs(persons=[f"s{number}" for number in range(persons)], scores=nontargets)
    return fit_duration(targets=targets, nontargets=nontargets, by_line=[pairs], net_seconds=10.0)


def test_a_calibration_recovers_the_true_likelihood_ratio() -> None:
    """For normal scores of equal deviation the log ratio is linear: slope distance / variance."""
    random = np.random.default_rng(1)
    targets, nontargets = random.normal(0.8, 0.2, 200_000), random.normal(0.2, 0.2, 200_000)
    fitted = fit_of(targets, nontargets)
    assert fitted.slope == pytest.approx(0.6 / 0.04, rel=0.03)
    assert fitted.offset == pytest.approx(-0.5 * 0.6 / 0.04, rel=0.03)
    assert fitted.false_match.rate_at(0.2) == pytest.approx(0.5, abs=0.01)
    assert fitted.false_match.rate_at(0.6) == pytest.approx(ndtr(-2.0), rel=0.05)
    assert fitted.false_match.score_at(1e-6) == pytest.approx(0.2 + 0.2 * 4.75, abs=0.08)


def test_separable_scores_do_not_give_an_endless_slope() -> None:
    random = np.random.default_rng(2)
    fitted = fit_of(random.uniform(0.8, 0.9, 100), random.uniform(-0.2, 0.3, 500))
    assert 5 < fitted.slope < 100


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(TooFewSpeakers, match="too few to calibrate"):
        fit_of(np.ones(5), np.zeros(500))


def test_labels_that_are_the_wrong_way_round_are_refused() -> None:
    random = np.random.default_rng(4)
    with pytest.raises(TooFewSpeakers, match="are the labels right"):
        fit_of(random.normal(0, 0.1, 50), random.normal(0.8, 0.1, 500))


def test_compensation_finds_what_a_line_does_to_each_recording_in_its_own_way() -> None:
    random = np.random.default_rng(3)
    speakers = random.standard_normal((60, 16)).astype(np.float32)
    one_way, other_way = np.eye(16, dtype=np.float32)[:2]
    # A line moves all recordings the same way, which its own mean takes out, and each by as much as it likes.
    lines = [speakers + 2.0 * one_way, speakers + 2.0 * random.standard_normal((60, 1)).astype(np.float32) * other_way]
    fitted = fit_compensation(lines, directions=1)
    assert abs(float(fitted.directions[0] @ other_way)) > 0.95
    assert abs(float(fitted.directions[0] @ one_way)) < 0.2
    own = [Compensation(mean, fitted.directions) for mean in line_means(lines)]
    before, after = (
        float(np.mean(np.sum(a.apply(lines[0]) * b.apply(lines[1]), axis=1))) for a, b in ((fitted, fitted), own)
    )
    assert after > before + 0.05


def test_an_unknown_line_is_taken_to_lie_between_all_lines() -> None:
    everybody = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(fit_compensation([everybody[:2], everybody[2:]]).mean, np.full(4, 0.25))


def test_no_error_seen_is_not_no_error_possible() -> None:
    low, high = widened((0.0, 0.0), speakers=30)
    assert (low, high) == pytest.approx((0.0, 9.5), abs=0.1)  # three in thirty, the rule of three
    assert widened((100.0, 100.0), speakers=30)[0] == pytest.approx(90.5, abs=0.1)
    assert widened((0.0, 4.0), speakers=30) == (0.0, 4.0)


def test_a_bootstrap_draws_speakers() -> None:
    drawn = draws(["a", "b", "c"], seed=0, replicates=50)
    assert all(sum(weights.values()) == 3 for weights in drawn)
    assert drawn == draws(["a", "b", "c"], seed=0, replicates=50)
    assert percentiles([1.0] * 99 + [float("nan")]) == (1.0, 1.0)
    assert np.isnan(percentiles([float("nan")])).all()
