"""Whoever tries keys waits longer and longer, by address; memory stays bounded."""

import pytest

from earwitness.wire.wrong_credentials import (
    DELAY_SECONDS_FIRST,
    DELAY_SECONDS_MAX,
    FORGOTTEN_AFTER_SECONDS,
    FREE_FAILURES,
    WrongCredentials,
)


def delays(table: WrongCredentials, count: int, address: str = "192.0.2.1", *, at: float = 0.0) -> list[float]:
    return [table.failed(address, now_seconds=at) for _ in range(count)]


def test_a_few_are_free_then_the_delay_doubles_up_to_its_limit() -> None:
    found = delays(WrongCredentials(), FREE_FAILURES + 1_000)
    assert found[:FREE_FAILURES] == [0.0] * FREE_FAILURES
    assert found[FREE_FAILURES : FREE_FAILURES + 3] == pytest.approx([0.1, 0.2, 0.4])
    assert found == sorted(found)
    assert found[-1] == DELAY_SECONDS_MAX


def test_addresses_do_not_count_for_each_other() -> None:
    table = WrongCredentials()
    delays(table, FREE_FAILURES)
    assert delays(table, 1, "192.0.2.2") == [0.0]
    assert delays(table, 1) == [DELAY_SECONDS_FIRST]


def test_silence_is_forgiven() -> None:
    table = WrongCredentials()
    delays(table, FREE_FAILURES + 5)
    assert delays(table, 1, at=FORGOTTEN_AFTER_SECONDS)[0] > DELAY_SECONDS_FIRST
    assert delays(table, 1, at=2 * FORGOTTEN_AFTER_SECONDS + 1) == [0.0]


def test_who_tries_slowly_is_not_forgiven() -> None:
    table = WrongCredentials()
    found = [table.failed("192.0.2.1", now_seconds=200.0 * i) for i in range(FREE_FAILURES + 10)]
    assert found[-1] == DELAY_SECONDS_MAX


def test_memory_is_bounded_and_the_latest_are_remembered() -> None:
    table = WrongCredentials(addresses_max=100)
    for number in range(10_000):
        table.failed(f"198.51.{number // 256}.{number % 256}", now_seconds=0)
        last = table.failed("192.0.2.1", now_seconds=0)
    assert len(table._records) == 100
    assert last == DELAY_SECONDS_MAX


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("unix socket", "unix socket", True),
    ],
)
def test_one_customer_of_a_provider_is_one_address(first: str, second: str, one: bool) -> None:
    table = WrongCredentials()
    delays(table, FREE_FAILURES, first)
    assert (table.failed(second, now_seconds=0) > 0) is one
