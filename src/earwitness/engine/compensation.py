"""Channel compensation: take out of an embedding what the line did to it, before cosines are taken.

Two steps, both data made by scripts/fit_engine.py. *Centring* subtracts the band's mean embedding: telephone audio
moves all embeddings one way, so that strangers look alike (mean cosine 0.38 raw, 0.01 centred). *Nuisance attribute
projection* (Solomonoff, Campbell, Boardman: "Advances in channel compensation for SVM speaker recognition", ICASSP
2005) removes the few directions in which one recording moves when only codec, noise or room change.

The hash of the data is part of the encoder id, so embeddings compensated differently never meet.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import ModelDamaged
from earwitness.voice.band import Band
from earwitness.voice.embedding import Vector

_DIGITS = 6

Vectors = NDArray[np.float32]
"""Shape (n, dimension)."""


@dataclass(frozen=True, eq=False)
class Compensation:
    """What is taken out of the unit-length raw embeddings of one encoder in one band."""

    mean: Vector
    """Shape (dimension,); not of unit length."""

    directions: Vectors
    """Shape (k, dimension), orthonormal rows; none for a band without a channel."""

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that change with the numbers."""
        numbers = np.concatenate([self.mean[None], self.directions])
        return hashlib.sha256(np.round(numbers, _DIGITS).astype("<f4").tobytes()).hexdigest()[:8]

    def apply(self, raw: Vectors) -> Vectors:
        """Raw embeddings, shape (n, dimension), to compensated ones of unit length."""
        centred = unit_length(unit_length(raw) - self.mean)
        return unit_length(centred - centred @ self.directions.T @ self.directions)


def unit_length(vectors: NDArray[np.floating]) -> Vectors:
    """Each row scaled to length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def shipped_compensation(model_id: str, band: Band) -> Compensation:
    """The data that comes with earwitness."""
    file = resources.files("earwitness.engine").joinpath("data", f"compensation-{model_id}-{band}.json")
    # `Any`: json of our own package; numpy refuses what are not numbers.
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        mean = np.array(document["mean"], np.float32)
        directions = np.array(document["directions"], np.float32).reshape(-1, len(mean))
    except (OSError, ValueError, KeyError) as error:
        raise ModelDamaged(f"no channel compensation for {model_id} in the {band} band: {error}") from error
    return Compensation(mean, directions)


def write_compensation(path: Path, compensation: Compensation, *, made_from: str) -> None:
    """Store the data in the form that is shipped."""

    def rounded(vector: Vector) -> list[float]:
        return [round(float(number), _DIGITS) for number in vector]

    document = {
        "made_from": made_from,
        "mean": rounded(compensation.mean),
        "directions": [rounded(direction) for direction in compensation.directions],
    }
    path.write_text(json.dumps(document, indent=0) + "\n", encoding="utf-8")
