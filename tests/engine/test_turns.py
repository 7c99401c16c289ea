"""Turns at computing: who goes first when several wait."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from earwitness.engine.turns import Turns

HANG_SECONDS = 60.0


class Crowd:
    """Threads that want a turn, in the order in which they were told to; remembers in which order they got it."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self._threads: list[threading.Thread] = []

    def wants(self, name: str, turn: Callable[[], AbstractContextManager[object]], *, blocks: int = 1) -> None:
        """Start a thread that takes a turn, and wait until it waits for it."""

        def work() -> None:
            with turn() as let_others_go_first:
                for block in range(blocks):
                    if block and callable(let_others_go_first):
                        let_others_go_first()
                    self.order.append(name)

        before = self.turns.waiting_count
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()
        deadline = time.monotonic() + HANG_SECONDS
        while self.turns.waiting_count == before:
            assert time.monotonic() < deadline, "it does not wait for its turn"

    def ended(self) -> list[str]:
        for thread in self._threads:
            thread.join(HANG_SECONDS)
            assert not thread.is_alive(), "it got no turn"
        return self.order


def test_calls_go_first_and_accounts_take_turns() -> None:
    turns = Turns(1)
    crowd = Crowd(turns)
    with turns.recording("a"):
        for number in (1, 2, 3):
            crowd.wants(f"a{number}", lambda: turns.recording("a"))
        crowd.wants("b1", lambda: turns.recording("b"))
        crowd.wants("call", turns.call)
        crowd.wants("b2", lambda: turns.recording("b"))
        crowd.wants("c1", lambda: turns.recording("c"))
    assert crowd.ended() == ["call", "a1", "b1", "c1", "a2", "b2", "a3"]
    with turns.call():  # all came back
        pass


def test_a_call_waits_for_a_block_of_a_recording_and_not_for_its_end() -> None:
    turns = Turns(1)
    crowd = Crowd(turns)
    with turns.recording("a") as let_others_go_first:
        let_others_go_first()  # nobody waits: it goes on
        crowd.wants("call", turns.call)
        crowd.wants("b", lambda: turns.recording("b"), blocks=2)
        let_others_go_first()
        crowd.order.append("a")
    assert crowd.ended() == ["call", "b", "a", "b"]


def test_as_many_at_a_time_as_there_are_turns() -> None:
    turns = Turns(2)
    crowd = Crowd(turns)
    with turns.recording("a"):
        with turns.recording("a"):
            crowd.wants("call", turns.call)
            assert crowd.order == []
        assert crowd.ended() == ["call"]


def test_a_turn_comes_back_when_the_work_fails() -> None:
    turns = Turns(1)
    for turn in (turns.call, lambda: turns.recording("a")):
        try:
            with turn():
                raise KeyError
        except KeyError:
            with turns.call():
                pass
