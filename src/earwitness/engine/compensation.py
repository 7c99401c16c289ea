"""Compensation: what is taken out of an embedding because it comes from the line and not from the voice.

It has two steps, both data made by scripts/fit_engine.py. *Centring* subtracts the band's mean embedding: telephone
audio moves all embeddings one way, so that strangers look alike (mean cosine 0.38 raw, 0.01 centred). *Nuisance
attribute projection* (Solomonoff, Campbell, Boardman: "Advances in channel compensation for SVM speaker recognition",
ICASSP 2005) removes the few directions in which one recording moves when only codec, noise or room change. Embeddings
are kept raw and compensated when they are compared, so that another mean needs no new enrolment.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import ModelDamaged
from earwitness.voice.band import Band
from earwitness.voice.embedding import Vector

Vectors = NDArray[np.float32]
"""Shape (n, dimension)."""

_DIGITS = 6

_OF_WINDOWS = {
    Band.TELEPHONE: "compensation-campplus-0.2.2-r1-telephone-dfc758e8.json",
    Band.WIDEBAND: "compensation-campplus-0.2.2-r1-wideband-785a264c.json",
}


@dataclass(frozen=True, eq=False)
class Compensation:
    """What is taken out of the unit-length raw embeddings of one encoder in one band."""

    #: Shape (dimension,); not of unit length.
    mean: Vector
    #: Shape (k, dimension), orthonormal rows; none for a band without a channel.
    directions: Vectors

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that change with the numbers."""
        numbers = np.concatenate([self.mean[None], self.directions])
        return hashlib.sha256(np.round(numbers, _DIGITS).astype("<f4").tobytes()).hexdigest()[:8]

    def apply(self, raw: Vectors) -> Vectors:
        """Turn raw embeddings, shape (n, dimension), into compensated ones of unit length."""
        return unit_length(self._projected(unit_length(unit_length(raw) - self.mean)))

    def lengths(self, raw: Vectors) -> Vector:
        """Return how long unit raw embeddings, shape (n, dimension), are after centring and projection; shape (n,).

        A compensated probe p lies where nothing is projected out, so its cosine with a raw row r is
        (p · r - p · mean) / length: rows can be compared under any mean without being kept compensated.
        """
        return np.linalg.norm(self._projected(raw - self.mean), axis=1).astype(np.float32)

    def cosines(self, raw: Vectors, compensated: Vector) -> Vector:
        """Return the cosine of raw embeddings, shape (n, dimension), with a compensated one; shape (n,).

        Computed in float64 and rounded once, so equal embeddings get equal cosines, whatever they are compared beside.
        One that is nothing but the mean has a cosine of 0.
        """
        centred = raw.astype(np.float64) - self.mean
        directions = self.directions.astype(np.float64)
        projected = centred - centred @ directions.T @ directions
        probe = compensated.astype(np.float64)
        lengths = np.linalg.norm(projected, axis=1) * np.linalg.norm(probe)
        cosines = np.divide(projected @ probe, lengths, out=np.zeros(len(raw)), where=lengths > 0.0)
        return cosines.astype(np.float32)

    def _projected(self, vectors: Vectors) -> Vectors:
        return (vectors - vectors @ self.directions.T @ self.directions).astype(np.float32)


def unit_length(vectors: NDArray[np.floating]) -> Vectors:
    """Scale each row to length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def no_compensation(dimension: int) -> Compensation:
    """Return the compensation that takes nothing out: of embeddings that are compensated already."""
    return Compensation(np.zeros(dimension, np.float32), np.zeros((0, dimension), np.float32))


def shipped_compensation(model_id: str, band: Band) -> Compensation:
    """Return the data that comes with earwitness."""
    file = resources.files("earwitness.engine").joinpath("data", f"compensation-{model_id}-{band}.json")
    return parse_compensation(file)


def window_compensation(band: Band) -> Compensation:
    """Return what the check for several voices compares windows under: the compensation its scores were measured with.

    It is that of version 0.2. Under the present one 26 of 831 passages of one voice are called several, under this one
    10 (65 new speakers, four lines).
    """
    return parse_compensation(resources.files("earwitness.engine").joinpath("data", "former", _OF_WINDOWS[band]))


def parse_compensation(file: Traversable) -> Compensation:
    """Return the compensation of a data file of ours; raise ModelDamaged when there is none."""
    # `Any`: json of our own package; numpy refuses what are not numbers.
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        mean = np.array(document["mean"], np.float32)
        directions = np.array(document["directions"], np.float32).reshape(-1, len(mean))
    except (OSError, ValueError, KeyError) as error:
        raise ModelDamaged(f"no channel compensation in {file.name}: {error}") from error
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
