"""How many datagrams are read of whom."""

from earwitness.doors.siprec.rates import (
    CALLER_PER_SECOND,
    CALLERS_MAX,
    STRANGER_PER_SECOND,
    STRANGERS_PER_SECOND,
    DatagramRates,
)


class Flood:
    """Rates, and a clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rates = DatagramRates(monotonic=lambda: self.now)

    def taken(self, address: str, count: int) -> int:
        return sum(self.rates.may_take(address) for _ in range(count))


def test_a_stranger_has_a_rate_and_others_have_theirs() -> None:
    flood = Flood()
    assert flood.taken("192.0.2.1", 10_000) == 2 * STRANGER_PER_SECOND
    assert flood.taken("192.0.2.2", 10) == 10
    flood.now += 1.0
    assert flood.taken("192.0.2.1", 10_000) == STRANGER_PER_SECOND


def test_strangers_together_have_a_rate_and_leave_that_of_callers() -> None:
    flood = Flood()
    flood.rates.called("192.0.2.200")
    assert sum(flood.taken(f"198.51.{high}.{low}", 1) for high in range(100) for low in range(250)) == (
        2 * STRANGERS_PER_SECOND
    )
    assert flood.taken("192.0.2.200", 10_000) == 2 * CALLER_PER_SECOND


def test_addresses_of_one_ipv6_network_share() -> None:
    flood = Flood()
    assert sum(flood.taken(f"2001:db8::{number:x}", 1) for number in range(1_000)) == 2 * STRANGER_PER_SECOND


def test_callers_that_are_remembered_are_bounded() -> None:
    flood = Flood()
    for number in range(CALLERS_MAX + 1):
        flood.rates.called(f"10.0.{number // 256}.{number % 256}")
    assert flood.taken("10.0.0.0", 10_000) == 2 * STRANGER_PER_SECOND
    assert flood.taken("10.0.0.1", 10_000) == 2 * CALLER_PER_SECOND
