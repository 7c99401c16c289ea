"""Fingerprints of calls: kept sealed beside voiceprints and no longer, compared in a domain and not within a call."""

from datetime import timedelta

import pytest
from search_examples import add_task, adopted, vector, voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, add_pipeline

from earwitness.store.records import SpeakerSearchTask
from earwitness.store.repeats import CALLS_COMPARED_MAX, Repeat
from earwitness.store.store import Store
from earwitness.tasks.expire import expire

ENCODER = "two-d-1"
FINGERPRINT = bytes(range(200)) * 4


@pytest.fixture
def domain_id(store: Store) -> str:
    return store.write(add_domain).domain_id


def heard(
    store: Store, domain_id: str, pipeline_id: str = "", *, channel_id: int = 0, repeat: Repeat | None = None
) -> SpeakerSearchTask:
    task = adopted(store, store.write(lambda unit: add_task(unit, domain_id, pipeline_id, channel_id=channel_id)))

    def conclude(unit) -> None:
        unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=task.attempt, voiceprint=voiceprint())
        unit.repeats.keep(task, FINGERPRINT, repeat)
        unit.attempts.end(MINE, task.task_id, attempt=task.attempt)

    store.write(conclude)
    return task


def test_what_earlier_calls_said_is_compared(store: Store, domain_id: str) -> None:
    first, elsewhere = heard(store, domain_id), heard(store, store.write(add_domain).domain_id)
    later = store.write(lambda unit: add_task(unit, domain_id))
    assert store.repeats.earlier(later, encoder_id=ENCODER) == {first.task_id: vector()}
    assert store.repeats.earlier(later, encoder_id="another") == {}
    both = [first.task_id, elsewhere.task_id]
    assert store.repeats.fingerprints(later, both) == {first.task_id: FINGERPRINT}


def test_two_sides_of_one_call_are_no_repeat(store: Store, domain_id: str) -> None:
    pipeline_id = store.write(add_pipeline).pipeline_id
    heard(store, domain_id, pipeline_id)
    other_side = store.write(lambda unit: add_task(unit, domain_id, pipeline_id, channel_id=1))
    assert store.repeats.earlier(other_side, encoder_id=ENCODER) == {}


def test_a_fingerprint_goes_with_its_voiceprint(store: Store, domain_id: str, clock: Clock) -> None:
    first = heard(store, domain_id)
    repeat = Repeat(of_task_id=first.task_id, likeness=0.93)
    again = heard(store, domain_id, repeat=repeat)
    assert store.repeats.get(MINE, again.task_id) == repeat
    assert store.repeats.get(MINE, first.task_id) is None
    assert store.repeats.of_tasks(MINE, [first.task_id, again.task_id]) == {again.task_id: first.task_id}
    assert store.repeats.of_tasks(OTHERS[0], [again.task_id]) == {}
    clock.advance(timedelta(hours=24))
    assert expire(store, now=clock())["task voiceprints"] == 2
    later = store.write(lambda unit: add_task(unit, domain_id))
    assert store.repeats.fingerprints(later, [first.task_id, again.task_id]) == {}
    assert store.repeats.get(MINE, again.task_id) == repeat  # the result stays as long as results do
    clock.advance(timedelta(days=7))
    expire(store, now=clock())
    assert store.repeats.get(MINE, again.task_id) is None


def test_only_the_latest_calls_are_compared(store: Store, domain_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.store.repeats.CALLS_COMPARED_MAX", 2)
    assert CALLS_COMPARED_MAX == 2_000
    calls = [heard(store, domain_id).task_id for _ in range(3)]
    later = store.write(lambda unit: add_task(unit, domain_id))
    assert set(store.repeats.earlier(later, encoder_id=ENCODER)) == set(calls[1:])
