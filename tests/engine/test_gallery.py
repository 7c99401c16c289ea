"""Exact search: two dimensions and three vectors by hand, then any sequence of changes against brute force."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from earwitness.engine import gallery as gallery_module
from earwitness.engine.gallery import Gallery
from earwitness.errors import GalleryOfAnotherModel, ProfileNotFound
from earwitness.voice.embedding import Embedding, Voiceprint


def embedding(*numbers: float, encoder_id: str = "e") -> Embedding:
    vector = np.array(numbers, np.float64)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Embedding(vector=unit, encoder_id=encoder_id, net_speech_seconds=10.0)


def voiceprint(profile: str, name: str, *numbers: float) -> Voiceprint:
    return Voiceprint(profile_id=profile, voiceprint_id=name, embedding=embedding(*numbers))


@pytest.fixture
def three() -> Gallery:
    gallery = Gallery("e", 2)
    gallery.add_all([voiceprint("a", "1", 1, 0), voiceprint("b", "1", 0, 1), voiceprint("a", "2", -1, 0)])
    return gallery


def test_profiles_are_ranked_by_their_closest_voiceprint(three: Gallery) -> None:
    hits = three.search(embedding(-0.8, 0.6))
    assert [(hit.profile_id, hit.voiceprint_id) for hit in hits] == [("a", "2"), ("b", "1")]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6])


def test_ties_go_by_profile_id_then_voiceprint_id() -> None:
    gallery = Gallery("e", 2)
    gallery.add_all(voiceprint(profile, name, 1, 0) for profile in "cab" for name in "21")
    hits = gallery.search(embedding(1, 0), count=2)
    assert [(hit.profile_id, hit.voiceprint_id) for hit in hits] == [("a", "1"), ("b", "1")]


def test_many_voiceprints_of_one_profile_crowd_nobody_out() -> None:
    gallery = Gallery("e", 2)
    gallery.add_all(voiceprint("many", str(number), 1, number / 1e6) for number in range(500))
    gallery.add_all(voiceprint(f"other {number}", "1", 0, 1) for number in range(12))
    assert len(gallery.search(embedding(1, 0), count=10)) == 10


def test_replacing_keeps_one(three: Gallery) -> None:
    three.add(voiceprint("b", "1", 1, 1))
    assert len(three) == 3
    assert three.search(embedding(1, 1))[0].profile_id == "b"


def test_deleting_leaves_nothing_behind(three: Gallery) -> None:
    assert three.delete("a") == 2
    assert three.profile_ids == ["b"]
    assert (len(three), three.profile_count) == (1, 1)
    assert [hit.profile_id for hit in three.search(embedding(1, 0))] == ["b"]
    assert not three._blocks[0][1:3].any()
    with pytest.raises(ProfileNotFound):
        three.delete("a")


def test_an_empty_gallery_has_no_hits() -> None:
    assert Gallery("e", 2).search(embedding(1, 0)) == []


def test_another_model_is_refused(three: Gallery) -> None:
    with pytest.raises(GalleryOfAnotherModel, match="enrol the voices again"):
        three.search(embedding(1, 0, encoder_id="other"))
    with pytest.raises(GalleryOfAnotherModel):
        three.search(embedding(1, 0, 0))


class AnyHistory(RuleBasedStateMachine):
    """Adds, replacements and deletions in any order, compared with a table that is searched by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery("e", 3)
        self.model: dict[tuple[str, str], np.ndarray] = {}

    @rule(
        profile=st.sampled_from("abcdef"),
        name=st.sampled_from("12"),
        numbers=st.tuples(*[st.integers(-3, 3)] * 3).filter(any),
    )
    def add(self, profile: str, name: str, numbers: tuple[int, ...]) -> None:
        added = voiceprint(profile, name, *numbers)
        self.gallery.add(added)
        self.model[profile, name] = added.embedding.vector

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        profile = data.draw(st.sampled_from(sorted({profile for profile, _ in self.model})))
        gone = [key for key in self.model if key[0] == profile]
        assert self.gallery.delete(profile) == len(gone)
        for key in gone:
            del self.model[key]

    @invariant()
    def search_is_exact(self) -> None:
        probe = embedding(0.5, -0.2, 0.8)
        best: dict[str, float] = {}
        for (profile, _), vector in self.model.items():
            best[profile] = max(best.get(profile, -2.0), float(vector @ probe.vector))
        expected = sorted(best, key=lambda profile: (-round(best[profile], 5), profile))[:4]
        hits = self.gallery.search(probe, count=4)
        assert [hit.score for hit in hits] == pytest.approx([best[profile] for profile in expected], abs=1e-5)
        assert len(self.gallery) == len(self.model)
        assert self.gallery.profile_ids == sorted(best)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_module, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(gallery_module, "_FIRST_LOOK", 3)


AnyHistory.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyHistory = pytest.mark.slow(AnyHistory.TestCase)
