"""Embedding and Voiceprint: what an encoder says about a voice, and what is kept of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""Shape (dimension,), float32, unit length."""

Samples = NDArray[np.float32]
"""Shape (n,), float32, one channel, full scale is 1.0."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A unit vector and where it came from. Two of them compare only when `encoder_id` is the same."""

    vector: Vector
    """The encoder's output at unit length: raw. A voiceprint of version 0.2 is compensated; its id says so."""

    encoder_id: str
    """Model and band in one name, and behind them the hash of the compensation, if any; see engine/space.py."""

    net_speech_seconds: float
    """Net speech the encoder heard, after cropping."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.vector).all() or abs(float(np.linalg.norm(self.vector)) - 1.0) > 1e-3:
            raise ValueError("an embedding is a finite vector of unit length")


@dataclass(frozen=True, kw_only=True)
class Voiceprint:
    """An embedding that was enrolled under a profile. A profile may hold several; they are never averaged."""

    profile_id: str
    voiceprint_id: str
    embedding: Embedding


SEARCH_SECONDS_MIN = 3.0
"""Net speech below which a search is refused: under it the error rate rises steeply."""

ENROL_SECONDS_MIN = 10.0
"""Net speech below which an enrolment is refused: a poor voiceprint spoils every later search."""
