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
from earwitness.store.profiles import ProfileVoiceprintReader
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Store
from earwitness.tasks.galleries import LINES_MAX, Galleries
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


def test_it_is_loaded_once_and_again_when_the_domain_changed(store: Store) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    first = voices(galleries, profile.domain_id)
    assert len(first) == 1
    assert voices(galleries, profile.domain_id) is first
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    assert len(voices(galleries, profile.domain_id)) == 0
    assert len(first) == 1  # what was handed out does not change


def test_a_line_that_is_learnt_anew_loads_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    galleries = Galleries(store)
    domain_id = enrolled(store).domain_id
    probe = Embedding(vector=np.array([1.0, 0.0], np.float32), encoder_id="two-d-1", net_speech_seconds=10.0)
    before = voices(galleries, domain_id)
    loads: list[None] = []
    page = ProfileVoiceprintReader.gallery_page
    monkeypatch.setattr(
        ProfileVoiceprintReader, "gallery_page", lambda *given, **named: (loads.append(None), page(*given, **named))[1]
    )
    line = under(SPACE, 0.3, 0.1)
    learnt = galleries.get(MINE, domain_id, space=line)
    assert loads == []
    assert before.search(probe)[0].score == pytest.approx(0.6)  # of (0.6, 0.8)
    centred, raw = np.array([0.3, 0.7]), np.array([0.7, -0.1])
    expected = centred @ raw / np.linalg.norm(centred) / np.linalg.norm(raw)
    assert learnt.search(probe)[0].score == pytest.approx(expected, abs=1e-6)
    assert galleries.get(MINE, domain_id, space=line) is learnt
    assert voices(galleries, domain_id) is before


def test_a_deleted_voice_is_found_under_no_line(store: Store) -> None:
    galleries = Galleries(store)
    profile = enrolled(store)
    spaces = [SPACE, *(under(SPACE, 0.01 * number, 0.0) for number in range(1, LINES_MAX + 3))]
    for space in spaces:
        assert len(galleries.get(MINE, profile.domain_id, space=space)) == 1
    (slot,) = galleries._slots.values()
    assert len(slot.galleries) == LINES_MAX
    assert slot.size == 1
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
