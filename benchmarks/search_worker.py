"""Times of a gallery with a million voices, for `search`: a process of its own, because the number of native threads
belongs to a process. Prints the numbers as JSON.

With the argument `engine`, an engine is built first, as the product does; it decides how many threads numpy may use.
"""

import json
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Numbers
from benchmarks.engine import engine_for
from benchmarks.timing import Progress, Seconds, median_ms, median_ratio, rounds
from earwitness.cli.output import progress_of
from earwitness.engine.gallery import Gallery
from earwitness.engine.space import shipped_space
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Vector, Voiceprint

_VOICES, _FEWER_VOICES = 1_000_000, 20_000
_DIMENSION = 192
_SPACE = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
_COUNT = 10
_REPEATS, _FEWER_REPEATS = 25, 200
_CHANGES = 2_000

Matrix = NDArray[np.float32]
"""Shape (voices, dimension), rows of unit length."""


def main(*, with_engine: bool) -> None:
    """Measure both galleries and print the numbers."""
    if with_engine:
        engine_for(Band.TELEPHONE)
    random = np.random.default_rng(0)
    with progress_of() as show:
        numbers = {
            **_fewer(random, lambda done, total: show("search 20,000 voices", done, total)),
            **_million(random, show),
        }
    print(json.dumps(numbers))


def _fewer(random: np.random.Generator, progress: Progress) -> Numbers:
    gallery, _ = _filled(_unit_vectors(_FEWER_VOICES, random), lambda _done, _total: None)
    probes = _probes(random)
    seconds = rounds(
        {"search": lambda: gallery.search(next(probes), count=_COUNT)}, repeats=_FEWER_REPEATS, progress=progress
    )["search"]
    return {"search_20k_ms": median_ms(seconds), "search_20k_ms_p90": _percentile_ms(seconds, 90)}


def _million(random: np.random.Generator, show: Callable[[str, int, int], None]) -> Numbers:
    matrix = _unit_vectors(_VOICES, random)
    gallery, adds = _filled(matrix, lambda done, total: show("enrol a million voices", done, total))
    probes = _probes(random)
    seconds = rounds(
        {
            "search": lambda: gallery.search(next(probes), count=_COUNT),
            "scores": lambda: gallery.scores(next(probes)),
            "maximum": matrix.max,
        },
        repeats=_REPEATS,
        progress=lambda done, total: show("search a million voices", done, total),
    )
    return {
        "search_1m_ms": median_ms(seconds["search"]),
        "scores_1m_ms": median_ms(seconds["scores"]),
        "maximum_1m_ms": median_ms(seconds["maximum"]),
        "ratio": median_ratio(seconds["search"], seconds["maximum"]),
        "fill_add_ms_max": 1e3 * float(adds.max()),
        "fill_add_ms_mean": 1e3 * float(adds.mean()),
        **_changes(gallery, matrix, random),
    }


def _changes(gallery: Gallery, matrix: Matrix, random: np.random.Generator) -> Numbers:
    """Single deletions and additions while the gallery is full, one after the other in random order."""
    deletes, adds = np.empty(_CHANGES), np.empty(_CHANGES)
    for change, row in enumerate(random.choice(len(matrix), _CHANGES, replace=False).tolist()):
        voiceprint = _voiceprint(row, matrix[row])
        started = perf_counter()
        gallery.delete(voiceprint.profile_id)
        deleted = perf_counter()
        gallery.add(voiceprint)
        deletes[change], adds[change] = deleted - started, perf_counter() - deleted
    return {
        "add_ms": median_ms(adds),
        "add_ms_p99": _percentile_ms(adds, 99),
        "delete_ms": median_ms(deletes),
        "delete_ms_p99": _percentile_ms(deletes, 99),
    }


def _filled(matrix: Matrix, progress: Progress) -> tuple[Gallery, Seconds]:
    """A gallery of all rows, a profile each, and the seconds that each addition took."""
    gallery = Gallery(_SPACE)
    adds = np.empty(len(matrix))
    for row in range(len(matrix)):
        voiceprint = _voiceprint(row, matrix[row])
        started = perf_counter()
        gallery.add(voiceprint)
        adds[row] = perf_counter() - started
        if row % 10_000 == 0:
            progress(row, len(matrix))
    progress(len(matrix), len(matrix))
    return gallery, adds


def _voiceprint(row: int, vector: Vector) -> Voiceprint:
    return Voiceprint(profile_id=f"voice-{row}", voiceprint_id="only", embedding=_embedding(vector))


def _embedding(vector: Vector) -> Embedding:
    return Embedding(vector=vector, encoder_id=_SPACE.encoder_id, net_speech_seconds=10.0)


def _probes(random: np.random.Generator) -> Iterator[Embedding]:
    """Another random voice each time."""
    while True:
        yield _embedding(_unit_vectors(1, random)[0])


def _unit_vectors(count: int, random: np.random.Generator) -> Matrix:
    vectors = random.standard_normal((count, _DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _percentile_ms(seconds: Seconds, percent: float) -> float:
    return 1e3 * float(np.percentile(seconds, percent))


if __name__ == "__main__":
    main(with_engine="engine" in sys.argv[1:])
