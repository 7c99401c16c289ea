"""Answers that somebody should look at: their exit code, and how they are printed."""

import pytest

from earwitness.cli.output import Exit, exit_of, print_decision
from earwitness.voice.decision import DecisionDocument, Outcome


def document(outcome: Outcome, *, probability: float = 0.9, weak: bool = False) -> DecisionDocument:
    """As decision_document makes it."""
    return {
        "outcome": str(outcome),
        "candidates": [{"profileId": "ada", "voiceprintId": "1", "score": 0.7, "probability": probability}],
        "nobodyProbability": 1 - probability,
        "othersProbability": 0.0,
        "margin": None,
        "ambiguous": False,
        "threshold": {
            "score": 0.6,
            "gallerySize": 1,
            "strangersNamedPercent": 1.0,
            "pairFalseMatchRate": 0.01,
            "extrapolated": False,
            "persons": 70,
            "personPairs": 2415,
            "personsNeeded": None,
            "lineMargin": 0.0,
        },
        "netSpeechSeconds": 10.0,
        "weak": weak,
        "voices": [],
        "leakageSeconds": 0.0,
        "line": {"state": "unknown", "voices": 0, "version": 0},
        "calibration": "0123abcd",
        "galleryVersion": 3,
    }


@pytest.mark.parametrize(
    ("outcome", "weak", "code"),
    [
        (Outcome.MATCH, False, 0),
        (Outcome.MATCH, True, 10),
        (Outcome.NO_MATCH, False, 1),
        (Outcome.NOT_ENOUGH_SPEECH, False, 3),
        (Outcome.SEVERAL_VOICES, False, 10),
    ],
)
def test_the_exit_code_of_each_answer(outcome: Outcome, weak: bool, code: int) -> None:
    assert exit_of(document(outcome, weak=weak)) == Exit(code)


def test_a_threshold_that_was_not_measured_says_who_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """In answers of former versions nobody counted the persons."""
    answer = document(Outcome.MATCH)
    print_decision(answer)
    assert "(1 % of pairs of people)" in capsys.readouterr().out
    answer["threshold"] |= {"extrapolated": True, "persons": 135, "personsNeeded": 1001}
    print_decision(answer)
    said = capsys.readouterr().out
    assert (
        "(1 % of pairs of people, extrapolated beyond the 135 people of the calibration; 1,001 would be needed)" in said
    )
    answer["threshold"] |= {"persons": None, "personsNeeded": None}
    print_decision(answer)
    assert "(1 % of pairs of people, beyond the measured pairs)" in capsys.readouterr().out


def test_a_weak_match_and_several_voices_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    weak = document(Outcome.MATCH, probability=0.156, weak=True)
    print_decision(weak)
    assert "weak match: ada, probability 15.6 %" in capsys.readouterr().out
    print_decision({**document(Outcome.SEVERAL_VOICES), "voices": [weak, document(Outcome.NO_MATCH, probability=0.1)]})
    printed = capsys.readouterr().out
    assert "several voices: 2" in printed
    assert "weak match: ada" in printed
    assert "voice 2, 10.0 s of net speech used" in printed
