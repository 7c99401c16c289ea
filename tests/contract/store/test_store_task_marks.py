"""Marks of tasks: another with whatever a page of the task shows, the same with everything else."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from search_examples import (
    CHECKPOINT,
    DAY,
    IDENTIFICATION,
    add_task,
    append_event,
    end,
    enrol,
    running_task,
    voiceprint,
    with_voiceprint,
)
from store_examples import MINE, OTHERS, START, add_domain

from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.store.task_marks import TaskMark
from earwitness.voice.label import Picked, Spoke
from earwitness.voice.task_status import StopReason

Change = Callable[[Unit, SpeakerSearchTask], object]


def mark_of(store: Store, task: SpeakerSearchTask) -> TaskMark | None:
    return store.task_marks.of_tasks(MINE, [task.task_id]).get(task.task_id)


def searched(store: Store, task: SpeakerSearchTask) -> None:
    store.write(
        lambda unit: unit.attempts.conclude_identification(
            MINE, task.task_id, attempt=task.attempt, identification=IDENTIFICATION
        )
    )


def put_label(unit: Unit, task: SpeakerSearchTask) -> None:
    unit.labels.put(task, spoke=Spoke.NOBODY, profile_id=None, picked=Picked.CHOSEN, key_id="EARW")


def install(unit: Unit, task: SpeakerSearchTask) -> None:
    unit.calibrations.install(
        MINE, task.domain_id, calibration_id="fitted", encoder_id="two-d-1", document=b"{}", key_id="EARW"
    )


def deliver(unit: Unit, _task: SpeakerSearchTask) -> None:
    [claimed] = unit.deliveries.claim(until=unit.now + timedelta(seconds=15), limit=1)
    unit.deliveries.record_delivered(claimed)


def park(unit: Unit, _task: SpeakerSearchTask) -> None:
    [claimed] = unit.deliveries.claim(until=unit.now + timedelta(seconds=15), limit=1)
    unit.deliveries.record_failed(claimed, error="the queue does not exist", retry_at=None)


CHANGES: dict[str, Change] = {
    "its audio": lambda unit, task: unit.attempts.open_media(MINE, task.task_id, attempt=1),
    "a remark": lambda unit, task: unit.attempts.remark(MINE, task.task_id, attempt=1, status_message="late"),
    "a voiceprint": lambda unit, task: unit.attempts.conclude_voiceprint(
        MINE, task.task_id, attempt=1, voiceprint=voiceprint()
    ),
    "a stop": lambda unit, task: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER),
    "its end": lambda unit, task: unit.attempts.end(MINE, task.task_id, attempt=1),
    "another attempt": lambda unit, task: unit.attempts.adopt(MINE, task.task_id),
    "a label": put_label,
    "a calibration": install,
    "the end of its domain": lambda unit, task: unit.domains.delete(MINE, task.domain_id),
    "an event": lambda unit, task: append_event(unit, task.pipeline_id),
    "a delivery": deliver,
    "a parked delivery": park,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_mark_differs_with_what_is_known_of_a_task(store: Store, change: Change) -> None:
    task, other = running_task(store), running_task(store)
    for one in (task, other):
        searched(store, one)
    store.write(lambda unit: append_event(unit, task.pipeline_id, "webhook"))
    before, of_other = mark_of(store, task), mark_of(store, other)
    assert before == mark_of(store, task)
    store.write(lambda unit: change(unit, task))
    after = mark_of(store, task)
    assert before is not None
    assert after is not None
    assert after.rest != before.rest
    assert mark_of(store, other) == of_other


def test_a_result_makes_another_mark(store: Store) -> None:
    task = running_task(store)
    before = mark_of(store, task)
    searched(store, task)
    assert mark_of(store, task) != before


def test_a_checkpoint_changes_that_part_alone(store: Store) -> None:
    task = running_task(store)
    before = mark_of(store, task)
    store.write(lambda unit: unit.attempts.write_progress(MINE, task.task_id, attempt=1, checkpoint=CHECKPOINT))
    after = mark_of(store, task)
    assert before is not None
    assert after is not None
    assert after.rest == before.rest
    assert after.checkpoint != before.checkpoint


def test_whoever_is_enrolled_makes_other_marks_in_the_domain(store: Store) -> None:
    made = end(store, with_voiceprint(store))
    beside = store.write(lambda unit: add_task(unit, made.domain_id, made.pipeline_id, channel_id=1))
    before = store.task_marks.of_tasks(MINE, [made.task_id, beside.task_id])
    profile = enrol(store, made)
    between = store.task_marks.of_tasks(MINE, [made.task_id, beside.task_id])
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    after = store.task_marks.of_tasks(MINE, [made.task_id, beside.task_id])
    for task in (made, beside):
        assert len({before[task.task_id], between[task.task_id], after[task.task_id]}) == 3


def test_what_is_gone_has_no_mark_nor_what_is_anothers(store: Store) -> None:
    task = end(store, running_task(store))
    assert store.task_marks.of_tasks(MINE, []) == {}
    for other in OTHERS:
        assert store.task_marks.of_tasks(other, [task.task_id]) == {}
    store.write(lambda unit: unit.tasks.purge(ended_before=START + 8 * DAY, limit=10))
    assert mark_of(store, task) is None


def test_tasks_of_one_pipeline_share_its_events(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    first = store.write(lambda unit: add_task(unit, domain_id))
    second = store.write(lambda unit: add_task(unit, domain_id, first.pipeline_id, channel_id=1))
    before = store.task_marks.of_tasks(MINE, [first.task_id, second.task_id])
    store.write(lambda unit: append_event(unit, first.pipeline_id))
    after = store.task_marks.of_tasks(MINE, [first.task_id, second.task_id])
    assert all(after[one] != before[one] for one in (first.task_id, second.task_id))
