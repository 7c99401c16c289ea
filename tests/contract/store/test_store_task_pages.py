"""Pages of tasks, of all pipelines or of one, of a status or of any: each is read from an index, whatever is rare."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from search_examples import new_task
from sqlalchemy import event, insert, text
from store_examples import MINE

from earwitness.store.columns import to_microseconds
from earwitness.store.schema import tasks
from earwitness.store.store import Store, Unit
from earwitness.voice.task_status import TaskStatus

COUNT = 3_000
RARE = {7: TaskStatus.FAILED, 1_000: TaskStatus.FAILED, 2_990: TaskStatus.IN_PROGRESS}


@pytest.fixture
def example(store: Store, kind: str) -> dict[str, Any]:
    """The row of a task, beside thousands like it that have ended, and some that have not, or have failed.

    They are written past the store's functions to save time.
    """

    def write(unit: Unit) -> dict[str, Any]:
        row = dict(unit._writing.session.row(tasks.select().where(tasks.c.task_id == task_id)) or {})
        for first in range(0, COUNT, 1_000):
            rows = [_like(row, number) for number in range(first, first + 1_000)]
            unit._writing.session.change(insert(tasks).values(rows))
        return row

    task_id = new_task(store).task_id
    row = store.write(write)
    if kind == "postgresql":
        with store._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return row


def _like(row: dict[str, Any], number: int) -> dict[str, Any]:
    status = RARE.get(number, TaskStatus.STOPPED)
    return {
        **row,
        "task_id": f"t{number:05}",
        "stream_arn": f"{row['stream_arn']}-{number}",
        "status": status,
        "created_at": _created_at(row, number),
        "ended_at": None if status is TaskStatus.IN_PROGRESS else row["created_at"],
    }


def _created_at(row: dict[str, Any], number: int) -> datetime:
    """Two at a time."""
    return row["created_at"] + timedelta(microseconds=1 + number // 2)


@pytest.mark.slow
@pytest.mark.parametrize("status", [None, TaskStatus.STOPPED, TaskStatus.FAILED, TaskStatus.IN_PROGRESS], ids=str)
@pytest.mark.parametrize("after", [None, 1_500], ids=["first", "later"])
def test_a_page_of_all_tasks_is_read_from_an_index(
    store: Store, kind: str, example: dict[str, Any], status: TaskStatus | None, after: int | None
) -> None:
    """By the databases' own plans, because times on a shared machine prove nothing."""
    key = None if after is None else (to_microseconds(_created_at(example, after)), f"t{after:05}")
    expected = [
        f"t{number:05}"
        for number in reversed(range(COUNT if after is None else after))
        if status in (None, RARE.get(number, TaskStatus.STOPPED))
    ]
    with _Plans(store, kind) as plans:
        page = store.tasks.list(MINE, None, status=status, after=key, limit=20)
    assert [task.task_id for task in page.items] == expected[:20]
    index = "by_creation" if status in (None, TaskStatus.STOPPED) else "by_rare_status"
    assert f"speaker_search_tasks_{index}" in plans.only
    assert "Sort" not in plans.only
    assert "TEMP B-TREE" not in plans.only


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite"])  # PostgreSQL chooses by statistics, and one pipeline has all tasks here
@pytest.mark.parametrize("status", [None, *TaskStatus], ids=str)
def test_a_page_of_a_pipeline_is_read_from_its_own_index(
    store: Store, kind: str, example: dict[str, Any], status: TaskStatus | None
) -> None:
    with _Plans(store, kind) as plans:
        store.tasks.list(MINE, example["pipeline_id"], status=status, limit=20)
    assert "speaker_search_tasks_by_time" in plans.only


class _Plans:
    """The plans of what is read meanwhile."""

    def __init__(self, store: Store, kind: str) -> None:
        self._database: Any = store._database
        self._reading: Any = self._database.reads._engine
        self._explain = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
        self._asked: list[tuple[str, Any]] = []

    def __enter__(self) -> "_Plans":
        event.listen(self._reading, "before_cursor_execute", self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._reading, "before_cursor_execute", self._keep)

    def _keep(self, *call: Any) -> None:
        _, _, sql, values, _, _ = call
        self._asked.append((sql, values))

    @property
    def only(self) -> str:
        (sql, values), *others = [asked for asked in self._asked if "speaker_search_tasks" in asked[0]]
        assert not others
        with self._database.engine.connect() as connection:
            return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{self._explain} {sql}", values))
