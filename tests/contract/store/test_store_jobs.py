"""Jobs: claimed by one, ended once, gone with their domain."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import make_url, select, update
from store_examples import MINE, OTHERS, Clock, add_domain, guid

from earwitness.errors import AttemptSuperseded, BadRequest, Conflict, LimitExceeded, NotFound
from earwitness.store.job_records import ClaimedItem, ItemInput, Job
from earwitness.store.job_schema import job_items, job_recordings
from earwitness.store.jobs import turn_of
from earwitness.store.records import Scope
from earwitness.store.schema import metadata
from earwitness.store.store import Store
from earwitness.tasks.expire import expire
from earwitness.voice.job import ItemState, JobKind, JobState

RECORDING = b"a recording of somebody who speaks" * 20
NAME, CONSENT, PROFILE = "J. Doe at the doctor's.wav", "form of J. Doe", "vp-of-J-Doe"


def make(store: Store, *, items: int = 1, scope: Scope = MINE, job_id: str = "", domain_id: str = "") -> Job:
    domain_id = domain_id or store.write(lambda unit: add_domain(unit, scope)).domain_id
    job_id = job_id or f"job-{guid()}"
    return store.write(
        lambda unit: unit.jobs.create(
            scope,
            job_id=job_id,
            kind=JobKind.SEARCH,
            domain_id=domain_id,
            domain_arn="arn:aws:chime:eu-central-1:111122223333:voice-profile-domain/d",
            items=items,
            key_id="key",
        )
    )[0]


def put(store: Store, job: Job, number: int = 1, *, recording: bytes = RECORDING) -> bool:
    asked = ItemInput(name=NAME, consent_reference=CONSENT, profile_id=PROFILE)
    return store.write(lambda unit: unit.jobs.put(job, number, input_=asked, recording=recording, size=len(recording)))


def claim(store: Store, *, after: ClaimedItem | None = None, lease_seconds: float = 60.0) -> ClaimedItem:
    found = claim_any(store, after=after, lease_seconds=lease_seconds)
    assert found is not None
    return found


def claim_any(store: Store, *, after: ClaimedItem | None = None, lease_seconds: float = 60.0) -> ClaimedItem | None:
    turn = None if after is None else turn_of(after)
    return store.write(lambda unit: unit.jobs.claim(holder=guid(), after=turn, lease_seconds=lease_seconds))


def finish(store: Store, claimed: ClaimedItem) -> Job:
    return store.write(lambda unit: unit.jobs.finish(claimed, {"number": claimed.number}))


def clear(store: Store, claimed: ClaimedItem) -> int:
    """In how many transactions the recording of an item goes."""
    count = 0
    while store.write(lambda unit: unit.jobs.clear(claimed)):
        count += 1
    return count


def purge(store: Store, clock: Clock) -> dict[str, int]:
    """What is deleted without waiting for a job's age."""
    found = expire(store, now=clock.now)
    return {name: found[name] for name in ("pieces of recordings of jobs", "items of jobs", "jobs")}


def get(store: Store, job: Job) -> Job:
    found = store.jobs.get(job.scope, job.job_id)
    assert found is not None
    return found


def test_an_item_goes_from_its_recording_to_its_result(store: Store) -> None:
    job = make(store, items=2)
    assert put(store, job, 2) is True
    assert store.jobs.missing(job, limit=9) == ((1, 1),)
    assert put(store, job, 2) is False
    assert put(store, job, 1) is True
    assert store.jobs.waiting_bytes(MINE) == 2 * len(RECORDING)
    first = claim(store)
    assert (first.number, first.attempt, first.kind, first.key_id) == (1, 1, JobKind.SEARCH, "key")
    assert first.input == ItemInput(name=NAME, consent_reference=CONSENT, profile_id=PROFILE)
    assert store.jobs.recording(first) == RECORDING
    assert store.write(lambda unit: unit.jobs.finish(first, {"outcome": "match"})).done == 1
    assert clear(store, first) == 1
    assert store.jobs.recording(first) is None
    assert get(store, job).state is JobState.OPEN
    second = claim(store)
    ended = store.write(lambda unit: unit.jobs.fail(second, reason="it is no audio"))
    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 1, 1)
    assert ended.ended_at is not None
    assert claim_any(store) is None
    items = store.jobs.items(job, limit=9).items
    assert [(one.state, one.result, one.reason) for one in items] == [
        (ItemState.DONE, {"outcome": "match"}, None),
        (ItemState.FAILED, None, "it is no audio"),
    ]
    assert [one.number for one in store.jobs.items(job, state=ItemState.FAILED, limit=9).items] == [2]
    assert store.jobs.waiting_bytes(MINE) == 0
    assert put(store, job, 2) is False  # the same command again


def test_a_job_is_made_once_and_asks_for_one_thing(store: Store) -> None:
    job = make(store, items=3)
    again = make(store, items=3, job_id=job.job_id, domain_id=job.domain_id)
    assert again == job
    with pytest.raises(Conflict):
        make(store, items=4, job_id=job.job_id, domain_id=job.domain_id)
    with pytest.raises(NotFound):
        make(store, domain_id="vpd-none")
    with pytest.raises(BadRequest):
        put(store, job, 4)
    for scope in OTHERS:
        assert store.jobs.get(scope, job.job_id) is None
        assert store.jobs.list(scope, limit=9).items == ()
    assert store.jobs.list(MINE, limit=9).items == (job,)
    with pytest.raises(LimitExceeded):
        store.write(
            lambda unit: unit.jobs.create(
                MINE, job_id="another", kind=JobKind.ENROL, domain_id=job.domain_id, domain_arn="a", items=1,
                key_id="k", limit=1,
            )
        )  # fmt: skip


def test_whoever_lost_an_item_writes_nothing(store: Store) -> None:
    job = make(store)
    put(store, job)
    slow = claim(store, lease_seconds=-1.0)
    fast = claim(store)
    assert (slow.number, fast.number, fast.attempt) == (1, 1, 2)
    assert claim_any(store) is None
    assert store.write(lambda unit: unit.jobs.renew(slow)) is False
    assert store.write(lambda unit: unit.jobs.renew(fast)) is True
    with pytest.raises(AttemptSuperseded):
        store.write(lambda unit: unit.jobs.finish(slow, {"by": "slow"}))
    store.write(lambda unit: unit.jobs.release(slow))
    store.write(lambda unit: unit.jobs.finish(fast, {"by": "fast"}))
    with pytest.raises(AttemptSuperseded):
        store.write(lambda unit: unit.jobs.fail(fast, reason="twice"))
    (item,) = store.jobs.items(job, limit=9).items
    assert item.result == {"by": "fast"}
    assert get(store, job).done == 1


def test_what_an_item_made_is_undone_with_its_refused_result(store: Store) -> None:
    job = make(store)
    put(store, job)
    slow = claim(store, lease_seconds=-1.0)
    claim(store)

    def work(unit) -> None:
        add_domain(unit, domain_id="vpd-made-by-an-item")
        unit.jobs.finish(slow, {})

    with pytest.raises(AttemptSuperseded):
        store.write(work)
    assert store.domains.get(MINE, "vpd-made-by-an-item") is None


def test_a_lease_ends_by_itself_and_by_a_release(store: Store, clock: Clock, kind: str) -> None:
    job = make(store)
    put(store, job)
    first = claim(store)
    store.write(lambda unit: unit.jobs.release(first))
    second = claim(store)
    assert second.attempt == 1
    assert store.write(lambda unit: unit.jobs.release_all()) == 1
    third = claim(store)
    assert third.attempt == 2
    store.write(lambda unit: unit.jobs.retry(third, seconds=30.0))
    assert claim_any(store) is None
    if kind == "sqlite":
        clock.advance(timedelta(seconds=31))
    else:  # it asks its own clock, so the lease is moved instead
        with store._database.engine.begin() as connection:
            connection.execute(update(job_items).values(leased_until=job_items.c.leased_until - 31_000_000))
    assert claim(store).attempt == 3


def test_a_clock_that_is_set_back_leaves_no_item_with_whoever_had_it(store: Store) -> None:
    put(store, make(store))
    claim(store)
    assert claim_any(store) is None
    with store._database.engine.begin() as connection:  # as it is with a clock that is a day behind
        connection.execute(update(job_items).values(leased_until=job_items.c.leased_until + 86_400_000_000))
    assert claim(store).attempt == 2


def test_jobs_take_turns(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    long, short = (make(store, items=3, job_id=name, domain_id=domain_id) for name in ("job-a", "job-b"))
    for number in (1, 2, 3):
        put(store, long, number)
    put(store, short, 1)
    order: list[ClaimedItem] = []
    for _ in range(4):
        order.append(claim(store, after=order[-1] if order else None))
    assert [(one.job_id, one.number) for one in order] == [("job-a", 1), ("job-b", 1), ("job-a", 2), ("job-a", 3)]


def test_many_workers_claim_each_item_once(store: Store, open_again: Callable[[float], Store]) -> None:
    job = make(store, items=40)
    for number in range(1, 41):
        put(store, job, number, recording=b"r")
    stores = [store, open_again(20.0)]
    seen: list[int] = []

    def work(own: Store) -> None:
        while get(own, job).state is JobState.OPEN:
            found = claim_any(own)
            if found is not None:
                finish(own, found)
                seen.append(found.number)

    threads = [threading.Thread(target=work, args=(own,)) for own in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 41))
    assert get(store, job).done == 40


def test_a_cancelled_job_keeps_its_results_and_nothing_that_waits(store: Store, clock: Clock) -> None:
    job = make(store, items=3)
    put(store, job, 1)
    put(store, job, 2)
    done = claim(store)
    finish(store, done)
    clear(store, done)
    working = claim(store)
    cancelled = store.write(lambda unit: unit.jobs.cancel(MINE, job.job_id))
    assert cancelled is not None
    assert (cancelled.state, cancelled.done) == (JobState.CANCELLED, 1)
    assert store.write(lambda unit: unit.jobs.renew(working)) is False
    with pytest.raises(AttemptSuperseded):
        store.write(lambda unit: unit.jobs.finish(working, {"n": 2}))
    with pytest.raises(Conflict):
        put(store, job, 3)
    assert [one.number for one in store.jobs.items(job, limit=9).items] == [1]
    assert store.jobs.waiting_bytes(MINE) == 0
    assert purge(store, clock) == {"pieces of recordings of jobs": 1, "items of jobs": 1, "jobs": 0}
    assert [one.number for one in store.jobs.items(job, limit=9).items] == [1]
    assert store.write(lambda unit: unit.jobs.cancel(MINE, job.job_id)) == cancelled
    assert store.write(lambda unit: unit.jobs.cancel(MINE, "job-none")) is None


def test_a_deleted_domain_ends_its_jobs_and_takes_what_they_have(store: Store, clock: Clock) -> None:
    job, others = make(store, items=2), make(store, items=1)
    for one in (job, others):
        put(store, one)
    working = claim(store)
    store.write(lambda unit: unit.domains.delete(MINE, working.domain_id))
    ended, left = (job, others) if working.job_id == job.job_id else (others, job)
    assert (get(store, ended).state, get(store, left).state) == (JobState.DOMAIN_DELETED, JobState.OPEN)
    assert store.jobs.items(ended, limit=9).items == ()
    with pytest.raises(NotFound):
        store.jobs.recording(working)
    with pytest.raises(NotFound):
        store.write(lambda unit: unit.jobs.finish(working, {}))
    with pytest.raises(NotFound):
        put(store, ended, 1)
    assert claim(store).job_id == left.job_id
    assert purge(store, clock) == {"pieces of recordings of jobs": 1, "items of jobs": 1, "jobs": 0}
    with store._database.engine.connect() as connection:
        for table in (job_items, job_recordings):
            ids = connection.execute(select(table.c.job_id)).scalars().all()
            assert ids == [left.job_id]


def test_old_jobs_go_and_those_with_work_stay(store: Store, clock: Clock) -> None:
    done, forgotten, waiting = make(store), make(store, items=2), make(store, items=2)
    for one in (done, forgotten, waiting):
        put(store, one)
        if one is not waiting:
            finish(store, claim(store))
    assert purge(store, clock) == {"pieces of recordings of jobs": 2, "items of jobs": 0, "jobs": 0}
    clock.advance(timedelta(days=8))
    assert purge(store, clock) == {"pieces of recordings of jobs": 0, "items of jobs": 2, "jobs": 2}
    assert [one.job_id for one in store.jobs.list(MINE, limit=9).items] == [waiting.job_id]


def test_a_large_recording_goes_in_small_steps(store: Store) -> None:
    job = make(store)
    recording = bytes(range(256)) * 40_000
    put(store, job, recording=recording)
    found = claim(store)
    assert store.jobs.recording(found) == recording
    finish(store, found)
    assert clear(store, found) == 2  # ten pieces, eight at once


def test_items_of_open_jobs_are_counted_as_waiting_until_they_end(store: Store) -> None:
    assert store.counts.waiting().job_items == {"search": 0, "enrol": 0, "export": 0, "reembed": 0}
    job, other = make(store, items=3), make(store, scope=OTHERS[0])
    for number in (1, 2):
        put(store, job, number)
    put(store, other)
    assert store.counts.waiting().job_items == {"search": 3, "enrol": 0, "export": 0, "reembed": 0}
    first = claim(store)
    assert store.counts.waiting().job_items["search"] == 3  # a claim is no result
    finish(store, first)
    assert store.counts.waiting().job_items["search"] == 2
    for one in (job, other):
        store.write(lambda unit, one=one: unit.jobs.cancel(one.scope, one.job_id))
    assert store.counts.waiting().job_items["search"] == 0


def test_an_empty_recording_is_one(store: Store) -> None:
    put(store, make(store), recording=b"")
    assert store.jobs.recording(claim(store)) == b""


def test_a_damaged_item_is_told_and_not_hidden(store: Store) -> None:
    job = make(store)
    put(store, job)
    with store._database.engine.begin() as connection:
        connection.execute(update(job_items).values(input_ciphertext=b"damaged"))
    found = claim(store)
    assert found.input is None
    assert store.write(lambda unit: unit.jobs.fail(found, reason="damaged")).state is JobState.DONE


def test_what_came_with_a_recording_is_sealed_and_goes_when_it_is_done(store: Store, kind: str, url: str) -> None:
    job = make(store)
    put(store, job)
    found = claim(store)
    secrets = [NAME.encode(), CONSENT.encode(), PROFILE.encode(), RECORDING[:34]]
    with store._database.engine.connect() as connection:
        sealed = connection.execute(select(job_recordings.c.piece_ciphertext)).scalar_one()
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                content = b"".join(one if isinstance(one, bytes) else str(one).encode() for one in row)
                assert not any(secret in content for secret in secrets)
    store.write(lambda unit: unit.jobs.finish(found, {"profileId": PROFILE}))
    clear(store, found)
    if kind == "sqlite":
        from pathlib import Path

        path = Path(str(make_url(url).database))
        for file in path.parent.glob(path.name + "*"):
            assert sealed[:100] not in file.read_bytes()
