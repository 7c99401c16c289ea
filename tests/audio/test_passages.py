"""Net speech passage by passage: the same for every chunking, and for whoever hears only the passages with speech."""

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.net_speech import gather
from earwitness.audio.passages import PASSAGE_SILENCE_SECONDS, PassageEnd, PassageGatherer
from earwitness.audio.vad import FRAME_SAMPLES
from earwitness.models.sessions import ModelSession
from earwitness.samples import first_call
from earwitness.voice.band import Band
from earwitness.voice.speech import NetSpeech

RATE = 8_000
FRAME = FRAME_SAMPLES * RATE // 16_000


class LoudnessVad:
    """A model without memory, for which what is loud is speech: any pattern, at no cost."""

    def run(self, **inputs: np.ndarray) -> list[np.ndarray]:
        peaks = np.abs(inputs["input"][:, 64:]).max(axis=1)
        return [np.select([peaks > 0.1, peaks > 0.01], [0.9, 0.4], 0.0).astype(np.float32), inputs["h"], inputs["c"]]


def new_gatherer(vad: ModelSession | LoudnessVad, *, rate: int = RATE, target: float = 20.0) -> PassageGatherer:
    return PassageGatherer(vad, band=Band.TELEPHONE, rate=rate, target_seconds=target)  # type: ignore[arg-type]


def heard(gatherer: PassageGatherer, chunks: list[np.ndarray]) -> tuple[NetSpeech, list[PassageEnd]]:
    for chunk in chunks:
        gatherer.feed(chunk)
    gatherer.finish()
    return gatherer.speech(), gatherer.take_ends()


def same(first: NetSpeech, second: NetSpeech) -> None:
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.segments == second.segments
    assert first.heard_seconds == second.heard_seconds
    for name, value in vars(first.quality).items():
        other = vars(second.quality)[name]
        assert value == other or other == pytest.approx(value, rel=1e-9), name


def cut(samples: np.ndarray, edges: set[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(edge for edge in edges if edge < len(samples)))


def again(whole: np.ndarray, ends: list[PassageEnd], gatherer: PassageGatherer) -> NetSpeech:
    """What is heard by whoever knows where the passages are and passes over those without speech."""
    start = 0
    for end in ends:
        if end.spoken:
            gatherer.feed(whole[start : end.position])
            gatherer.end_passage()
        start = end.position
    gatherer.feed(whole[start:])
    gatherer.finish()
    return gatherer.speech()


@pytest.fixture(scope="module")
def halting() -> np.ndarray:
    """Two sample calls with silences longer and shorter than what ends a passage; one ends with its last sample."""
    sally, russell = (soundfile.read(first_call(name), dtype="float32")[0] for name in ("sally", "russell"))
    noise = np.random.default_rng(5).standard_normal(11 * RATE).astype(np.float32) * 1e-4
    parts = [noise[: 5 * RATE], sally[: 2 * RATE], noise[: 9 * RATE + 77], russell[: RATE + 1], noise[: 3 * RATE]]
    return np.concatenate([*parts, sally[4 * RATE : 6 * RATE], noise[: 4 * RATE + 4321]])


@pytest.mark.slow
@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    edges=st.sets(st.integers(1, 26 * RATE), max_size=30),
    singly=st.integers(0, 26 * RATE),
    size=st.one_of(st.integers(20, 2_000), st.integers(2_000, 5 * RATE)),
)
def test_a_call_with_silences_is_the_same_for_every_chunking(
    vad: ModelSession, halting: np.ndarray, edges: set[int], singly: int, size: int
) -> None:
    whole, ends = heard(new_gatherer(vad), [halting])
    assert [end.spoken for end in ends].count(True) >= 2
    assert [end.spoken for end in ends].count(False) >= 1
    for end in ends:  # a sample at a time where it matters, and somewhere else
        edges = edges | set(range(end.position - FRAME, end.position + FRAME + 2))
    for pieces in (
        cut(halting, edges | set(range(singly, singly + 300))),
        cut(halting, set(range(0, 26 * RATE, size))),
    ):
        speech, found = heard(new_gatherer(vad), pieces)
        same(speech, whole)
        assert found == ends


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    runs=st.lists(st.tuples(st.sampled_from([0.0, 0.03, 0.5]), st.integers(1, 260)), min_size=1, max_size=6),
    target=st.sampled_from([0.3, 1.0, 20.0]),
    edges=st.sets(st.integers(1, 60 * RATE), max_size=12),
    rest=st.integers(0, 255),
)
def test_any_pattern_is_the_same_for_any_chunks_and_when_only_its_speech_is_heard_again(
    runs: list[tuple[float, int]], target: float, edges: set[int], rest: int
) -> None:
    levels = np.repeat([level for level, _ in runs], [count for _, count in runs])
    signal = np.random.default_rng(0).uniform(-1, 1, len(levels) * FRAME + rest).astype(np.float32)
    signal[: len(levels) * FRAME] *= np.repeat(levels, FRAME).astype(np.float32)
    whole, ends = heard(new_gatherer(LoudnessVad(), target=target), [signal])
    speech, found = heard(new_gatherer(LoudnessVad(), target=target), cut(signal, edges))
    same(speech, whole)
    assert found == ends
    np.testing.assert_array_equal(
        again(signal, ends, new_gatherer(LoudnessVad(), target=target)).samples, whole.samples
    )


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_hearing_only_the_speech_again_gives_the_same_speech(vad: ModelSession, halting: np.ndarray, rate: int) -> None:
    signal = soxr.resample(halting, RATE, rate)
    whole, ends = heard(new_gatherer(vad, rate=rate), [signal])
    assert {end.spoken for end in ends} == {True, False}
    np.testing.assert_array_equal(again(signal, ends, new_gatherer(vad, rate=rate)).samples, whole.samples)


def test_a_passage_ends_with_its_silence_and_not_before(vad: ModelSession) -> None:
    """Digital silence: four seconds end a passage to the frame, a frame less does not."""
    frames = round(PASSAGE_SILENCE_SECONDS * 16_000 / FRAME_SAMPLES)
    shorter, longer = new_gatherer(vad), new_gatherer(vad)
    shorter.feed(np.zeros((frames - 1) * FRAME, np.float32))
    longer.feed(np.zeros((frames + 2) * FRAME, np.float32))  # the resampler looks ahead
    assert shorter.take_ends() == []
    assert longer.take_ends() == [PassageEnd(position=frames * FRAME, spoken=False)]
    assert longer.take_ends() == []


def test_positions_and_seconds_are_of_the_whole_channel() -> None:
    """What lies in later passages is not told as if the channel had begun there."""
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    signal = np.concatenate([loud, np.zeros(5 * RATE, np.float32), loud, np.zeros(5 * RATE, np.float32)])
    speech, ends = heard(new_gatherer(LoudnessVad()), [signal])
    plain = gather([signal], vad=LoudnessVad(), band=Band.TELEPHONE, rate=RATE, target_seconds=20.0)  # type: ignore[arg-type]
    assert len(ends) == 2
    assert len(speech.segments) == len(plain.segments) == 2
    for found, expected in zip(speech.segments, plain.segments, strict=True):
        assert found.start == pytest.approx(expected.start, abs=FRAME_SAMPLES)
        assert found.end == pytest.approx(expected.end, abs=FRAME_SAMPLES)
    assert speech.seconds == pytest.approx(plain.seconds, abs=0.064)
    assert speech.heard_seconds == pytest.approx(12.0, abs=0.032)
