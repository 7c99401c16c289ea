"""Labels of tasks: one for each, gone with task, profile and domain, and sealed under the domain's key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from search_examples import IDENTIFICATION, add_task, adopted, end, enrol, new_task, with_voiceprint
from sqlalchemy import select, update
from store_examples import MINE, OTHERS, add_pipeline, add_profile

from earwitness.errors import BadRequest, NotFound
from earwitness.store.label_schema import task_labels
from earwitness.store.labels import TaskLabel
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.voice.label import Picked, Spoke


def put(
    store: Store, task: SpeakerSearchTask, spoke: Spoke = Spoke.NOBODY, profile_id: str | None = None, key: str = "k"
) -> TaskLabel:
    return store.write(
        lambda unit: unit.labels.put(task, spoke=spoke, profile_id=profile_id, picked=Picked.QUEUE, key_id=key)
    )


@pytest.fixture
def task(store: Store) -> SpeakerSearchTask:
    """An ended task with a result."""
    task = with_voiceprint(store)
    store.write(
        lambda unit: unit.attempts.conclude_identification(
            MINE, task.task_id, attempt=task.attempt, identification=IDENTIFICATION
        )
    )
    return end(store, task)


def rows(store: Store) -> int:
    with store._database.engine.connect() as connection:
        return len(connection.execute(select(task_labels.c.task_id)).all())


def test_a_label_is_read_as_it_was_written_and_the_last_one_counts(store: Store, task: SpeakerSearchTask) -> None:
    profile = store.write(lambda unit: add_profile(unit, task.domain_id))
    assert store.labels.get(MINE, task.task_id) is None
    first = put(store, task, Spoke.PROFILE, profile.profile_id)
    assert store.labels.get(MINE, task.task_id) == first
    assert (first.spoke, first.profile_id, first.picked) == (Spoke.PROFILE, profile.profile_id, Picked.QUEUE)
    second = put(store, task, Spoke.UNSURE, key="other")
    assert store.labels.get(MINE, task.task_id) == second
    assert (second.created_at, second.profile_id, second.key_id) == (first.created_at, None, "other")
    assert second.updated_at > first.updated_at
    (pair,) = store.labels.list(MINE, task.domain_id, limit=9).items
    assert pair == (second, store.tasks.get(MINE, task.task_id))
    assert store.labels.of_tasks(MINE, task.domain_id, [task.task_id, "unknown"]) == {task.task_id: second}


def test_a_label_that_is_taken_back_is_gone(store: Store, task: SpeakerSearchTask) -> None:
    label = put(store, task)
    assert store.write(lambda unit: unit.labels.take_back(MINE, task.task_id)) == label
    assert store.write(lambda unit: unit.labels.take_back(MINE, task.task_id)) is None
    assert rows(store) == 0


@pytest.mark.parametrize("by", ["task", "pipeline", "profile", "domain"])
def test_a_label_goes_with_what_it_is_about(store: Store, task: SpeakerSearchTask, by: str) -> None:
    profile = enrol(store, task)
    put(store, task, Spoke.NOT, profile.profile_id)
    late = timedelta(days=9)
    {
        "task": lambda: store.write(lambda unit: unit.tasks.purge(ended_before=unit.now + late, limit=9)),
        "pipeline": lambda: store.write(lambda unit: unit.pipelines.delete(MINE, task.pipeline_id)),
        "profile": lambda: store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id)),
        "domain": lambda: store.write(lambda unit: unit.domains.delete(MINE, task.domain_id)),
    }[by]()
    assert rows(store) == 0
    assert store.labels.get(MINE, task.task_id) is None


def test_nobody_labels_what_is_not_there(store: Store, task: SpeakerSearchTask) -> None:
    other = new_task(store)
    stranger = store.write(lambda unit: add_profile(unit, other.domain_id))
    for profile_id in ("vp-unknown", stranger.profile_id):  # of another domain
        with pytest.raises(NotFound, match="no voice profile of this id"):
            put(store, task, Spoke.PROFILE, profile_id)
    store.write(lambda unit: unit.pipelines.delete(MINE, task.pipeline_id))
    with pytest.raises(NotFound, match="seven days"):
        put(store, task)
    store.write(lambda unit: unit.domains.delete(MINE, other.domain_id))
    with pytest.raises(NotFound, match="domain of the task was deleted"):
        put(store, other)
    assert rows(store) == 0


def test_nobody_sees_another_accounts_labels(store: Store, task: SpeakerSearchTask) -> None:
    put(store, task)
    for other in OTHERS:
        assert store.labels.get(other, task.task_id) is None
        assert store.labels.count_searched(other, task.domain_id) == 0
        assert store.labels.searched(other, task.domain_id, beyond="", limit=9) == []
        with pytest.raises(NotFound):
            store.labels.list(other, task.domain_id, limit=9)
        assert store.write(lambda unit, other=other: unit.labels.take_back(other, task.task_id)) is None
    assert rows(store) == 1


def test_who_spoke_is_in_no_column(store: Store, task: SpeakerSearchTask) -> None:
    put(store, task, Spoke.ENROLLED)
    with store._database.engine.connect() as connection:
        (row,) = connection.execute(select(task_labels)).all()
    assert not any("enrolled" in str(value) for value in row)
    assert not any(isinstance(value, bytes) and b"enrolled" in value for value in row)


def test_a_damaged_label_counts_for_nothing_and_hides_no_other(store: Store, task: SpeakerSearchTask) -> None:
    put(store, task)
    with store._database.engine.connect() as connection, connection.begin():
        connection.execute(update(task_labels).values(label_ciphertext=b"damaged"))
    label = store.labels.get(MINE, task.task_id)
    assert label is not None
    assert label.spoke is Spoke.UNSURE
    assert len(store.labels.list(MINE, task.domain_id, limit=9).items) == 1


def test_two_who_label_at_once_leave_one_label(store: Store, task: SpeakerSearchTask) -> None:
    said = [Spoke.NOBODY, Spoke.ENROLLED, Spoke.UNSURE] * 6
    with ThreadPoolExecutor(6) as threads:
        labels = list(threads.map(lambda spoke: put(store, task, spoke), said))
    assert rows(store) == 1
    assert store.labels.get(MINE, task.task_id) in labels


def test_searches_are_found_from_any_id_on(store: Store, task: SpeakerSearchTask) -> None:
    domain_id, ids = task.domain_id, [task.task_id]
    for channel_id in range(1, 5):
        pipeline = store.write(add_pipeline)
        made = adopted(
            store,
            store.write(
                lambda unit, channel_id=channel_id, pipeline=pipeline: add_task(
                    unit, domain_id, pipeline.pipeline_id, channel_id=channel_id
                )
            ),
        )
        if channel_id == 4:
            continue  # it has no result yet
        store.write(
            lambda unit, made=made: unit.attempts.conclude_identification(
                MINE, made.task_id, attempt=1, identification=IDENTIFICATION
            )
        )
        ids.append(made.task_id)
    ids.sort()

    def found(beyond: str, limit: int = 9) -> list[str]:
        return [one.task_id for one in store.labels.searched(MINE, domain_id, beyond=beyond, limit=limit)]

    assert store.labels.count_searched(MINE, domain_id) == 4
    assert found("") == ids
    assert found(ids[2]) == ids[2:] + ids[:2]
    assert found(ids[3], limit=2) == [ids[3], ids[0]]
    assert found("~") == ids
    with pytest.raises(BadRequest):
        store.labels.list(MINE, domain_id, limit=0)
