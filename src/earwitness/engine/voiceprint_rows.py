"""Voiceprints in memory: add, delete and search exactly without rebuilding, while others search what they were given.

Rows lie in blocks, number by number: all first numbers of a block's rows, then all second ones. A search so reads
memory in order, in half the time of whole rows one behind the other (docs/decisions/2026-11-26-search.md). Blocks have
a fixed size, so adding never copies what is there; only the first one begins small and doubles.

Rows are kept raw, with the length that each has after centring and projection (`Compensation.lengths`). So the same
rows are compared under any mean for one number a row: a line that is learnt anew copies and decrypts nothing.

*A search is exact.* Multiplying in float32 gives every row's cosine to within a known error. Whatever could be among
the best within that error is compared again in float64 and rounded once, so scores and ranks do not depend on where a
row lies or on who else is enrolled, and equal voiceprints tie.

*A copy stays as it is.* `under` shares the blocks; whoever changes one of these first makes it its own. A deleted row
is overwritten by the last one, whose old place is zeroed, and a block is zeroed when nobody holds it any more: nothing
of a deleted voice stays in memory once the searches that began before have ended.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Compensation, Vectors, no_compensation
from earwitness.voice.embedding import Vector

_BLOCK_ROWS = 8_192
_FIRST_BLOCK_ROWS = 16
_FIRST_LOOK = 64
"""Best rows looked at before asking for more, so that several voiceprints of one profile do not crowd others out."""

_LINES_MAX = 16
"""Compensations whose lengths a block keeps, 4 bytes a row each: two versions of the lines of some codecs."""

_SHORTEST = 1e-3
"""A compensated row that is shorter lies so near to the mean that float32 does not tell its direction."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A profile and the score of its closest voiceprint."""

    profile_id: str
    voiceprint_id: str
    score: float


class RowOwner(NamedTuple):
    """Whose a row is."""

    profile_id: str
    voiceprint_id: str


@dataclass(frozen=True, slots=True)
class _Lengths:
    """How long the rows of a block are under a compensation."""

    compensation: Compensation
    #: 1 / length, shape (rows,).
    inverse: Vector
    #: Of a row, at least; 0 where one is too short to be compared in float32.
    shortest: float


class _Block:
    """Rows that lie together. One that is shared is never changed."""

    __slots__ = ("is_shared", "lengths", "numbers", "owners")

    def __init__(self, dimension: int, rows: int) -> None:
        self.numbers: NDArray[np.float32] = np.zeros((dimension, rows), np.float32)  # shape (dimension, rows)
        self.owners: list[RowOwner] = []
        self.lengths: dict[str, _Lengths] = {}  # by id of the compensation
        self.is_shared = False

    def __del__(self) -> None:
        self.numbers.fill(0.0)

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def is_full(self) -> bool:
        return len(self.owners) == self.numbers.shape[1]

    @property
    def filled(self) -> NDArray[np.float32]:
        """The rows that are in use, shape (dimension, rows)."""
        return self.numbers[:, : len(self.owners)]

    def copy(self, *, rows: int | None = None) -> "_Block":
        """Return one of the same content, with room for so many rows."""
        dimension, room = self.numbers.shape
        other = _Block(dimension, rows or room)
        other.numbers[:, :room] = self.numbers
        other.owners = self.owners.copy()
        for name, known in list(self.lengths.items()):
            other.lengths[name] = replace(known, inverse=_widened(known.inverse, rows or room))
        return other

    def put(self, places: NDArray[np.intp], vectors: Vectors) -> None:
        """Overwrite rows with vectors, shape (places, dimension)."""
        self.numbers[:, places] = vectors.T
        for name, known in self.lengths.items():
            inverse, shortest = _inverse_lengths(known.compensation, vectors)
            known.inverse[places] = inverse
            self.lengths[name] = replace(known, shortest=min(shortest, known.shortest))

    def row(self, place: int) -> Vector:
        return self.numbers[:, place].copy()

    def drop_last(self) -> None:
        self.owners.pop()
        self.numbers[:, len(self.owners)] = 0.0

    def lengths_under(self, compensation: Compensation) -> _Lengths:
        """Return those of all rows; computed when asked for the first time. Searches may do so at once."""
        known = self.lengths.get(compensation.id)
        if known is None:
            inverse, shortest = _inverse_lengths(compensation, self.filled.T)
            known = _Lengths(compensation, _widened(inverse, self.numbers.shape[1]), shortest)
            for name in list(self.lengths)[: max(0, len(self.lengths) + 1 - _LINES_MAX)]:
                self.lengths.pop(name, None)
            self.lengths[compensation.id] = known
        return known


def _inverse_lengths(compensation: Compensation, vectors: Vectors) -> tuple[Vector, float]:
    """Return 1 / length of each vector, and the shortest length, which is 0 where it is below `_SHORTEST`."""
    lengths = compensation.lengths(vectors)
    shortest = float(lengths.min(initial=np.inf))
    inverse = np.reciprocal(np.maximum(lengths, np.float32(_SHORTEST)))
    return inverse, shortest if shortest >= _SHORTEST else 0.0


def _widened(numbers: Vector, rows: int) -> Vector:
    """Return a copy with room for so many rows."""
    wide = np.ones(rows, np.float32)
    wide[: len(numbers)] = numbers
    return wide


class VoiceprintRows:
    """Unit vectors and whose they are. Not safe for concurrent change; searches may run together."""

    def __init__(self, compensation: Compensation, *, compensated: bool = False) -> None:
        """Rows are raw, or, with `compensated`, compensated already. Probes are always raw."""
        self._compensation = compensation
        self._rows_lack = no_compensation(self.dimension) if compensated else compensation
        self._blocks: list[_Block] = []
        self._profile_count = 0
        self._rows: dict[str, tuple[int, ...]] | None = {}  # by profile; None until a copy is asked

    def __len__(self) -> int:
        return (len(self._blocks) - 1) * _BLOCK_ROWS + len(self._blocks[-1]) if self._blocks else 0

    @property
    def dimension(self) -> int:
        """Numbers in a row."""
        return len(self._compensation.mean)

    @property
    def profile_count(self) -> int:
        """How many they belong to."""
        return self._profile_count

    @property
    def profile_ids(self) -> Set[str]:
        """Whose they are."""
        return self._rows_by_profile().keys()

    def under(self, compensation: Compensation) -> "VoiceprintRows":
        """Return a copy: the same rows as they are now, raw ones under another compensation.

        It shares memory for as long as neither is changed.
        """
        other = VoiceprintRows(compensation)
        if self._rows_lack is not self._compensation:
            other._rows_lack = self._rows_lack
        for block in self._blocks:
            block.is_shared = True
        other._blocks = self._blocks.copy()
        other._profile_count = self._profile_count
        other._rows = None
        return other

    def add(self, owners: Sequence[RowOwner], vectors: Vectors) -> None:
        """Keep vectors, shape (owners, dimension); one of the same owner as an earlier one replaces it."""
        rows = np.array([self._row_for(owner) for owner in owners], np.intp)
        numbers, places = np.divmod(rows, _BLOCK_ROWS)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            self._own(number).put(places[here], vectors[here])

    def delete(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile; return how many there were."""
        rows = self._rows_by_profile().pop(profile_id, ())
        self._profile_count = len(self._rows_by_profile())
        for row in sorted(rows, reverse=True):
            self._drop(row)
        return len(rows)

    def search(self, probe: Vector, *, count: int, no_higher_than: Compensation | None = None) -> list[Hit]:
        """Return the `count` closest profiles, best first, ties by profile id. Every voiceprint is compared.

        With another compensation, a voiceprint's score is the lower one under both.
        """
        views = [_View(self._rows_lack, self._compensation.apply(probe[None])[0])]
        if no_higher_than is not None:
            views.append(_View(no_higher_than, no_higher_than.apply(probe[None])[0]))
        estimates = self._estimates(views)
        wanted = min(count, self._profile_count)
        look = max(_FIRST_LOOK, wanted)
        while True:
            floor = estimates.floor(look)
            owners, rows = self._gathered(estimates.places_from(floor))
            hits = _best_of(owners, np.min([view.cosines(rows) for view in views], axis=0))
            # Of these and better ones nobody is missing; a profile below may have a better voiceprint elsewhere.
            sure = [hit for hit in hits if hit.score >= floor]
            if len(sure) >= wanted or floor == -np.inf:
                return sure[:count]
            look *= 4

    def scores_of_others(self, probe: Vector, profile_id: str, *, count: int, profiles_min: int) -> Vector:
        """Return the scores of raw rows, of the first `count` of them without those of a profile; shape (n,).

        None where these are of fewer than `profiles_min` profiles.
        """
        if not self._blocks:
            return np.zeros(0, np.float32)
        block = self._blocks[0]
        others = [place for place, owner in enumerate(block.owners[:count]) if owner.profile_id != profile_id]
        if len({block.owners[place].profile_id for place in others}) < profiles_min:
            return np.zeros(0, np.float32)
        return self._compensation.cosines(block.numbers[:, others].T, self._compensation.apply(probe[None])[0])

    def scores(self, probe: Vector) -> NDArray[np.float32]:
        """Return the compensated cosine of the probe with every voiceprint, in row order; shape (voiceprints,).

        Within some 1e-5, which is the error of float32; `search` is exact.
        """
        return self._estimates([_View(self._rows_lack, self._compensation.apply(probe[None])[0])]).cosines

    def _estimates(self, views: Sequence["_View"]) -> "_Estimates":
        """Return the cosine with every row, the lowest of all views."""
        estimates = _Estimates(len(self), dimension=self.dimension)
        first, *others = views
        for block in self._blocks:
            cosines = estimates.next(len(block))
            shortest = first.estimate(block, out=cosines)
            for view in others:
                further = np.empty_like(cosines)
                shortest = min(shortest, view.estimate(block, out=further))
                np.minimum(cosines, further, out=cosines)
            estimates.note(cosines, shortest=shortest)
        return estimates

    def _gathered(self, places: Iterable[NDArray[np.intp]]) -> tuple[list[RowOwner], Vectors]:
        """Return the rows at these places, a list of them for each block, and whose they are."""
        owners: list[RowOwner] = []
        rows: list[Vectors] = [np.zeros((0, self.dimension), np.float32)]
        for block, chosen in zip(self._blocks, places, strict=True):
            if len(chosen):
                owners += [block.owners[place] for place in chosen.tolist()]
                rows.append(block.numbers[:, chosen].T)
        return owners, np.concatenate(rows)

    def _rows_by_profile(self) -> dict[str, tuple[int, ...]]:
        if self._rows is None:
            self._rows = {}
            for number, block in enumerate(self._blocks):
                for row, owner in enumerate(block.owners, number * _BLOCK_ROWS):
                    self._rows[owner.profile_id] = (*self._rows.get(owner.profile_id, ()), row)
        return self._rows

    def _row_for(self, owner: RowOwner) -> int:
        """Return where its voiceprint lies, or the next free row, which is its own from now on."""
        by_profile = self._rows_by_profile()
        rows = by_profile.get(owner.profile_id, ())
        for row in rows:
            if self._owner(row) == owner:
                return row
        row = len(self)
        self._make_room().owners.append(owner)
        by_profile[owner.profile_id] = (*rows, row)
        self._profile_count = len(by_profile)
        return row

    def _make_room(self) -> _Block:
        """Return the last block, which has a free row."""
        if not self._blocks:
            self._blocks.append(_Block(self.dimension, min(_FIRST_BLOCK_ROWS, _BLOCK_ROWS)))
        elif len(self._blocks[-1]) == _BLOCK_ROWS:
            self._blocks.append(_Block(self.dimension, _BLOCK_ROWS))
        elif self._blocks[-1].is_full:
            self._blocks[-1] = self._blocks[-1].copy(rows=min(2 * len(self._blocks[-1]), _BLOCK_ROWS))
        return self._own(len(self._blocks) - 1)

    def _own(self, number: int) -> _Block:
        """Return a block that may be changed."""
        if self._blocks[number].is_shared:
            self._blocks[number] = self._blocks[number].copy()
        return self._blocks[number]

    def _owner(self, row: int) -> RowOwner:
        number, place = divmod(row, _BLOCK_ROWS)
        return self._blocks[number].owners[place]

    def _drop(self, row: int) -> None:
        last = self._own(len(self._blocks) - 1)
        owner, vector, last_row = last.owners[-1], last.row(len(last) - 1), len(self) - 1
        last.drop_last()
        if row != last_row:
            number, place = divmod(row, _BLOCK_ROWS)
            block = self._own(number)
            block.owners[place] = owner
            block.put(np.array([place]), vector[None])
            by_profile = self._rows_by_profile()
            by_profile[owner.profile_id] = tuple(
                row if one == last_row else one for one in by_profile[owner.profile_id]
            )
        if not len(last):
            self._blocks.pop()


def _best_of(owners: Sequence[RowOwner], scores: Vector) -> list[Hit]:
    """Return the best row of each profile, best first."""
    best: dict[str, Hit] = {}
    for owner, score in zip(owners, scores.tolist(), strict=True):
        known = best.get(owner.profile_id)
        if known is None or (-score, owner.voiceprint_id) < (-known.score, known.voiceprint_id):
            best[owner.profile_id] = Hit(owner.profile_id, owner.voiceprint_id, score)
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.profile_id))


class _View:
    """A way to compare rows with a probe: what is to be taken out of the rows, and the compensated probe."""

    def __init__(self, rows_lack: Compensation, probe: Vector) -> None:
        self._rows_lack = rows_lack
        self._probe = probe
        self._offset = np.float32(probe.astype(np.float64) @ rows_lack.mean.astype(np.float64))

    def estimate(self, block: _Block, *, out: Vector) -> float:
        """Write the cosines with a block's rows, in float32: (probe · row - probe · mean) / length.

        Return the shortest length.
        """
        lengths = block.lengths_under(self._rows_lack)
        np.matmul(self._probe, block.filled, out=out)
        out -= self._offset
        out *= lengths.inverse[: len(out)]
        return lengths.shortest

    def cosines(self, rows: Vectors) -> Vector:
        """Return the cosine with rows, shape (n, dimension), as exactly as float32 can hold it."""
        return self._rows_lack.cosines(rows, self._probe)


class _Estimates:
    """The cosine of every row to within a slack, which is one for a block: the error of float32 is in proportion to
    1 / length."""

    def __init__(self, count: int, *, dimension: int) -> None:
        self.cosines: Vector = np.empty(count, np.float32)
        self._parts: list[tuple[Vector, float]] = []  # of each block, with its slack
        self._best = np.full(min(count, _BLOCK_ROWS), -np.inf, np.float32)  # of all rows at the same place in a block
        self._filled = 0
        # A sum of n products in float32 is off by at most n · 2⁻²⁴ for unit vectors, in whatever order it is added
        # (Higham: "Accuracy and Stability of Numerical Algorithms", 3.1); lengths and rounding add less than 16 such
        # steps, and eight times as much is still no more than a handful of rows.
        self._error = (dimension + 16) * 2.0**-21

    def next(self, count: int) -> Vector:
        """Return where the next block's cosines go."""
        self._filled += count
        return self.cosines[self._filled - count : self._filled]

    def note(self, cosines: Vector, *, shortest: float) -> None:
        """Take notice of a block's cosines, now that they are there."""
        slack = self._error / shortest if shortest else np.inf
        self._parts.append((cosines, slack))
        best = self._best[: len(cosines)]
        np.maximum(best, cosines - np.float32(slack), out=best)

    def floor(self, look: int) -> float:
        """Return a score that at least `look` rows have for certain; minus infinity where that cannot be said."""
        if look >= len(self.cosines):
            return -np.inf
        if 2 * look <= len(self._best):
            return float(np.partition(self._best, len(self._best) - look)[len(self._best) - look])
        lower = np.concatenate([cosines - np.float32(slack) for cosines, slack in self._parts])
        return float(np.partition(lower, len(lower) - look)[len(lower) - look])

    def places_from(self, floor: float) -> Iterator[NDArray[np.intp]]:
        """Yield, for each block, the places of all rows that may reach the score."""
        for cosines, slack in self._parts:
            yield np.flatnonzero(cosines >= np.float32(floor - slack))
