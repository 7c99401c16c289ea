"""One voice or several: the grouping of windows in two dimensions, and the real encoder on synthetic calls."""

import numpy as np
import pytest
import soundfile

from earwitness.audio.net_speech import gather
from earwitness.engine.encoder import SpeakerEncoder, log_mel, without_mean
from earwitness.engine.engine import Engine
from earwitness.engine.several_voices import Grouping, divide, group, score_needed
from earwitness.samples import KNOWN, first_call
from earwitness.voice.band import Band
from earwitness.voice.embedding import Samples

LEFT, RIGHT = [1.0, 0.0], [0.0, 1.0]
NEAR_LEFT = [0.995, 0.0999]


def windows(*vectors: list[float]) -> np.ndarray:
    found = np.array(vectors, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_two_voices_are_grouped_and_score_low() -> None:
    found = group(windows(*[LEFT] * 10, *[RIGHT] * 8, *[NEAR_LEFT] * 20), seconds=20.0)
    assert found.first.tolist() == [True] * 10 + [False] * 8 + [True] * 20
    assert found.score < 0.2
    assert found.several_voices


def test_one_voice_scores_high_however_it_is_grouped() -> None:
    found = group(windows(*[LEFT, NEAR_LEFT] * 19), seconds=20.0)
    assert found.score > 0.9
    assert not found.several_voices


@pytest.mark.parametrize("count", [0, 1, 2])
def test_windows_that_cannot_be_grouped_are_one_voice(count: int) -> None:
    found = group(np.repeat(windows(LEFT), count, axis=0), seconds=20.0)
    assert found.score == pytest.approx(1.0)
    assert not found.several_voices


def test_a_cough_is_no_voice_and_a_short_passage_is_not_judged() -> None:
    assert not group(windows(*[LEFT] * 33, *[RIGHT] * 5), seconds=20.0).several_voices
    assert group(windows(*[LEFT] * 32, *[RIGHT] * 6), seconds=20.0).several_voices
    assert not group(windows(*[LEFT] * 8, *[RIGHT] * 8), seconds=9.0).several_voices


def test_a_longer_passage_may_differ_less() -> None:
    assert score_needed(10.0) < score_needed(15.0) < score_needed(20.0)
    assert score_needed(3.0) == score_needed(10.0)


def test_the_speech_is_divided_where_most_windows_say() -> None:
    first = np.array([True] * 4 + [False] * 4)
    samples = np.arange(10, dtype=np.float32)  # ten chunks of one sample, eight windows of three chunks
    one, other = divide(samples, Grouping(score=0.0, first=first, seconds=5.0), rate=2)
    assert one.tolist() == [0, 1, 2, 3, 4]
    assert other.tolist() == [5, 6, 7, 8, 9]


def speech_of(engine: Engine, name: str) -> Samples:
    samples, rate = soundfile.read(first_call(name), dtype="float32")
    return gather(
        [np.asarray(samples, np.float32)], vad=engine.vad, band=Band.TELEPHONE, rate=rate, target_seconds=20.0
    ).samples


def in_turns(first: Samples, second: Samples, *, seconds: float) -> Samples:
    turn = round(16_000 * seconds)
    count = 20 * 16_000 // turn
    return np.concatenate([(first, second)[at % 2][at // 2 * turn :][:turn] for at in range(count)])


@pytest.mark.slow
def test_synthetic_callers_are_one_voice_each(engine: Engine) -> None:
    assert not [name for name in KNOWN if engine.encoder.hear(speech_of(engine, name)).several_voices]


@pytest.mark.slow
def test_two_synthetic_callers_in_turns_are_told_apart(engine: Engine) -> None:
    sally, russell = (speech_of(engine, name) for name in ("sally", "russell"))
    heard = engine.encoder.hear(in_turns(sally, russell, seconds=4.0))
    assert heard.several_voices
    for part, whole in zip(heard.voices(), (sally, russell), strict=True):
        own, other = engine.encoder.embed(part).vector, engine.encoder.embed(whole).vector
        assert float(own @ other) > 0.7


@pytest.mark.slow
def test_the_windows_are_embeddings_of_their_frames_and_cost_the_embedding_nothing(engine: Engine) -> None:
    """A window of the same audio again and again is near the embedding of it all; hear and embed agree to the bit."""
    speech = speech_of(engine, "sally")
    heard = engine.encoder.hear(speech)
    np.testing.assert_array_equal(heard.embedding.vector, engine.encoder.embed(speech).vector)
    assert len(heard.grouping.first) == 38
    assert _windows(engine.encoder, speech[: 3 * 16_000]).shape == (192, 6)


def _windows(encoder: SpeakerEncoder, speech: Samples) -> np.ndarray:
    _, windows = encoder._session.run(features=without_mean(log_mel(speech))[None])  # as it is made
    return windows[0]
