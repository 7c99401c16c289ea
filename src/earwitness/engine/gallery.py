"""One domain's voiceprints as a matrix: add, delete and exact search without rebuilding.

Rows live in blocks of fixed size, so adding never copies what is there. A deleted row is overwritten by the last one,
whose old place is zeroed: nothing of a deleted voice stays in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import GalleryOfAnotherModel, ProfileNotFound
from earwitness.voice.embedding import Embedding, Vector, Voiceprint

_BLOCK_ROWS = 16_384
_FIRST_LOOK = 64
"""Best rows looked at before asking for more, so that several voiceprints of one profile do not crowd others out."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A profile and the score of its closest voiceprint."""

    profile_id: str
    voiceprint_id: str
    score: float


@dataclass(frozen=True, slots=True)
class _Owner:
    profile_id: str
    voiceprint_id: str


class Gallery:
    """Voiceprints of one encoder id. Not safe for concurrent change; searches may run together."""

    def __init__(self, encoder_id: str, dimension: int) -> None:
        self.encoder_id = encoder_id
        self._dimension = dimension
        self._blocks: list[NDArray[np.float32]] = []
        self._owners: list[_Owner] = []
        self._rows: dict[str, dict[str, int]] = {}  # profile id → voiceprint id → row

    def __len__(self) -> int:
        """Voiceprints enrolled."""
        return len(self._owners)

    @property
    def profile_count(self) -> int:
        """Profiles the voiceprints belong to."""
        return len(self._rows)

    @property
    def profile_ids(self) -> list[str]:
        """Profiles enrolled, in order."""
        return sorted(self._rows)

    def add(self, voiceprint: Voiceprint) -> None:
        """Enrol one voiceprint; one of the same id under the same profile is replaced."""
        self._check(voiceprint.embedding)
        rows = self._rows.setdefault(voiceprint.profile_id, {})
        row = rows.get(voiceprint.voiceprint_id)
        if row is None:
            row = len(self._owners)
            if row == len(self._blocks) * _BLOCK_ROWS:
                self._blocks.append(np.empty((_BLOCK_ROWS, self._dimension), np.float32))
            self._owners.append(_Owner(voiceprint.profile_id, voiceprint.voiceprint_id))
            rows[voiceprint.voiceprint_id] = row
        self._row(row)[:] = voiceprint.embedding.vector

    def add_all(self, voiceprints: Iterable[Voiceprint]) -> None:
        for voiceprint in voiceprints:
            self.add(voiceprint)

    def delete(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile; how many there were. ProfileNotFound when it has none."""
        if profile_id not in self._rows:
            raise ProfileNotFound("nobody of that name is enrolled")
        rows = sorted(self._rows.pop(profile_id).values(), reverse=True)
        for row in rows:
            self._drop(row)
        return len(rows)

    def search(self, probe: Embedding, *, count: int = 10) -> list[Hit]:
        """The `count` closest profiles, best first, ties by profile id. Every voiceprint is compared."""
        self._check(probe)
        scores = self.scores(probe)
        wanted = min(count, len(self._rows))
        look = max(_FIRST_LOOK, wanted)
        while True:
            hits = self._best(scores, look)
            if len(hits) >= wanted or look >= len(scores):
                return hits[:count]
            look *= 4

    def scores(self, probe: Embedding) -> NDArray[np.float32]:
        """Cosine of the probe with every voiceprint, in row order; shape (voiceprints,)."""
        scores = np.empty(len(self._owners), np.float32)
        for first, block in self._filled():
            np.matmul(block, probe.vector, out=scores[first : first + len(block)])
        return scores

    def _best(self, scores: NDArray[np.float32], look: int) -> list[Hit]:
        """Profiles among the `look` best rows and all rows that tie with the last of these."""
        if look < len(scores):
            floor = np.partition(scores, len(scores) - look)[len(scores) - look]
            rows = np.flatnonzero(scores >= floor)
        else:
            rows = np.arange(len(scores))
        best: dict[str, Hit] = {}
        for row in rows.tolist():
            owner, score = self._owners[row], float(scores[row])
            known = best.get(owner.profile_id)
            if known is None or (-score, owner.voiceprint_id) < (-known.score, known.voiceprint_id):
                best[owner.profile_id] = Hit(owner.profile_id, owner.voiceprint_id, score)
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.profile_id))

    def _filled(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, block in enumerate(self._blocks):
            first = number * _BLOCK_ROWS
            if first < len(self._owners):
                yield first, block[: len(self._owners) - first]

    def _row(self, row: int) -> Vector:
        return self._blocks[row // _BLOCK_ROWS][row % _BLOCK_ROWS]

    def _drop(self, row: int) -> None:
        last = len(self._owners) - 1
        if row != last:
            self._row(row)[:] = self._row(last)
            owner = self._owners[last]
            self._owners[row] = owner
            self._rows[owner.profile_id][owner.voiceprint_id] = row
        self._row(last)[:] = 0.0
        self._owners.pop()
        if last == (len(self._blocks) - 1) * _BLOCK_ROWS:
            self._blocks.pop()

    def _check(self, embedding: Embedding) -> None:
        if embedding.encoder_id != self.encoder_id or embedding.vector.shape != (self._dimension,):
            raise GalleryOfAnotherModel(
                f"the gallery was made with {self.encoder_id} and this voice with {embedding.encoder_id}; their "
                f"numbers do not compare: enrol the voices again with the present model"
            )
