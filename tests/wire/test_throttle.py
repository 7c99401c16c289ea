"""Token buckets by key and operation, with a clock that is turned by hand."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import Throttled
from earwitness.wire.buckets import BURST_SECONDS, Buckets, Throttle


def passed(throttle: Throttle, times: int, *, key_id: str = "key", operation: str = "Get", at: float = 0.0) -> int:
    """How many of some calls at one time are let through."""
    count = 0
    for _ in range(times):
        try:
            throttle.take(key_id, operation, now_seconds=at)
        except Throttled:
            continue
        count += 1
    return count


def test_a_burst_and_then_the_rate() -> None:
    throttle = Throttle(per_second=10)
    assert passed(throttle, 100) == 10 * BURST_SECONDS
    assert passed(throttle, 100, at=0.5) == 5
    assert passed(throttle, 100, at=0.59) == 0
    assert passed(throttle, 100, at=0.61) == 1
    assert passed(throttle, 100, at=1_000) == 10 * BURST_SECONDS


def test_keys_and_operations_do_not_count_for_each_other() -> None:
    throttle = Throttle(per_second=1, overrides={"List": 5})
    assert passed(throttle, 10) == 2
    assert passed(throttle, 10, key_id="other") == 2
    assert passed(throttle, 10, operation="Create") == 2
    assert passed(throttle, 20, operation="List") == 10


def test_zero_is_no_limit() -> None:
    assert passed(Throttle(per_second=0), 10_000) == 10_000
    assert passed(Throttle(per_second=1, overrides={"Get": 0}), 10_000) == 10_000
    assert passed(Throttle(per_second=0, overrides={"Get": 1}), 100) == 2


def test_less_than_one_a_second_lets_the_first_through() -> None:
    throttle = Throttle(per_second=0.1)
    assert passed(throttle, 5) == 1
    assert passed(throttle, 5, at=9.9) == 0
    assert passed(throttle, 5, at=10.1) == 1


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    throttle = Throttle(per_second=10)
    passed(throttle, 100, at=50)
    assert passed(throttle, 100, at=40) == 0
    assert passed(throttle, 100, at=50) <= 100  # time is counted from the latest look at the clock


def test_the_message_says_what_to_do_and_not_who_asked() -> None:
    throttle = Throttle(per_second=1.5)
    passed(throttle, 3, key_id="EARWKEY")
    with pytest.raises(Throttled, match=r"more than 1\.5 calls of Get a second with this key; wait") as caught:
        throttle.take("EARWKEY", "Get", now_seconds=0)
    assert caught.value.retryable
    assert "EARWKEY" not in str(caught.value)


def test_memory_is_bounded_and_the_busy_are_remembered() -> None:
    throttle = Throttle(per_second=1, buckets_max=10)
    for number in range(1_000):
        passed(throttle, 1, key_id=f"key{number}")
        passed(throttle, 1, key_id="busy")
    assert len(throttle._buckets._buckets) == 10
    assert passed(throttle, 1, key_id="busy") == 0


def test_threads_do_not_get_more_than_one() -> None:
    throttle = Throttle(per_second=500)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(passed(throttle, 400))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1_000


@given(rate=st.floats(0.1, 1_000), waits=st.lists(st.floats(0, 5), max_size=30), buckets_max=st.integers(1, 3))
def test_never_more_than_burst_and_rate_allow(rate: float, waits: list[float], buckets_max: int) -> None:
    throttle = Throttle(per_second=rate, buckets_max=buckets_max)
    now = let = 0.0
    for wait in [0.0, *waits]:
        now += wait
        let += passed(throttle, 3, at=now)
        assert let <= max(1.0, rate * BURST_SECONDS) + rate * now + 1e-6 * (1 + let)


def test_whoever_spends_and_waits_keeps_the_rate() -> None:
    buckets = Buckets()
    assert [buckets.spend("a", rate=5, now_seconds=0) for _ in range(12)] == [0.0] * 10 + [0.2, 0.4]
    assert buckets.spend("b", rate=5, now_seconds=0) == 0.0
    assert buckets.spend("a", rate=5, now_seconds=0.4) == pytest.approx(0.2)
    assert buckets.spend("a", rate=100, now_seconds=0, cost=1_000) > 7.9


def test_what_no_bucket_can_hold_needs_a_full_one() -> None:
    buckets = Buckets()
    assert buckets.take("a", rate=5, now_seconds=0, cost=1_000) == 0
    assert buckets.take("a", rate=5, now_seconds=1.9, cost=1_000) == pytest.approx(0.1)
    assert buckets.take("a", rate=5, now_seconds=2.0, cost=1_000) == 0
    assert buckets.take("a", rate=5, now_seconds=2.0) == pytest.approx(0.2)


@given(costs=st.lists(st.floats(0, 1_000), max_size=30), rate=st.floats(0.1, 1_000))
def test_spending_as_told_is_never_faster_than_burst_and_rate(costs: list[float], rate: float) -> None:
    buckets, now, spent = Buckets(), 0.0, 0.0
    for cost in costs:
        now += buckets.spend("a", rate=rate, now_seconds=now, cost=cost)
        spent += cost
        assert spent <= max(1.0, rate * BURST_SECONDS) + rate * now + 1e-6 * (1 + spent)
