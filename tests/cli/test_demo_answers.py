"""What `demo` makes of each kind of answer: on recordings of its users' own, all of them happen."""

import pytest

from earwitness.cli.demo import SimulatedCaller, answer_of, print_answer
from earwitness.engine.decide import not_enough_speech, several_voices
from earwitness.voice.decision import Candidate, Decision, Outcome, Threshold

SALLY = SimulatedCaller("sally", [], [])


def decision(name: str, *, match: bool) -> Decision:
    threshold = Threshold(
        score=0.6,
        strangers_named_percent=1.0,
        gallery_size=3,
        pair_false_match_rate=0.01,
        extrapolated=False,
        persons=70,
        person_pairs=2415,
        persons_needed=None,
    )
    return Decision(
        outcome=Outcome.MATCH if match else Outcome.NO_MATCH,
        candidates=(Candidate(profile_id=name, voiceprint_id="1", score=0.7, confidence=0.9, false_match_rate=0.001),),
        threshold=threshold,
        nobody_confidence=0.1,
        margin=None,
        ambiguous=False,
        net_speech_seconds=10.0,
    )


@pytest.mark.parametrize(
    ("found", "is_known", "named", "right"),
    [
        (decision("sally", match=True), True, "sally", True),
        (decision("kal", match=True), True, "kal", False),
        (decision("kal", match=False), False, None, True),
        (several_voices([decision("kal", match=False), decision("sally", match=True)]), True, "sally", True),
        (
            several_voices([decision("kal", match=True), decision("sally", match=True)]),
            True,
            "kal and sally",
            False,
        ),
        (several_voices([decision("kal", match=False), decision("sally", match=False)]), False, None, True),
        (not_enough_speech(2.0), False, None, False),
    ],
)
def test_every_answer_is_counted_and_printed(
    found: Decision, is_known: bool, named: str | None, right: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(SALLY, found, is_known=is_known)
    assert (answer.named, answer.right) == (named, right)
    print_answer(answer)
    printed = capsys.readouterr().out
    assert ("several voices" in printed) == bool(found.voices)
    assert ("wrong" in printed) == (not right)
