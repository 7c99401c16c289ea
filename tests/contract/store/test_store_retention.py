"""Schedules of domains: what they allow, what they shorten, what is past its time, and that expiry is seen to run."""

from datetime import timedelta

import pytest
from search_examples import DAY, add_task, adopted, voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, add_profile

from earwitness.errors import BadRequest, NotFound
from earwitness.store.records import Scope, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.expire import expire, expire_and_note
from earwitness.voice.retention import RetentionSchedule

HOUR = timedelta(hours=1)


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def tell(store: Store, domain_id: str, **schedule: int | bool | str) -> None:
    told = RetentionSchedule(**schedule)  # pyright: ignore[reportArgumentType]  a test's own names
    store.write(lambda unit: unit.retention.put(MINE, domain_id, told, key_id="admin"))


def heard(store: Store, domain_id: str, *, audio: bytes | None = None, scope: Scope = MINE) -> SpeakerSearchTask:
    """A task that has made its voiceprint."""
    task = adopted(store, store.write(lambda unit: add_task(unit, domain_id, scope=scope)))
    return store.write(
        lambda unit: unit.attempts.conclude_voiceprint(
            scope, task.task_id, attempt=task.attempt, voiceprint=voiceprint(audio=audio)
        )
    )


def end(store: Store, task: SpeakerSearchTask) -> None:
    store.write(lambda unit: unit.attempts.end(task.scope, task.task_id, attempt=task.attempt))


def enrol(store: Store, domain_id: str, *, audio: bytes | None = None) -> str:
    def work(unit: Unit) -> str:
        profile = add_profile(unit, domain_id)
        unit.profiles.add_voiceprint(
            MINE,
            profile.profile_id,
            voiceprint_id="vp-1",
            voiceprint=voiceprint(audio=audio),
            expires_at=unit.now + timedelta(days=3 * 365),
        )
        return profile.profile_id

    return store.write(work)


def test_a_schedule_is_kept_and_another_replaces_it(store: Store, domain_id: str) -> None:
    assert store.retention.get(MINE, domain_id) is None
    tell(store, domain_id, voiceprint_hours=2, published_name="Phone banking")
    told = store.retention.get(MINE, domain_id)
    assert told is not None
    assert (told.schedule.voiceprint, told.key_id, told.schedule.published_name) == (2 * HOUR, "admin", "Phone banking")
    tell(store, domain_id, profile_days=30)
    assert store.retention.schedule(MINE, domain_id) == RetentionSchedule(profile_days=30)
    assert [one.domain_id for one in store.retention.list_everywhere()] == [domain_id]


def test_another_account_has_no_such_domain(store: Store, domain_id: str) -> None:
    for scope in OTHERS:
        with pytest.raises(NotFound):
            store.write(lambda unit, of=scope: unit.retention.put(of, domain_id, RetentionSchedule(), key_id="k"))


def test_a_schedule_goes_with_its_domain(store: Store, domain_id: str) -> None:
    tell(store, domain_id, profile_days=30)
    enrol(store, domain_id)
    assert store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    assert store.retention.list_everywhere() == ()


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ({"voiceprint_hours": 25}, "lookBack"),
        ({"voiceprint_hours": 169, "look_back": True}, "168"),
        ({"voiceprint_hours": 0}, "1 to 168"),
        ({"results_hours": 169}, "168"),
        ({"voiceprint_hours": 48, "look_back": True, "results_hours": 24}, "results"),
        ({"profile_days": 1_096}, "1095"),
        ({"audio_days": 31, "profile_days": 30}, "audioDays"),
        ({"last_contact_days": 0}, "1 to 1095"),
    ],
)
def test_nothing_is_kept_longer_than_promised(
    store: Store, domain_id: str, schedule: dict[str, int], word: str
) -> None:
    with pytest.raises(BadRequest, match=word):
        tell(store, domain_id, **schedule)
    assert store.retention.get(MINE, domain_id) is None


def test_voiceprints_of_calls_are_kept_as_long_as_the_schedule_says(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, voiceprint_hours=2)
    task = heard(store, domain_id)
    end(store, task)
    clock.advance(2 * HOUR - timedelta(minutes=1))
    assert expire(store, now=clock())["task voiceprints"] == 0
    clock.advance(timedelta(minutes=1))
    assert expire(store, now=clock())["task voiceprints"] == 1


def test_a_shorter_schedule_holds_for_what_is_kept_already(store: Store, domain_id: str, clock: Clock) -> None:
    over, running = heard(store, domain_id, audio=b"\0\0"), heard(store, store.write(add_domain).domain_id)
    end(store, over)
    profile_id = enrol(store, domain_id)
    clock.advance(3 * HOUR)
    tell(store, domain_id, voiceprint_hours=2, profile_days=1)
    assert expire(store, now=clock())["task voiceprints"] == 1
    assert store.task_voiceprints.get(MINE, over.task_id) is None
    assert store.task_voiceprints.get(MINE, running.task_id) is not None  # of another domain
    clock.advance(21 * HOUR)
    assert expire(store, now=clock())["profile voiceprints"] == 1
    assert store.profile_voiceprints.list(MINE, profile_id) == ()


def test_a_call_that_goes_on_keeps_its_voiceprint(store: Store, domain_id: str, clock: Clock) -> None:
    task = heard(store, domain_id)
    clock.advance(3 * HOUR)
    tell(store, domain_id, voiceprint_hours=2)
    kept = store.task_voiceprints.get(MINE, task.task_id)
    assert kept is not None
    assert timedelta(0) < kept.keep_until - clock.now <= 2 * HOUR


def test_a_longer_schedule_is_for_what_comes(store: Store, domain_id: str, clock: Clock) -> None:
    task = heard(store, domain_id)
    end(store, task)
    tell(store, domain_id, voiceprint_hours=72, look_back=True)
    clock.advance(DAY)
    assert expire(store, now=clock())["task voiceprints"] == 1
    later = heard(store, domain_id)
    end(store, later)
    clock.advance(2 * DAY)
    assert expire(store, now=clock())["task voiceprints"] == 0


def test_profiles_end_when_the_schedule_says(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, profile_days=30)
    profile_id = enrol(store, domain_id)
    profile = store.profiles.get(MINE, profile_id)
    assert profile is not None
    assert profile.expires_at - profile.updated_at == 30 * DAY
    clock.advance(30 * DAY)
    assert expire(store, now=clock())["profile voiceprints"] == 1


def test_speech_behind_voiceprints_ends_before_they_do(store: Store, domain_id: str, clock: Clock) -> None:
    profile_id = enrol(store, domain_id, audio=b"\1\0" * 100)
    tell(store, domain_id, audio_days=2)
    clock.advance(2 * DAY)
    assert store.retention.past_time(clock())["audio"] == 1
    assert expire(store, now=clock())["audio"] == 1
    assert store.profile_voiceprints.audio(MINE, profile_id, "vp-1") is None
    assert len(store.profile_voiceprints.list(MINE, profile_id)) == 1
    tell(store, domain_id, audio_days=0)
    again = enrol(store, domain_id, audio=b"\1\0")
    task = heard(store, domain_id, audio=b"\1\0")
    made = store.task_voiceprints.get(MINE, task.task_id)
    assert store.profile_voiceprints.audio(MINE, again, "vp-1") is None
    assert made is not None
    assert made.voiceprint.audio is None


def test_results_and_the_events_that_tell_them_go_together(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, results_hours=2)
    task = heard(store, domain_id)

    def write(unit: Unit) -> None:
        unit.events.append(
            MINE, event_id="e-1", pipeline_id=task.pipeline_id, kind="voice", body=b"{}", targets=["webhook"]
        )

    store.write(write)
    end(store, task)
    clock.advance(2 * HOUR)
    now = clock()
    assert store.retention.past_time(now)["results"] == 1
    assert expire(store, now=now)["tasks"] == 1
    assert store.tasks.get(MINE, task.task_id) is None
    assert store.events.get(MINE, "e-1") is None  # though nobody has taken it
    assert store.retention.past_time(now) == {}


def test_results_of_other_domains_stay(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, results_hours=2)
    other = heard(store, store.write(add_domain).domain_id)
    end(store, other)
    clock.advance(2 * DAY)
    assert expire(store, now=clock())["tasks"] == 0
    assert store.tasks.get(MINE, other.task_id) is not None


def test_a_profile_without_contact_is_deleted(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, last_contact_days=10)
    lost, found = enrol(store, domain_id), enrol(store, domain_id)
    clock.advance(6 * DAY)
    store.write(lambda unit: unit.retention.contacted(MINE, domain_id, found))
    clock.advance(4 * DAY)
    assert expire(store, now=clock())["profiles without contact"] == 1
    assert store.profiles.get(MINE, lost) is None
    clock.advance(5 * DAY)
    store.write(lambda unit: unit.retention.contacted(MINE, domain_id, found))
    clock.advance(9 * DAY)
    assert expire(store, now=clock())["profiles without contact"] == 0
    clock.advance(DAY)
    assert expire(store, now=clock())["profiles without contact"] == 1
    assert store.profiles.get(MINE, found) is None


def test_a_run_keeps_what_it_found_and_did(store: Store, domain_id: str, clock: Clock) -> None:
    tell(store, domain_id, voiceprint_hours=1)
    end(store, heard(store, domain_id))
    quiet = expire_and_note(store, now=clock())
    assert (quiet.due, quiet.deleted, quiet.overdue_count) == ({}, {}, 0)
    clock.advance(HOUR)
    run = expire_and_note(store, now=clock())
    assert run.due == {"voiceprint": 1}
    assert run.deleted == {"task voiceprints": 1}
    assert run.overdue == {}
    assert store.retention.runs(limit=10).items == (run, quiet)
    clock.advance(timedelta(days=31))
    last = expire_and_note(store, now=clock())
    assert store.retention.runs(limit=10).items == (last,)


def test_what_is_not_deleted_is_overdue(store: Store, domain_id: str, clock: Clock) -> None:
    task = heard(store, domain_id)
    end(store, task)
    clock.advance(2 * DAY)
    assert store.retention.past_time(clock()) == {"voiceprint": 1}
