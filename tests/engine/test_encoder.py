"""CAM++: numbers of an independent build, refusals, voices that differ."""

import dataclasses

import numpy as np
import pytest

from earwitness.engine.compensation import no_compensation, shipped_compensation
from earwitness.engine.encoder import SpeakerEncoder, log_mel, without_mean
from earwitness.engine.engine import Engine
from earwitness.errors import AudioNotFinite, NoSpeech, NotEnoughSpeech
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.models.sessions import ModelSession, open_session
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding


@pytest.fixture(scope="module")
def session(model_cache: ModelCache) -> ModelSession:
    return open_session(model_cache, ENCODER_MODEL)


def tone_and_noise(seconds: float) -> np.ndarray:
    time = np.arange(round(16000 * seconds)) / 16000
    tone = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(2 * np.pi * 1.5 * time)) * time)
    noise = 0.05 * np.random.default_rng(7).standard_normal(len(time))
    return (tone * (1 + np.sin(2 * np.pi * 3 * time)) / 2 + noise).astype(np.float32)


def test_the_graph_computes_what_the_network_computes(session: ModelSession) -> None:
    """Against another build of the network from the same weights, which agreed with PyTorch's to 7e-6."""
    features = without_mean(log_mel(tone_and_noise(5.0)))
    embedding, _ = session.run(features=features[None])
    expected = [-2.0021, 0.3333, 0.0101, -1.1767, -0.4806, 1.0424, -0.4877, 0.3873]
    np.testing.assert_allclose(embedding[0, :8], expected, atol=2e-3)
    assert np.linalg.norm(embedding) == pytest.approx(9.6031, abs=0.01)


def test_rows_of_a_batch_do_not_touch_each_other(session: ModelSession) -> None:
    first, second = (without_mean(log_mel((tone_and_noise(3.0) * gain).astype(np.float32))) for gain in (1.0, 0.5))
    together, _ = session.run(features=np.stack([first, second]))
    alone, _ = session.run(features=second[None])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)


def test_length_is_cropped_to_half_seconds_and_twenty(engine: Engine) -> None:
    samples = tone_and_noise(21.0)
    exact = engine.encoder.embed(samples[: 16000 * 4])
    longer = engine.encoder.embed(samples[: 16000 * 4 + 7999])
    np.testing.assert_array_equal(exact.vector, longer.vector)
    assert longer.net_speech_seconds == 4.0
    assert engine.encoder.embed(samples).net_speech_seconds == 20.0


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(engine: Engine, poison: float) -> None:
    samples = tone_and_noise(4.0)
    samples[-1] = poison
    with pytest.raises(AudioNotFinite):
        engine.encoder.embed(samples)


def test_too_little_and_nothing_are_refused(engine: Engine) -> None:
    with pytest.raises(NotEnoughSpeech, match=r"only 2\.9 s .* 3 s are needed") as raised:
        engine.encoder.embed(tone_and_noise(2.9))
    assert raised.value.need_seconds == 3.0
    with pytest.raises(NoSpeech):
        engine.encoder.embed(np.zeros(16000 * 5, np.float32))
    with pytest.raises(NoSpeech):
        engine.encoder.embed(np.zeros(0, np.float32))


def test_level_does_not_matter(engine: Engine) -> None:
    samples = tone_and_noise(3.0)
    loud, quiet = (engine.encoder.embed((samples * gain).astype(np.float32)).vector for gain in (1.0, 0.2))
    assert float(loud @ quiet) > 0.999


def test_the_encoder_id_changes_with_what_changes_the_vector_and_with_nothing_else(session: ModelSession) -> None:
    compensations = [shipped_compensation(ENCODER_MODEL, Band.TELEPHONE), no_compensation(192)]
    ids = {
        SpeakerEncoder(session, band=band, compensation=compensation).encoder_id
        for band in Band
        for compensation in compensations
    }
    assert ids == {"campplus-0.2.2-r1/telephone", "campplus-0.2.2-r1/wideband"}


def test_an_embedding_is_a_finite_unit_vector() -> None:
    good = Embedding(vector=np.array([1.0, 0.0], np.float32), encoder_id="x", net_speech_seconds=3.0)
    for bad in ([2.0, 0.0], [np.nan, 0.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="unit length"):
            dataclasses.replace(good, vector=np.array(bad, np.float32))
