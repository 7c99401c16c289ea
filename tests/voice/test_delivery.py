"""Attempts spread out, within bounds, and come to an end."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.tasks.retrying import (
    AGE_MAX,
    ATTEMPTS_MAX,
    DELAY_SECONDS_MIN,
    DELIVERY_DELAY_SECONDS_MAX,
    is_to_be_parked,
    next_delay_seconds,
)

attempts = st.integers(min_value=1, max_value=10**9)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
ALMOST_ONE = 1 - 2**-53


@given(attempts, chances, st.none() | st.floats(min_value=0, max_value=1e12))
def test_a_delay_stays_within_its_bounds(attempts: int, chance: float, asked: float | None) -> None:
    delay = next_delay_seconds(attempts=attempts, chance=chance, asked_seconds=asked)
    assert DELAY_SECONDS_MIN <= delay <= DELIVERY_DELAY_SECONDS_MAX
    assert asked is None or delay >= min(asked, DELIVERY_DELAY_SECONDS_MAX)


@given(attempts, chances)
def test_a_later_attempt_waits_no_shorter(attempts: int, chance: float) -> None:
    before = next_delay_seconds(attempts=attempts, chance=chance)
    assert next_delay_seconds(attempts=attempts + 1, chance=chance) >= before


@pytest.mark.parametrize(("attempts", "longest"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (1000, 300)])
def test_the_bound_doubles(attempts: int, longest: float) -> None:
    assert next_delay_seconds(attempts=attempts, chance=0) == DELAY_SECONDS_MIN
    assert next_delay_seconds(attempts=attempts, chance=ALMOST_ONE) == pytest.approx(longest)


def test_what_the_sink_asks_for_is_kept_to() -> None:
    assert next_delay_seconds(attempts=1, chance=0, asked_seconds=60) == 60
    assert next_delay_seconds(attempts=1, chance=0, asked_seconds=86_400) == DELIVERY_DELAY_SECONDS_MAX


@pytest.mark.parametrize(
    ("attempts", "age", "retryable", "parked"),
    [
        (1, timedelta(0), True, False),
        (1, timedelta(0), False, True),
        (ATTEMPTS_MAX - 1, AGE_MAX - timedelta(seconds=1), True, False),
        (ATTEMPTS_MAX, timedelta(0), True, True),
        (1, AGE_MAX, True, True),
    ],
)
def test_when_an_event_is_put_aside(attempts: int, age: timedelta, retryable: bool, parked: bool) -> None:
    assert is_to_be_parked(attempts=attempts, age=age, retryable=retryable) is parked
