"""Tasks on the event loop: run once, told of changes, taken up again, let go of."""

import asyncio
from collections.abc import Callable

import pytest

from earwitness.errors import Unavailable
from earwitness.store.records import Scope
from earwitness.work import local
from earwitness.work.local import LocalWork
from earwitness.work.seam import WorkItem
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ACCOUNT = "000000000000"


def item(number: int = 1, *, account: str = ACCOUNT) -> WorkItem:
    scope = Scope(account_id=account, region="us-east-1")
    return WorkItem(scope=scope, pipeline_id="p", task_id=f"t{number}")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0)


async def test_a_task_runs_once_and_hears_of_changes() -> None:
    seen: list[str] = []

    async def run(work_item: WorkItem, changed: asyncio.Event) -> None:
        seen.append(work_item.task_id)
        await changed.wait()
        seen.append("changed")

    work = LocalWork(run)
    work.start()
    work.submit(item())
    await asyncio.to_thread(work.submit, item())
    await until(lambda: seen == ["t1"])
    await asyncio.to_thread(work.changed, item())
    await until(lambda: work.running_count == 0)
    assert seen == ["t1", "changed"]
    work.changed(item())  # of a task that is over: nothing happens
    await work.close()


async def test_there_is_room_for_so_many() -> None:
    work = LocalWork(_forever, at_once_max=2)
    work.start()
    for number in range(2):
        work.require_room(ACCOUNT, is_alone=True)
        work.submit(item(number))
    with pytest.raises(Unavailable, match="2 calls"):
        work.require_room(ACCOUNT, is_alone=True)
    await work.close()
    work.require_room(ACCOUNT, is_alone=True)


async def test_one_account_leaves_room_for_the_others() -> None:
    work = LocalWork(_forever, at_once_max=10)
    work.start()
    for number in range(8):
        assert work.most(ACCOUNT, is_alone=False) == 8
        work.require_room(ACCOUNT, is_alone=False)
        work.submit(item(number))
    with pytest.raises(Unavailable, match=r"8 calls of this account .* 2 that are left of 10"):
        work.require_room(ACCOUNT, is_alone=False)
    assert (work.running(ACCOUNT), work.most(ACCOUNT, is_alone=False), work.most(ACCOUNT, is_alone=True)) == (8, 8, 10)
    work.require_room("111122223333", is_alone=False)
    work.submit(item(8, account="111122223333"))
    work.require_room("111122223333", is_alone=False)
    await work.close()


async def test_an_unexpected_end_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "RESTART_SECONDS", 0.0)
    attempts: list[int] = []

    async def run(_item: WorkItem, _changed: asyncio.Event) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise RuntimeError("+49 30 1234567")

    work = LocalWork(run)
    work.start()
    work.submit(item())
    await until(lambda: len(attempts) == 3 and work.running_count == 0)
    await work.close()


async def test_closing_lets_go() -> None:
    started: list[bool] = []
    ended: list[str] = []

    async def run(_item: WorkItem, changed: asyncio.Event) -> None:
        started.append(True)
        try:
            await changed.wait()
        finally:
            ended.append("let go")

    work = LocalWork(run)
    work.start()
    work.submit(item())
    await until(lambda: bool(started))
    await work.close()
    assert ended == ["let go"]
    work.submit(item(2))
    assert work.running_count == 0


async def _forever(_item: WorkItem, changed: asyncio.Event) -> None:
    while True:
        await changed.wait()
