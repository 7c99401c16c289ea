"""Voiceprints as a matrix: add, delete and exact search without rebuilding.

Rows live in blocks of fixed size, so adding never copies what is there. A deleted row is overwritten by the last one,
whose old place is zeroed: nothing of a deleted voice stays in memory.

Rows are kept raw, with the length that each has after centring and projection (`Compensation.lengths`). So the same
rows are compared under any mean for one number a row: a line that is learnt anew copies and decrypts nothing.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Compensation, no_compensation
from earwitness.errors import ProfileNotFound
from earwitness.voice.embedding import Vector

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


class VoiceprintRows:
    """Unit vectors and whose they are. Not safe for concurrent change; searches may run together."""

    def __init__(self, compensation: Compensation, *, compensated: bool = False) -> None:
        """Rows are raw, or, with `compensated`, compensated already. Probes are always raw."""
        self._compensation = compensation
        self._rows_lack = no_compensation(self.dimension) if compensated else compensation
        self._blocks: list[NDArray[np.float32]] = []
        self._lengths: list[Vector] = []  # of each row of a block, after compensation
        self._owners: list[_Owner] = []
        self._rows: dict[str, dict[str, int]] = {}  # profile id → voiceprint id → row

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def dimension(self) -> int:
        """Numbers in a row."""
        return len(self._compensation.mean)

    @property
    def profile_ids(self) -> Set[str]:
        """Whose they are."""
        return self._rows.keys()

    def under(self, compensation: Compensation) -> "VoiceprintRows":
        """Return the same raw rows under another compensation. They share memory: neither may be changed after this."""
        other = VoiceprintRows(compensation)
        other._blocks, other._owners, other._rows = self._blocks, self._owners, self._rows
        other._lengths = [compensation.lengths(block) for block in self._blocks]
        return other

    def add(self, profile_id: str, voiceprint_id: str, vector: Vector) -> None:
        """Keep one; one of the same id under the same profile is replaced."""
        rows = self._rows.setdefault(profile_id, {})
        row = rows.get(voiceprint_id)
        if row is None:
            row = len(self._owners)
            if row == len(self._blocks) * _BLOCK_ROWS:
                self._blocks.append(np.zeros((_BLOCK_ROWS, self.dimension), np.float32))
                self._lengths.append(np.ones(_BLOCK_ROWS, np.float32))
            self._owners.append(_Owner(profile_id, voiceprint_id))
            rows[voiceprint_id] = row
        block, place = divmod(row, _BLOCK_ROWS)
        self._blocks[block][place] = vector
        self._lengths[block][place] = self._rows_lack.lengths(vector[None])[0]

    def delete(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile; return how many there were. Raise ProfileNotFound when it has none."""
        if profile_id not in self._rows:
            raise ProfileNotFound("nobody of that name is enrolled")
        rows = sorted(self._rows.pop(profile_id).values(), reverse=True)
        for row in rows:
            self._drop(row)
        return len(rows)

    def search(self, probe: Vector, *, count: int) -> list[Hit]:
        """Return the `count` closest profiles, best first, ties by profile id. Every voiceprint is compared."""
        scores = self.scores(probe)
        wanted = min(count, len(self._rows))
        look = max(_FIRST_LOOK, wanted)
        while True:
            hits = self._best(scores, look)
            if len(hits) >= wanted or look >= len(scores):
                return hits[:count]
            look *= 4

    def scores(self, probe: Vector) -> NDArray[np.float32]:
        """Return the compensated cosine of the probe with every voiceprint, in row order; shape (voiceprints,)."""
        compensated = self._compensation.apply(probe[None])[0]
        offset = compensated @ self._rows_lack.mean
        scores = np.empty(len(self._owners), np.float32)
        for number, (first, block) in enumerate(self._filled()):
            part = scores[first : first + len(block)]
            np.matmul(block, compensated, out=part)
            part -= offset
            part /= self._lengths[number][: len(block)]
        return scores

    def _best(self, scores: NDArray[np.float32], look: int) -> list[Hit]:
        """Return profiles among the `look` best rows and all rows that tie with the last of these."""
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

    def _drop(self, row: int) -> None:
        last = len(self._owners) - 1
        (from_block, from_place), (to_block, to_place) = divmod(last, _BLOCK_ROWS), divmod(row, _BLOCK_ROWS)
        if row != last:
            self._blocks[to_block][to_place] = self._blocks[from_block][from_place]
            self._lengths[to_block][to_place] = self._lengths[from_block][from_place]
            owner = self._owners[last]
            self._owners[row] = owner
            self._rows[owner.profile_id][owner.voiceprint_id] = row
        self._blocks[from_block][from_place] = 0.0
        self._owners.pop()
        if last == (len(self._blocks) - 1) * _BLOCK_ROWS:
            self._blocks.pop()
            self._lengths.pop()
