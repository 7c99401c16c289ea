"""What labels say of searches, against populations whose truth is known."""

import numpy as np
import pytest

from earwitness.engine.calibration import shipped_calibration
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.scored_labels import Share, fit_to_labels, label_report
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LabelledCall, Picked, Spoke

CALIBRATION = shipped_calibration("campplus", "telephone")
SIZE = 50


def call(
    number: int,
    score: float,
    spoke: Spoke | None,
    *,
    named: str = "vp-1",
    profile_id: str | None = None,
    probability: float = 0.9,
    picked: Picked = Picked.QUEUE,
) -> LabelledCall:
    threshold = CALIBRATION.threshold(gallery_size=SIZE, strangers_named_percent=1.0, net_seconds=10.0).score
    return LabelledCall(
        task_id=f"task-{number}",
        outcome=Outcome.MATCH if score >= threshold else Outcome.NO_MATCH,
        candidates=((named, score),),
        probability=probability,
        threshold=threshold,
        line_margin=0.0,
        strangers_named_percent=1.0,
        gallery_size=SIZE,
        net_speech_seconds=10.0,
        calibration_id=CALIBRATION.id,
        spoke=spoke,
        profile_id=profile_id,
        picked=picked,
    )


def matches(right: int, wrong: int, *, probability: float = 0.9) -> list[LabelledCall]:
    return [
        call(n, 0.95, Spoke.PROFILE, profile_id="vp-1" if n < right else "vp-2", probability=probability)
        for n in range(right + wrong)
    ]


def strangers(count: int, *, higher: float = 0.0, seed: int = 1) -> list[LabelledCall]:
    """Calls whose best score among SIZE voiceprints is drawn as the calibration says, or higher by so much."""
    random = np.random.default_rng(seed)
    rates = 1.0 - random.uniform(size=count) ** (1.0 / SIZE)

    def score(rate: float) -> float:
        said = CALIBRATION.threshold(gallery_size=1, strangers_named_percent=100 * rate, net_seconds=10.0)
        return said.score + higher

    return [call(1_000 + n, score(rate), Spoke.NOBODY) for n, rate in enumerate(rates.tolist())]


def test_what_a_fit_changes_is_counted_from_the_calibration_that_it_begins_with() -> None:
    """Of a domain whose calibration was installed after these calls: they were searched by a lower one."""
    at = CALIBRATION.threshold(gallery_size=SIZE, strangers_named_percent=1.0, net_seconds=10.0).score
    calls = [call(n, at + 0.02 + n / 1_000, Spoke.PROFILE, profile_id="vp-1") for n in range(100)]
    first = fit_to_labels([*calls, *strangers(60, higher=0.08)], CALIBRATION, matches=100, no_matches=900)
    assert first.moved > 0.04
    assert (first.right_before, first.right_after) == (
        100,
        100 - sum(n / 1_000 + 0.02 < first.moved for n in range(100)),
    )
    again = fit_to_labels([*calls, *strangers(60, higher=0.08)], first.calibration, matches=100, no_matches=900)
    assert (again.moved, again.right_before) == (0.0, first.right_after)
    assert again.calibration == first.calibration


def test_shares_have_the_exact_interval_of_clopper_and_pearson() -> None:
    # Their table: 3 of 10, 95 %.
    low, high = Share(count=3, of=10).interval
    assert (low, high) == (pytest.approx(6.67, abs=0.01), pytest.approx(65.25, abs=0.01))
    assert Share(count=0, of=20).interval == (0.0, pytest.approx(16.84, abs=0.01))
    assert Share(count=20, of=20).interval[1] == 100.0
    assert (Share(count=0, of=0).percent, Share(count=0, of=0).interval) == (None, (0.0, 100.0))


def test_rates_weigh_each_kind_of_call_as_it_is() -> None:
    unnamed = [call(100 + n, 0.2, Spoke.ENROLLED if n < 2 else Spoke.NOBODY) for n in range(40)]
    report = label_report([*matches(18, 2), *unnamed], matches=20, no_matches=2_000)
    assert (report.names_right.count, report.names_right.of) == (18, 20)
    assert (report.missed.count, report.missed.of) == (2, 40)
    assert report.found is not None
    assert report.strangers_named is not None
    # 18 right names, and one in twenty of 2,000 calls without one was of somebody enrolled.
    assert report.found.percent == pytest.approx(100 * 18 / (18 + 100))
    assert report.strangers_named.percent == pytest.approx(100 * 2 / (2 + 1_900))
    low, high = report.found.interval
    assert low < report.found.percent < high
    assert report.cautions == ()


def test_matches_alone_say_plainly_what_they_do_not_say() -> None:
    report = label_report(matches(9, 1), matches=10, no_matches=500)
    assert (report.found, report.strangers_named) == (None, None)
    assert report.names_right.percent == 90.0
    (caution,) = report.cautions
    assert "only calls that named somebody are labelled" in caution
    with pytest.raises(TooFewSpeakers, match="only calls that named somebody"):
        fit_to_labels(matches(9, 1), CALIBRATION, matches=10, no_matches=500)


def test_calls_that_were_chosen_are_left_out_where_others_were_drawn() -> None:
    chosen = [call(200 + n, 0.2, Spoke.ENROLLED, picked=Picked.CHOSEN) for n in range(10)]
    drawn = [call(300 + n, 0.2, Spoke.NOBODY) for n in range(10)]
    report = label_report([*matches(5, 0), *chosen, *drawn], matches=5, no_matches=100)
    assert (report.missed.count, report.missed.of) == (0, 10)
    alone = label_report([*matches(5, 0), *chosen], matches=5, no_matches=100)
    assert (alone.missed.count, alone.missed.of) == (10, 10)
    assert "drawn at random" in alone.cautions[0]


def test_unsure_and_open_labels_count_for_nothing() -> None:
    calls = [call(1, 0.95, Spoke.UNSURE), call(2, 0.95, Spoke.ENROLLED), call(3, 0.2, Spoke.NOT, profile_id="vp-1")]
    report = label_report(calls, matches=2, no_matches=1)
    assert (report.names_right.of, report.missed.of, report.unsure) == (0, 0, 1)
    assert "no call is labelled" in report.cautions[0]


def test_probabilities_are_compared_with_how_often_they_were_right() -> None:
    calls = [*matches(9, 1, probability=0.95), *matches(10, 0, probability=1.0)]
    middle, high = label_report(calls, matches=20, no_matches=0).probabilities
    assert (middle.low, middle.high, middle.stated_percent) == (0.9, 0.99, pytest.approx(95.0))
    assert (middle.right.count, middle.right.of, high.right.of) == (9, 10, 10)


def test_strangers_as_the_calibration_says_move_nothing() -> None:
    fit = fit_to_labels([*matches(5, 0), *strangers(200)], CALIBRATION, matches=5, no_matches=200)
    low, high = fit.interval
    assert low < 0.0 < high
    assert abs(fit.higher) < 0.02
    assert fit.moved == 0.0
    assert fit.calibration is CALIBRATION


def test_strangers_who_score_higher_move_the_calibration_as_much() -> None:
    calls = [*matches(5, 0), *strangers(200, higher=0.08)]
    fit = fit_to_labels(calls, CALIBRATION, matches=5, no_matches=200)
    assert fit.higher == pytest.approx(0.08, abs=0.025)
    assert fit.interval[0] > 0.0
    assert fit.moved == pytest.approx(fit.higher, abs=1e-4)
    asked = {"gallery_size": SIZE, "strangers_named_percent": 1.0, "net_seconds": 10.0}
    moved = fit.calibration.threshold(**asked).score - CALIBRATION.threshold(**asked).score
    assert moved == pytest.approx(fit.moved)
    before = CALIBRATION.llr(0.6, net_seconds=10.0)
    assert fit.calibration.llr(0.6 + fit.moved, net_seconds=10.0) == pytest.approx(before)
    assert fit.calibration.id != CALIBRATION.id
    assert "labelled calls of strangers" in fit.calibration.made_from
    assert (fit.right_before, fit.right_after) == (5, 5)
    assert fit.wrong_after < fit.wrong_before


def test_a_calibration_is_never_moved_down() -> None:
    """Whoever calls a lot, and sounds like nobody, lowers no threshold."""
    fit = fit_to_labels([*matches(5, 0), *strangers(200, higher=-0.1)], CALIBRATION, matches=5, no_matches=200)
    assert fit.interval[1] < 0.0
    assert fit.moved == 0.0


def test_few_strangers_move_nothing() -> None:
    with pytest.raises(TooFewSpeakers, match="29 labelled calls of strangers"):
        fit_to_labels([*matches(5, 0), *strangers(29)], CALIBRATION, matches=5, no_matches=29)
