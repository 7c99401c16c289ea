"""Spaces, and voices drawn as real ones lie, for tests that need no voice model."""

import numpy as np

from earwitness.engine.calibration import Calibration, DurationFit, FalseMatchCurve
from earwitness.engine.compensation import Vectors, no_compensation, unit_length
from earwitness.engine.space import Space, shipped_space
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Vector

_FIT = DurationFit(
    net_seconds=10.0, slope=28.0, offset=-14.0, false_match=FalseMatchCurve(((0.0, 0.5), (0.3, 0.1), (0.6, 0.001)))
)


def plain_space(encoder_id: str, dimension: int) -> Space:
    """A space in which embeddings are compared as they are."""
    calibration = Calibration(
        encoder_id=encoder_id, made_from="a test", persons=10, person_pairs=45, trials=1000, fits=(_FIT,)
    )
    return Space(encoder_id=encoder_id, shipped=no_compensation(dimension), calibration=calibration)


SHIPPED = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
DIMENSION = len(SHIPPED.shipped.mean)

_VOICE_DIMENSIONS = 30
"""Strangers' cosines have a deviation of 0.18 then, as measured; in all 192 dimensions it would be 0.07."""

_VOICE_LENGTH = 0.75
_BASIS = np.linalg.qr(np.random.default_rng(11).standard_normal((DIMENSION, _VOICE_DIMENSIONS)))[0].T


def voices(count: int, *, seed: int, line: Vector | None = None) -> Vectors:
    """Raw embeddings of different people on a line; on one where the shipped mean fits unless another is given."""
    directions = unit_length(np.random.default_rng(seed).standard_normal((count, _VOICE_DIMENSIONS)))
    return unit_length((SHIPPED.shipped.mean if line is None else line) + _VOICE_LENGTH * directions @ _BASIS)


def embedded(vectors: Vectors, *, seconds: float = 10.0) -> list[Embedding]:
    return [Embedding(vector=one, encoder_id=SHIPPED.encoder_id, net_speech_seconds=seconds) for one in vectors]


def elsewhere(seed: int, *, distance: float) -> Vector:
    """The mean of a line that lies so far from the shipped one."""
    direction = unit_length(np.random.default_rng(seed).standard_normal((1, _VOICE_DIMENSIONS)))[0] @ _BASIS
    return SHIPPED.shipped.mean + np.float32(distance) * direction.astype(np.float32)
