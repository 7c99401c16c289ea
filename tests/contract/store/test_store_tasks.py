"""Speaker search tasks: one active per stream, channel and domain; writes of stale attempts are refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from search_examples import (
    CHECKPOINT,
    IDENTIFICATION,
    STREAM,
    add_task,
    adopted,
    append_event,
    end,
    new_task,
    running_task,
    voiceprint,
    with_voiceprint,
)
from sqlalchemy import update
from store_examples import MINE, Clock, add_domain, add_pipeline, guid

from earwitness.errors import AlreadyExists, AttemptSuperseded, Conflict, LimitExceeded, NotFound
from earwitness.store.records import Scope
from earwitness.store.schema import tasks as table
from earwitness.store.store import Store, Unit
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus


def test_a_task_is_created_found_and_listed(store: Store) -> None:
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    tasks = [
        store.write(lambda unit, n=n: add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=n))
        for n in (0, 1)
    ]
    first = tasks[0]
    assert (first.status, first.attempt, first.stream_arn) == (TaskStatus.NOT_STARTED, 0, STREAM)
    assert store.tasks.get(MINE, first.task_id) == first
    assert store.tasks.get(MINE, first.task_id) == first
    for pipeline_named in (pipeline.pipeline_id, pipeline.arn):
        state = store.tasks.get_state(MINE, first.task_id, pipeline=pipeline_named)
        assert state is not None
        assert (state.task_id, state.status) == (first.task_id, first.status)
        assert (state.created_at, state.updated_at) == (first.created_at, first.updated_at)
    assert store.tasks.get_state(MINE, first.task_id, pipeline=guid()) is None
    assert store.tasks.get_state(MINE, guid(), pipeline=pipeline.pipeline_id) is None
    page = store.tasks.list(MINE, pipeline.pipeline_id, limit=1)
    assert page.items == (tasks[1],)
    assert store.tasks.list(MINE, pipeline.pipeline_id, after=page.next_key, limit=1).items == (first,)
    assert store.tasks.count_active(MINE) == store.tasks.count_active(MINE, pipeline_id=pipeline.pipeline_id) == 2
    assert store.tasks.count_active(MINE, pipeline_id=guid()) == 0


def test_one_active_task_per_stream_channel_and_domain(store: Store) -> None:
    domain, other = store.write(add_domain), store.write(add_domain)
    first = store.write(lambda unit: add_task(unit, domain.domain_id))
    with pytest.raises(Conflict, match="stop it first"):
        store.write(lambda unit: add_task(unit, domain.domain_id))
    store.write(lambda unit: add_task(unit, domain.domain_id, channel_id=1))
    store.write(lambda unit: add_task(unit, other.domain_id))
    store.write(lambda unit: add_task(unit, domain.domain_id, stream_arn=STREAM + "1"))
    end(store, adopted(store, first))
    store.write(lambda unit: add_task(unit, domain.domain_id))


def test_of_many_creates_at_once_one_wins(store: Store) -> None:
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    together = threading.Barrier(8)

    def create(_: int) -> bool:
        together.wait()
        try:
            store.write(lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 1
    assert store.tasks.count_active(MINE) == 1


def test_a_task_needs_its_domain_and_a_pipeline_that_takes_tasks(store: Store) -> None:
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    with pytest.raises(NotFound, match="domain"):
        store.write(lambda unit: add_task(unit, "vpd-none", pipeline.pipeline_id))
    with pytest.raises(NotFound, match="pipeline"):
        store.write(lambda unit: add_task(unit, domain.domain_id, guid()))
    with pytest.raises(Conflict, match="NotStarted"):
        store.write(
            lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id, pipeline_statuses=["InProgress"])
        )
    store.write(
        lambda unit: add_task(
            unit, domain.domain_id, pipeline.pipeline_id, pipeline_statuses=["NotStarted"], active_limit=1
        )
    )
    with pytest.raises(LimitExceeded):
        store.write(lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=1, active_limit=1))


def test_a_task_id_is_taken_once(store: Store) -> None:
    task = new_task(store)
    with pytest.raises(AlreadyExists):
        store.write(
            lambda unit: unit.tasks.create(
                MINE,
                task_id=task.task_id,
                pipeline_id=task.pipeline_id,
                stream_arn=STREAM,
                channel_id=1,
                domain_id=task.domain_id,
                domain_arn=task.domain_arn,
            )
        )


def test_a_task_lives_from_start_to_end(store: Store) -> None:
    task = running_task(store)
    scope, name, attempt = task.scope, task.task_id, task.attempt
    assert (task.status, attempt, task.started_at) == (TaskStatus.INITIALIZING, 1, task.updated_at)
    opened = store.write(lambda unit: unit.attempts.open_media(scope, name, attempt=attempt))
    assert opened.status is TaskStatus.IN_PROGRESS
    store.write(lambda unit: unit.attempts.write_progress(scope, name, attempt=attempt, checkpoint=CHECKPOINT))
    seen = store.tasks.get(scope, name)
    assert seen is not None
    assert (seen.checkpoint, seen.updated_at) == (CHECKPOINT, opened.updated_at)
    store.write(
        lambda unit: unit.attempts.conclude_identification(
            scope, name, attempt=attempt, identification=IDENTIFICATION, checkpoint={"fragment": "9"}
        )
    )
    concluded = store.write(
        lambda unit: unit.attempts.conclude_voiceprint(scope, name, attempt=attempt, voiceprint=voiceprint())
    )
    assert (concluded.identification, concluded.checkpoint) == (IDENTIFICATION, {"fragment": "9"})
    ended = end(store, task)
    assert (ended.status, ended.ended_at, ended.checkpoint) == (TaskStatus.STOPPED, ended.updated_at, None)
    assert (ended.identification, ended.voiceprint_status) == (IDENTIFICATION, VoiceprintStatus.SUCCESS)
    assert store.tasks.get(scope, name) == ended
    assert store.tasks.count_active(MINE) == 0
    assert store.write(lambda unit: unit.attempts.adopt(scope, name)) is None


def test_a_result_is_concluded_once(store: Store) -> None:
    task = running_task(store)

    def identify(unit: Unit) -> None:
        unit.attempts.conclude_identification(MINE, task.task_id, attempt=task.attempt, identification=IDENTIFICATION)

    def give_up(unit: Unit) -> None:
        unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=task.attempt, voiceprint=None)

    for conclude in (identify, give_up):
        store.write(conclude)
        with pytest.raises(Conflict, match="already"):
            store.write(conclude)
    seen = store.tasks.get(MINE, task.task_id)
    assert seen is not None
    assert seen.voiceprint_status is VoiceprintStatus.FAILURE


def test_a_failed_task_says_why(store: Store) -> None:
    task = running_task(store)
    failed = store.write(
        lambda unit: unit.attempts.fail(MINE, task.task_id, attempt=1, status_message="incompatible media")
    )
    assert (failed.status, failed.status_message) == (TaskStatus.FAILED, "incompatible media")
    assert store.tasks.get(MINE, task.task_id) == failed


def test_a_remark_stays_unless_the_task_fails(store: Store) -> None:
    tasks = [running_task(store) for _ in range(2)]
    for task in tasks:
        store.write(
            lambda unit, task=task: unit.attempts.remark(
                MINE, task.task_id, attempt=1, status_message="some media lacked"
            )
        )
    assert end(store, tasks[0]).status_message == "some media lacked"
    failed = store.write(
        lambda unit: unit.attempts.fail(MINE, tasks[1].task_id, attempt=1, status_message="no media at all")
    )
    assert failed.status_message == "no media at all"


@pytest.mark.parametrize("column", ["checkpoint", "identification"])
def test_what_is_damaged_of_one_task_hides_no_other_and_stops_none(store: Store, column: str, caplog: Any) -> None:
    """It counts as not written: a task without a checkpoint begins at its start, as any other does."""
    damaged, sound = (running_task(store) for _ in range(2))
    for task in (damaged, sound):
        store.write(
            lambda unit, name=task.task_id: unit.attempts.conclude_identification(
                MINE, name, attempt=1, identification=IDENTIFICATION, checkpoint=CHECKPOINT
            )
        )
    with store._database.engine.connect() as connection, connection.begin():
        mine = table.c.task_id == damaged.task_id
        connection.execute(update(table).where(mine).values({f"{column}_ciphertext": b"\x00" * 64}))
    active = {task.task_id: task for task in store.tasks.list_active_everywhere(limit=9).items}
    assert set(store.pipelines.running(None)) == {(task.scope, task.pipeline_id) for task in active.values()}
    assert getattr(active[damaged.task_id], column) is None
    assert getattr(active[sound.task_id], column) is not None
    assert "cannot be opened" in caplog.text
    again = adopted(store, damaged)
    assert (again.attempt, getattr(again, column)) == (2, None)
    assert end(store, again).status is TaskStatus.STOPPED


def _writes(task_id: str, attempt: int):
    return {
        "open_media": lambda unit: unit.attempts.open_media(MINE, task_id, attempt=attempt),
        "write_progress": lambda unit: unit.attempts.write_progress(
            MINE, task_id, attempt=attempt, checkpoint=CHECKPOINT
        ),
        "remark": lambda unit: unit.attempts.remark(MINE, task_id, attempt=attempt, status_message="x"),
        "conclude_identification": lambda unit: unit.attempts.conclude_identification(
            MINE, task_id, attempt=attempt, identification=IDENTIFICATION
        ),
        "conclude_voiceprint": lambda unit: unit.attempts.conclude_voiceprint(
            MINE, task_id, attempt=attempt, voiceprint=voiceprint()
        ),
        "end": lambda unit: unit.attempts.end(MINE, task_id, attempt=attempt),
        "fail": lambda unit: unit.attempts.fail(MINE, task_id, attempt=attempt, status_message="x"),
    }


@pytest.mark.parametrize("write", list(_writes("", 0)))
def test_a_stale_attempt_writes_nothing(store: Store, write: str) -> None:
    first = running_task(store)
    second = adopted(store, first)
    assert second.attempt == 2
    with pytest.raises(AttemptSuperseded, match="drop"):
        store.write(_writes(first.task_id, 1)[write])
    with pytest.raises(AttemptSuperseded, match="gone"):
        store.write(_writes(guid(), 1)[write])
    assert store.tasks.get(MINE, first.task_id) == second
    assert store.task_voiceprints.get(MINE, first.task_id) is None
    ended = end(store, second)
    with pytest.raises(AttemptSuperseded, match="Stopped"):
        store.write(_writes(first.task_id, 2)[write])
    assert store.tasks.get(MINE, first.task_id) == ended


def test_the_next_worker_goes_on_where_the_last_one_was(store: Store) -> None:
    task = running_task(store)
    store.write(lambda unit: unit.attempts.open_media(MINE, task.task_id, attempt=1))
    store.write(lambda unit: unit.attempts.write_progress(MINE, task.task_id, attempt=1, checkpoint=CHECKPOINT))
    left = [task.task_id for task in store.tasks.list_active_everywhere(limit=9).items]
    assert left == [task.task_id]
    again = adopted(store, task)
    assert (again.attempt, again.status, again.checkpoint) == (2, TaskStatus.IN_PROGRESS, CHECKPOINT)  # never back
    assert again.started_at == task.started_at


def test_a_stop_is_asked_once_and_kept_until_a_worker_ends_it(store: Store) -> None:
    task = running_task(store)

    def stop(unit: Unit, reason: StopReason = StopReason.CALLER):
        return unit.tasks.request_stop(MINE, task.task_id, reason=reason)

    stopping = store.write(stop)
    assert stopping is not None
    assert (stopping.status, stopping.stop_reason) == (TaskStatus.STOPPING, StopReason.CALLER)
    assert store.write(lambda unit: stop(unit, StopReason.PIPELINE_STOPPED)) == stopping
    with pytest.raises(Conflict):
        store.write(lambda unit: unit.attempts.open_media(MINE, task.task_id, attempt=1))
    told = store.write(lambda unit: unit.attempts.write_progress(MINE, task.task_id, attempt=1, checkpoint=CHECKPOINT))
    assert told.status is TaskStatus.STOPPING
    assert adopted(store, task).status is TaskStatus.STOPPING
    store.write(lambda unit: unit.attempts.end(MINE, task.task_id, attempt=2))
    with pytest.raises(Conflict, match="Stopped"):
        store.write(stop)
    assert store.write(lambda unit: unit.tasks.request_stop(MINE, guid(), reason=StopReason.CALLER)) is None
    elsewhere = store.write(
        lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER, pipeline_id=guid())
    )
    assert elsewhere is None


def test_a_pipeline_stops_its_own_active_tasks(store: Store) -> None:
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    mine = [
        store.write(lambda unit, n=n: add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=n))
        for n in range(3)
    ]
    end(store, adopted(store, mine[0]))
    store.write(lambda unit: unit.tasks.request_stop(MINE, mine[1].task_id, reason=StopReason.CALLER))
    other = new_task(store)
    stopped = store.write(
        lambda unit: unit.tasks.request_stop_of_pipeline(MINE, pipeline.pipeline_id, reason=StopReason.PIPELINE_PAUSED)
    )
    assert [task.task_id for task in stopped] == [mine[2].task_id]
    assert stopped[0].stop_reason is StopReason.PIPELINE_PAUSED
    assert store.tasks.get(MINE, stopped[0].task_id) == stopped[0]
    assert store.tasks.get(MINE, other.task_id) == other


@pytest.mark.parametrize("stop_first", [True, False])
def test_a_stop_and_a_conclusion_that_meet_both_count(store: Store, stop_first: bool) -> None:
    task = running_task(store)
    together = threading.Barrier(2)

    def stop() -> None:
        together.wait()
        store.write(lambda unit: unit.tasks.request_stop(MINE, task.task_id, reason=StopReason.CALLER))

    def conclude() -> None:
        together.wait()
        store.write(
            lambda unit: unit.attempts.conclude_identification(
                MINE, task.task_id, attempt=1, identification=IDENTIFICATION
            )
        )

    with ThreadPoolExecutor(2) as threads:
        works = [stop, conclude] if stop_first else [conclude, stop]
        for done in [threads.submit(work) for work in works]:
            done.result()
    seen = store.tasks.get(MINE, task.task_id)
    assert seen is not None
    assert (seen.status, seen.identification) == (TaskStatus.STOPPING, IDENTIFICATION)


def test_of_workers_that_adopt_at_once_each_gets_its_own_attempt(store: Store) -> None:
    task = new_task(store)
    with ThreadPoolExecutor(6) as threads:
        attempts = list(threads.map(lambda _: adopted(store, task).attempt, range(6)))
    assert sorted(attempts) == [1, 2, 3, 4, 5, 6]


def test_a_result_and_its_event_are_written_together_or_not_at_all(store: Store) -> None:
    task = running_task(store)

    def conclude(unit: Unit, then: str) -> None:
        unit.attempts.conclude_identification(MINE, task.task_id, attempt=1, identification=IDENTIFICATION)
        append_event(unit, task.pipeline_id, "arn:queue")
        if then == "die":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(lambda unit: conclude(unit, "die"))
    assert store.tasks.get(MINE, task.task_id) == task
    assert store.events.list(MINE, task.pipeline_id, limit=9).items == ()
    store.write(lambda unit: conclude(unit, "live"))
    assert len(store.events.list(MINE, task.pipeline_id, limit=9).items) == 1


def test_results_are_deleted_after_their_time(store: Store, clock: Clock) -> None:
    over, active = end(store, with_voiceprint(store)), running_task(store)
    week = timedelta(days=7)

    def purge(unit: Unit) -> int:
        return unit.tasks.purge(ended_before=unit.now - week, limit=100)

    clock.advance(week - timedelta(minutes=1))
    assert store.write(purge) == 0
    clock.advance(timedelta(minutes=2))
    assert store.write(purge) == 1
    assert store.tasks.get(MINE, over.task_id) is None
    assert store.task_voiceprints.get(MINE, over.task_id) is None
    assert store.tasks.get(MINE, active.task_id) == active


def test_a_deleted_domain_takes_what_its_tasks_found_and_leaves_the_tasks(store: Store) -> None:
    over, active, untouched = with_voiceprint(store), running_task(store), with_voiceprint(store)
    store.write(
        lambda unit: unit.attempts.conclude_identification(MINE, over.task_id, attempt=1, identification=IDENTIFICATION)
    )
    over = end(store, over)
    store.write(lambda unit: unit.attempts.write_progress(MINE, active.task_id, attempt=1, checkpoint=CHECKPOINT))
    for task in (over, active):
        assert store.write(lambda unit, task=task: unit.domains.delete(MINE, task.domain_id)) is True
    seen = store.tasks.get(MINE, over.task_id)
    assert seen is not None
    assert (seen.status, seen.identification, seen.stop_reason) == (TaskStatus.STOPPED, None, None)
    assert store.task_voiceprints.get(MINE, over.task_id) is None
    told = store.tasks.get(MINE, active.task_id)
    assert told is not None
    assert (told.status, told.stop_reason, told.checkpoint) == (
        TaskStatus.INITIALIZING,
        StopReason.DOMAIN_DELETED,
        None,
    )
    for write in ("write_progress", "conclude_identification", "conclude_voiceprint"):
        with pytest.raises(NotFound, match="domain"):
            store.write(_writes(active.task_id, 1)[write])
    failed = store.write(
        lambda unit: unit.attempts.fail(MINE, active.task_id, attempt=1, status_message="the domain was deleted")
    )
    assert failed.status is TaskStatus.FAILED
    assert store.tasks.get(MINE, untouched.task_id) == untouched
    assert store.task_voiceprints.get(MINE, untouched.task_id) is not None


def test_active_tasks_of_all_accounts_are_paged(store: Store) -> None:
    scopes = [
        Scope(account_id=f"00000000000{n}", region=region) for n in (2, 1) for region in ("us-east-1", "eu-west-1")
    ]
    there = [running_task(store, scope) for scope in scopes]
    end(store, running_task(store))
    found, after = [], None
    while True:
        page = store.tasks.list_active_everywhere(after=after, limit=3)
        found += page.items
        after = page.next_key
        if after is None:
            break
    assert found == sorted(there, key=lambda task: (task.scope.account_id, task.scope.region))


def test_pipelines_that_run_are_paged_over_all_accounts(store: Store) -> None:
    scopes = [Scope(account_id=f"00000000000{n}", region="eu-west-1") for n in (3, 1, 2)]
    there = [(scope, store.write(lambda unit, scope=scope: add_pipeline(unit, scope))) for scope in scopes]
    over = store.write(add_pipeline)
    store.write(
        lambda unit: unit.pipelines.change_status(
            MINE, over.pipeline_id, expected=["NotStarted"], status="Stopped", element_statuses=[], ended_at=unit.now
        )
    )
    first = store.pipelines.list_active_everywhere(limit=2)
    second = store.pipelines.list_active_everywhere(after=first.next_key, limit=2)
    found = [(item.scope, item.pipeline) for item in (*first.items, *second.items)]
    assert found == sorted(there, key=lambda pair: pair[0].account_id)


def test_a_pipeline_takes_its_tasks_results_and_events_with_it(store: Store, clock: Clock) -> None:
    task = with_voiceprint(store)
    event_id = store.write(lambda unit: append_event(unit, task.pipeline_id, "arn:queue"))
    end(store, task)
    store.write(
        lambda unit: unit.pipelines.change_status(
            MINE, task.pipeline_id, expected=["NotStarted"], status="Stopped", element_statuses=[], ended_at=unit.now
        )
    )
    clock.advance(timedelta(days=8))
    assert store.write(lambda unit: unit.pipelines.purge(ended_before=unit.now - timedelta(days=7), limit=9)) == 1
    assert store.tasks.get(MINE, task.task_id) is None
    assert store.task_voiceprints.get(MINE, task.task_id) is None
    assert store.events.get(MINE, event_id) is None
    assert store.write(lambda unit: unit.deliveries.claim(until=unit.now, limit=9)) == ()


@pytest.mark.slow
def test_two_starts_on_one_pipeline_wait_for_each_other(store: Store) -> None:
    """Each goes on to change the pipeline; two that only shared it would block each other, and one would run again."""
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    both_inside, runs = threading.Barrier(2), []

    def start(channel_id: int) -> None:
        def work(unit: Unit) -> None:
            runs.append(channel_id)
            add_task(unit, domain.domain_id, pipeline.pipeline_id, channel_id=channel_id)
            with suppress(threading.BrokenBarrierError):
                both_inside.wait(timeout=0.3)
            unit.pipelines.change_status(
                MINE,
                pipeline.pipeline_id,
                expected=["NotStarted", "Initializing"],
                status="Initializing",
                element_statuses=[],
            )

        store.write(work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(start, (0, 1)))
    assert sorted(runs) == [0, 1]
    assert store.tasks.count_active(MINE, pipeline_id=pipeline.pipeline_id) == 2


def test_several_tasks_are_taken_over_at_once(store: Store) -> None:
    domain = store.write(add_domain)
    waiting, stopping, over, idle = store.write(
        lambda unit: [add_task(unit, domain.domain_id, channel_id=number) for number in range(4)]
    )
    store.write(lambda unit: unit.attempts.adopt_all([(one.scope, one.task_id) for one in (stopping, over)]))
    store.write(lambda unit: unit.tasks.request_stop(MINE, stopping.task_id, reason=StopReason.CALLER))
    store.write(lambda unit: unit.attempts.end(MINE, over.task_id, attempt=1))
    keys = [(MINE, one.task_id) for one in (over, waiting, stopping)]
    adopted = store.write(lambda unit: unit.attempts.adopt_all([*keys, (MINE, guid())]))
    assert [task and (task.task_id, task.status, task.attempt) for task in adopted] == [
        None,
        (waiting.task_id, TaskStatus.INITIALIZING, 1),
        (stopping.task_id, TaskStatus.STOPPING, 2),
        None,
    ]
    assert adopted[1:3] == [store.tasks.get(MINE, one.task_id) for one in (waiting, stopping)]
    untouched = store.tasks.get(MINE, idle.task_id)
    assert untouched is not None
    assert untouched.attempt == 0
