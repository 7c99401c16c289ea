"""Galleries in memory over both databases: after any history what the records say; a deleted voice is found no more."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import numpy as np
import pytest
from search_examples import DAY, THREE_YEARS, voiceprint
from store_examples import MINE, START, Clock, add_domain, add_profile, guid

from earwitness.engine.gallery import Gallery
from earwitness.store.store import Store, Unit
from earwitness.tasks import galleries as galleries_module
from earwitness.tasks.galleries import Galleries
from earwitness.voice.embedding import Embedding
from spaces import plain_space

SPACE = plain_space("two-d-1", 2)
PROBE = Embedding(vector=np.array([1.0, 0.0], np.float32), encoder_id="two-d-1", net_speech_seconds=10.0)


def _content(gallery: Gallery) -> dict[tuple[str, str], bytes]:
    """The vector of every voiceprint of a gallery."""
    found = {}
    for block in gallery._rows._blocks:
        for owner, row in zip(block.owners, block.filled.T, strict=True):
            assert owner not in found
            found[tuple(owner)] = row.tobytes()
    assert len(found) == len(gallery)
    assert len({profile for profile, _ in found}) == gallery.profile_count
    return found


class _History:
    """Changes of one domain, at random, and what should have come of them."""

    def __init__(self, store: Store, domain_id: str, random: Random) -> None:
        self.store = store
        self.domain_id = domain_id
        self.random = random
        self.expected: dict[tuple[str, str], bytes] = {}
        self.expires_at = START + THREE_YEARS

    def profile(self) -> str | None:
        profiles = sorted({profile for profile, _ in self.expected})
        return self.random.choice(profiles) if profiles else None

    def enrol(self) -> None:
        profile = self.store.write(lambda unit: add_profile(unit, self.domain_id))
        self._add(profile.profile_id)

    def enrol_again(self) -> None:
        if (profile_id := self.profile()) is not None:
            self._add(profile_id)

    def _add(self, profile_id: str) -> None:
        angle = self.random.uniform(0.0, 6.0)
        made, voiceprint_id = voiceprint(np.cos(angle), np.sin(angle)), guid()

        def add(unit: Unit) -> None:
            unit.profiles.add_voiceprint(
                MINE, profile_id, voiceprint_id=voiceprint_id, voiceprint=made, expires_at=self.expires_at
            )

        self.store.write(add)
        self.expected[profile_id, voiceprint_id] = made.vector

    def delete(self) -> None:
        if (profile_id := self.profile()) is not None:
            self.store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
            self.expected = {key: vector for key, vector in self.expected.items() if key[0] != profile_id}

    def delete_one(self) -> None:
        if self.expected:
            profile_id, voiceprint_id = sorted(self.expected)[self.random.randrange(len(self.expected))]
            self.store.write(lambda unit: unit.profile_voiceprints.delete(MINE, profile_id, voiceprint_id))
            del self.expected[profile_id, voiceprint_id]

    def several_at_once(self) -> None:
        for _ in range(self.random.randrange(2, 12)):
            self.random.choice([self.enrol, self.enrol_again, self.delete, self.delete_one])()

    def expire(self) -> None:
        self.store.write(
            lambda unit: unit.profile_voiceprints.expire(expired_before=START + THREE_YEARS + DAY, limit=99)
        )
        self.expected.clear()

    def forget_notes(self) -> None:
        self.enrol()
        self.store.write(lambda unit: unit.domains.purge_changes(noted_before=unit.now))

    def step(self) -> None:
        often: list[Callable[[], None]] = [self.enrol, self.enrol_again, self.delete, self.delete_one]
        seldom = [self.several_at_once, self.expire, self.forget_notes]
        self.random.choice([*often * 6, *seldom])()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_a_gallery_is_what_the_records_say(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries_module, "_PAGE", 5)
    domain = store.write(add_domain)
    history = _History(store, domain.domain_id, Random(seed))
    for _ in range(12):
        history.enrol()
    galleries, handed_out = Galleries(store), []
    for _ in range(40):
        history.step()
        gallery = galleries.get(MINE, domain.domain_id, space=SPACE)
        assert _content(gallery) == history.expected
        handed_out.append((gallery, dict(history.expected)))
    for gallery, expected in handed_out:
        assert _content(gallery) == expected
    assert _content(Galleries(store).get(MINE, domain.domain_id, space=SPACE)) == history.expected


def test_a_voice_is_not_found_once_its_deletion_has_returned(store: Store, clock: Clock) -> None:
    domain = store.write(add_domain)
    galleries = Galleries(store)
    together = threading.Barrier(4)

    def found() -> set[str]:
        gallery = galleries.get(MINE, domain.domain_id, space=SPACE)
        return {hit.profile_id for hit in gallery.search(PROBE, count=99)}

    def enrol_and_delete(number: int) -> None:
        history = _History(store, domain.domain_id, Random(number))
        together.wait()
        for _ in range(6):
            history.enrol()
            (profile_id,) = {profile for profile, _ in history.expected}
            assert profile_id in found()
            history.delete()
            assert profile_id not in found()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(enrol_and_delete, range(4))) == [None] * 4
    clock.advance(timedelta(seconds=1))
    assert found() == set()
