"""The voiceprints that a search compares with: raw ones in one space, and those of former versions in theirs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.compensation import Vectors
from earwitness.engine.monitor import PROFILES_MIN
from earwitness.engine.space import Space, of_another_model
from earwitness.engine.voiceprint_rows import Hit, RowOwner, VoiceprintRows
from earwitness.errors import ProfileNotFound
from earwitness.voice.embedding import Embedding, Voiceprint

OTHERS_MAX = 1_000
"""Voiceprints that did not match whose scores are looked at: more say no more of the line."""


def _at_zero(_space: Space) -> float:
    return 0.0


class Gallery:
    """Voiceprints of one encoder and band. Not safe for concurrent change; searches may run together."""

    def __init__(self, space: Space, *, version: int | None = None) -> None:
        """It takes raw voiceprints of the space's encoder, and compensated ones of its former spaces.

        `version` is that of what it was loaded from, if it has one; every answer names it.
        """
        self.space = space
        self.version = version
        self._rows = VoiceprintRows(space.compensation)
        self._former: dict[str, tuple[Space, VoiceprintRows]] = {}  # by encoder id

    def __len__(self) -> int:
        """Return how many voiceprints are enrolled."""
        return len(self._rows) + self.former_count

    def __contains__(self, profile_id: str) -> bool:
        """Return whether a profile has a voiceprint in it."""
        return any(profile_id in rows.profile_ids for rows in self._all())

    @property
    def former_count(self) -> int:
        """Voiceprints of former versions: they stay as they are when a line is learnt, until enrolled again."""
        return sum(len(rows) for _, rows in self._former.values())

    @property
    def profile_count(self) -> int:
        """Profiles the voiceprints belong to."""
        if not self._former:
            return self._rows.profile_count
        return len(self._profile_ids())

    @property
    def profile_ids(self) -> list[str]:
        """Profiles enrolled, in order."""
        return sorted(self._profile_ids())

    def under(self, space: Space) -> "Gallery":
        """Return a copy: the same voiceprints as they are now, under another line or the same.

        It shares memory for as long as neither is changed.
        """
        other = Gallery(space, version=self.version)
        other._rows = self._rows.under(space.compensation)
        for encoder_id, (_, rows) in self._former.items():
            former = space.former(encoder_id)
            other._former[encoder_id] = former, rows.under(former.compensation)
        return other

    def add(self, voiceprint: Voiceprint) -> None:
        """Enrol one voiceprint; one of the same id under the same profile is replaced."""
        embedding = voiceprint.embedding
        owner = RowOwner(voiceprint.profile_id, voiceprint.voiceprint_id)
        self.add_rows([owner], embedding.vector[None], encoder_id=embedding.encoder_id)

    def add_all(self, voiceprints: Iterable[Voiceprint]) -> None:
        for voiceprint in voiceprints:
            self.add(voiceprint)

    def add_rows(self, owners: Sequence[RowOwner], vectors: Vectors, *, encoder_id: str) -> None:
        """Enrol many voiceprints at once, their vectors of unit length, shape (owners, dimension)."""
        self._rows_for(encoder_id, vectors.shape[1]).add(owners, vectors)

    def delete(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile; return how many there were. Raise ProfileNotFound when it has none."""
        count = self.discard(profile_id)
        if not count:
            raise ProfileNotFound("nobody of that name is enrolled")
        return count

    def discard(self, profile_id: str) -> int:
        """Remove every voiceprint of a profile, if it has any; return how many there were."""
        return sum(rows.delete(profile_id) for rows in self._all())

    def search(
        self, probe: Embedding, *, count: int = 10, threshold_of: Callable[[Space], float] = _at_zero
    ) -> list[Hit]:
        """Return the `count` closest profiles to a raw probe, best first, ties by profile id.

        On a known line a score is no higher than the shipped mean would give it. Scores of former voiceprints mean what
        their own calibration says: they are moved by what lies between its threshold and the present one, so that all
        scores can be compared with the present threshold.
        """
        self._check(probe)
        shipped = None if self.space.line.mean is None else self.space.shipped
        hits = self._rows.search(probe.vector, count=count, no_higher_than=shipped)
        if not self._former:
            return hits
        present = threshold_of(self.space)
        for space, rows in self._former.values():
            moved = present - threshold_of(space)
            hits += [
                replace(hit, score=min(max(hit.score + moved, -1.0), 1.0))
                for hit in rows.search(probe.vector, count=count)
            ]
        best: dict[str, Hit] = {}
        for hit in sorted(hits, key=lambda hit: (-hit.score, hit.profile_id, hit.voiceprint_id)):
            best.setdefault(hit.profile_id, hit)
        return list(best.values())[:count]

    def scores(self, probe: Embedding) -> NDArray[np.float32]:
        """Return the cosine of the probe with every voiceprint that is not former; shape (voiceprints,)."""
        self._check(probe)
        return self._rows.scores(probe.vector)

    def scores_of_others(self, probe: Embedding, profile_id: str) -> NDArray[np.float32]:
        """Return the scores on the line of at most OTHERS_MAX voiceprints of everybody but this profile, shape (n,).

        None where fewer than PROFILES_MIN others are enrolled.
        """
        self._check(probe)
        return self._rows.scores_of_others(probe.vector, profile_id, count=OTHERS_MAX, profiles_min=PROFILES_MIN)

    def _all(self) -> list[VoiceprintRows]:
        return [self._rows, *(rows for _, rows in self._former.values())]

    def _profile_ids(self) -> set[str]:
        return set[str]().union(*(rows.profile_ids for rows in self._all()))

    def _rows_for(self, encoder_id: str, dimension: int) -> VoiceprintRows:
        if encoder_id == self.space.encoder_id or dimension != self._rows.dimension:
            self._require(encoder_id, dimension)
            return self._rows
        if encoder_id not in self._former:
            space = self.space.former(encoder_id)
            self._former[encoder_id] = space, VoiceprintRows(space.compensation, compensated=True)
        return self._former[encoder_id][1]

    def _check(self, probe: Embedding) -> None:
        self._require(probe.encoder_id, len(probe.vector))

    def _require(self, encoder_id: str, dimension: int) -> None:
        if encoder_id != self.space.encoder_id or dimension != self._rows.dimension:
            raise of_another_model(self.space.encoder_id, encoder_id)
