"""The decision: thresholds that rise with the gallery, probabilities that add up, three different answers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from earwitness.engine.calibration import (
    Calibration,
    DurationFit,
    FalseMatchCurve,
    read_calibration,
    shipped_calibration,
    write_calibration,
)
from earwitness.engine.decide import decide, not_enough_speech, posterior
from earwitness.engine.gallery import Hit
from earwitness.errors import ConfigurationError, GalleryOfAnotherModel
from earwitness.evaluation.fit import false_match_curve
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.decision import Decision, Outcome


def fit(seconds: float, shift: float = 0.0) -> DurationFit:
    """Strangers' scores as a normal distribution around 0 with deviation 0.2, measured down to one in a thousand."""
    points = tuple((0.2 * z + shift, float(ndtr(-z))) for z in (0.0, 1.0, 2.0, 3.0))
    return DurationFit(net_seconds=seconds, slope=28.0, offset=-14.0, false_match=FalseMatchCurve(points))


CALIBRATION = Calibration(
    encoder_id="e",
    made_from="a test",
    persons=100,
    person_pairs=4950,
    trials=20_000,
    sexes={"f": 40, "m": 59, "unknown": 1},
    unknown_line_margin=0.05,
    fits=(fit(5.0, 0.1), fit(10.0)),
)


def answer(
    *scores: float, size: int | None = None, profiles: int | None = None, percent: float = 1.0, prior: float = 0.5
) -> Decision:
    hits = [Hit(f"p{number}", "1", score) for number, score in enumerate(scores)]
    return decide(
        hits,
        calibration=CALIBRATION,
        gallery_size=size or len(hits),
        profiles=profiles or size or len(hits),
        net_seconds=10.0,
        prior_known=prior,
        strangers_named_percent=percent,
    )


@pytest.mark.parametrize(("size", "percent"), [(1, 1.0), (10, 1.0), (10, 5.0), (1000, 1.0), (100_000, 0.1)])
def test_the_threshold_keeps_the_stated_target(size: int, percent: float) -> None:
    threshold = CALIBRATION.threshold(gallery_size=size, strangers_named_percent=percent, net_seconds=10.0)
    rate = CALIBRATION.false_match_rate(threshold.score, net_seconds=10.0)
    assert threshold.score == 1.0 or size * rate == pytest.approx(percent / 100, rel=1e-6)
    assert threshold.extrapolated == (percent / 100 / size < ndtr(-3.0))
    assert (threshold.persons, threshold.person_pairs) == (100, 4950)
    if threshold.extrapolated:
        assert threshold.persons_needed is not None
        pairs = threshold.persons_needed * (threshold.persons_needed - 1) / 2
        assert pairs * percent / 100 / size >= 5
    else:
        assert threshold.persons_needed is None


def test_the_threshold_is_higher_while_the_line_is_unknown() -> None:
    learnt, half, unknown = (
        CALIBRATION.threshold(gallery_size=10, strangers_named_percent=1, net_seconds=10, line_unknown=share)
        for share in (0.0, 0.5, 1.0)
    )
    assert half.score - learnt.score == pytest.approx(0.025)
    assert unknown.score - learnt.score == pytest.approx(0.05)
    assert (learnt.line_margin, half.line_margin, unknown.line_margin) == pytest.approx((0.0, 0.025, 0.05))
    assert unknown.pair_false_match_rate == learnt.pair_false_match_rate


def test_the_target_holds_on_strangers_that_were_not_measured() -> None:
    """A curve measured on some strangers, then galleries and probes of others: the share named is what was stated."""
    random = np.random.default_rng(0)
    curve = false_match_curve(random.normal(0, 0.2, 200_000))
    calibration = Calibration(
        encoder_id="e",
        made_from="",
        persons=1,
        person_pairs=1,
        trials=1,
        fits=(DurationFit(net_seconds=10, slope=1, offset=0, false_match=curve),),
    )
    for size in (5, 50, 500):
        threshold = calibration.threshold(gallery_size=size, strangers_named_percent=2.0, net_seconds=10)
        best = random.normal(0, 0.2, (4000, size)).max(axis=1)
        assert float((best >= threshold.score).mean()) == pytest.approx(0.02, abs=0.008)


def test_the_threshold_rises_with_the_gallery() -> None:
    scores = [
        CALIBRATION.threshold(gallery_size=size, strangers_named_percent=1, net_seconds=10).score
        for size in (1, 10, 100, 1000, 10_000)
    ]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_between_durations_everything_lies_between() -> None:
    low, middle, high = (
        CALIBRATION.threshold(gallery_size=10, strangers_named_percent=1, net_seconds=seconds).score
        for seconds in (5.0, 7.0, 10.0)
    )
    assert high < middle < low
    assert CALIBRATION.threshold(gallery_size=10, strangers_named_percent=1, net_seconds=60.0).score == high
    assert CALIBRATION.threshold(gallery_size=10, strangers_named_percent=1, net_seconds=3.0).score == low


def test_a_large_gallery_can_still_name_somebody() -> None:
    """A decision on a capped likelihood ratio would name nobody above ten."""
    assert answer(0.95, 0.1, size=1000).outcome is Outcome.MATCH
    shipped = shipped_calibration(ENCODER_MODEL, Band.TELEPHONE)
    assert shipped.threshold(gallery_size=20_000, strangers_named_percent=1, net_seconds=10).score < 1.0


def test_match_no_match_and_not_enough_are_three_answers() -> None:
    assert answer(0.9, 0.1).outcome is Outcome.MATCH
    stranger = answer(0.2, 0.1)
    assert stranger.outcome is Outcome.NO_MATCH
    assert len(stranger.candidates) == 2
    nothing = not_enough_speech(1.5)
    assert nothing.outcome is Outcome.NOT_ENOUGH_SPEECH
    assert (nothing.candidates, nothing.threshold, nothing.nobody_confidence) == ((), None, None)


def test_a_close_runner_up_marks_but_never_cancels() -> None:
    close = answer(0.90, 0.89)
    assert (close.outcome, close.ambiguous) == (Outcome.MATCH, True)
    assert [candidate.profile_id for candidate in close.candidates] == ["p0", "p1"]
    assert close.margin == pytest.approx(0.01)
    assert not answer(0.90, 0.50).ambiguous
    assert not answer(0.30, 0.29).ambiguous
    assert answer(0.9).margin is None


def test_an_empty_gallery_is_a_stranger_for_certain() -> None:
    decision = answer()
    assert decision.outcome is Outcome.NO_MATCH
    assert decision.candidates == ()
    assert decision.nobody_confidence == 1.0


def test_ten_candidates_are_listed() -> None:
    assert len(answer(*np.linspace(0.9, 0.1, 40)).candidates) == 10


def test_the_posterior_is_bayes_rule() -> None:
    enrolled, nobody = posterior([math.log(3.0), 0.0], profiles=2, prior_known=0.5)
    assert enrolled == pytest.approx([0.75 / 1.5, 0.25 / 1.5])
    assert nobody == pytest.approx(0.5 / 1.5)


def test_more_voiceprints_of_the_same_people_do_not_make_a_stranger_likelier() -> None:
    few, many = answer(0.5, 0.5, size=2, profiles=2), answer(0.5, 0.5, size=20, profiles=2)
    assert few.nobody_confidence == pytest.approx(0.5)
    assert many.nobody_confidence == few.nobody_confidence
    assert many.threshold is not None
    assert few.threshold is not None
    assert many.threshold.score > few.threshold.score


def test_a_candidate_says_how_many_strangers_score_as_high() -> None:
    first, second = answer(0.6, 0.2).candidates
    assert first.false_match_rate == pytest.approx(float(ndtr(-3.0)), rel=0.01)
    assert second.false_match_rate == pytest.approx(float(ndtr(-1.0)), rel=0.01)


@given(
    llrs=st.lists(st.floats(-200, 200), max_size=64),
    profiles=st.integers(64, 100_000),
    prior=st.floats(0.001, 0.999),
)
def test_probabilities_are_probabilities(llrs: list[float], profiles: int, prior: float) -> None:
    enrolled, nobody = posterior(llrs, profiles=profiles, prior_known=prior)
    assert all(0.0 <= probability <= 1.0 for probability in [*enrolled, nobody])
    assert sum(enrolled) + nobody == pytest.approx(1.0, abs=1e-12)
    if llrs:
        assert max(*enrolled, nobody) < 0.9992
    assert [round(p, 12) for p in sorted(enrolled)] == [
        round(p, 12) for _, p in sorted(zip(llrs, enrolled, strict=True))
    ]


@given(score=st.floats(-0.5, 1.0))
def test_curve_and_its_inverse_agree(score: float) -> None:
    curve = fit(10.0).false_match
    rate = curve.rate_at(score)
    if score >= 0.0:
        assert curve.score_at(rate) == pytest.approx(score, abs=1e-6)
    else:
        assert rate == 0.5


def test_calibrations_survive_being_written(tmp_path: object) -> None:
    path = tmp_path / "calibration.json"  # type: ignore[operator]
    write_calibration(path, CALIBRATION)
    read = read_calibration(path)
    assert read.require("e") is read
    assert (read.persons, read.person_pairs, read.trials) == (100, 4950, 20_000)
    assert (read.sexes, read.unknown_line_margin) == ({"f": 40, "m": 59, "unknown": 1}, 0.05)
    assert read.llr(0.5, net_seconds=7) == pytest.approx(CALIBRATION.llr(0.5, net_seconds=7), abs=1e-3)
    with pytest.raises(GalleryOfAnotherModel, match="fit it again"):
        read.require("other")


def test_a_calibration_of_the_former_format_is_read(tmp_path: object) -> None:
    """It knows how many spoke; its curve counts pairs of recordings."""
    path = tmp_path / "calibration.json"  # type: ignore[operator]
    fits = [{"net_seconds": 10.0, "slope": 28.0, "offset": -14.0, "false_match": [[0.0, 0.5], [0.4, 0.02]]}]
    former = {"encoder_id": "e", "made_from": "a test", "speakers": 70, "pairs": 70_200, "fits": fits}
    path.write_text(json.dumps({"format": "earwitness calibration 1", **former}))
    read = read_calibration(path)
    assert (read.persons, read.person_pairs, read.trials) == (70, None, 70_200)
    assert (read.sexes, read.unknown_line_margin) == (None, 0.0)
    threshold = read.threshold(gallery_size=1, strangers_named_percent=1.0, net_seconds=10, line_unknown=1.0)
    assert (threshold.person_pairs, threshold.persons_needed, threshold.line_margin) == (None, 33, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"format": "earwitness calibration 1"}',
        '{"format": "earwitness calibration 2"}',
        '{"format": "earwitness calibration 3"}',
        "\ud800",
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: object, text: str) -> None:
    path = tmp_path / "calibration.json"  # type: ignore[operator]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError):
        read_calibration(path)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda text: text.replace('"slope": 28.0', '"slope": -1'),
        lambda text: text.replace('"net_seconds": 5.0', '"net_seconds": 10.0'),
        lambda text: text.replace("0.5\n", "1.5\n", 1),
        lambda text: text.replace('"fits": [', '"fits": [], "old": ['),
        lambda text: text.replace('"slope": 28.0', '"slope": NaN'),
        lambda text: text.replace('"trials": 20000', '"trials": Infinity'),
        lambda text: text.replace('"unknown_line_margin": 0.05', '"unknown_line_margin": -0.2'),
        lambda text: text.replace('"f": 40', '"f": null'),
        lambda text: text.replace('"sexes": {', '"sexes": [], "old": {'),
        lambda text: text.replace('"persons"', '"speakers"'),
    ],
    ids=["slope", "durations", "rates", "none", "not a number", "infinite", "margin", "sexes", "list", "persons"],
)
def test_impossible_calibrations_are_refused(tmp_path: object, break_it: object) -> None:
    path = tmp_path / "calibration.json"  # type: ignore[operator]
    write_calibration(path, CALIBRATION)
    path.write_text(break_it(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigurationError):
        read_calibration(path)


@pytest.mark.parametrize("band", Band)
def test_the_shipped_calibrations_are_sane(band: Band) -> None:
    shipped = shipped_calibration(ENCODER_MODEL, band)
    for seconds in (3.0, 5.0, 10.0, 20.0):
        low, high = (
            shipped.threshold(gallery_size=size, strangers_named_percent=1, net_seconds=seconds).score
            for size in (1, 100)
        )
        assert 0.25 < low < high < 0.95
        assert shipped.llr(0.9, net_seconds=seconds) > 3 > -3 > shipped.llr(0.2, net_seconds=seconds)
