"""The speaker encoder: net speech to embedding, one native thread a call, memory that does not grow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Compensation
from earwitness.engine.filter_bank import log_mel, without_mean
from earwitness.engine.several_voices import WINDOW_HOP_SECONDS, Grouping, divide, group
from earwitness.errors import AudioNotFinite, NoSpeech, NotEnoughSpeech
from earwitness.models.catalogue import WINDOW_CHUNKS
from earwitness.models.sessions import Array, ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import SEARCH_SECONDS_MIN, SPEECH_SECONDS_MAX, Embedding, Samples

_STEP_SECONDS = 0.5
"""Speech is cropped down to a multiple of this: few distinct lengths, and no padding, which would change the result."""

_SILENCE_RMS = 1e-5
"""-100 dBFS: below it there is nothing but a digital silence to embed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedSpeech:
    """What the encoder made of a passage of speech."""

    embedding: Embedding
    samples: Samples
    """The speech that was heard: at most 20 s, cropped to half seconds."""

    grouping: Grouping
    """The passage in the two parts that sound least alike."""

    @property
    def several_voices(self) -> bool:
        """Whether the passage is of more than one voice."""
        return self.grouping.several_voices

    def voices(self) -> tuple[Samples, ...]:
        """The speech of each voice, in the order in which they begin; all of it when there is only one.

        A third voice is in one of two parts: the check tells one from several, it does not count them.
        """
        return divide(self.samples, self.grouping, rate=CANONICAL_RATE) if self.several_voices else (self.samples,)


class SpeakerEncoder:
    """Embeds net speech of one band; safe to call from several threads."""

    def __init__(self, session: ModelSession, *, band: Band, compensation: Compensation) -> None:
        self._session = session
        self._compensation = compensation
        self.band = band
        self.dimension = session.model.dimension
        self.encoder_id = f"{session.model.numbers_id}/{band}/{compensation.id}"

    def embed(self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN) -> Embedding:
        """The embedding of net speech at 16 kHz in this encoder's band; at most its first 20 s are heard.

        Raises NotEnoughSpeech below `seconds_min`, NoSpeech for silence, AudioNotFinite for NaN and infinity.
        """
        raw, seconds = self.embed_raw(samples, seconds_min=seconds_min)
        return self.compensate(raw, net_seconds=seconds)

    def hear(self, samples: Samples, *, seconds_min: float = SEARCH_SECONDS_MIN) -> EncodedSpeech:
        """The same embedding, and whether the speech is of one voice; costs and raises what `embed` does."""
        (raw, windows), seconds = self._run(samples, seconds_min=seconds_min)
        whole = round(seconds / WINDOW_HOP_SECONDS) - WINDOW_CHUNKS + 1  # those behind reach beyond the end
        compensated = self._compensation.apply(windows[0].T[:whole])
        return EncodedSpeech(
            embedding=self.compensate(raw[0], net_seconds=seconds),
            samples=samples[: round(seconds * CANONICAL_RATE)],
            grouping=group(compensated, seconds=seconds),
        )

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
        (raw, _), seconds = self._run(samples, seconds_min=seconds_min)
        return raw[0], seconds

    def _run(self, samples: Samples, *, seconds_min: float) -> tuple[tuple[Array, Array], float]:
        """The network's outputs, (1, dimension) and (1, dimension, windows), and the seconds of speech it heard."""
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
