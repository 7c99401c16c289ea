"""What is counted of the records for metrics: of all accounts, and by what waits alone."""

from datetime import timedelta

from search_examples import append_event, end, enrol, new_task, running_task, with_voiceprint
from store_examples import MINE, OTHERS, START, add_pipeline

from earwitness.metrics.counts import KeptCounts
from earwitness.store.store import Store

TARGET = "arn:aws:sqs:eu-central-1:111122223333:q"


def test_empty_records_count_nothing(store: Store) -> None:
    waiting = store.counts.waiting()
    assert waiting.tasks == {"NotStarted": 0, "Initializing": 0, "InProgress": 0, "Stopping": 0}
    assert (waiting.events, waiting.oldest_event_at) == (0, None)
    assert store.counts.kept() == KeptCounts(events_parked=0, voiceprints=0)


def test_tasks_that_have_not_ended_are_counted_of_all_accounts(store: Store) -> None:
    new_task(store)
    new_task(store, OTHERS[0])
    running_task(store)
    end(store, running_task(store, OTHERS[0]))
    assert store.counts.waiting().tasks == {"NotStarted": 2, "Initializing": 1, "InProgress": 0, "Stopping": 0}


def test_events_wait_until_they_are_taken_or_parked(store: Store) -> None:
    pipeline_id = store.write(add_pipeline).pipeline_id
    for number in range(3):
        store.write(lambda unit, n=number: append_event(unit, pipeline_id, TARGET, body=b"%d" % n))
    waiting = store.counts.waiting()
    assert waiting.events == 3
    oldest = waiting.oldest_event_at
    assert oldest is not None
    assert START < oldest < START + timedelta(seconds=1)

    (first,) = store.write(lambda unit: unit.deliveries.claim(until=unit.now + timedelta(seconds=30), limit=9))
    assert store.counts.waiting().events == 3  # a claim is no delivery
    store.write(lambda unit: unit.deliveries.record_delivered(first))
    waiting = store.counts.waiting()
    assert waiting.events == 2
    assert waiting.oldest_event_at is not None
    assert waiting.oldest_event_at > oldest

    (second,) = store.write(lambda unit: unit.deliveries.claim(until=unit.now + timedelta(seconds=30), limit=9))
    store.write(lambda unit: unit.deliveries.record_failed(second, error="it is no queue", retry_at=None))
    assert store.counts.waiting().events == 1
    assert store.counts.kept().events_parked == 1


def test_voiceprints_of_profiles_are_counted(store: Store) -> None:
    enrol(store, with_voiceprint(store))
    assert store.counts.kept().voiceprints == 1
    with_voiceprint(store, scope=MINE)  # of a task, which is no profile yet
    assert store.counts.kept().voiceprints == 1
