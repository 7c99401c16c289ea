"""Tasks of a former process are taken up, even where the records stumble just then."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from search_examples import running_task
from store_examples import MINE, opened

from earwitness.app import build_background
from earwitness.config import Settings
from earwitness.errors import StoreUnavailable
from earwitness.store.tasks import TaskReader
from earwitness.voice.task_status import TaskStatus
from patience import PATIENCE_SECONDS


class Stumbling:
    """Tasks that cannot be reached the first times somebody asks for all active ones."""

    def __init__(self, tasks: TaskReader, *, failures: int) -> None:
        self._tasks = tasks
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tasks, name)

    def list_active_everywhere(self, **page: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database is away; it is tried again")
        return self._tasks.list_active_everywhere(**page)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.usefixtures("model_cache")
async def test_tasks_are_taken_up_after_the_records_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("earwitness.tasks.regular.AGAIN_SECONDS", 0.01)
    store = opened(f"sqlite:///{tmp_path / 'records.db'}")
    task = running_task(store)
    stumbling = Stumbling(store.tasks, failures=2)
    monkeypatch.setattr(store, "tasks", stumbling)
    background = build_background(
        Settings(data_dir=tmp_path),
        store,
        events_file=None,
        clock=lambda: task.created_at,
    )
    with caplog.at_level(logging.WARNING, "earwitness.background"):
        await background.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (now := store.tasks.get(MINE, task.task_id)) is None or now.ended_at is None:
                await asyncio.sleep(0.001)  # its stream does not exist, so it ends at once
    assert (now.status, now.attempt) == (TaskStatus.FAILED, 2)
    assert stumbling.failures == 0
    assert caplog.text.count("could not be taken up") == 1  # that is once a minute
    await background.stop()
    store.close()
