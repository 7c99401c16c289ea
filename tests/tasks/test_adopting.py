"""Tasks that begin at the same time share transactions; each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from search_examples import add_task
from store_examples import MINE, Clock, add_domain, guid, opened

from earwitness.errors import CiphertextRefused, StoreUnavailable
from earwitness.store.attempts import AttemptWriter
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.adopting import AT_ONCE_MAX, Adoption
from earwitness.tasks.runner import WorkItem
from earwitness.voice.task_status import TaskStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = opened(f"sqlite:///{tmp_path / 'records.db'}", clock=Clock())
    yield store
    store.close()


@pytest.fixture
async def adoption(store: Store) -> AsyncIterator[Adoption]:
    threads = ThreadPoolExecutor(1)

    async def run_in_thread(work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    yield Adoption(store, run_in_thread=run_in_thread)
    threads.shutdown()


def item_of(task: SpeakerSearchTask) -> WorkItem:
    return WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id)


def some_tasks(store: Store, count: int) -> list[WorkItem]:
    def work(unit: Unit) -> list[WorkItem]:
        domain_id = add_domain(unit).domain_id
        return [item_of(add_task(unit, domain_id, channel_id=number)) for number in range(count)]

    return store.write(work)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tasks each transaction was asked for."""
    counts: list[int] = []
    real = AttemptWriter.adopt_all

    def counted(self: AttemptWriter, keys: Any) -> Any:
        counts.append(len(keys))
        return real(self, keys)

    monkeypatch.setattr(AttemptWriter, "adopt_all", counted)
    return counts


async def test_those_that_come_together_share_transactions(
    store: Store, adoption: Adoption, transactions: list[int]
) -> None:
    items = some_tasks(store, AT_ONCE_MAX + 7)
    adopted = await asyncio.gather(*(adoption.adopt(item) for item in items))
    assert [task.task_id for task in adopted if task] == [item.task_id for item in items]
    assert {(task.attempt, task.status) for task in adopted if task} == {(1, TaskStatus.INITIALIZING)}
    assert transactions == [AT_ONCE_MAX, 7]
    again = await adoption.adopt(items[0])
    assert again == store.tasks.get(MINE, items[0].task_id)
    assert again is not None
    assert again.attempt == 2


async def test_what_is_gone_is_nothing_to_do_and_the_others_begin(store: Store, adoption: Adoption) -> None:
    (item,) = some_tasks(store, 1)
    unknown = WorkItem(scope=MINE, pipeline_id=item.pipeline_id, task_id=guid())
    gone, adopted = await asyncio.gather(adoption.adopt(unknown), adoption.adopt(item))
    assert gone is None
    assert adopted is not None


async def test_one_that_cannot_begin_does_not_hold_up_the_others(
    store: Store, adoption: Adoption, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = some_tasks(store, 3)
    real, damaged = AttemptWriter.adopt_all, items[1].task_id

    def refusing(self: AttemptWriter, keys: Any) -> Any:
        if any(task_id == damaged for _, task_id in keys):
            raise CiphertextRefused("a part of this record cannot be opened")
        return real(self, keys)

    monkeypatch.setattr(AttemptWriter, "adopt_all", refusing)
    first, second, third = await asyncio.gather(*map(adoption.adopt, items), return_exceptions=True)
    assert isinstance(second, CiphertextRefused)
    assert all(isinstance(one, SpeakerSearchTask) and one.attempt == 1 for one in (first, third))


async def test_while_the_records_are_away_all_are_told_at_once(
    store: Store, adoption: Adoption, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, tries = some_tasks(store, 5), []

    def away(_self: AttemptWriter, keys: Any) -> Any:
        tries.append(len(keys))
        raise StoreUnavailable("the records are away; try again")

    monkeypatch.setattr(AttemptWriter, "adopt_all", away)
    told = await asyncio.gather(*map(adoption.adopt, items), return_exceptions=True)
    assert [type(one) for one in told] == [StoreUnavailable] * 5
    assert tries == [5]
    monkeypatch.undo()
    assert all(await asyncio.gather(*map(adoption.adopt, items)))


async def test_who_waits_no_longer_does_not_hurt_the_others(store: Store, adoption: Adoption) -> None:
    items = some_tasks(store, 2)
    leaving, staying = (asyncio.ensure_future(adoption.adopt(item)) for item in items)
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying) is not None
