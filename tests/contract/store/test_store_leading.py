"""One process serves the records: the claim, its end, its loss. Over SQLite and PostgreSQL where both have it alike."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from store_examples import MINE, add_domain

from earwitness.errors import AnotherProcessServes
from earwitness.store.leading import LEASE_SECONDS, Leader
from earwitness.store.store import Store
from earwitness.tasks.leading import leading, this_process


def leader(name: str) -> Leader:
    return Leader(holder=f"holder {name}", host=f"{name}.example.net", process=4711)


FIRST, SECOND = leader("first"), leader("second")


@pytest.fixture
def other(open_again: Callable[[float], Store]) -> Store:
    return open_again(20.0)


@pytest.fixture
def postgres_only(kind: str) -> None:
    if kind != "postgresql":
        pytest.skip("a lease; SQLite has a lock")


def let_lease_end(store: Store) -> None:
    """As if the leader had been silent for as long as its lease lasts."""
    with store._database.engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET alive_until = alive_until - 16000000"))


def test_the_second_hears_who_the_first_is(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    held = other.leading.claim(SECOND)
    assert held is not None
    assert held.leader == FIRST
    assert abs(held.since - datetime.now(UTC)) < timedelta(minutes=5)
    store.leading.renew()
    store.write(add_domain)
    other.write(add_domain)  # as a command may, which never led


def test_who_gives_up_leaves_no_wait(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    store.leading.release()
    assert other.leading.claim(SECOND) is None
    store.leading.release()
    assert store.leading.claim(FIRST) is not None


@pytest.mark.usefixtures("postgres_only")
def test_a_lease_is_renewed_by_the_clock_of_the_database(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    before = other.leading.claim(SECOND)
    store.leading.renew()
    after = other.leading.claim(SECOND)
    assert before and after and after.renewed > before.renewed
    assert before.since == after.since
    assert after.seconds_left is not None and LEASE_SECONDS - 5 < after.seconds_left <= LEASE_SECONDS


@pytest.mark.usefixtures("postgres_only")
def test_whoever_lost_the_place_changes_nothing(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    let_lease_end(store)
    store.write(add_domain)  # nobody took the place: it is as good as before
    assert other.leading.claim(SECOND) is None
    with pytest.raises(AnotherProcessServes):
        store.write(add_domain)
    with pytest.raises(AnotherProcessServes):
        store.leading.renew()
    assert store.domains.count(MINE) == 1
    store.leading.release()  # changes nothing of the other's
    other.leading.renew()
    other.write(add_domain)


@pytest.mark.usefixtures("postgres_only")
def test_nobody_takes_over_in_the_middle_of_a_change(store: Store, open_again: Callable[[float], Store]) -> None:
    hasty = open_again(0.1)
    assert store.leading.claim(FIRST) is None

    def change(unit):
        let_lease_end(store)
        with pytest.raises(Exception, match="PostgreSQL"):
            hasty.leading.claim(SECOND)
        return add_domain(unit)

    store.write(change)
    assert hasty.leading.claim(SECOND) is None


@pytest.mark.usefixtures("postgres_only")
def test_a_leader_that_is_gone_is_waited_for(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    said: list[str] = []

    def pause(_: float) -> None:
        let_lease_end(store)

    with leading(other.leading, SECOND, on_waiting=said.append, on_lost=_never, pause=pause) as lead:
        lead.require()
    assert len(said) == 1
    assert "process 4711 on first.example.net" in said[0]


@pytest.mark.usefixtures("postgres_only")
def test_a_leader_that_renews_is_not_waited_for(store: Store, other: Store) -> None:
    assert store.leading.claim(FIRST) is None
    refused = leading(
        other.leading, SECOND, on_waiting=_say_nothing, on_lost=_never, pause=lambda _: store.leading.renew()
    )
    with pytest.raises(AnotherProcessServes, match=r"process 4711 on first\.example\.net .* 6 s"), refused:
        raise AssertionError("two lead")


def test_a_lock_refuses_at_once_and_ends_in_order(store: Store, other: Store, kind: str) -> None:
    if kind != "sqlite":
        pytest.skip("a lock; PostgreSQL has a lease")
    with leading(store.leading, this_process(), on_waiting=_never, on_lost=_never, pause=_never):
        refused = leading(other.leading, this_process(), on_waiting=_never, on_lost=_never, pause=_never)
        with pytest.raises(AnotherProcessServes, match=r"process \d+ on .* serves these records"), refused:
            raise AssertionError("two lead")
    with leading(other.leading, this_process(), on_waiting=_never, on_lost=_never, pause=_never) as lead:
        lead.require()


def test_the_lock_of_a_full_disk_names_nobody(store: Store, other: Store, kind: str) -> None:
    if kind != "sqlite":
        pytest.skip("a lock; PostgreSQL has a lease")
    assert store.leading.claim(FIRST) is None
    store.leading._path.write_bytes(b'{"holder"')  # pyright: ignore[reportAttributeAccessIssue]
    held = other.leading.claim(SECOND)
    assert held is not None and held.leader.host == ""


def _never(*_: object) -> None:
    raise AssertionError("this is not called here")


def _say_nothing(_: str) -> None:
    return
