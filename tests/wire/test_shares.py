"""Slots that are shared: nobody takes all of them, and whoever has none finds one."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import Unavailable
from earwitness.wire.shares import Shares, may_take, most

REFUSAL = "wait for one of yours"


def fill(shares: Shares, holder: str, stack: ExitStack) -> int:
    """Take slots for a holder until it gets no more; how many it got."""
    got = 0
    while True:
        try:
            stack.enter_context(shares.taken(holder))
        except Unavailable as refused:
            assert str(refused) == REFUSAL
            return got
        got += 1


def test_one_holder_leaves_room_for_the_next() -> None:
    shares = Shares(12, refusal=REFUSAL)
    with ExitStack() as stack:
        assert [fill(shares, name, stack) for name in "abcdef"] == [6, 3, 2, 1, 0, 0]
        assert shares.held("a") == 6
    with ExitStack() as stack:  # all came back
        assert fill(shares, "f", stack) == 6


def test_a_weight_keeps_less_for_others() -> None:
    with ExitStack() as stack:
        assert fill(Shares(200, refusal=REFUSAL, weight=4), "a", stack) == 160


def test_slots_come_back_when_the_work_fails() -> None:
    shares = Shares(1, refusal=REFUSAL)
    for _ in range(3):
        with pytest.raises(KeyError), shares.taken("a"):
            raise KeyError
    assert shares.held("a") == 0
    with shares.taken("a"), pytest.raises(Unavailable), shares.taken("b"):
        pass


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 5))
def test_what_a_holder_may_have_is_what_it_gets(held: int, free: int, weight: int) -> None:
    told = most(held, free=free, weight=weight)
    while may_take(held, free=free, weight=weight):
        held, free = held + 1, free - 1
    assert told == held


@given(st.lists(st.integers(0, 5), max_size=200))
def test_a_holder_that_has_none_finds_a_slot_while_there_are_fewer_holders_than_slots(asking: list[int]) -> None:
    shares = Shares(12, refusal=REFUSAL)
    with ExitStack() as stack:
        for holder in asking:
            try:
                stack.enter_context(shares.taken(holder))
            except Unavailable:
                assert shares.held(holder) > 0
