"""Labelled calls that are decided again by two calibrations."""

from dataclasses import replace

import numpy as np
import pytest

from earwitness.engine.calibration import Calibration, FalseMatchCurve, shipped_calibration
from earwitness.engine.decide import decide
from earwitness.engine.voiceprint_rows import Hit
from earwitness.evaluation.decided_again import compare_by_labels
from earwitness.evaluation.scored_labels import Share
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LabelledCall, Picked, Spoke

SHIPPED = shipped_calibration("campplus", "telephone")
SIZE = 50


def moved(by: float, *, margin: float = SHIPPED.unknown_line_margin) -> Calibration:
    fits = tuple(
        replace(fit, false_match=FalseMatchCurve(tuple((score + by, rate) for score, rate in fit.false_match.points)))
        for fit in SHIPPED.fits
    )
    return replace(SHIPPED, fits=fits, unknown_line_margin=margin)


def searched(
    score: float,
    spoke: Spoke,
    profile_id: str | None = None,
    *,
    by: Calibration = SHIPPED,
    line_unknown: float = 0.0,
    picked: Picked = Picked.QUEUE,
) -> LabelledCall:
    """A call as the engine decides it."""
    decision = decide(
        [Hit(profile_id="vp-1", voiceprint_id="print-1", score=score)],
        calibration=by,
        gallery_size=SIZE,
        profiles=SIZE,
        net_seconds=10.0,
        prior_known=0.5,
        strangers_named_percent=1.0,
        line_unknown=line_unknown,
    )
    assert decision.threshold is not None
    return LabelledCall(
        task_id=f"task-{score}",
        outcome=decision.outcome,
        candidates=(("vp-1", score),),
        probability=decision.candidates[0].confidence,
        threshold=decision.threshold.score,
        line_margin=decision.threshold.line_margin,
        strangers_named_percent=1.0,
        gallery_size=SIZE,
        net_speech_seconds=10.0,
        calibration_id=by.id,
        spoke=spoke,
        profile_id=profile_id,
        picked=picked,
    )


def threshold(by: Calibration = SHIPPED, *, line_unknown: float = 0.0) -> float:
    return by.threshold(
        gallery_size=SIZE, strangers_named_percent=1.0, net_seconds=10.0, line_unknown=line_unknown
    ).score


def test_nobody_knows_without_labels() -> None:
    assert compare_by_labels([], before=SHIPPED, after=moved(0.1)) is None


def test_higher_thresholds_lose_right_names_and_wrong_ones() -> None:
    at = threshold()
    calls = [
        *[searched(at + 0.02, Spoke.PROFILE, "vp-1") for _ in range(4)],
        *[searched(at + 0.02, Spoke.NOBODY) for _ in range(3)],
        *[searched(at + 0.2, Spoke.PROFILE, "vp-1") for _ in range(10)],
        *[searched(at - 0.1, Spoke.NOBODY) for _ in range(20)],
        searched(at - 0.01, Spoke.ENROLLED),
        searched(at + 0.2, Spoke.UNSURE),
    ]
    found = compare_by_labels(calls, before=SHIPPED, after=moved(0.05))
    assert found is not None
    assert (found.matches.calls, found.no_matches.calls, found.unsure) == (17, 21, 1)
    assert (found.matches.before, found.matches.after) == (Share(count=14, of=17), Share(count=13, of=17))
    assert (found.matches.put_right, found.matches.put_wrong) == (3, 4)
    assert found.no_matches.before == found.no_matches.after == Share(count=20, of=21)
    assert found.cautions == ()
    back = compare_by_labels(calls, before=moved(0.05), after=SHIPPED)
    assert back is not None
    assert (back.matches.before, back.matches.put_right) == (found.matches.after, 4)


def test_lower_thresholds_find_who_was_missed_and_name_strangers() -> None:
    at = threshold()
    calls = [searched(at - 0.02, Spoke.PROFILE, "vp-1"), searched(at - 0.02, Spoke.NOBODY)]
    found = compare_by_labels([*calls, searched(at + 0.1, Spoke.NOBODY)], before=SHIPPED, after=moved(-0.05))
    assert found is not None
    assert (found.no_matches.put_right, found.no_matches.put_wrong) == (1, 1)
    assert found.matches.before == found.matches.after == Share(count=0, of=1)


def test_a_label_may_say_whether_one_answer_is_right_and_not_whether_another_is() -> None:
    """That it was not the named profile says that the name was wrong, and not who it was."""
    found = compare_by_labels([searched(threshold() + 0.02, Spoke.NOT, "vp-1")], before=SHIPPED, after=moved(0.05))
    assert found is not None
    assert (found.matches.before, found.matches.after) == (Share(count=0, of=1), Share(count=0, of=0))
    assert (found.matches.calls, found.matches.put_right, found.matches.put_wrong) == (1, 0, 0)


def test_labels_of_matches_alone_are_told() -> None:
    at = threshold()
    found = compare_by_labels([searched(at + 0.1, Spoke.PROFILE, "vp-1")], before=SHIPPED, after=moved(0.05))
    assert found is not None
    assert found.cautions[0].startswith("only calls that named somebody are labelled")
    assert found.no_matches.before.percent is None
    chosen = [searched(at + 0.1, Spoke.NOBODY), searched(at - 0.1, Spoke.NOBODY, picked=Picked.CHOSEN)]
    found = compare_by_labels(chosen, before=SHIPPED, after=moved(0.05))
    assert found is not None
    assert "drawn at random" in found.cautions[0]


@pytest.mark.parametrize("line_unknown", [0.0, 0.5, 1.0])
def test_each_calibration_decides_as_a_search_by_it_would(line_unknown: float) -> None:
    """Whatever the margin of either is for a line that is not known, and whichever of them the call was searched by."""
    first, second = moved(0.0, margin=0.06), moved(0.02, margin=0.15)
    scores = np.linspace(threshold() - 0.2, threshold() + 0.3, 41).tolist()
    for by in (first, second):
        calls = [searched(score, Spoke.NOBODY, by=by, line_unknown=line_unknown) for score in scores]
        found = compare_by_labels(calls, before=first, after=second)
        assert found is not None
        for side, calibration in (("before", first), ("after", second)):
            right = sum(
                searched(score, Spoke.NOBODY, by=calibration, line_unknown=line_unknown).outcome is Outcome.NO_MATCH
                for score in scores
            )
            assert getattr(found.matches, side).count + getattr(found.no_matches, side).count == right


def test_calls_without_a_candidate_and_of_an_unknown_calibration() -> None:
    alone = replace(searched(0.1, Spoke.NOBODY), candidates=(), calibration_id=None)
    found = compare_by_labels([alone], before=SHIPPED, after=moved(-0.5, margin=0.0))
    assert found is not None
    assert found.no_matches.before == found.no_matches.after == Share(count=1, of=1)
