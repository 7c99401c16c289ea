"""An evaluation on the line of its own calls: without the two people of each trial, and never more strangers named."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from earwitness.engine.compensation import Vectors, unit_length
from earwitness.engine.line import votes_at_once
from earwitness.engine.space import PRIOR_VOICES, shipped_space
from earwitness.evaluation.hearing import PreparedSpeech
from earwitness.evaluation.line import scores_on_line, summary_of
from earwitness.evaluation.manifest import JoinedRecording, TrialRole, Utterance
from earwitness.evaluation.scores import ScoreTable
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding
from earwitness.voice.line import LineState

SPACE = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
DIMENSION = len(SPACE.shipped.mean)


def heard(names: list[str], vectors: Vectors, *, what: str) -> list[PreparedSpeech]:
    made = []
    for number, (name, vector) in enumerate(zip(names, vectors, strict=True)):
        spoken = Utterance(
            path=Path(f"{what}{number}"), speaker_id=name, sex="", age=None, source="", role=TrialRole.ENROL_AND_TEST
        )
        recording = JoinedRecording(name=f"{what}{number}", speaker_id=name, utterances=(spoken,))
        made.append(PreparedSpeech(recording=recording, raw=vector, net_seconds=10.0))
    return made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calls:
    """Two tests and an enrolment of each of some people on a line, and tests of two who are not enrolled."""

    tested: list[PreparedSpeech]
    enrolled: list[PreparedSpeech]
    table: ScoreTable


def calls(people: int, *, off: float, seed: int = 0) -> Calls:
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.standard_normal((DIMENSION, 31)))[0].T
    line = SPACE.shipped.mean + off * basis[30]
    voices = {f"s{number:02}": unit_length(random.standard_normal((1, 30)))[0] @ basis[:30] for number in range(people)}

    def spoken(name: str) -> np.ndarray:
        return line + 0.75 * voices[name] + 0.015 * random.standard_normal(DIMENSION)

    names = sorted(voices)
    rows = [name for name in names for _ in range(2)]
    tests, prints = (
        unit_length(np.array([spoken(name) for name in of])).astype(np.float32) for of in (rows, names[:-2])
    )
    shape = (len(rows), people - 2)
    table = ScoreTable(
        enrolled=np.array(names[:-2]),
        tested=np.array(rows),
        scores=(SPACE.shipped.apply(tests) @ SPACE.shipped.apply(prints).T).astype(np.float64),
        net_seconds=np.full(shape[0], 10.0),
        trials=np.ones(shape, np.bool_),
        same_recording=np.zeros(shape, np.bool_),
    )
    return Calls(tested=heard(rows, tests, what="t"), enrolled=heard(names[:-2], prints, what="e"), table=table)


def test_strangers_on_a_line_that_is_off_score_near_zero_once_it_is_learnt() -> None:
    given = calls(40, off=0.45)
    table, learnt = scores_on_line(given.table, given.tested, given.enrolled, SPACE)
    said = summary_of(given.table, learnt, learns=True)
    assert said.strangers_shipped.mean > 0.15
    assert abs(said.strangers.mean) < 0.05
    assert said.state is LineState.LEARNING
    assert said.advice is None
    assert (table.scores <= given.table.scores).all()
    assert table.line_unknown == pytest.approx(PRIOR_VOICES / (PRIOR_VOICES + said.voices - 2))
    assert given.table.line_unknown == 1.0


def test_each_trial_is_scored_without_the_votes_of_its_people() -> None:
    """Moving the votes of the two people of a trial elsewhere leaves its score nearly as it was."""
    given = calls(14, off=0.3)
    _, learnt = scores_on_line(given.table, given.tested, given.enrolled, SPACE)
    assert learnt is not None
    others = [one for one in given.tested if one.recording.speaker_id not in ("s00", "s03")]
    row, column = 1, 3  # the second test of s00, which is no vote, against s03
    mean = SPACE.shipped.mean.astype(np.float64)
    votes = [one for number, one in enumerate(others) if number % 2 == 0]
    voices = [
        Embedding(vector=one.raw, encoder_id="e", net_speech_seconds=10.0) for one in votes if one.raw is not None
    ]
    assert len(votes_at_once(SPACE, voices)) == len(voices) == 12
    about = mean + np.sum([one.vector - mean for one in voices], axis=0) / (PRIOR_VOICES + 12)
    moved = dataclasses.replace(SPACE.shipped, mean=about.astype(np.float32))
    test, print_ = given.tested[row].raw, given.enrolled[column].raw
    assert test is not None
    assert print_ is not None
    one, other = moved.apply(np.stack([test, print_]))
    assert learnt.scores[row, column] == pytest.approx(float(one @ other), abs=0.01)  # votes weigh nearly the same


def test_too_few_voices_leave_the_line_unknown() -> None:
    given = calls(11, off=0.45)
    table, learnt = scores_on_line(given.table, given.tested, given.enrolled, SPACE)
    assert table is given.table
    assert learnt is None
    said = summary_of(given.table, learnt, learns=True)
    assert (said.state, said.voices) == (LineState.UNKNOWN, 0)
    assert said.advice is not None
    assert "12 different voices" in said.advice
    switched_off = summary_of(given.table, None, learns=False)
    assert switched_off.advice is not None
    assert "--line learnt" in switched_off.advice


def test_tests_without_speech_stay_without_scores() -> None:
    given = calls(20, off=0.3)
    silent = [dataclasses.replace(given.tested[0], raw=None), *given.tested[1:]]
    scores = given.table.scores.copy()
    scores[0] = np.nan
    table, learnt = scores_on_line(dataclasses.replace(given.table, scores=scores), silent, given.enrolled, SPACE)
    assert learnt is not None
    assert np.isnan(table.scores[0]).all()
    assert not np.isnan(table.scores[1:]).any()
