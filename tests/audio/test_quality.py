"""Quality: constructed signals of known level, noise, clipping and bandwidth."""

from collections.abc import Callable

import numpy as np
import pytest

from earwitness.audio.canonical import to_canonical
from earwitness.audio.net_speech import gather
from earwitness.audio.quality import Outline, QualityMeter, frame_bounds, speech_columns
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import Band
from earwitness.voice.speech import SpeechSegment, enrolment_fault
from earwitness.voice.speech_quality import SpeechQuality

RATE = 8000
FRAME = 256


def measure(samples: np.ndarray, probabilities: np.ndarray) -> SpeechQuality:
    meter = QualityMeter(RATE)
    starts = frame_bounds(0, len(probabilities), RATE)
    meter.feed(samples.astype(np.float32)[: starts[-1]], starts[:-1], probabilities)
    return meter.read()


def test_level_and_noise() -> None:
    random = np.random.default_rng(0)
    frames = 200
    samples = random.standard_normal(frames * FRAME) * 0.01
    probabilities = (np.arange(frames) < 100).astype(np.float32)
    samples[: 100 * FRAME] += random.standard_normal(100 * FRAME) * 0.1
    quality = measure(samples, probabilities)
    assert quality.speech_level_dbfs == pytest.approx(-20, abs=0.3)
    assert quality.snr_db == pytest.approx(20, abs=0.5)
    assert quality.clipped_percent == 0.0


def test_without_pauses_or_speech_nothing_is_claimed() -> None:
    noise = np.random.default_rng(0).standard_normal(50 * FRAME) * 0.1
    assert measure(noise, np.ones(50, np.float32)).snr_db is None
    silent = measure(np.zeros(50 * FRAME), np.zeros(50, np.float32))
    assert silent.snr_db is None
    assert silent.speech_level_dbfs == -np.inf
    assert silent.bandwidth_hz == 0.0


@pytest.mark.parametrize("ceiling", [1.0, 0.5, 0.2])
def test_clipping_is_found_at_any_level(ceiling: float) -> None:
    samples = np.random.default_rng(1).standard_normal(200 * FRAME) * 0.3
    speech = np.ones(200, np.float32)
    assert measure(samples * ceiling * 0.5, speech).clipped_percent == 0.0
    clipped = np.clip(samples, -0.4, 0.4) / 0.4 * ceiling
    assert measure(clipped, speech).clipped_percent == pytest.approx(18, abs=3)


@pytest.mark.parametrize("hz", [1000, 2000, 3000])
def test_bandwidth(hz: int) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(200 * FRAME))
    spectrum[int(len(spectrum) * hz / (RATE / 2)) :] = 0
    samples = np.fft.irfft(spectrum) * 0.1
    assert measure(samples, np.ones(200, np.float32)).bandwidth_hz == pytest.approx(hz, abs=150)


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda x: x * 0.01, "too quiet"), (lambda x: np.clip(x * 12, -1, 1), "clipped")],
    ids=["quiet", "clipped"],
)
def test_poor_speech_must_not_be_enrolled(
    vad: ModelSession, call: np.ndarray, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    audio = np.asarray(change(call[: 8 * RATE]), np.float32)
    speech = gather([audio], vad=vad, band=Band.TELEPHONE, rate=RATE, target_seconds=None)
    fault = enrolment_fault(speech)
    assert fault is not None
    assert words in fault


def test_noisy_speech_must_not_be_enrolled(vad: ModelSession, call: np.ndarray) -> None:
    noise = np.random.default_rng(3).standard_normal(len(call)) * 0.08
    speech = gather([(call + noise).astype(np.float32)], vad=vad, band=Band.TELEPHONE, rate=RATE, target_seconds=None)
    assert speech.segments
    assert "noise" in (enrolment_fault(speech) or "")


def test_telephone_audio_has_no_place_in_a_wideband_gallery(vad: ModelSession, call: np.ndarray) -> None:
    audio = to_canonical(call, band=Band.WIDEBAND, rate=RATE)
    speech = gather([audio], vad=vad, band=Band.WIDEBAND, rate=16_000, target_seconds=10.0)
    assert "wideband gallery needs" in (enrolment_fault(speech) or "")


def test_the_outline_is_the_same_for_every_chunking(call: np.ndarray) -> None:
    whole, parts = Outline(RATE), Outline(RATE)
    whole.feed(call)
    for at in range(0, len(call), 777):
        parts.feed(call[at : at + 777])
    np.testing.assert_array_equal(whole.columns(80), parts.columns(80))
    assert whole.seconds == parts.seconds == len(call) / RATE
    assert whole.columns(80).max() == np.abs(call).max()
    assert Outline(RATE).columns(10).tolist() == [0.0] * 10


def test_speech_is_marked_where_it_is() -> None:
    marked = speech_columns((SpeechSegment(16_000, 32_000),), seconds=4.0, count=8)
    assert marked.tolist() == [False, False, True, True, False, False, False, False]
