"""The way from a channel to net speech: equal for every chunking, on real audio and the real model."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.canonical import CanonicalBand, to_canonical
from earwitness.audio.files import open_recording
from earwitness.audio.net_speech import NetSpeechGatherer, gather, gather_all
from earwitness.audio.pcm import Encoding, PcmDecoder
from earwitness.audio.vad import FRAME_SAMPLES, SpeechDetector, VoiceActivity, join
from earwitness.errors import AudioNotFinite, RateUnsupported
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import Band
from earwitness.voice.speech import NetSpeech, SpeechSegment


def cut(samples: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted({edge % (len(samples) + 1) for edge in edges}))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("band", Band)
def test_the_canonical_signal_does_not_depend_on_chunks(band: Band, rate: int) -> None:
    random = np.random.default_rng(rate)
    samples = random.standard_normal(rate // 4).astype(np.float32)
    whole = to_canonical(samples, band=band, rate=rate)
    assert abs(len(whole) - 4000) <= 2
    for size in (1, 7, 160):
        converter = CanonicalBand(band, rate)
        parts = [converter.feed(samples[at : at + size]) for at in range(0, len(samples), size)]
        parts.append(converter.finish())
        np.testing.assert_array_equal(np.concatenate([part.signal for part in parts]), whole)
        assert all(len(part.signal) == len(part.unfiltered) for part in parts)


def test_the_telephone_band_passes_speech_and_stops_the_rest() -> None:
    time = np.arange(16000) / 16000

    def level(hz: float) -> float:
        tone = np.sin(2 * np.pi * hz * time).astype(np.float32)
        heard = to_canonical(tone, band=Band.TELEPHONE, rate=16000)[4000:12000]
        return 20 * np.log10(np.sqrt(np.mean(heard**2)) / np.sqrt(0.5))

    assert abs(level(1000)) < 0.5
    assert level(100) < -25
    assert level(3900) < -15
    assert level(6000) < -80


@pytest.mark.parametrize("rate", [0, 4000, 7999, 48001, 192000])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(RateUnsupported):
        CanonicalBand(Band.TELEPHONE, rate)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(poison: float) -> None:
    samples = np.zeros(800, np.float32)
    samples[400] = poison
    with pytest.raises(AudioNotFinite):
        CanonicalBand(Band.TELEPHONE, 8000).feed(samples)


@settings(max_examples=300, deadline=None)
@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.3, 0.4, 0.6, 1.0]), max_size=60),
    edges=st.lists(st.integers(0, 60), max_size=6),
)
def test_segments_do_not_depend_on_how_frames_are_grouped(probabilities: list[float], edges: list[int]) -> None:
    frames = np.array(probabilities, np.float32)
    whole = join(SpeechDetector().feed(frames))
    detector = SpeechDetector()
    parts = [segment for part in cut(frames, edges) for segment in detector.feed(part)]
    assert join(parts) == whole
    assert all(low.end <= high.start for low, high in pairwise(parts))


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([0.9] * 3, []),
        ([0.9] * 4, [(0, 4 * FRAME_SAMPLES)]),
        ([0.4] * 10, []),
        ([0, 0, 0, 0.6, 0.4, 0.4, 0.4, 0.1], [(3 * FRAME_SAMPLES - 1024, 7 * FRAME_SAMPLES + 1024)]),
        ([0.9] * 4 + [0.1] + [0.9] * 4, [(0, 9 * FRAME_SAMPLES)]),
    ],
    ids=["click", "run", "never on", "hysteresis and padding", "short gap"],
)
def test_the_rules_of_speech(probabilities: list[float], expected: list[tuple[int, int]]) -> None:
    found = join(SpeechDetector().feed(np.array(probabilities, np.float32)))
    assert [(segment.start, segment.end) for segment in found] == expected


def test_probabilities_do_not_depend_on_blocks(vad: ModelSession, call: np.ndarray) -> None:
    samples = to_canonical(call[: 6 * 8000], band=Band.TELEPHONE, rate=8000)
    whole = VoiceActivity(vad).feed(samples)
    assert len(whole) == len(samples) // FRAME_SAMPLES
    activity = VoiceActivity(vad)
    parts = [activity.feed(samples[at : at + 700]) for at in range(0, len(samples), 700)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def same(first: NetSpeech, second: NetSpeech) -> None:
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.segments == second.segments
    assert first.heard_seconds == second.heard_seconds
    for name, value in vars(first.quality).items():
        other = vars(second.quality)[name]
        assert value == other or value == pytest.approx(other, rel=1e-9), name


@pytest.mark.parametrize("target", [2.0, 5.3, None])
@pytest.mark.parametrize("size", [137, 8000, 33_333])
def test_net_speech_does_not_depend_on_chunks(
    vad: ModelSession, call: np.ndarray, target: float | None, size: int
) -> None:
    audio = call[: 10 * 8000]
    whole = gather([audio], vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=target)
    chunks = (audio[at : at + size] for at in range(0, len(audio), size))
    same(gather(chunks, vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=target), whole)
    assert sum(segment.end - segment.start for segment in whole.segments) == len(whole.samples)
    if target is not None:
        assert whole.seconds == pytest.approx(target, abs=1e-4)


class ScriptedVad:
    """A model that answers from a list, frame by frame: any pattern of speech, at no cost."""

    def __init__(self, probabilities: list[float]) -> None:
        self._left = list(probabilities)

    def run(self, **inputs: np.ndarray) -> list[np.ndarray]:
        count = len(inputs["input"])
        answered, self._left = self._left[:count], self._left[count:]
        answered += [0.0] * (count - len(answered))
        return [np.array(answered, np.float32), inputs["h"], inputs["c"]]


@settings(max_examples=150, deadline=None)
@given(
    runs=st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.integers(1, 12)), min_size=1, max_size=12),
    target=st.sampled_from([None, 0.1, 0.2, 0.33, 0.5, 1.0]),
    edges=st.lists(st.integers(0, 40_000), max_size=8),
    rest=st.integers(0, 255),
)
def test_any_pattern_of_speech_gives_the_same_for_any_chunks(
    runs: list[tuple[float, int]], target: float | None, edges: list[int], rest: int
) -> None:
    probabilities = [probability for probability, count in runs for _ in range(count)]
    audio = np.random.default_rng(0).standard_normal(len(probabilities) * 256 + rest).astype(np.float32) * 0.1

    def heard(chunks: list[np.ndarray]) -> NetSpeech:
        vad = ScriptedVad(probabilities)
        return gather(chunks, vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=target)  # type: ignore[arg-type]

    whole = heard([audio])
    same(heard(cut(audio, edges)), whole)
    same(heard([audio[at : at + 256] for at in range(0, len(audio), 256)]), whole)
    assert len(whole.samples) == sum(segment.end - segment.start for segment in whole.segments)


def test_measuring_without_keeping(vad: ModelSession, call: np.ndarray) -> None:
    kept, measured = (
        NetSpeechGatherer(vad, band=Band.TELEPHONE, rate=8000, target_seconds=None, keep_samples=keep)
        for keep in (True, False)
    )
    for gatherer in (kept, measured):
        gatherer.feed(call[:80_000])
    kept_speech, measured_speech = kept.finish(), measured.finish()
    assert measured_speech.segments == kept_speech.segments
    assert measured_speech.seconds == kept_speech.seconds == len(kept_speech.samples) / 16_000
    assert len(measured_speech.samples) == 0


@pytest.mark.slow
def test_byte_by_byte_is_the_same(vad: ModelSession, call: np.ndarray) -> None:
    data = (call[:24000] * 32767).astype("<i2").tobytes()
    whole = gather([PcmDecoder(Encoding.S16LE).feed(data)], vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=1.5)
    decoder = PcmDecoder(Encoding.S16LE)
    gatherer = NetSpeechGatherer(vad, band=Band.TELEPHONE, rate=8000, target_seconds=1.5)
    for position in range(len(data)):
        gatherer.feed(decoder.feed(data[position : position + 1]))
    same(gatherer.finish(), whole)


def test_what_is_gathered_is_the_audio_of_the_segments(vad: ModelSession, call: np.ndarray) -> None:
    speech = gather([call], vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=20.0)
    canonical = to_canonical(call, band=Band.TELEPHONE, rate=8000)
    joined = np.concatenate([canonical[segment.start : segment.end] for segment in speech.segments])
    np.testing.assert_array_equal(speech.samples, joined)


@pytest.mark.slow
def test_low_voices_are_heard_in_the_telephone_band(vad: ModelSession, speech_dir: Path) -> None:
    """Speech is found before the band pass: after it, this speaker of digits kept 0.3 of 5.8 s."""
    recording = open_recording(speech_dir / "fsdd_george" / "george_take00.flac")
    found = {
        band: gather(recording.blocks(), vad=vad, band=band, rate=recording.rate, target_seconds=None).seconds
        for band in Band
    }
    assert found[Band.TELEPHONE] > 0.9 * found[Band.WIDEBAND] > 4.0


@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "dtmf"])
def test_what_is_no_speech_is_not_gathered(vad: ModelSession, kind: str) -> None:
    time = np.arange(10 * 8000) / 8000
    audio = {
        "silence": np.zeros(len(time)),
        "noise": np.random.default_rng(0).standard_normal(len(time)) * 0.05,
        "tone": 0.3 * np.sin(2 * np.pi * 425 * time) * (time % 5 < 1),
        "dtmf": 0.2 * (np.sin(2 * np.pi * 770 * time) + np.sin(2 * np.pi * 1336 * time)) * (time % 0.2 < 0.1),
    }[kind]
    speech = gather([audio.astype(np.float32)], vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=None)
    assert speech.seconds < 0.5


def test_segments_tell_their_time_in_seconds() -> None:
    segment = SpeechSegment(16_000, 24_000)
    assert (segment.start_seconds, segment.end_seconds) == (1.0, 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [997, 8_000, 50_021])
def test_all_passages_of_a_recording_are_the_same_for_every_chunking(
    vad: ModelSession, call: np.ndarray, size: int
) -> None:
    """And the first is what `gather` gives; where one ends does not depend on how long the block reached beyond it."""

    def passages(chunks: list[np.ndarray]) -> list[NetSpeech]:
        return list(gather_all(chunks, vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=5.0))

    whole = passages([call])
    found = passages([call[at : at + size] for at in range(0, len(call), size)])
    assert len(found) == len(whole) > 3
    for one, other in zip(found, whole, strict=True):
        same(one, other)
    same(whole[0], gather([call], vad=vad, band=Band.TELEPHONE, rate=8000, target_seconds=5.0))
