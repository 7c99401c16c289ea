"""From net speech to an embedding: Kaldi's filter bank, and the network.

The *filter bank* follows Kaldi's `compute-fbank-feats` with 80 bins, 25 ms frames every 10 ms, Povey window,
pre-emphasis 0.97, low cut 20 Hz, no dither, snip edges, samples in -1..1. Largest difference to
kaldi-native-fbank: 7e-4.

The network's output is a *raw* embedding. What the line did to it is taken out when it is compared
(compensation.py), not here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Compensation, unit_length
from earwitness.engine.several_voices import WINDOW_HOP_SECONDS, Grouping, divide, group
from earwitness.errors import AudioNotFinite, NoSpeech, NotEnoughSpeech
from earwitness.models.catalogue import WINDOW_CHUNKS
from earwitness.models.sessions import Array, ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.embedding import SEARCH_SECONDS_MIN, Embedding, Samples

BINS = 80
FRAME_LENGTH = 400
"""Samples in 25 ms."""

FRAME_SHIFT = 160
"""Samples in 10 ms."""

_FFT_SIZE = 512
_PRE_EMPHASIS = 0.97
_LOW_HZ = 20.0
_LOG_FLOOR = 1.1920929e-07  # float32 epsilon, Kaldi's floor before the logarithm

Features = NDArray[np.float32]
"""Shape (frames, 80)."""

_STEP_SECONDS = 0.5
"""Speech is cropped down to a multiple of this: few distinct lengths, and no padding, which would change the result."""

_SILENCE_RMS = 1e-5
"""-100 dBFS: below it there is nothing but a digital silence to embed."""


def log_mel(samples: Samples) -> Features:
    """Return log-mel energies of 16 kHz samples; shape (1 + (n - 400) // 160, 80)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::FRAME_SHIFT]
    frames = frames - frames.mean(axis=1, keepdims=True)
    emphasised = np.empty_like(frames)
    emphasised[:, 1:] = frames[:, 1:] - np.float32(_PRE_EMPHASIS) * frames[:, :-1]
    emphasised[:, 0] = frames[:, 0] * np.float32(1.0 - _PRE_EMPHASIS)
    emphasised *= _POVEY_WINDOW
    spectrum = np.fft.rfft(emphasised, _FFT_SIZE, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(np.maximum(power.astype(np.float32) @ _MEL_BANK, np.float32(_LOG_FLOOR)))


def without_mean(features: Features) -> Features:
    """Subtract each bin's mean over time, which takes out a steady channel."""
    return features - features.mean(axis=0, keepdims=True)


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127.0 * np.log1p(hz / 700.0)


def _mel_bank() -> Features:
    """Return triangular filters, equally spaced in mel; shape (257, 80). Kaldi leaves the last power bin out."""
    low, high = _mel(np.array([_LOW_HZ, CANONICAL_RATE / 2])).tolist()
    corners = np.arange(BINS + 2, dtype=np.float64) * ((high - low) / (BINS + 1)) + low
    left, centre, right = (corners[start : start + BINS].reshape(BINS, 1) for start in (0, 1, 2))
    bins = _mel(np.arange(_FFT_SIZE // 2, dtype=np.float64) * (CANONICAL_RATE / _FFT_SIZE))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    bank = np.zeros((BINS, _FFT_SIZE // 2 + 1))
    bank[:, :-1] = np.maximum(0.0, np.minimum(rising, falling))
    return bank.T.astype(np.float32)


_POVEY_WINDOW = (np.hanning(FRAME_LENGTH) ** 0.85).astype(np.float32)
_MEL_BANK = _mel_bank()


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedSpeech:
    """What the encoder made of a passage of speech."""

    embedding: Embedding
    #: The speech that was heard: at most 20 s, cropped to half seconds.
    samples: Samples
    #: The passage in the two parts that sound least alike.
    grouping: Grouping

    @property
    def several_voices(self) -> bool:
        """Whether the passage is of more than one voice."""
        return self.grouping.several_voices

    def voices(self) -> tuple[Samples, ...]:
        """Return the speech of each voice, in the order in which they begin; all of it when there is only one.

        A third voice is in one of two parts: the check tells one from several, it does not count them.
        """
        return divide(self.samples, self.grouping, rate=CANONICAL_RATE) if self.several_voices else (self.samples,)


class SpeakerEncoder:
    """Embeds net speech of one band; safe to call from several threads."""

    def __init__(self, session: ModelSession, *, band: Band, compensation: Compensation) -> None:
        """`compensation` is what the check for several voices compares windows under; embeddings are raw."""
        self._session = session
        self._compensation = compensation
        self.band = band
        self.dimension = session.model.dimension
        self.encoder_id = session.model.encoder_id(band)

    def embed(self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN) -> Embedding:
        """Return the raw embedding of net speech at 16 kHz in this encoder's band; at most its first 20 s are heard.

        Raise NotEnoughSpeech below `seconds_min`, NoSpeech for silence, AudioNotFinite for NaN and infinity.
        """
        (raw, _), seconds = self._run(samples, seconds_min=seconds_min)
        return self._embedding(raw, seconds)

    def hear(self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN) -> EncodedSpeech:
        """Return the same embedding, and whether the speech is of one voice. It costs and raises what `embed` does."""
        (raw, windows), seconds = self._run(samples, seconds_min=seconds_min)
        whole = round(seconds / WINDOW_HOP_SECONDS) - WINDOW_CHUNKS + 1  # those behind reach beyond the end
        compensated = self._compensation.apply(windows[0].T[:whole])
        return EncodedSpeech(
            embedding=self._embedding(raw, seconds),
            samples=samples[: round(seconds * CANONICAL_RATE)],
            grouping=group(compensated, seconds=seconds),
        )

    def _embedding(self, raw: Array, net_seconds: float) -> Embedding:
        return Embedding(vector=unit_length(raw)[0], encoder_id=self.encoder_id, net_speech_seconds=net_seconds)

    def _run(self, samples: Samples, *, seconds_min: float) -> tuple[tuple[Array, Array], float]:
        """Return the network's outputs, (1, dimension) and (1, dimension, windows), and the seconds it heard."""
        if not np.isfinite(samples).all():
            raise AudioNotFinite("the speech holds samples that are not numbers")
        seconds = len(samples) / CANONICAL_RATE
        if not len(samples) or float(np.sqrt(np.mean(samples**2))) < _SILENCE_RMS:
            raise NoSpeech(need_seconds=seconds_min)
        if seconds < seconds_min:
            raise NotEnoughSpeech(have_seconds=seconds, need_seconds=seconds_min)
        seconds = min(seconds // _STEP_SECONDS * _STEP_SECONDS, SPEECH_SECONDS_MAX)
        features = without_mean(log_mel(samples[: round(seconds * CANONICAL_RATE)]))
        embedding, windows = self._session.run(features=features[None])
        return (embedding, windows), seconds
