"""Slots that are shared: nobody takes all of them, and the last one is left for whoever has none."""

from contextlib import ExitStack

import pytest
from hypothesis import example, given
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
@example([0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 1, 3, 4])
def test_a_holder_that_has_none_is_refused_only_when_none_is_free_and_gets_the_last_one(asking: list[int]) -> None:
    shares, free = Shares(12, refusal=REFUSAL), 12
    with ExitStack() as stack:
        for holder in asking:
            held = shares.held(holder)
            try:
                stack.enter_context(shares.taken(holder))
            except Unavailable:
                assert held > 0 or free == 0
            else:
                assert held == 0 or free > 1
                free -= 1
