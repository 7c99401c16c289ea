"""The scores of strangers and of the same persons: what the calibration says, and nothing that it does not."""

import pytest

from earwitness.engine.calibration import shipped_calibration
from earwitness.engine.score_curves import STEP, score_curves
from earwitness.voice.score_curves import ScoreCurves


@pytest.fixture(params=["telephone", "wideband"])
def band(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def curves(band: str) -> ScoreCurves:
    return score_curves(shipped_calibration("campplus", band), net_seconds=10.0)


def test_points_are_what_the_calibration_says(curves: ScoreCurves, band: str) -> None:
    calibration = shipped_calibration("campplus", band)
    assert curves.calibration_id == calibration.id
    for point in curves.points[::7]:
        assert point.strangers_reaching == calibration.false_match_rate(point.score, net_seconds=10.0)
        assert point.log_likelihood_ratio == calibration.llr(point.score, net_seconds=10.0)


def test_strangers_begin_with_their_median(curves: ScoreCurves) -> None:
    assert curves.points[0].score == curves.measured_from
    assert curves.points[0].strangers_reaching == pytest.approx(0.5, abs=0.02)
    assert sum(point.strangers for point in curves.points) * STEP == pytest.approx(0.5, abs=0.06)
    assert curves.measured_from < curves.measured_to < 1.0


def test_the_same_persons_lie_above_strangers(curves: ScoreCurves) -> None:
    assert sum(point.own for point in curves.points) * STEP == pytest.approx(1.0)
    peak = max(curves.points, key=lambda point: point.own)
    assert peak.score > 0.5
    assert all(point.strangers >= 0.0 and point.own >= 0.0 for point in curves.points)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 7.3, 20.0, 300.0])
def test_every_duration_has_curves(band: str, seconds: float) -> None:
    found = score_curves(shipped_calibration("campplus", band), net_seconds=seconds)
    assert len(found.points) > 50
    assert found.points[-1].score <= 1.0
