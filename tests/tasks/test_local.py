"""Tasks on the event loop: run once, told of changes, taken up again, let go of."""

import asyncio
from collections.abc import Callable

import pytest

from earwitness.errors import CiphertextRefused, EarwitnessError, StoreUnavailable, Unavailable
from earwitness.store.leading import NodeLoad
from earwitness.store.records import Scope
from earwitness.tasks.retrying import DELAY_SECONDS_MAX, FAILURES_MAX, STEADY_SECONDS, Retrying
from earwitness.tasks.runner import RunTask, TaskRunner, WorkItem
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ACCOUNT = "000000000000"


def item(number: int = 1, *, account: str = ACCOUNT) -> WorkItem:
    scope = Scope(account_id=account, region="us-east-1")
    return WorkItem(scope=scope, pipeline_id="p", task_id=f"t{number}")


class Time:
    """Seconds that pass when somebody waits, or when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Told:
    """The ends that are told, and the errors of those who should tell them."""

    def __init__(self, *errors: Exception) -> None:
        self.reasons: list[str] = []
        self.errors = list(errors)

    async def give_up(self, _item: WorkItem, reason: str) -> None:
        self.reasons.append(reason)
        if self.errors:
            raise self.errors.pop(0)


def work_of(run: RunTask, time: Time | None = None, told: Told | None = None, *, at_once_max: int = 200) -> TaskRunner:
    time = time or Time()
    return TaskRunner(
        run,
        give_up=(told or Told()).give_up,
        retrying=Retrying(chance=lambda: 0.5, monotonic=lambda: time.now, sleep=time.sleep),
        call_soon=asyncio.get_running_loop().call_soon_threadsafe,
        at_once_max=at_once_max,
    )


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

    work = work_of(run)
    work.submit(item())
    await asyncio.to_thread(work.submit, item())
    await until(lambda: seen == ["t1"])
    await asyncio.to_thread(work.changed, item())
    await until(lambda: work.running(ACCOUNT) == 0)
    assert seen == ["t1", "changed"]
    work.changed(item())  # of a task that is over: nothing happens
    await work.close()


async def test_there_is_room_for_so_many() -> None:
    work = work_of(_forever, at_once_max=2)
    for number in range(2):
        work.require_room(ACCOUNT, is_alone=True)
        work.submit(item(number))
    with pytest.raises(Unavailable, match="2 calls"):
        work.require_room(ACCOUNT, is_alone=True)
    await work.close()
    work.require_room(ACCOUNT, is_alone=True)


async def test_one_account_leaves_room_for_the_others() -> None:
    work = work_of(_forever, at_once_max=10)
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


async def test_there_is_no_room_before_tasks_can_be_run() -> None:
    def not_yet() -> None:
        raise Unavailable("voice models are fetched")

    time = Time()
    retrying = Retrying(chance=lambda: 0.5, monotonic=lambda: time.now, sleep=time.sleep)
    work = TaskRunner(_forever, give_up=Told().give_up, retrying=retrying, call_soon=_not_called, require_ready=not_yet)
    with pytest.raises(Unavailable, match="fetched"):
        work.require_room("111122223333", is_alone=True)
    await work.close()


async def test_an_unexpected_end_is_not_the_end() -> None:
    time, attempts = Time(), []

    async def run(_item: WorkItem, _changed: asyncio.Event) -> None:
        attempts.append(time.now)
        if len(attempts) < 4:
            raise RuntimeError("+49 30 1234567")

    work = work_of(run, time)
    work.submit(item())
    await until(lambda: len(attempts) == 4 and work.running(ACCOUNT) == 0)
    assert time.waits == [1.5, 2.5, 4.5]
    await work.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("the database is away"), f"the database is away (tried {FAILURES_MAX} times)"),
        (OSError(5, "+49 30 1234567"), f"an internal error (OSError) (tried {FAILURES_MAX} times)"),
    ],
)
async def test_a_task_that_always_fails_ends(error: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    time, told, attempts = Time(), Told(), []

    async def run(_item: WorkItem, _changed: asyncio.Event) -> None:
        attempts.append(1)
        raise error

    work = work_of(run, time, told)
    work.submit(item())
    await until(lambda: work.running(ACCOUNT) == 0)
    assert (len(attempts), told.reasons) == (FAILURES_MAX, [said])
    assert time.waits == sorted(time.waits) and max(time.waits) <= DELAY_SECONDS_MAX
    assert 300 < sum(time.waits) < 900
    assert "1234567" not in caplog.text
    await work.close()


async def test_failures_that_lie_far_apart_are_not_added_up() -> None:
    time, told, attempts = Time(), Told(), []

    async def run(_item: WorkItem, _changed: asyncio.Event) -> None:
        attempts.append(1)
        time.now += STEADY_SECONDS
        if len(attempts) < 3 * FAILURES_MAX:
            raise StoreUnavailable("the database is away")

    work = work_of(run, time, told)
    work.submit(item())
    await until(lambda: work.running(ACCOUNT) == 0)
    assert (len(attempts), told.reasons, set(time.waits)) == (3 * FAILURES_MAX, [], {1.5})
    await work.close()


@pytest.mark.parametrize(
    ("errors", "times"),
    [
        ([StoreUnavailable("away")] * 5, 6),  # until the records are back, however long that takes
        ([CiphertextRefused("damaged")], 1),
        ([RuntimeError("a mistake of ours")], 1),
    ],
)
async def test_the_end_itself_is_told_when_that_is_possible(errors: list[EarwitnessError], times: int) -> None:
    told = Told(*errors)

    async def run(_item: WorkItem, _changed: asyncio.Event) -> None:
        raise StoreUnavailable("away")

    work = work_of(run, told=told)
    work.submit(item())
    await until(lambda: work.running(ACCOUNT) == 0)
    assert len(told.reasons) == times
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

    work = work_of(run)
    work.submit(item())
    await until(lambda: bool(started))
    await work.close()
    assert ended == ["let go"]
    work.submit(item(2))
    assert work.running(ACCOUNT) == 0


def _not_called(_work: Callable[[], None]) -> None:
    raise AssertionError("nothing runs before there is a loop")


async def _forever(_item: WorkItem, changed: asyncio.Event) -> None:
    while True:
        await changed.wait()


async def test_what_another_node_runs_is_let_go_of_and_taken_up_again() -> None:
    seen: list[str] = []

    async def run(work_item: WorkItem, _changed: asyncio.Event) -> None:
        seen.append(work_item.task_id)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("let go")

    work = work_of(run)
    work.drop(item())  # it does not run: nothing happens
    work.submit(item())
    await until(lambda: seen == ["t1"])
    work.drop(item())
    await until(lambda: work.running(ACCOUNT) == 0)
    assert seen == ["t1", "let go"]
    work.submit(item())
    await until(lambda: len(seen) == 3)
    work.drop(item())
    work.submit(item())  # it came back before it was gone
    await until(lambda: len(seen) == 5)
    assert seen == ["t1", "let go"] * 2 + ["t1"]
    assert work.load() == NodeLoad(tasks=1, room=199)
    await work.close()
