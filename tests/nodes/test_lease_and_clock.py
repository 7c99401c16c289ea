"""The lease of a node by its own clock, and the time of all nodes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from earwitness.errors import Unavailable
from earwitness.nodes.clock import NodeClock
from earwitness.nodes.lease import MARGIN_SECONDS, Lease
from earwitness.store.leading import LEASE_SECONDS, Renewal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HELD = LEASE_SECONDS - MARGIN_SECONDS


class Monotonic:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.now += seconds


def renewal(asked_at: float, *, took: float = 0.0, at: datetime = NOON) -> Renewal:
    return Renewal(asked_at=asked_at, answered_at=asked_at + took, database_time=at)


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def lease(monotonic: Monotonic) -> Lease:
    return Lease(monotonic=monotonic, pause=monotonic.pause)


def test_it_counts_from_before_the_question(lease: Lease, monotonic: Monotonic) -> None:
    assert not lease.holds()
    lease.renewed(renewal(monotonic.now - 3, took=3))  # the answer was slow
    monotonic.now += HELD - 3.01
    assert lease.holds()
    monotonic.now += 0.02
    assert not lease.holds()


def test_an_older_answer_takes_nothing_away(lease: Lease, monotonic: Monotonic) -> None:
    lease.renewed(renewal(monotonic.now))
    lease.renewed(renewal(monotonic.now - 4))
    monotonic.now += HELD - 0.01
    assert lease.holds()


def test_who_just_came_back_judges_nobody(lease: Lease, monotonic: Monotonic) -> None:
    for _ in range(5):
        lease.renewed(renewal(monotonic.now))
        monotonic.now += 2
    assert lease.may_judge()
    monotonic.now += 60  # the database was away
    assert not lease.may_judge()
    lease.renewed(renewal(monotonic.now))
    assert lease.holds()
    assert not lease.may_judge()
    for _ in range(4):
        monotonic.now += 2
        lease.renewed(renewal(monotonic.now))
    assert lease.may_judge()


def test_what_is_kept_waits_for_the_lease_and_not_for_ever(lease: Lease, monotonic: Monotonic) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(lease.require(seconds_max=2))
    assert monotonic.now == pytest.approx(1_002, abs=0.5)
    lease.renewed(renewal(monotonic.now))
    asyncio.run(lease.require(seconds_max=0))


def test_the_time_is_the_databases_and_runs_on_by_itself(monotonic: Monotonic) -> None:
    clock = NodeClock(monotonic=monotonic)
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=1)
    clock.renewed(renewal(monotonic.now))
    assert clock() == NOON
    monotonic.now += 90
    assert clock() == NOON + timedelta(seconds=90)


def test_a_slow_answer_changes_nothing_that_a_quick_one_knew(monotonic: Monotonic) -> None:
    clock = NodeClock(monotonic=monotonic)
    clock.renewed(renewal(monotonic.now))
    monotonic.now += 4
    clock.renewed(renewal(monotonic.now - 4, took=4, at=NOON + timedelta(seconds=3.5)))  # told late within these 4 s
    assert clock() == NOON + timedelta(seconds=4)
    clock.renewed(renewal(monotonic.now, at=NOON + timedelta(seconds=70)))  # the database's clock was set
    assert clock() == NOON + timedelta(seconds=70)
