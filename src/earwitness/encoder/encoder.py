"""The speaker encoder: net speech to embedding, one native thread a call, memory that does not grow."""

import numpy as np
from numpy.typing import NDArray

from earwitness.encoder.compensation import Compensation
from earwitness.encoder.filter_bank import log_mel, without_mean
from earwitness.errors import AudioNotFinite, NoSpeech, NotEnoughSpeech
from earwitness.models.sessions import Session
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import SEARCH_SECONDS_MIN, SPEECH_SECONDS_MAX, Embedding, Samples

_STEP_SECONDS = 0.5
"""Speech is cropped down to a multiple of this: few distinct lengths, and no padding, which would change the result."""

_SILENCE_RMS = 1e-5
"""-100 dBFS: below it there is nothing but a digital silence to embed."""


class SpeakerEncoder:
    """Embeds net speech of one band; safe to call from several threads."""

    def __init__(self, session: Session, *, band: Band, compensation: Compensation) -> None:
        self._session = session
        self._compensation = compensation
        self.band = band
        self.dimension = session.model.dimension
        self.encoder_id = f"{session.model.folder}/{band}/{compensation.id}"

    def embed(self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN) -> Embedding:
        """The embedding of net speech at 16 kHz in this encoder's band; at most its first 20 s are heard.

        Raises NotEnoughSpeech below `seconds_min`, NoSpeech for silence, AudioNotFinite for NaN and infinity.
        """
        raw, seconds = self.embed_raw(samples, seconds_min=seconds_min)
        return self.compensate(raw, net_seconds=seconds)

    def compensate(self, raw: NDArray[np.float32], *, net_seconds: float) -> Embedding:
        """The embedding of the encoder's own output, shape (dimension,)."""
        return Embedding(
            vector=self._compensation.apply(raw[None])[0],
            encoder_id=self.encoder_id,
            net_speech_seconds=net_seconds,
        )

    def embed_raw(
        self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN
    ) -> tuple[NDArray[np.float32], float]:
        """The encoder's own output, shape (dimension,), before compensation, and the seconds of speech it heard."""
        if not np.isfinite(samples).all():
            raise AudioNotFinite("the speech holds samples that are not numbers")
        seconds = len(samples) / CANONICAL_RATE
        if not len(samples) or float(np.sqrt(np.mean(samples**2))) < _SILENCE_RMS:
            raise NoSpeech(need_seconds=seconds_min)
        if seconds < seconds_min:
            raise NotEnoughSpeech(have_seconds=seconds, need_seconds=seconds_min)
        seconds = min(seconds // _STEP_SECONDS * _STEP_SECONDS, SPEECH_SECONDS_MAX)
        features = without_mean(log_mel(samples[: round(seconds * CANONICAL_RATE)]))
        (embedding,) = self._session.run(features=features[None])  # (1, frames, 80) → (1, dimension)
        return embedding[0], seconds
