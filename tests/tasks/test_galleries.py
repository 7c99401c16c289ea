"""Voices in memory: as the records have them now, no more of them than fit, none of a domain that was deleted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from search_examples import end, enrol, running_task, voiceprint
from store_examples import MINE, opened

from earwitness.engine.gallery import Gallery
from earwitness.errors import NotFound
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Store
from earwitness.tasks.galleries import Galleries
from spaces import plain_space

SPACE = plain_space("two-d-1", 2)


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
