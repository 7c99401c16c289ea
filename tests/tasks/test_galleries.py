"""Voices in memory: as the records have them now, no more of them than fit, none of a domain that was deleted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from search_examples import end, enrol, running_task, voiceprint
from store_examples import MINE, opened

from earwitness.engine.gallery import Gallery
from earwitness.engine.space import Line, Space
from earwitness.errors import NotFound
from earwitness.store.profile_voiceprints import ProfileVoiceprintReader
from earwitness.store.records import GalleryChanges, Scope, VoiceProfile
from earwitness.store.store import Store
from earwitness.tasks.galleries import Galleries
from earwitness.voice.embedding import Embedding
from spaces import plain_space

SPACE = plain_space("two-d-1", 2)


def under(space: Space, *mean: float) -> Space:
    """The space of a line with another mean."""
    return space.on(Line(mean=np.array(mean, np.float32), voices=50, version=1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened_store = opened(f"sqlite:///{tmp_path / 'records.db'}")
    yield opened_store
    opened_store.close()


def enrolled(store: Store) -> VoiceProfile:
    task = running_task(store)
    store.write(
        lambda unit: unit.attempts.conclude_voiceprint(
            MINE, task.task_id, attempt=task.attempt, voiceprint=voiceprint()
        )
    )
    end(store, task)
    return enrol(store, task)


def voices(galleries: Galleries, domain_id: str) -> Gallery:
    return galleries.get(MINE, domain_id, space=SPACE)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One item for every page that is loaded."""
    loads: list[None] = []
    page = ProfileVoiceprintReader.gallery_page
    monkeypatch.setattr(
        ProfileVoiceprintReader, "gallery_page", lambda *given, **named: (loads.append(None), page(*given, **named))[1]
    )
    return loads


def enrolled_again(store: Store, profile: VoiceProfile, voiceprint_id: str, *, x: float, y: float) -> None:
    """Add a voiceprint to a profile."""
    store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE,
            profile.profile_id,
            voiceprint_id=voiceprint_id,
            voiceprint=voiceprint(x, y),
            expires_at=profile.expires_at,
        )
    )


def test_it_is_loaded_once_and_then_changed_as_the_domain_is(store: Store, loads: list[None]) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    first = voices(galleries, profile.domain_id)
    assert len(first) == 1
    assert voices(galleries, profile.domain_id) is first
    enrolled_again(store, profile, "second", x=1.0, y=0.0)
    assert len(voices(galleries, profile.domain_id)) == 2
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    assert len(voices(galleries, profile.domain_id)) == 0
    assert len(first) == 1  # what was handed out does not change
    assert len(loads) == 1


def test_it_is_loaded_anew_when_the_notes_of_changes_are_gone(store: Store, loads: list[None]) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    assert len(voices(galleries, profile.domain_id)) == 1
    for number in range(2):
        enrolled_again(store, profile, f"{number}", x=1.0, y=0.0)
        voices(galleries, profile.domain_id)
    enrolled_again(store, profile, "last", x=1.0, y=0.0)
    store.write(lambda unit: unit.domains.purge_changes(noted_before=unit.now))
    enrolled_again(store, profile, "not noted before this one", x=0.0, y=1.0)
    assert len(voices(galleries, profile.domain_id)) == 5
    assert len(loads) == 2


def test_what_was_deleted_leaves_memory_without_a_search(store: Store) -> None:
    galleries = Galleries(store)
    kept, deleted = enrolled(store), enrolled(store)
    for profile in (kept, deleted):
        enrolled_again(store, profile, "second", x=1.0, y=0.0)
        voices(galleries, profile.domain_id)
    blocks = [gallery._rows._blocks[0].numbers for gallery in _loaded(galleries).values()]
    assert [block.any() for block in blocks] == [True, True]
    store.write(lambda unit: unit.profiles.delete(MINE, kept.profile_id))
    store.write(lambda unit: unit.domains.delete(MINE, deleted.domain_id))
    galleries.renew()
    assert [block.any() for block in blocks] == [False, False]
    assert list(_loaded(galleries)) == [kept.domain_id]


def _loaded(galleries: Galleries) -> dict[str, Gallery]:
    """By domain."""
    return {name[1]: slot.gallery for name, slot in galleries._slots.items() if slot.gallery is not None}


def test_a_domain_deleted_while_it_is_read_keeps_no_other_from_being_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    galleries, deleted, kept = Galleries(store), enrolled(store), enrolled(store)
    for profile in (deleted, kept):
        voices(galleries, profile.domain_id)
        enrolled_again(store, profile, "vp-2", x=0.0, y=1.0)
    read = ProfileVoiceprintReader.gallery_changes

    def changes(reader: ProfileVoiceprintReader, scope: Scope, domain_id: str, **how: int) -> GalleryChanges | None:
        if domain_id == deleted.domain_id:
            store.write(lambda unit: unit.domains.delete(scope, domain_id))
        return read(reader, scope, domain_id, **how)

    monkeypatch.setattr(ProfileVoiceprintReader, "gallery_changes", changes)
    galleries.renew()
    ((name, slot),) = galleries._slots.items()
    assert name[1] == kept.domain_id
    assert slot.gallery is not None
    assert len(slot.gallery) == 2


def test_a_line_that_is_learnt_anew_loads_nothing(store: Store, loads: list[None]) -> None:
    galleries = Galleries(store)
    domain_id = enrolled(store).domain_id
    probe = Embedding(vector=np.array([1.0, 0.0], np.float32), encoder_id="two-d-1", net_speech_seconds=10.0)
    before = voices(galleries, domain_id)
    line = under(SPACE, 0.3, 0.1)
    learnt = galleries.get(MINE, domain_id, space=line)
    assert len(loads) == 1
    assert before.search(probe)[0].score == pytest.approx(0.6)  # of (0.6, 0.8)
    centred, raw = np.array([0.3, 0.7]), np.array([0.7, -0.1])
    expected = centred @ raw / np.linalg.norm(centred) / np.linalg.norm(raw)
    assert learnt.search(probe)[0].score == pytest.approx(expected, abs=1e-6)
    assert galleries.get(MINE, domain_id, space=line) is learnt
    assert voices(galleries, domain_id) is before


def test_a_deleted_voice_is_found_under_no_line(store: Store) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    spaces = [SPACE, *(under(SPACE, 0.01 * number, 0.0) for number in range(1, 20))]
    for space in spaces:
        assert len(galleries.get(MINE, profile.domain_id, space=space)) == 1
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    for space in spaces:
        assert len(galleries.get(MINE, profile.domain_id, space=space)) == 0


def test_voices_of_another_encoder_are_left_out(store: Store) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    assert len(galleries.get(MINE, profile.domain_id, space=plain_space("another", 2))) == 0


def test_what_was_searched_longest_ago_goes_first(store: Store) -> None:
    galleries = Galleries(store, voiceprints_max=2)
    one, two, three = (enrolled(store).domain_id for _ in range(3))
    first, second = voices(galleries, one), voices(galleries, two)
    assert voices(galleries, one) is first
    voices(galleries, three)  # too much: the second goes
    assert voices(galleries, one) is first
    assert voices(galleries, two) is not second


def test_a_deleted_domain_is_forgotten(store: Store) -> None:
    galleries = Galleries(store)
    domain_id = enrolled(store).domain_id
    voices(galleries, domain_id)
    store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    with pytest.raises(NotFound):
        voices(galleries, domain_id)
    assert not galleries._slots
