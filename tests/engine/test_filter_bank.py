"""The vectorised filter bank against Kaldi's recipe written out frame by frame."""

import numpy as np
import pytest

from earwitness.engine.encoder import BINS, FRAME_LENGTH, FRAME_SHIFT, log_mel, without_mean


def slowly(samples: np.ndarray) -> np.ndarray:
    """Kaldi's compute-fbank-feats with loops and in double precision, step by step as its documentation orders them."""

    def mel(hz: float) -> float:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    step = (mel(8000.0) - mel(20.0)) / (BINS + 1)
    frames = []
    for start in range(0, len(samples) - FRAME_LENGTH + 1, FRAME_SHIFT):
        frame = samples[start : start + FRAME_LENGTH].astype(np.float64)
        frame = frame - frame.mean()
        emphasised = frame.copy()
        for index in range(FRAME_LENGTH - 1, 0, -1):
            emphasised[index] -= 0.97 * emphasised[index - 1]
        emphasised[0] -= 0.97 * emphasised[0]
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_LENGTH) / (FRAME_LENGTH - 1))) ** 0.85
        power = np.abs(np.fft.rfft(emphasised * window, 512)) ** 2
        energies = []
        for number in range(BINS):
            left, centre, right = (mel(20.0) + step * (number + side) for side in (0, 1, 2))
            total = 0.0
            for bin_number in range(256):
                at = mel(bin_number * 16000 / 512)
                if left < at < right:
                    weight = (at - left) / (centre - left) if at <= centre else (right - at) / (right - centre)
                    total += weight * power[bin_number]
            energies.append(np.log(max(total, np.finfo(np.float32).eps)))
        frames.append(energies)
    return np.array(frames)


def test_matches_the_recipe() -> None:
    random = np.random.default_rng(0)
    samples = (random.standard_normal(2000) * 0.1 + 0.02).astype(np.float32)
    np.testing.assert_allclose(log_mel(samples), slowly(samples), atol=2e-3)


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_edges_are_snipped(samples: int, frames: int) -> None:
    assert log_mel(np.zeros(samples, np.float32)).shape == (frames, BINS)


def test_silence_is_the_floor_and_finite() -> None:
    features = log_mel(np.zeros(800, np.float32))
    assert np.isfinite(features).all()
    assert np.ptp(features) == 0.0


def test_the_mean_over_time_is_taken_out() -> None:
    features = np.random.default_rng(1).standard_normal((50, BINS)).astype(np.float32) + 5
    np.testing.assert_allclose(without_mean(features).mean(axis=0), 0.0, atol=1e-5)
