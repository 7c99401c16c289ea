"""The outbox: in order per pipeline and target, at least once, retried, parked, replayed, with one id and body."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from search_examples import append_event
from sqlalchemy import insert, select, text, update
from store_examples import MINE, OTHERS, START, Clock, add_pipeline, guid

from earwitness.errors import AlreadyExists, NotFound
from earwitness.store.outbox import DAMAGED, _due
from earwitness.store.records import ClaimedDelivery, DeliveryState, EventDelivery, Scope
from earwitness.store.schema import deliveries, events
from earwitness.store.store import Store, Unit
from patience import PATIENCE_SECONDS

QUEUE, TOPIC = "arn:aws:sqs:eu-central-1:111122223333:q", "arn:aws:sns:eu-central-1:111122223333:t"
LEASE = timedelta(seconds=30)


def _claim(store: Store, limit: int = 100) -> tuple[ClaimedDelivery, ...]:
    return store.write(lambda unit: unit.deliveries.claim(until=unit.now + LEASE, limit=limit))


def _fail(store: Store, claimed: ClaimedDelivery, *, after: timedelta | None) -> bool:
    return store.write(
        lambda unit: unit.deliveries.record_failed(
            claimed, error="connection refused", retry_at=None if after is None else unit.now + after
        )
    )


def _deliver(store: Store, claimed: ClaimedDelivery) -> None:
    store.write(lambda unit: unit.deliveries.record_delivered(claimed))


def _states(store: Store, event_id: str) -> list[DeliveryState]:
    return [delivery.state for delivery in _deliveries(store, event_id)]


def _deliveries(store: Store, event_id: str) -> tuple[EventDelivery, ...]:
    event = store.events.get(MINE, event_id)
    assert event is not None
    return event.deliveries


def _pipeline_with(store: Store, count: int, *targets: str) -> tuple[str, list[str]]:
    pipeline_id = store.write(add_pipeline).pipeline_id
    made = [
        store.write(lambda unit, n=n: append_event(unit, pipeline_id, *targets, body=b"event %d" % n))
        for n in range(count)
    ]
    return pipeline_id, made


def test_an_event_is_delivered_to_each_target(store: Store) -> None:
    pipeline_id, (event_id,) = _pipeline_with(store, 1, QUEUE, TOPIC, QUEUE)
    claimed = _claim(store)
    assert sorted(item.target for item in claimed) == sorted([QUEUE, TOPIC])
    for item in claimed:
        assert (item.scope, item.event_id, item.pipeline_id) == (MINE, event_id, pipeline_id)
        assert (item.body, item.kind, item.attempt) == (b"event 0", "SpeakerSearchStatus", 1)
    assert _claim(store) == ()
    _deliver(store, claimed[0])
    assert sorted(_states(store, event_id)) == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    _deliver(store, claimed[1])
    assert set(_states(store, event_id)) == {DeliveryState.DELIVERED}
    (event,) = store.events.list(MINE, pipeline_id, limit=9).items
    assert event.body == b"event 0"
    assert all(delivery.delivered_at is not None for delivery in event.deliveries)


def test_an_event_without_targets_is_only_listed(store: Store) -> None:
    pipeline_id, (event_id,) = _pipeline_with(store, 1)
    assert _claim(store) == ()
    assert [event.event_id for event in store.events.list(MINE, pipeline_id, limit=9).items] == [event_id]


def test_events_are_delivered_in_order_per_pipeline_and_target(store: Store) -> None:
    _, mine = _pipeline_with(store, 3, QUEUE, TOPIC)
    _, other = _pipeline_with(store, 1, QUEUE)
    first = _claim(store)
    assert sorted((item.event_id, item.target) for item in first) == sorted(
        [(mine[0], QUEUE), (mine[0], TOPIC), (other[0], QUEUE)]
    )
    (to_queue,) = [item for item in first if (item.event_id, item.target) == (mine[0], QUEUE)]
    _deliver(store, to_queue)
    (second,) = _claim(store)
    assert (second.event_id, second.target) == (mine[1], QUEUE)
    assert _claim(store) == ()


def test_a_failed_delivery_holds_up_those_behind_it_until_it_is_parked(store: Store, clock: Clock) -> None:
    _, (first, second) = _pipeline_with(store, 2, QUEUE)
    for attempt in (1, 2):
        (claimed,) = _claim(store)
        assert (claimed.event_id, claimed.attempt) == (first, attempt)
        assert _fail(store, claimed, after=timedelta(minutes=5)) is True
        assert _claim(store) == ()
        waiting = [delivery for event_id in (first, second) for delivery in _deliveries(store, event_id)]
        assert len(waiting) == 2
        assert all(delivery.next_attempt_at > clock.now + timedelta(minutes=4) for delivery in waiting)
        clock.advance(timedelta(minutes=5))
    event = store.events.get(MINE, first)
    assert event is not None
    (delivery,) = event.deliveries
    assert (delivery.attempts, delivery.last_error) == (2, "connection refused")
    (claimed,) = _claim(store)
    assert _fail(store, claimed, after=None) is True
    assert _states(store, first) == [DeliveryState.PARKED]
    (claimed,) = _claim(store)
    assert (claimed.event_id, claimed.attempt) == (second, 1)


def test_a_claim_runs_out(store: Store, clock: Clock) -> None:
    _pipeline_with(store, 1, QUEUE)
    (lost,) = _claim(store)
    clock.advance(LEASE)
    (again,) = _claim(store)
    assert (again.event_id, again.body, again.attempt) == (lost.event_id, lost.body, 2)
    assert _fail(store, lost, after=timedelta(days=1)) is False
    assert _fail(store, lost, after=None) is False
    _deliver(store, lost)
    assert _states(store, lost.event_id) == [DeliveryState.DELIVERED]
    assert _fail(store, again, after=None) is False
    assert _states(store, lost.event_id) == [DeliveryState.DELIVERED]


def test_a_clock_that_is_set_back_holds_nothing_up(store: Store, clock: Clock) -> None:
    """Not what was written before, nor what had failed, nor what was claimed by a process that is gone."""
    ids = [_pipeline_with(store, 1, QUEUE)[1][0] for _ in range(3)]
    claimed = _claim(store, limit=2)
    _fail(store, claimed[0], after=timedelta(minutes=5))
    clock.advance(-timedelta(days=365))
    assert store.events.is_any_due(clock.now)
    again = _claim(store, limit=9)
    assert {one.event_id for one in again} == set(ids)
    _fail(store, again[0], after=timedelta(minutes=5))
    assert _claim(store) == ()  # what waits by the new clock does wait


def test_a_renewed_claim_goes_on(store: Store, clock: Clock) -> None:
    _, (first, _) = _pipeline_with(store, 2, QUEUE)
    _pipeline_with(store, 1, QUEUE)
    claimed = _claim(store)
    assert {item.until for item in claimed} == {clock.now + LEASE}
    clock.advance(LEASE / 2)
    longer = store.write(lambda unit: unit.deliveries.renew(claimed, until=unit.now + LEASE))
    assert [(item.event_id, item.attempt) for item in longer] == [(item.event_id, 1) for item in claimed]
    clock.advance(LEASE / 2)
    assert _claim(store) == ()
    clock.advance(LEASE / 2)
    again = _claim(store)
    assert sorted(item.event_id for item in again) == sorted(item.event_id for item in claimed)
    assert first in {item.event_id for item in again}
    assert {item.attempt for item in again} == {2}


def test_only_claims_that_last_are_renewed(store: Store, clock: Clock) -> None:
    for _ in range(4):
        _pipeline_with(store, 1, QUEUE)
    delivered, failed, lost, kept = _claim(store)
    _deliver(store, delivered)
    _fail(store, failed, after=timedelta(minutes=5))
    store.write(lambda unit: unit.deliveries.renew([kept], until=unit.now + 2 * LEASE))
    clock.advance(LEASE)
    (taken,) = _claim(store)
    assert taken.event_id == lost.event_id
    until = clock.now + timedelta(hours=1)
    claims = [delivered, failed, lost, kept]
    assert store.write(lambda unit: unit.deliveries.renew(claims, until=until)) == ()
    event = store.events.get(MINE, failed.event_id)
    assert event is not None
    assert event.deliveries[0].next_attempt_at < until


def test_claims_of_a_former_process_are_released(store: Store, clock: Clock) -> None:
    _, made = _pipeline_with(store, 2, QUEUE)
    _pipeline_with(store, 1, QUEUE)
    claimed, failed = _claim(store)
    _fail(store, failed, after=2 * LEASE)
    clock.advance(timedelta(seconds=1))
    assert _claim(store) == ()

    def release(unit: Unit) -> int:
        return unit.deliveries.release(claimed_until=unit.now + LEASE)

    assert store.write(release) == 1
    (again,) = _claim(store)
    assert (again.event_id, again.attempt) == (claimed.event_id, 2)
    assert again.event_id == made[0]


def _damage(store: Store, event_id: str) -> None:
    """One bit of an event's sealed body turns over."""

    def work(unit: Unit) -> None:
        session, mine = unit._writing.session, events.c.event_id == event_id
        (row,) = session.rows(select(events.c.body_ciphertext).where(mine))
        body = bytearray(row["body_ciphertext"])
        body[-1] ^= 1
        session.change(update(events).where(mine).values(body_ciphertext=bytes(body)))

    store.write(work)


def test_an_event_that_cannot_be_opened_is_parked_and_the_others_go_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline_id, mine = _pipeline_with(store, 4, QUEUE)
    _, (other,) = _pipeline_with(store, 1, QUEUE)
    for damaged in (mine[0], mine[2]):
        _damage(store, damaged)
    (elsewhere,) = _claim(store)
    assert elsewhere.event_id == other
    assert _states(store, mine[0]) == [DeliveryState.PARKED]
    event = store.events.get(MINE, mine[0])
    assert event is not None
    assert event.body is None
    assert event.deliveries[0].last_error == DAMAGED
    (second,) = _claim(store)
    assert (second.event_id, second.body) == (mine[1], b"event 1")
    _deliver(store, second)
    (fourth,) = _claim(store)  # in the same turn in which the third is parked
    assert (fourth.event_id, fourth.body) == (mine[3], b"event 3")
    told = [record for record in caplog.records if record.message == "an event cannot be opened and is parked"]
    assert [vars(record)["event_id"] for record in told] == [mine[0], mine[2]]
    following = store.events.following(MINE, sequence=0, limit=9, pipeline_id=pipeline_id)
    assert [event.body for event in following] == [None, b"event 1", None, b"event 3"]


def test_one_claim_looks_behind_a_bounded_number_of_damaged_events(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.store.outbox.DAMAGED_PARKED_MAX", 2)
    _, made = _pipeline_with(store, 4, QUEUE)
    for damaged in made[:3]:
        _damage(store, damaged)
    assert _claim(store) == ()
    (last,) = _claim(store)
    assert last.event_id == made[3]


def test_a_replay_delivers_the_same_again(store: Store) -> None:
    pipeline_id, (event_id,) = _pipeline_with(store, 1, QUEUE, TOPIC)
    first = _claim(store)
    for item in first:
        assert item.target == QUEUE or _fail(store, item, after=None)
        if item.target == QUEUE:
            _deliver(store, item)

    def replay(unit: Unit, **chosen) -> int | None:
        return unit.deliveries.replay(MINE, event_id, **chosen)

    assert store.write(lambda unit: replay(unit, target=TOPIC)) == 1
    (again,) = _claim(store)
    assert (again.target, again.event_id, again.body, again.attempt) == (TOPIC, event_id, b"event 0", 1)
    _deliver(store, again)
    assert store.write(replay) == 2
    assert store.write(replay) == 0
    newer = store.write(lambda unit: append_event(unit, pipeline_id, QUEUE))
    assert {item.event_id for item in _claim(store)} == {event_id}
    assert _states(store, newer) == [DeliveryState.PENDING]
    assert store.write(lambda unit: unit.deliveries.replay(MINE, guid())) is None
    assert store.write(lambda unit: unit.deliveries.replay(OTHERS[0], event_id)) is None


def test_events_are_listed_newest_first(store: Store) -> None:
    pipeline_id, made = _pipeline_with(store, 5, QUEUE)
    first = store.events.list(MINE, pipeline_id, limit=3)
    second = store.events.list(MINE, pipeline_id, after=first.next_key, limit=3)
    found = (*first.items, *second.items)
    assert [event.event_id for event in found] == made[::-1]
    assert [event.sequence for event in found] == sorted((event.sequence for event in found), reverse=True)
    assert second.next_key is None


def test_an_event_needs_a_pipeline_and_an_id_of_its_own(store: Store) -> None:
    pipeline_id, (event_id,) = _pipeline_with(store, 1, QUEUE)
    with pytest.raises(NotFound):
        store.write(lambda unit: append_event(unit, guid(), QUEUE))
    with pytest.raises(NotFound):
        store.write(lambda unit: append_event(unit, pipeline_id, QUEUE, scope=OTHERS[0]))
    with pytest.raises(AlreadyExists):
        store.write(
            lambda unit: unit.events.append(
                MINE, event_id=event_id, pipeline_id=pipeline_id, kind="k", body=b"", targets=[]
            )
        )


def test_deliverers_at_once_share_the_work_without_overlap(store: Store, open_again) -> None:
    other = open_again()
    for _ in range(12):
        _pipeline_with(store, 1, QUEUE)
    with ThreadPoolExecutor(6) as threads:
        claims = threads.map(lambda n: _claim(other if n % 2 else store, limit=3), range(6))
    claimed = [item.event_id for items in claims for item in items]
    claimed += [item.event_id for item in _claim(store)]
    assert len(claimed) == len(set(claimed)) == 12


def test_events_appended_at_once_are_numbered_as_they_are_written(store: Store) -> None:
    pipeline_id = store.write(add_pipeline).pipeline_id
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: store.write(lambda unit: append_event(unit, pipeline_id, QUEUE)), range(8)))
    delivered = []
    while claimed := _claim(store):
        delivered.append(claimed[0].event_id)
        _deliver(store, claimed[0])
    listed = [event.event_id for event in store.events.list(MINE, pipeline_id, limit=9).items]
    assert delivered == listed[::-1]
    assert sorted(made) == sorted(delivered)


@pytest.mark.slow
def test_an_event_does_not_overtake_one_that_is_still_being_written(store: Store) -> None:
    pipeline_id = store.write(add_pipeline).pipeline_id
    appended, overtaken = threading.Event(), threading.Event()

    def append_slowly(unit: Unit) -> str:
        event_id = append_event(unit, pipeline_id, QUEUE)
        appended.set()
        overtaken.wait(timeout=0.3)
        return event_id

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lambda: store.write(append_slowly))
        assert appended.wait(PATIENCE_SECONDS)
        store.write(lambda unit: append_event(unit, pipeline_id, QUEUE))
        first = _claim(store)
        overtaken.set()
        assert [item.event_id for item in first] == [slow.result()]


def test_old_delivered_events_are_purged_and_their_numbers_are_not_used_again(store: Store, clock: Clock) -> None:
    pipeline_id, (delivered, parked, pending) = _pipeline_with(store, 3, QUEUE)
    _deliver(store, _claim(store)[0])
    _fail(store, _claim(store)[0], after=None)
    last = store.write(lambda unit: append_event(unit, pipeline_id))
    week = timedelta(days=7)

    def purge(unit: Unit) -> int:
        return unit.events.purge(created_before=unit.now - week, limit=100)

    newest = store.events.list(MINE, pipeline_id, limit=1).items[0].sequence
    assert store.write(purge) == 0
    clock.advance(week)
    assert store.write(purge) == 2
    assert [store.events.get(MINE, gone) for gone in (delivered, last)] == [None, None]
    kept = [event.event_id for event in store.events.list(MINE, pipeline_id, limit=9).items]
    assert kept == [pending, parked]
    store.write(lambda unit: append_event(unit, pipeline_id))
    assert store.events.list(MINE, pipeline_id, limit=1).items[0].sequence > newest


def _fill(store: Store, kind: str, pipeline_id: str, count: int) -> None:
    """Delivered events by the thousand, written past the store's functions to save time."""
    scope = {"account_id": MINE.account_id, "region": MINE.region, "pipeline_id": pipeline_id}
    rows = [
        {**scope, "sequence": n, "event_id": f"e{n}", "kind": "k", "body_ciphertext": b"x", "created_at": START}
        for n in range(1, count + 1)
    ]
    done = [
        {**scope, "sequence": n, "target": QUEUE, "state": "delivered", "attempts": 1, "next_attempt_at": START}
        for n in range(1, count + 1)
    ]

    def write(unit: Unit) -> None:
        unit._writing.session.change(insert(events).values(rows))
        unit._writing.session.change(insert(deliveries).values(done))

    store.write(write)
    if kind == "postgresql":
        with store._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT setval('outbox_events_sequence_seq', :n)"), {"n": count})
            connection.execute(text("ANALYZE"))


@pytest.mark.slow
def test_claiming_looks_only_at_what_waits(store: Store, kind: str) -> None:
    """By the databases' own plans, because times on a shared machine prove nothing."""
    pipeline_id = store.write(add_pipeline).pipeline_id
    _fill(store, kind, pipeline_id, 2_000)
    event_id = store.write(lambda unit: append_event(unit, pipeline_id, QUEUE))
    with store._database.engine.connect() as connection:
        statement = _due(START + LEASE, limit=10).compile(connection, compile_kwargs={"literal_binds": True})
        word = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
        rows = connection.exec_driver_sql(f"{word} {statement}".replace("%", "%%"))
        plan = "\n".join(str(row[-1]) for row in rows)
    assert "outbox_deliveries_due" in plan
    assert "outbox_deliveries_queue" in plan
    assert "Seq Scan" not in plan
    assert [item.event_id for item in _claim(store)] == [event_id]


def test_a_target_that_is_away_gets_nothing_or_one_delivery(store: Store, clock: Clock) -> None:
    for _ in range(3):
        _pipeline_with(store, 1, QUEUE, TOPIC)

    def claim(unit: Unit, **away: list[str]) -> tuple[ClaimedDelivery, ...]:
        return unit.deliveries.claim(until=unit.now + LEASE, limit=9, **away)

    first = store.write(lambda unit: claim(unit, never=[TOPIC], once=[QUEUE]))
    assert [item.target for item in first] == [QUEUE]
    rest = store.write(lambda unit: claim(unit, once=[TOPIC]))
    assert sorted(item.target for item in rest) == [TOPIC, QUEUE, QUEUE]
    store.write(lambda unit: unit.deliveries.put_off(TOPIC, until=unit.now + LEASE / 2))
    assert _claim(store) == ()
    clock.advance(LEASE / 2)
    assert [item.target for item in _claim(store)] == [TOPIC, TOPIC]  # a claim that goes on longer stays


def test_all_that_is_parked_is_delivered_again(store: Store) -> None:
    made = [_pipeline_with(store, 1, QUEUE, TOPIC)[1][0] for _ in range(3)]
    for claimed in _claim(store):
        if claimed.event_id == made[0]:
            _deliver(store, claimed)
        else:
            _fail(store, claimed, after=None)

    def replay(scope: Scope, target: str | None) -> int:
        return store.write(lambda unit: unit.deliveries.replay_parked(scope, target=target))

    assert [replay(other, None) for other in OTHERS] == [0, 0]
    assert replay(MINE, "another") == 0
    assert replay(MINE, TOPIC) == 2
    again = _claim(store)
    assert [(item.target, item.event_id, item.attempt) for item in again] == [(TOPIC, one, 1) for one in made[1:]]
    assert replay(MINE, None) == 2
    assert replay(MINE, None) == 0
    assert _states(store, made[0]) == [DeliveryState.DELIVERED] * 2
