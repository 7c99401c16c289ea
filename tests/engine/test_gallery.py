"""Exact search: two dimensions and three vectors by hand, then any sequence of changes against brute force."""

import dataclasses

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from earwitness.engine import voiceprint_rows
from earwitness.engine.compensation import Compensation, unit_length
from earwitness.engine.gallery import Gallery
from earwitness.engine.space import Line, Space, shipped_space
from earwitness.errors import GalleryOfAnotherModel, ProfileNotFound
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding, Vector, Voiceprint
from spaces import plain_space


def embedding(*numbers: float, encoder_id: str = "e") -> Embedding:
    vector = np.array(numbers, np.float64)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Embedding(vector=unit, encoder_id=encoder_id, net_speech_seconds=10.0)


def voiceprint(profile: str, name: str, *numbers: float) -> Voiceprint:
    return Voiceprint(profile_id=profile, voiceprint_id=name, embedding=embedding(*numbers))


@pytest.fixture
def three() -> Gallery:
    gallery = Gallery(plain_space("e", 2))
    gallery.add_all([voiceprint("a", "1", 1, 0), voiceprint("b", "1", 0, 1), voiceprint("a", "2", -1, 0)])
    return gallery


def test_profiles_are_ranked_by_their_closest_voiceprint(three: Gallery) -> None:
    hits = three.search(embedding(-0.8, 0.6))
    assert [(hit.profile_id, hit.voiceprint_id) for hit in hits] == [("a", "2"), ("b", "1")]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6])


def test_ties_go_by_profile_id_then_voiceprint_id() -> None:
    gallery = Gallery(plain_space("e", 2))
    gallery.add_all(voiceprint(profile, name, 1, 0) for profile in "cab" for name in "21")
    hits = gallery.search(embedding(1, 0), count=2)
    assert [(hit.profile_id, hit.voiceprint_id) for hit in hits] == [("a", "1"), ("b", "1")]


def test_many_voiceprints_of_one_profile_crowd_nobody_out() -> None:
    gallery = Gallery(plain_space("e", 2))
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
    assert not three._rows._blocks[0].numbers[:, 1:].any()
    with pytest.raises(ProfileNotFound):
        three.delete("a")


def test_an_empty_gallery_has_no_hits() -> None:
    assert Gallery(plain_space("e", 2)).search(embedding(1, 0)) == []


def test_another_model_is_refused(three: Gallery) -> None:
    with pytest.raises(GalleryOfAnotherModel, match="enrol the voices again"):
        three.search(embedding(1, 0, encoder_id="other"))
    with pytest.raises(GalleryOfAnotherModel):
        three.search(embedding(1, 0, 0))


SHIPPED = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
VERSION_0_2 = "campplus-0.2.2-r1/telephone/dfc758e8"


def raw_voices(count: int) -> list[Vector]:
    random = np.random.default_rng(3)
    return list(unit_length(random.standard_normal((count, 192)) / 14 + SHIPPED.compensation.mean))


def raw(vector: Vector, encoder_id: str = SHIPPED.encoder_id) -> Embedding:
    return Embedding(vector=vector, encoder_id=encoder_id, net_speech_seconds=10.0)


def enrolled(name: str, embedded: Embedding) -> Voiceprint:
    return Voiceprint(profile_id=name, voiceprint_id="1", embedding=embedded)


def former(vector: Vector) -> Embedding:
    """A voiceprint as version 0.2 kept it."""
    compensation = SHIPPED.former(VERSION_0_2).compensation
    return raw(compensation.apply(vector[None])[0], encoder_id=VERSION_0_2)


def refitted() -> Space:
    """The space of a later version, whose compensation and calibration are others."""
    mean = SHIPPED.compensation.mean + np.float32(0.01)
    compensation = Compensation(mean, SHIPPED.compensation.directions[1:])
    space = Space(encoder_id=SHIPPED.encoder_id, shipped=compensation, calibration=SHIPPED.calibration)
    fits = tuple(dataclasses.replace(fit, offset=fit.offset + 1.0) for fit in SHIPPED.calibration.fits)
    return dataclasses.replace(
        space, calibration=dataclasses.replace(SHIPPED.calibration, encoder_id=space.id, fits=fits)
    )


def test_raw_rows_score_as_compensated_ones() -> None:
    voices = raw_voices(40)
    gallery = Gallery(SHIPPED)
    gallery.add_all(enrolled(f"v{number:02}", raw(vector)) for number, vector in enumerate(voices))
    compensated = SHIPPED.compensation.apply(np.array(voices))
    np.testing.assert_allclose(gallery.scores(raw(voices[7])), compensated @ compensated[7], atol=1e-6)


def test_the_same_rows_are_compared_on_another_line() -> None:
    voices = raw_voices(40)
    other = SHIPPED.on(Line(mean=np.float32(0.7) * SHIPPED.shipped.mean, voices=20, version=2))
    gallery = Gallery(SHIPPED)
    gallery.add_all(enrolled(f"v{number:02}", raw(vector)) for number, vector in enumerate(voices))
    gallery.delete("v03")
    moved = gallery.under(other)
    anew = Gallery(other)
    anew.add_all(enrolled(f"v{number:02}", raw(vector)) for number, vector in enumerate(voices) if number != 3)
    probe = raw(voices[7])
    assert {hit.profile_id: hit.score for hit in moved.search(probe, count=39)} == pytest.approx(
        {hit.profile_id: hit.score for hit in anew.search(probe, count=39)}, abs=1e-6
    )
    assert moved.search(probe) != gallery.search(probe)


def test_former_voiceprints_are_found_in_their_own_space_after_a_refit() -> None:
    voices = raw_voices(6)
    gallery = Gallery(refitted())
    gallery.add_all(enrolled(f"old{number}", former(vector)) for number, vector in enumerate(voices[:3]))
    gallery.add_all(enrolled(f"new{number}", raw(vector)) for number, vector in enumerate(voices[3:]))
    assert (len(gallery), gallery.former_count, gallery.profile_count) == (6, 3, 6)
    for number, vector in enumerate(voices):
        best, *others = gallery.search(raw(vector))
        assert best.profile_id == f"{'old' if number < 3 else 'new'}{number % 3}"
        assert best.score == pytest.approx(1.0, abs=1e-5)
        assert len(others) == 5
    assert gallery.delete("old1") == 1
    assert len(gallery) == 5


def test_a_former_score_lies_as_far_above_the_threshold_as_its_own_calibration_says() -> None:
    voices = raw_voices(2)
    gallery = Gallery(refitted())
    gallery.add(enrolled("old", former(voices[0])))
    own = former(voices[0]).vector @ former(voices[1]).vector

    def threshold_of(space: Space) -> float:
        return 0.6 if space is gallery.space else 0.7

    (hit,) = gallery.search(raw(voices[1]), threshold_of=threshold_of)
    assert hit.score - 0.6 == pytest.approx(own - 0.7, abs=1e-6)


def test_a_profile_with_former_and_raw_voiceprints_is_one_profile() -> None:
    voices = raw_voices(2)
    gallery = Gallery(SHIPPED)
    gallery.add(enrolled("ada", former(voices[0])))
    gallery.add(dataclasses.replace(enrolled("ada", raw(voices[1])), voiceprint_id="2"))
    for vector, name in zip(voices, "12", strict=True):
        (hit,) = gallery.search(raw(vector))
        assert (hit.voiceprint_id, hit.score) == (name, pytest.approx(1.0, abs=1e-5))
    assert gallery.delete("ada") == 2


@pytest.mark.parametrize(
    "encoder_id", ["campplus-0.2.2-r1/telephone/00000000", "campplus-0.2.2-r1/wideband", "x", "a/../b", "", "e\0/x/y"]
)
def test_spaces_that_are_not_known_are_refused(encoder_id: str) -> None:
    assert not SHIPPED.takes(encoder_id)
    with pytest.raises(GalleryOfAnotherModel):
        Gallery(SHIPPED).add(enrolled("x", raw(raw_voices(1)[0], encoder_id)))


class AnyHistory(RuleBasedStateMachine):
    """Adds, replacements and deletions in any order, compared with a table that is searched by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery(plain_space("e", 3))
        self.model: dict[tuple[str, str], np.ndarray] = {}
        self.copies: list[tuple[Gallery, dict[tuple[str, str], np.ndarray]]] = []

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

    @rule(goes_on_with_the_copy=st.booleans())
    def copy(self, goes_on_with_the_copy: bool) -> None:
        copy = self.gallery.under(self.gallery.space)
        if goes_on_with_the_copy:
            self.gallery, copy = copy, self.gallery
        self.copies.append((copy, dict(self.model)))

    @invariant()
    def search_is_exact(self) -> None:
        for gallery, model in ((self.gallery, self.model), *self.copies[-3:]):
            self._require_exact(gallery, model)

    def _require_exact(self, gallery: Gallery, model: dict[tuple[str, str], np.ndarray]) -> None:
        probe = embedding(0.5, -0.2, 0.8)
        best: dict[str, float] = {}
        for (profile, _), vector in model.items():
            best[profile] = max(best.get(profile, -2.0), float(vector @ probe.vector))
        expected = sorted(best, key=lambda profile: (-round(best[profile], 5), profile))[:4]
        hits = gallery.search(probe, count=4)
        assert [hit.score for hit in hits] == pytest.approx([best[profile] for profile in expected], abs=1e-5)
        assert len(gallery) == len(model)
        assert gallery.profile_count == len(best)
        assert gallery.profile_ids == sorted(best)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voiceprint_rows, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(voiceprint_rows, "_FIRST_BLOCK_ROWS", 1)
    monkeypatch.setattr(voiceprint_rows, "_FIRST_LOOK", 3)


AnyHistory.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyHistory = pytest.mark.slow(AnyHistory.TestCase)
