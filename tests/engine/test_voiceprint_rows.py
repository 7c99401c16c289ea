"""Search of rows: equal to comparing everything in float64, whatever lies close together; copies stay as they were."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.engine import voiceprint_rows
from earwitness.engine.compensation import Compensation, Vectors, unit_length
from earwitness.engine.voiceprint_rows import Hit, RowOwner, VoiceprintRows, _View
from earwitness.voice.embedding import Vector


@dataclass(frozen=True, eq=False)
class Crowd:
    """Voiceprints, and a probe that they are compared with."""

    compensation: Compensation
    owners: list[RowOwner]
    vectors: Vectors
    probe: Vector
    #: Scores are no higher than under this one.
    bound: Compensation | None = None

    def rows(self) -> VoiceprintRows:
        made = VoiceprintRows(self.compensation)
        made.add(self.owners, self.vectors)
        return made

    def scores(self) -> Vector:
        """Of every voiceprint, compared in float64."""
        compensations = [self.compensation] if self.bound is None else [self.compensation, self.bound]
        return np.min(
            [one.cosines(self.vectors, one.apply(self.probe[None])[0]) for one in compensations],
            axis=0,
        )

    def search(self, count: int) -> list[Hit]:
        """The best that a search finds."""
        return self.rows().search(self.probe, count=count, no_higher_than=self.bound)

    def exact(self, count: int) -> list[Hit]:
        """The best of everything compared in float64."""
        scores = self.scores()
        ranked = sorted(
            (Hit(*owner, score) for owner, score in zip(self.owners, scores.tolist(), strict=True)),
            key=lambda hit: (-hit.score, hit.profile_id, hit.voiceprint_id),
        )
        best: dict[str, Hit] = {}
        for hit in ranked:
            best.setdefault(hit.profile_id, hit)
        return list(best.values())[:count]


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    """A few voices, each many times: the same to the bit, or moved by less than float32 or a search can tell."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dimension = draw(st.sampled_from([3, 8, 192]))
    mean = unit_length(random.standard_normal((1, dimension)))[0] * np.float32(draw(st.sampled_from([0.0, 0.4, 0.9])))
    kept = draw(st.integers(0, min(5, dimension - 2)))
    directions = np.linalg.qr(random.standard_normal((dimension, kept)))[0].T.astype(np.float32)
    compensation = Compensation(mean.astype(np.float32), directions)
    voices = unit_length(random.standard_normal((draw(st.integers(1, 6)), dimension)) + 2.0 * mean)
    count = draw(st.integers(1, 80))
    moved = draw(st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2]))
    vectors = voices[random.integers(0, len(voices), count)] + moved * random.standard_normal((count, dimension))
    if draw(st.booleans()):  # some have nothing of their own, or next to nothing
        vectors[: count // 3] = mean + 10.0 ** -draw(st.integers(2, 9)) * random.standard_normal(dimension)
        vectors[: count // 3] += 1e-12
    profiles = draw(st.integers(1, 40))
    owners = [RowOwner(f"p{random.integers(profiles):02}", f"v{row:02}") for row in range(count)]
    bound = Compensation((0.5 * mean).astype(np.float32), directions) if draw(st.booleans()) else None
    return Crowd(compensation, owners, unit_length(vectors), voices[0], bound)


@settings(deadline=None, max_examples=60)
@given(crowd=crowds(), count=st.integers(1, 90))
def test_a_search_is_equal_to_comparing_everything_in_float64(crowd: Crowd, count: int) -> None:
    assert crowd.search(count) == crowd.exact(count)


@settings(deadline=None, max_examples=60)
@given(crowd=crowds())
def test_estimates_are_as_good_as_they_say(crowd: Crowd) -> None:
    views = [_View(one, one.apply(crowd.probe[None])[0]) for one in (crowd.compensation, crowd.bound) if one]
    estimates = crowd.rows()._estimates(views)
    exact = crowd.scores()
    first = 0
    for cosines, slack in estimates._parts:
        assert np.all(np.abs(cosines - exact[first : first + len(cosines)]) <= slack / 2)
        first += len(cosines)
    for look in range(1, len(exact) + 1):
        assert np.count_nonzero(exact >= estimates.floor(look)) >= look


def test_a_crowd_within_the_error_of_float32_is_ranked_by_float64() -> None:
    random = np.random.default_rng(1)
    dimension, count = 192, 600
    compensation = Compensation(np.zeros(dimension, np.float32), np.zeros((0, dimension), np.float32))
    probe, aside = np.eye(dimension, dtype=np.float32)[:2]
    angles = 0.5 + 1e-8 * random.permutation(count)
    vectors = unit_length(np.cos(angles)[:, None] * probe + np.sin(angles)[:, None] * aside)
    crowd = Crowd(compensation, [RowOwner(f"p{row:03}", "v") for row in range(count)], vectors, probe)
    assert crowd.search(10) == crowd.exact(10)


def test_a_score_does_not_depend_on_who_else_is_there() -> None:
    random = np.random.default_rng(2)
    dimension = 192
    mean = np.float32(0.4) * unit_length(random.standard_normal((1, dimension)))[0]
    compensation = Compensation(mean, np.zeros((0, dimension), np.float32))
    same = unit_length(random.standard_normal((1, dimension)))[0]
    scores: set[float] = set()
    for before in range(0, 50):
        rows = VoiceprintRows(compensation)
        others = unit_length(random.standard_normal((before, dimension)))
        rows.add([RowOwner(f"other{row}", "v") for row in range(before)], others)
        rows.add([RowOwner("same", "v")], same[None])
        (score,) = [hit.score for hit in rows.search(same + mean, count=60) if hit.profile_id == "same"]
        scores.add(score)
    assert len(scores) == 1


def test_a_deleted_voice_is_zeroed_when_the_last_search_that_may_see_it_has_ended() -> None:
    rows = VoiceprintRows(Compensation(np.zeros(2, np.float32), np.zeros((0, 2), np.float32)))
    rows.add([RowOwner("a", "1"), RowOwner("b", "1")], np.eye(2, dtype=np.float32))
    memory = rows._blocks[0].numbers
    searched = rows.under(rows._compensation)
    rows.delete("a")
    assert memory.any()
    probe = np.eye(2, dtype=np.float32)[0]
    assert [hit.profile_id for hit in searched.search(probe, count=2)] == ["a", "b"]
    assert [hit.profile_id for hit in rows.search(probe, count=2)] == ["b"]
    assert not rows._blocks[0].numbers[:, 1:].any()
    del searched
    assert not memory.any()


def test_lengths_of_so_many_lines_are_kept() -> None:
    random = np.random.default_rng(3)
    means = np.float32(0.1) * random.standard_normal((2 * voiceprint_rows._LINES_MAX, 3)).astype(np.float32)
    lines = [Compensation(mean, np.zeros((0, 3), np.float32)) for mean in means]
    vectors = unit_length(random.standard_normal((9, 3)))
    owners = [RowOwner(f"p{row}", "v") for row in range(9)]
    rows = VoiceprintRows(lines[0])
    rows.add(owners, vectors)
    for line in (*lines, *lines):
        crowd = Crowd(line, owners, vectors, vectors[4])
        assert rows.under(line).search(vectors[4], count=9) == crowd.exact(9)
    assert all(len(block.lengths) == voiceprint_rows._LINES_MAX for block in rows._blocks)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voiceprint_rows, "_BLOCK_ROWS", 16)
    monkeypatch.setattr(voiceprint_rows, "_FIRST_BLOCK_ROWS", 2)
    monkeypatch.setattr(voiceprint_rows, "_FIRST_LOOK", 3)
