"""Every move of a task is in the table, and every other one is refused."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from earwitness.errors import Conflict
from earwitness.voice.task_status import MOVES, TaskMove, TaskStatus, is_active, next_status

ENDED = [TaskStatus.STOPPED, TaskStatus.FAILED]  # a list: every test process collects in one order


def test_the_table_knows_every_status_and_leads_only_to_known_ones() -> None:
    assert set(MOVES) == set(TaskStatus)
    assert {status for status in TaskStatus if not is_active(status)} == set(ENDED)


@pytest.mark.parametrize("move", TaskMove)
@pytest.mark.parametrize("status", ENDED)
def test_nothing_happens_to_a_task_that_is_over(status: TaskStatus, move: TaskMove) -> None:
    with pytest.raises(Conflict, match=f"the task is {status} and cannot be {move} now; start another task"):
        next_status(status, move)


@pytest.mark.parametrize("status", [status for status in TaskStatus if status not in ENDED])
def test_every_task_can_be_stopped_picked_up_again_and_failed(status: TaskStatus) -> None:
    assert next_status(status, TaskMove.REQUEST_STOP) is TaskStatus.STOPPING
    assert next_status(status, TaskMove.FAIL) is TaskStatus.FAILED
    picked_up = next_status(status, TaskMove.PICK_UP)
    assert next_status(picked_up, TaskMove.END) is TaskStatus.STOPPED


def test_a_status_never_goes_back() -> None:
    order = list(TaskStatus)  # they are written in the order of a task's life
    for status, moves in MOVES.items():
        for move, following in moves.items():
            assert order.index(following) >= order.index(status), f"{status} {move}"


class TaskLife(RuleBasedStateMachine):
    """A task lives through any order of events, beside a model that knows only facts, not statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.status = TaskStatus.NOT_STARTED
        self.has_worker = self.has_media = self.stop_asked = False
        self.over: TaskMove | None = None

    def _allowed(self, move: TaskMove) -> bool:
        if self.over:
            return False
        if move is TaskMove.OPEN_MEDIA:
            return self.has_worker and not self.stop_asked
        return move is not TaskMove.END or self.has_worker or self.stop_asked

    @rule(move=st.sampled_from(TaskMove))
    def happen(self, move: TaskMove) -> None:
        if not self._allowed(move):
            with pytest.raises(Conflict):
                next_status(self.status, move)
            return
        self.status = next_status(self.status, move)
        if move is TaskMove.PICK_UP:
            self.has_worker = True
        self.has_media = self.has_media or move is TaskMove.OPEN_MEDIA
        self.stop_asked = self.stop_asked or move is TaskMove.REQUEST_STOP
        self.over = move if move in {TaskMove.END, TaskMove.FAIL} else None

    @precondition(lambda self: self.over is None)
    @rule()
    def a_worker_that_finds_it_can_end_it(self) -> None:
        assert next_status(next_status(self.status, TaskMove.PICK_UP), TaskMove.END) is TaskStatus.STOPPED

    @invariant()
    def the_status_tells_the_facts(self) -> None:
        if self.over:
            expected = TaskStatus.STOPPED if self.over is TaskMove.END else TaskStatus.FAILED
        elif self.stop_asked:
            expected = TaskStatus.STOPPING
        elif self.has_media:
            expected = TaskStatus.IN_PROGRESS
        else:
            expected = TaskStatus.INITIALIZING if self.has_worker else TaskStatus.NOT_STARTED
        assert self.status is expected
        assert is_active(self.status) is (self.over is None)


TestTaskLife = pytest.mark.slow(TaskLife.TestCase)
