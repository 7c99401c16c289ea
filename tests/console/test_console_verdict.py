"""Why a search said what it said: the picture, its table, strangers who would be named, and the report."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from console_examples import KNOWN, MATCH, conclude, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live
from rest_examples import add_task

from earwitness.console.pictures import CURVES_HEIGHT, CURVES_WIDTH, curves, score_x
from earwitness.engine.calibration import shipped_calibration
from earwitness.engine.score_curves import score_curves
from earwitness.store.store import Unit
from earwitness.voice.decision import Basis
from earwitness.voice.line import LineState

pytestmark = pytest.mark.slow

CALIBRATION = shipped_calibration("campplus", "telephone")


def explained(calibration_id: str) -> Basis:
    return Basis(
        line_state=LineState.UNKNOWN,
        line_voices=0,
        line_version=0,
        calibration_id=calibration_id,
        gallery_version=1,
    )


@pytest.fixture
def judged(live: Live) -> Live:
    """With a match by the calibration in use, and one by another."""

    def work(unit: Unit) -> None:
        for number, calibration_id in ((20, CALIBRATION.id), (21, "0badf00d")):
            decision = replace(MATCH, basis=explained(calibration_id))
            conclude(unit, add_task(unit, SCOPE, task_id=task_id(number)), decision)

    live.store.write(work)
    return live


def test_pictures_stay_within_their_frame() -> None:
    drawn = curves(score_curves(CALIBRATION, net_seconds=10.0))
    for path in (drawn.strangers, drawn.own):
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+", path)]
        assert all(0 <= x <= CURVES_WIDTH for x in numbers[::2])
        assert all(0 <= y <= CURVES_HEIGHT for y in numbers[1::2])
    assert [score_x(one) for one in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0.0, 0.0, 360.0, 720.0, 720.0]


def test_the_score_is_among_the_scores_of_others(judged: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    (verdict,) = browser.get(f"{REGION}/tasks/{task_id(20)}.json").json()["verdicts"]
    assert verdict["curves"]["calibration_id"] == CALIBRATION.id
    assert [row["what"] for row in verdict["rows"] if row["what"]] == ["candidate 2", "threshold", "candidate 1"]
    assert verdict["strangers_named"] == pytest.approx(1_000 * (1 - (1 - 0.005) ** 2))
    assert (verdict["candidates"][0]["profile_id"], verdict["candidates"][0]["voiceprints"]) == (KNOWN, 1)
    page = browser.get(f"{REGION}/tasks/{task_id(20)}").text
    assert '<path class="own"' in page
    assert "threshold 0.52" in page


def test_no_picture_is_drawn_of_another_calibration(judged: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    for suffix in ("", "/report"):
        page = browser.get(f"{REGION}/tasks/{task_id(21)}{suffix}").text
        assert '<path class="own"' not in page
        assert "is not the one in use now" in page


def test_the_report_has_all_of_it(judged: Live, visit: Callable[..., Visit]) -> None:
    page = visit("reader").get(f"{REGION}/tasks/{task_id(20)}/report").text
    for words in ("Report of a speaker search", KNOWN, "Above noise", "1\u202f000", "Events", "no proof"):
        assert words in page, words
    assert "form 12 of Mrs Example" not in page  # no consent stands in a report


def test_a_deleted_candidate_is_said_to_be_deleted(judged: Live, visit: Callable[..., Visit]) -> None:
    judged.store.write(lambda unit: unit.profiles.delete(SCOPE, KNOWN))
    answer = visit("reader").get(f"{REGION}/tasks/{task_id(20)}")
    assert answer.status_code == 200
    assert "the profile is deleted" in answer.text


@pytest.mark.parametrize("number", range(7))
def test_every_outcome_has_a_page_and_a_report(visit: Callable[..., Visit], number: int) -> None:
    browser = visit("reader")
    for suffix in ("", "/report", ".json", "/report.json"):
        assert browser.get(f"{REGION}/tasks/{task_id(number)}{suffix}").status_code == 200
