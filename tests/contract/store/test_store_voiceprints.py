"""Voiceprints: a task's for a day, a profile's for three years, none beyond its domain, its time or its deletion."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from search_examples import DAY, THREE_YEARS, end, enrol, new_task, running_task, vector, voiceprint, with_voiceprint
from store_examples import MINE, OTHERS, START, Clock, add_domain, add_profile, guid

from earwitness.errors import AlreadyExists, BadRequest, Conflict, Gone, LimitExceeded, NotFound
from earwitness.store.records import SpeakerSearchTask, VoiceProfile
from earwitness.store.store import Store, Unit

AUDIO = bytes(range(256)) * 40


def _version(store: Store, domain_id: str) -> int:
    domain = store.domains.get(MINE, domain_id)
    assert domain is not None
    return domain.version


def _gallery(store: Store, domain_id: str) -> list[tuple[str, bytes]]:
    found = store.profile_voiceprints.gallery_page(MINE, domain_id, limit=100)
    assert found is not None
    assert found.domain_version == _version(store, domain_id)
    return [(entry.profile_id, entry.vector) for entry in found.page.items]


def _update(store: Store, profile_id: str, task: SpeakerSearchTask, **changes) -> VoiceProfile | None:
    return store.write(
        lambda unit: unit.profiles.update_from_task(
            MINE,
            profile_id,
            task_id=task.task_id,
            voiceprint_id=guid(),
            **{"expires_at": unit.now + THREE_YEARS, **changes},
        )
    )


def _purge(unit: Unit) -> int:
    return unit.task_voiceprints.purge(kept_until=unit.now, limit=100)


def _expire(unit: Unit) -> int:
    return unit.profile_voiceprints.expire(expired_before=unit.now, limit=100)


def test_a_tasks_voiceprint_is_kept_as_it_was_made(store: Store) -> None:
    task = with_voiceprint(store, audio=AUDIO)
    found = store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    assert found.voiceprint == voiceprint(audio=AUDIO)
    assert found.domain_id == task.domain_id
    assert found.keep_until == found.created_at + DAY
    assert store.task_voiceprints.get(MINE, new_task(store).task_id) is None


def test_a_voiceprint_is_kept_a_day_from_the_end_of_its_task_then_deleted(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    clock.advance(timedelta(hours=8))
    ended = end(store, task)
    found = store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    assert ended.ended_at is not None
    assert found.keep_until == ended.ended_at + DAY
    clock.advance(DAY - timedelta(minutes=1))
    assert store.write(_purge) == 0
    clock.advance(timedelta(minutes=1))
    assert store.write(_purge) == 1
    assert store.task_voiceprints.get(MINE, task.task_id) is None
    assert store.tasks.get(MINE, task.task_id) == ended


def test_a_profile_is_created_from_a_tasks_voiceprint(store: Store) -> None:
    task = with_voiceprint(store, audio=AUDIO)
    before = _version(store, task.domain_id)
    profile = enrol(store, task, consent="consent form 7 of 2026")
    assert profile.domain_id == task.domain_id
    assert store.profiles.get(MINE, profile.profile_id) == profile
    assert _version(store, task.domain_id) > before
    assert _gallery(store, task.domain_id) == [(profile.profile_id, vector())]
    (print_,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    assert (print_.encoder_id, print_.net_speech_seconds, print_.quality) == ("two-d-1", 20.25, {"snrDb": 21.5})
    assert (print_.source_task_id, print_.consent_reference) == (task.task_id, "consent form 7 of 2026")
    assert (print_.has_audio, print_.expires_at) == (True, profile.expires_at)
    assert store.profile_voiceprints.audio(MINE, profile.profile_id, print_.voiceprint_id) == AUDIO
    assert store.profile_voiceprints.audio(MINE, profile.profile_id, guid()) is None
    seen = store.tasks.get(MINE, task.task_id)
    assert seen is not None
    assert seen.profile_id == profile.profile_id


def _ended_without_one(store: Store) -> SpeakerSearchTask:
    return end(store, running_task(store))


def _failed_to_make_one(store: Store) -> SpeakerSearchTask:
    task = running_task(store)
    return store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=None))


def _purged(store: Store) -> SpeakerSearchTask:
    task = with_voiceprint(store)
    store.write(lambda unit: unit.task_voiceprints.purge(kept_until=unit.now + DAY, limit=9))
    return task


def _without_domain(store: Store) -> SpeakerSearchTask:
    task = with_voiceprint(store)
    store.write(lambda unit: unit.domains.delete(MINE, task.domain_id))
    return task


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (new_task, Conflict),
        (running_task, Conflict),
        (_ended_without_one, NotFound),
        (_failed_to_make_one, NotFound),
        (_purged, Gone),
        (_without_domain, NotFound),
    ],
)
def test_a_task_without_a_voiceprint_says_why(store: Store, made, error: type[Exception]) -> None:
    task = made(store)
    with pytest.raises(error) as caught:
        enrol(store, task)
    assert type(caught.value) is error
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    with pytest.raises((error, BadRequest)):
        _update(store, profile.profile_id, task)


def test_a_voiceprint_past_its_time_is_gone_before_it_is_purged(store: Store, clock: Clock) -> None:
    task = end(store, with_voiceprint(store))
    clock.advance(DAY)
    with pytest.raises(Gone):
        enrol(store, task)


def test_no_profile_without_a_task(store: Store) -> None:
    task = new_task(store)
    for scope in OTHERS:
        with pytest.raises(NotFound, match="task"):
            store.write(
                lambda unit, scope=scope: unit.profiles.create_from_task(
                    scope,
                    task_id=task.task_id,
                    profile_id="vp-1",
                    arn="arn:x",
                    voiceprint_id="1",
                    expires_at=START,
                )
            )


def test_the_first_profile_of_a_task_wins(store: Store) -> None:
    task = with_voiceprint(store)
    together = threading.Barrier(6)

    def create(_: int) -> bool:
        together.wait()
        try:
            enrol(store, task)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(create, range(6))) == 1
    assert store.profiles.count(MINE, task.domain_id) == 1
    assert len(_gallery(store, task.domain_id)) == 1


def _task_in(store: Store, domain_id: str, x: float, y: float) -> SpeakerSearchTask:
    """A task in this domain that has made this voiceprint, and is over."""
    from search_examples import add_task, adopted

    task = adopted(store, store.write(lambda unit: add_task(unit, domain_id, channel_id=1)))
    store.write(
        lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=voiceprint(x, y))
    )
    return end(store, task)


def test_an_update_replaces_the_voiceprint_and_refreshes_the_expiry(store: Store, clock: Clock) -> None:
    profile = enrol(store, with_voiceprint(store, audio=AUDIO))
    clock.advance(timedelta(days=100))
    task = _task_in(store, profile.domain_id, 0.0, 1.0)
    before = _version(store, profile.domain_id)
    updated = _update(store, profile.profile_id, task)
    assert updated is not None
    assert updated.expires_at == updated.updated_at + THREE_YEARS
    assert updated.created_at == profile.created_at
    assert store.profiles.get(MINE, profile.profile_id) == updated
    assert _version(store, profile.domain_id) > before
    assert _gallery(store, profile.domain_id) == [(profile.profile_id, vector(0.0, 1.0))]
    (print_,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    assert (print_.has_audio, print_.expires_at) == (False, updated.expires_at)
    assert _update(store, profile.profile_id, task) is not None
    assert _update(store, "vp-none", task) is None


def test_an_update_from_another_domain_is_a_bad_request(store: Store) -> None:
    profile, other = enrol(store, with_voiceprint(store)), end(store, with_voiceprint(store))
    before = _version(store, other.domain_id)
    with pytest.raises(BadRequest, match="domain"):
        _update(store, profile.profile_id, other)
    assert _version(store, other.domain_id) == before


def test_an_expired_profile_is_emptied_and_can_be_refilled(store: Store, clock: Clock) -> None:
    profile = enrol(store, with_voiceprint(store, audio=AUDIO))
    clock.advance(THREE_YEARS - timedelta(hours=1))
    assert store.write(_expire) == 0
    clock.advance(timedelta(hours=1))
    before = _version(store, profile.domain_id)
    assert store.write(_expire) == 1
    assert _version(store, profile.domain_id) > before
    assert _gallery(store, profile.domain_id) == []
    assert store.profile_voiceprints.list(MINE, profile.profile_id) == ()
    assert store.profiles.get(MINE, profile.profile_id) == profile
    assert store.write(_expire) == 0
    _update(store, profile.profile_id, _task_in(store, profile.domain_id, 1.0, 0.0))
    assert _gallery(store, profile.domain_id) == [(profile.profile_id, vector(1.0, 0.0))]


def test_several_voiceprints_of_a_profile_are_kept_apart(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))

    def add(voiceprint_id: str, profile_id: str = profile.profile_id, consent: str | None = None):
        return store.write(
            lambda unit: unit.profiles.add_voiceprint(
                MINE,
                profile_id,
                voiceprint_id=voiceprint_id,
                voiceprint=voiceprint(1.0, 0.0),
                expires_at=unit.now + THREE_YEARS,
                consent_reference=consent,
            )
        )

    second = guid()
    added = add(second)
    assert added is not None
    assert {vector for _, vector in _gallery(store, profile.domain_id)} == {vector(), vector(1.0, 0.0)}
    first, last = store.profile_voiceprints.list(MINE, profile.profile_id)
    assert (last.voiceprint_id, last.source_task_id) == (second, None)
    assert first.expires_at == last.expires_at == added.expires_at > profile.expires_at
    with pytest.raises(AlreadyExists):
        add(second)
    with pytest.raises(BadRequest, match="256"):
        add(guid(), consent="c" * 257)
    assert add(guid(), profile_id="vp-none") is None
    before = _version(store, profile.domain_id)
    assert store.write(lambda unit: unit.profile_voiceprints.delete(MINE, profile.profile_id, second)) is True
    assert store.write(lambda unit: unit.profile_voiceprints.delete(MINE, profile.profile_id, second)) is False
    assert store.write(lambda unit: unit.profile_voiceprints.delete(MINE, "vp-none", second)) is False
    assert _version(store, profile.domain_id) > before
    assert _gallery(store, profile.domain_id) == [(profile.profile_id, vector())]


def test_which_profiles_have_a_voiceprint(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))
    empty = store.write(lambda unit: add_profile(unit, profile.domain_id))
    asked = {profile.profile_id, empty.profile_id, "vp-none"}
    assert store.profile_voiceprints.enrolled(MINE, asked) == {profile.profile_id}
    assert store.profile_voiceprints.enrolled(MINE, set()) == set()
    for scope in OTHERS:
        assert store.profile_voiceprints.enrolled(scope, asked) == set()


def test_a_deleted_profile_leaves_no_voiceprint_not_even_in_its_task(store: Store) -> None:
    task = with_voiceprint(store, audio=AUDIO)
    profile = enrol(store, task)
    later = _task_in(store, task.domain_id, 0.0, 1.0)
    _update(store, profile.profile_id, later)
    assert store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id)) is True
    assert _gallery(store, task.domain_id) == []
    for made_of in (task, later):
        assert store.task_voiceprints.get(MINE, made_of.task_id) is None
        seen = store.tasks.get(MINE, made_of.task_id)
        assert seen is not None
        assert seen.profile_id is None
        with pytest.raises(Gone):
            enrol(store, made_of)


def test_a_domain_has_room_for_so_many_profiles(store: Store) -> None:
    task = with_voiceprint(store)
    store.write(lambda unit: add_profile(unit, task.domain_id))
    with pytest.raises(LimitExceeded):
        store.write(
            lambda unit: unit.profiles.create_from_task(
                MINE,
                task_id=task.task_id,
                profile_id="vp-2",
                arn="arn:2",
                voiceprint_id="1",
                expires_at=unit.now + THREE_YEARS,
                limit=1,
            )
        )
    seen = store.tasks.get(MINE, task.task_id)
    assert seen is not None
    assert seen.profile_id is None
    enrol(store, task)


def test_a_gallery_is_paged_with_the_version_it_is_not_newer_than(store: Store) -> None:
    domain = store.write(add_domain)
    assert _gallery(store, domain.domain_id) == []
    assert store.profile_voiceprints.gallery_page(MINE, "vpd-none", limit=9) is None

    def add_many(unit: Unit) -> None:
        for number in range(25):
            profile = add_profile(unit, domain.domain_id)
            unit.profiles.add_voiceprint(
                MINE,
                profile.profile_id,
                voiceprint_id="1",
                voiceprint=voiceprint(number, 0.0),
                expires_at=START + THREE_YEARS,
            )

    store.write(add_many)
    found: list[bytes] = []
    versions: list[int] = []
    after = None
    while True:
        page = store.profile_voiceprints.gallery_page(MINE, domain.domain_id, after=after, limit=10)
        assert page is not None
        found += [entry.vector for entry in page.page.items]
        versions.append(page.domain_version)
        after = page.page.next_key
        if after is None:
            break
        store.write(lambda unit: _add_voice(unit, domain.domain_id, -1.0, 0.0))
    assert set(found) >= {vector(number, 0.0) for number in range(25)}
    assert versions[0] < _version(store, domain.domain_id)


def _add_voice(unit: Unit, domain_id: str, x: float, y: float) -> VoiceProfile:
    """A profile with one voiceprint."""
    profile = add_profile(unit, domain_id)
    unit.profiles.add_voiceprint(
        MINE,
        profile.profile_id,
        voiceprint_id="1",
        voiceprint=voiceprint(x, y),
        expires_at=START + THREE_YEARS,
    )
    return profile


def test_a_gallery_is_told_what_changed_since_a_version(store: Store, clock: Clock) -> None:
    domain = store.write(add_domain)
    other = store.write(add_domain)

    def changes(since: int, limit: int = 9) -> tuple[int, set[str], list[tuple[str, bytes]]] | None:
        found = store.profile_voiceprints.gallery_changes(MINE, domain.domain_id, since=since, limit=limit)
        if found is None:
            return None
        return found.version, set(found.profile_ids), [(entry.profile_id, entry.vector) for entry in found.entries]

    begin = _version(store, domain.domain_id)
    assert changes(begin) is None  # nothing came after it
    one, two = (store.write(lambda unit, x=x: _add_voice(unit, domain.domain_id, x, 0.0)).profile_id for x in (1, 2))
    store.write(lambda unit: _add_voice(unit, other.domain_id, 3.0, 0.0))
    now = _version(store, domain.domain_id)
    both = [(one, vector(1.0, 0.0)), (two, vector(2.0, 0.0))]
    assert now == begin + 2
    assert changes(begin) == (now, {one, two}, both)
    assert changes(begin, limit=1) == (begin + 1, {one}, both[:1])
    assert changes(begin + 1) == (now, {two}, both[1:])
    assert changes(begin - 1) is None  # what came next is not noted
    store.write(lambda unit: unit.profiles.delete(MINE, one))
    store.write(lambda unit: unit.profile_voiceprints.delete(MINE, two, "1"))
    assert changes(now) == (now + 2, {one, two}, [])
    assert changes(begin) == (now + 2, {one, two}, [])
    clock.advance(DAY)
    third = store.write(lambda unit: _add_voice(unit, domain.domain_id, 4.0, 0.0)).profile_id
    assert store.write(lambda unit: unit.domains.purge_changes(noted_before=unit.now - DAY)) == 5
    assert changes(now) is None
    assert changes(now + 2) == (now + 3, {third}, [(third, vector(4.0, 0.0))])
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert changes(now + 2) is None


def test_what_changes_no_voiceprint_moves_no_version(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))
    before = _version(store, profile.domain_id)
    assert store.write(lambda unit: unit.profile_voiceprints.delete(MINE, profile.profile_id, guid())) is False
    empty = store.write(lambda unit: add_profile(unit, profile.domain_id))
    store.write(lambda unit: unit.profiles.delete(MINE, empty.profile_id))
    store.write(_expire)
    assert _version(store, profile.domain_id) == before


def test_a_voiceprint_is_taken_back_with_what_its_call_has_of_it(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    profile = enrol(store, task)
    (first,) = store.profile_voiceprints.list(MINE, profile.profile_id)
    for number in range(3):
        clock.advance(timedelta(minutes=1))
        _add(store, profile.profile_id, f"later-{number}")
    before = _version(store, profile.domain_id)

    def take_back(voiceprint_id: str, *, with_later: bool) -> VoiceProfile | None:
        return store.write(
            lambda unit: unit.profiles.remove_voiceprint(MINE, profile.profile_id, voiceprint_id, with_later=with_later)
        )

    with pytest.raises(Conflict, match="delete the profile"):
        take_back(first.voiceprint_id, with_later=True)
    assert _version(store, profile.domain_id) == before
    changed = take_back("later-1", with_later=True)
    assert changed is not None
    assert [one.voiceprint_id for one in store.profile_voiceprints.list(MINE, profile.profile_id)] == [
        first.voiceprint_id,
        "later-0",
    ]
    # Galleries in memory are told whose voiceprints to read again.
    noted = store.profile_voiceprints.gallery_changes(MINE, profile.domain_id, since=before, limit=10)
    assert noted is not None
    assert noted.profile_ids == {profile.profile_id}
    assert len(noted.entries) == 2
    assert store.task_voiceprints.get(MINE, task.task_id) is not None
    take_back(first.voiceprint_id, with_later=False)
    assert store.task_voiceprints.get(MINE, task.task_id) is None
    kept = store.tasks.get(MINE, task.task_id)
    assert kept is not None
    assert kept.profile_id is None
    with pytest.raises(NotFound):
        take_back("later-2", with_later=False)
    assert len(_gallery(store, profile.domain_id)) == 1


def test_of_two_who_take_the_last_two_voiceprints_back_at_once_one_is_refused(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))
    _add(store, profile.profile_id, "second")
    ids = [one.voiceprint_id for one in store.profile_voiceprints.list(MINE, profile.profile_id)]

    def take_back(voiceprint_id: str) -> str:
        try:
            store.write(
                lambda unit: unit.profiles.remove_voiceprint(MINE, profile.profile_id, voiceprint_id, with_later=False)
            )
        except Conflict:
            return "refused"
        return "removed"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take_back, ids)) == ["refused", "removed"]
    assert len(store.profile_voiceprints.list(MINE, profile.profile_id)) == 1


def _add(store: Store, profile_id: str, voiceprint_id: str) -> None:
    store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE,
            profile_id,
            voiceprint_id=voiceprint_id,
            voiceprint=voiceprint(),
            expires_at=unit.now + THREE_YEARS,
        )
    )
