"""What a domain learns of its lines: no voice outlives its day, its profile or its domain, and no version is lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from search_examples import DAY, THREE_YEARS, add_task, adopted, end, enrol, vector, voiceprint, with_voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, add_profile, guid

from earwitness.errors import NotFound
from earwitness.store.records import LineMonitor, LineVersion, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.voice.line import Codec, LineChange, LineHealth, LineLearning

ENCODER = "two-d-1"
HOUR = timedelta(hours=1)


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def _vote(
    unit: Unit,
    domain_id: str,
    x: float = 0.6,
    *,
    codec: Codec = Codec.PCM,
    profile_id: str | None = None,
    task_id: str | None = None,
    after: datetime | None = None,
) -> None:
    unit.lines.lock(MINE, domain_id)
    unit.lines.vote(
        MINE,
        domain_id,
        codec,
        encoder_id=ENCODER,
        vector=vector(x),
        net_speech_seconds=10.0,
        profile_id=profile_id,
        task_id=task_id,
        after=after,
    )


def _learn(store: Store, domain_id: str, x: float = 0.1, *, codec: Codec = Codec.PCM) -> LineVersion:
    def learn(unit: Unit) -> LineVersion:
        unit.lines.lock(MINE, domain_id)
        return unit.lines.learn(MINE, domain_id, codec, encoder_id=ENCODER, mean=vector(x), voices=10)

    return store.write(learn)


def _votes(store: Store, domain_id: str, codec: Codec = Codec.PCM) -> list[bytes]:
    return [one.vector for one in store.lines.votes(MINE, domain_id, codec)]


def _purge(store: Store, clock: Clock) -> int:
    return store.write(lambda unit: unit.lines.purge_votes(cast_before=clock.now - DAY, limit=100))


def test_votes_are_kept_as_they_were_cast(store: Store, domain_id: str) -> None:
    for x in (0.1, 0.2):
        store.write(lambda unit, x=x: _vote(unit, domain_id, x))
    store.write(lambda unit: _vote(unit, domain_id, 0.3, codec=Codec.MULAW))
    first, second = store.lines.votes(MINE, domain_id, Codec.PCM)
    assert (first.number, first.encoder_id, first.vector) == (1, ENCODER, vector(0.1))
    assert (second.number, second.vector) == (2, vector(0.2))
    assert second.created_at > first.created_at
    assert _votes(store, domain_id, Codec.MULAW) == [vector(0.3)]
    assert store.lines.vote_counts(MINE, domain_id) == {Codec.PCM: 2, Codec.MULAW: 1}
    assert _votes(store, domain_id, Codec.ALAW) == []
    store.write(lambda unit: unit.lines.forget_votes(MINE, domain_id, Codec.PCM))
    assert store.lines.vote_counts(MINE, domain_id) == {Codec.MULAW: 1}


def test_a_vote_that_waited_for_a_version_counts_after_it(store: Store, domain_id: str) -> None:
    """The unit began before the one that learnt, and got the domain after it."""

    def late(unit: Unit) -> None:
        _vote(unit, domain_id, 0.1, after=unit.now + timedelta(seconds=3))
        _vote(unit, domain_id, 0.2, after=unit.now - timedelta(seconds=3))
        began.append(unit.now)

    began: list[datetime] = []
    store.write(late)
    dates = [vote.created_at for vote in store.lines.votes(MINE, domain_id, Codec.PCM)]
    assert dates[0] > began[-1] + timedelta(seconds=3)
    assert dates[1] == began[-1]


def test_a_unit_that_fails_casts_no_vote(store: Store, domain_id: str) -> None:
    def work(unit: Unit) -> None:
        _vote(unit, domain_id)
        raise NotFound("as if killed")

    with pytest.raises(NotFound, match="killed"):
        store.write(work)
    assert _votes(store, domain_id) == []


def test_votes_of_many_at_once_see_each_other(store: Store, domain_id: str) -> None:
    together = threading.Barrier(8)

    def vote(number: int) -> None:
        def work(unit: Unit) -> None:
            unit.lines.lock(MINE, domain_id)
            if len(unit.lines.votes(MINE, domain_id, Codec.PCM)) < 5:
                _vote(unit, domain_id, number / 10)

        together.wait()
        store.write(work)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(vote, range(8)))
    assert [one.number for one in store.lines.votes(MINE, domain_id, Codec.PCM)] == [1, 2, 3, 4, 5]


def test_nobody_votes_where_there_is_no_domain(store: Store, domain_id: str) -> None:
    for scope in OTHERS:
        with pytest.raises(NotFound):
            store.write(lambda unit, scope=scope: unit.lines.lock(scope, domain_id))
    store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    with pytest.raises(NotFound):
        store.write(lambda unit: _vote(unit, domain_id))


def test_versions_count_up_and_the_latest_holds(store: Store, domain_id: str) -> None:
    assert store.lines.current(MINE, domain_id, Codec.PCM) is None
    first, second = _learn(store, domain_id, 0.1), _learn(store, domain_id, 0.2)
    other = _learn(store, domain_id, 0.3, codec=Codec.GSM)
    assert [one.number for one in (first, second, other)] == [1, 2, 1]
    assert (second.why, second.voices, second.mean, second.key_id) == (LineChange.LEARNT, 10, vector(0.2), None)
    assert store.lines.current(MINE, domain_id, Codec.PCM) == second
    assert store.lines.versions(MINE, domain_id) == (other, second, first)
    for scope in OTHERS:
        assert store.lines.versions(scope, domain_id) == ()
        assert store.lines.current(scope, domain_id, Codec.PCM) is None


def test_a_reset_forgets_votes_and_the_mean_and_a_revert_finds_it_again(store: Store, domain_id: str) -> None:
    learnt = _learn(store, domain_id)
    store.write(lambda unit: _vote(unit, domain_id))
    store.write(lambda unit: unit.lines.watch(MINE, domain_id, _monitor(unit, searches=3)))
    reset = store.write(lambda unit: unit.lines.reset(MINE, domain_id, Codec.PCM, key_id="key-1"))
    assert (reset.number, reset.why, reset.voices, reset.mean) == (2, LineChange.RESET, 0, None)
    assert reset.key_id == "key-1"
    assert _votes(store, domain_id) == []
    assert store.lines.monitors(MINE, domain_id) == ()
    assert store.lines.current(MINE, domain_id, Codec.PCM) == reset

    def revert(number: int) -> LineVersion | None:
        return store.write(lambda unit: unit.lines.revert(MINE, domain_id, Codec.PCM, number, key_id="key-2"))

    store.write(lambda unit: _vote(unit, domain_id))
    back = revert(1)
    assert back is not None
    assert (back.number, back.why, back.voices, back.mean) == (3, LineChange.REVERTED, 10, learnt.mean)
    assert (back.reverted_to, back.key_id, back.encoder_id) == (1, "key-2", ENCODER)
    assert _votes(store, domain_id) == []
    assert store.lines.current(MINE, domain_id, Codec.PCM) == back
    assert revert(9) is None


def test_a_domain_is_told_whether_to_learn(store: Store, domain_id: str) -> None:
    assert store.lines.learning(MINE, domain_id) is None
    learnt = _learn(store, domain_id)
    for codec in (Codec.PCM, Codec.GSM):
        store.write(lambda unit, codec=codec: _vote(unit, domain_id, codec=codec))
    store.write(lambda unit: unit.lines.switch(MINE, domain_id, LineLearning.OFF))
    assert store.lines.learning(MINE, domain_id) is LineLearning.OFF
    assert store.lines.vote_counts(MINE, domain_id) == {}
    assert store.lines.current(MINE, domain_id, Codec.PCM) == learnt
    store.write(lambda unit: unit.lines.switch(MINE, domain_id, LineLearning.ON))
    assert store.lines.learning(MINE, domain_id) is LineLearning.ON
    assert all(store.lines.learning(scope, domain_id) is None for scope in OTHERS)


def _monitor(unit: Unit, *, searches: int, mean: float = 0.02) -> LineMonitor:
    return LineMonitor(
        codec=Codec.PCM,
        searches=searches,
        voiceprints_mean=mean,
        voiceprints_spread=0.11,
        callers_mean=None,
        health=LineHealth.WELL,
        updated_at=unit.now,
    )


def test_a_monitor_is_kept_in_place_of_the_one_before(store: Store, domain_id: str) -> None:
    assert store.lines.monitor(MINE, domain_id, Codec.PCM) is None
    for searches in (1, 2):
        store.write(lambda unit, n=searches: unit.lines.watch(MINE, domain_id, _monitor(unit, searches=n)))
    found = store.lines.monitor(MINE, domain_id, Codec.PCM)
    assert found is not None
    assert (found.searches, found.voiceprints_mean, found.voiceprints_spread) == (2, 0.02, 0.11)
    assert (found.callers_mean, found.health) == (None, LineHealth.WELL)
    assert store.lines.monitors(MINE, domain_id) == (found,)
    assert store.lines.monitor(MINE, domain_id, Codec.GSM) is None


def test_voiceprints_are_counted_by_what_made_them(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))
    assert store.lines.encoders(MINE, profile.domain_id) == {"two-d-1": 1}
    assert store.lines.encoders(MINE, "vpd-none") == {}


# No voice outlives its profile.


def _task_in(store: Store, domain_id: str) -> SpeakerSearchTask:
    task = adopted(store, store.write(lambda unit: add_task(unit, domain_id, channel_id=1)))
    store.write(lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=voiceprint()))
    return end(store, task)


def _by_match(store: Store, domain_id: str) -> str:
    profile_id = store.write(lambda unit: add_profile(unit, domain_id)).profile_id
    store.write(lambda unit: _vote(unit, domain_id, profile_id=profile_id))
    return profile_id


def _by_creation(store: Store, domain_id: str) -> str:
    task = _task_in(store, domain_id)
    store.write(lambda unit: _vote(unit, domain_id, task_id=task.task_id))
    return enrol(store, task).profile_id


def _by_update(store: Store, domain_id: str) -> str:
    profile = enrol(store, _task_in(store, domain_id))
    task = _task_in(store, domain_id)
    store.write(lambda unit: _vote(unit, domain_id, task_id=task.task_id))
    store.write(
        lambda unit: unit.profiles.update_from_task(
            MINE, profile.profile_id, task_id=task.task_id, voiceprint_id=guid(), expires_at=unit.now + THREE_YEARS
        )
    )
    return profile.profile_id


@pytest.mark.parametrize("led", [_by_match, _by_creation, _by_update])
def test_a_deleted_profile_takes_the_votes_of_its_voice(
    store: Store, domain_id: str, led: Callable[[Store, str], str]
) -> None:
    store.write(lambda unit: _vote(unit, domain_id, 0.9))  # somebody else's
    profile_id = led(store, domain_id)
    assert len(_votes(store, domain_id)) == 2
    store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
    assert _votes(store, domain_id) == [vector(0.9)]


def test_an_expired_profile_takes_the_votes_of_its_voice(store: Store, domain_id: str, clock: Clock) -> None:
    profile = enrol(store, _task_in(store, domain_id))
    clock.advance(THREE_YEARS - HOUR)
    for profile_id in (profile.profile_id, None):
        store.write(lambda unit, profile_id=profile_id: _vote(unit, domain_id, profile_id=profile_id))
    clock.advance(HOUR)
    assert store.write(lambda unit: unit.profile_voiceprints.expire(expired_before=unit.now, limit=9)) == 1
    assert len(_votes(store, domain_id)) == 1


def test_a_profile_that_was_deleted_while_it_was_searched_for_casts_no_vote(store: Store, domain_id: str) -> None:
    profile_id = store.write(lambda unit: add_profile(unit, domain_id)).profile_id
    store.write(lambda unit: unit.profiles.delete(MINE, profile_id))
    store.write(lambda unit: _vote(unit, domain_id, profile_id=profile_id))
    assert _votes(store, domain_id) == []


def test_a_deletion_beside_a_vote_leaves_neither_profile_nor_vote(store: Store, domain_id: str) -> None:
    for _ in range(5):
        profile_id = store.write(lambda unit: add_profile(unit, domain_id)).profile_id
        together = threading.Barrier(2)

        def vote(profile_id: str = profile_id, together: threading.Barrier = together) -> None:
            together.wait()
            store.write(lambda unit: _vote(unit, domain_id, profile_id=profile_id))

        def delete(profile_id: str = profile_id, together: threading.Barrier = together) -> None:
            together.wait()
            store.write(lambda unit: unit.profiles.delete(MINE, profile_id))

        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(vote), threads.submit(delete)]:
                done.result()
    assert _votes(store, domain_id) == []


def test_a_deleted_domain_takes_its_lines(store: Store, domain_id: str) -> None:
    kept = store.write(add_domain).domain_id
    for one in (domain_id, kept):
        _learn(store, one)
        store.write(lambda unit, one=one: _vote(unit, one))
        store.write(lambda unit, one=one: unit.lines.watch(MINE, one, _monitor(unit, searches=1)))
        store.write(lambda unit, one=one: unit.lines.switch(MINE, one, LineLearning.ON))
    store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    again = store.write(lambda unit: add_domain(unit, domain_id=domain_id)).domain_id
    assert store.lines.versions(MINE, again) == ()
    assert store.lines.vote_counts(MINE, again) == {}
    assert store.lines.monitors(MINE, again) == ()
    assert store.lines.learning(MINE, again) is None
    assert len(_votes(store, kept)) == 1


# No vote outlives its day.


def test_votes_go_after_a_day(store: Store, domain_id: str, clock: Clock) -> None:
    for x in (0.1, 0.2):
        store.write(lambda unit, x=x: _vote(unit, domain_id, x))
        clock.advance(HOUR)
    learnt = _learn(store, domain_id)
    clock.advance(DAY - 2 * HOUR - timedelta(minutes=1))
    assert _purge(store, clock) == 0
    clock.advance(timedelta(minutes=2))
    assert _purge(store, clock) == 1
    assert _votes(store, domain_id) == [vector(0.2)]
    clock.advance(HOUR)
    assert _purge(store, clock) == 1
    assert _purge(store, clock) == 0
    assert store.lines.current(MINE, domain_id, Codec.PCM) == learnt


def test_so_many_votes_go_at_once(store: Store, domain_id: str, clock: Clock) -> None:
    for x in (0.1, 0.2, 0.3):
        store.write(lambda unit, x=x: _vote(unit, domain_id, x))
    clock.advance(DAY)
    purge = [store.write(lambda unit: unit.lines.purge_votes(cast_before=clock.now, limit=2)) for _ in range(3)]
    assert purge == [2, 1, 0]
