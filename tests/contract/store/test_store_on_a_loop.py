"""Reads on an event loop, where SQLite has one snapshot a turn: never older than a read by itself would be."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy import make_url
from store_examples import MINE, add_domain

from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Store, Unit


@pytest.fixture
def only_sqlite(kind: str) -> None:
    if kind != "sqlite":
        pytest.skip("PostgreSQL has no snapshots of a turn")


def _named(store: Store, domain: VoiceProfileDomain) -> str:
    found = store.domains.get(MINE, domain.domain_id)
    assert found is not None
    return found.name


def _rename(domain: VoiceProfileDomain, name: str) -> Callable[[Unit], object]:
    return lambda unit: unit.domains.update(MINE, domain.domain_id, name=name)


async def _next_turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_whoever_changes_a_record_reads_the_change_in_the_same_turn(store: Store) -> None:
    domain = store.write(add_domain)

    async def turns() -> None:
        assert _named(store, domain) == domain.name
        for number in range(3):
            store.write(_rename(domain, f"name {number}"))
            assert _named(store, domain) == f"name {number}"
            assert store.domains.list(MINE, limit=1).items[0].name == f"name {number}"

    asyncio.run(turns())


def test_a_turn_reads_what_others_changed_before_it(store: Store, open_again: Callable[[], Store]) -> None:
    domain = store.write(add_domain)
    other = open_again()

    async def turns() -> None:
        for number in range(20):
            assert _named(store, domain) == (f"name {number - 1}" if number else domain.name)
            other.write(_rename(domain, f"name {number}"))
            await _next_turn()
            assert _named(store, domain) == f"name {number}"
        other.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
        await _next_turn()
        assert store.domains.get(MINE, domain.domain_id) is None

    asyncio.run(turns())


def test_what_a_thread_changed_is_there_when_it_has_said_so(store: Store) -> None:
    domain = store.write(add_domain)

    async def turns() -> None:
        for number in range(50):
            assert _named(store, domain)
            await asyncio.to_thread(store.write, _rename(domain, f"name {number}"))
            assert _named(store, domain) == f"name {number}"
            assert await asyncio.to_thread(_named, store, domain) == f"name {number}"

    asyncio.run(turns())


@pytest.mark.usefixtures("only_sqlite")
def test_a_turn_has_one_snapshot_for_all_kinds_of_reads(store: Store, open_again: Callable[[], Store]) -> None:
    domain = store.write(add_domain)
    other = open_again()

    async def turns() -> None:
        assert _named(store, domain) == domain.name
        other.write(_rename(domain, "new"))
        assert _named(store, domain) == domain.name
        assert store.domains.list(MINE, limit=1).items[0].name == domain.name
        await _next_turn()
        assert _named(store, domain) == "new"
        assert store.domains.list(MINE, limit=1).items[0].name == "new"

    asyncio.run(turns())


@pytest.mark.usefixtures("only_sqlite")
def test_a_record_is_made_once_while_nobody_changes_any(store: Store, open_again: Callable[[], Store]) -> None:
    domain = store.write(add_domain)
    other = open_again()

    async def turns() -> None:
        first = store.domains.get(MINE, domain.domain_id)
        await _next_turn()
        assert store.domains.get(MINE, domain.domain_id) is first
        other.write(add_domain)  # another record of another process
        await _next_turn()
        again = store.domains.get(MINE, domain.domain_id)
        assert again == first
        assert again is not first

    asyncio.run(turns())


@pytest.mark.usefixtures("only_sqlite")
def test_a_loop_that_stops_in_the_middle_of_a_turn_leaves_nothing_old(store: Store) -> None:
    domain = store.write(add_domain)

    async def read() -> str:
        return _named(store, domain)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert first.run_until_complete(read()) == domain.name
        store.write(_rename(domain, "new"))
        assert _named(store, domain) == "new"
        assert second.run_until_complete(read()) == "new"
        assert first.run_until_complete(read()) == "new"
        first.close()
        store.write(_rename(domain, "newer"))
        assert second.run_until_complete(read()) == "newer"
    finally:
        first.close()
        second.close()


@pytest.mark.usefixtures("only_sqlite")
def test_a_snapshot_keeps_nobody_from_writing_or_emptying_the_log(store: Store, url: str) -> None:
    domain = store.write(add_domain)

    async def turns() -> None:
        assert _named(store, domain) == domain.name
        await asyncio.to_thread(store.write, lambda unit: unit.domains.delete(MINE, domain.domain_id))
        await _next_turn()
        with sqlite3.connect(str(make_url(url).database)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # nobody in the way
        connection.close()

    asyncio.run(turns())


@pytest.mark.usefixtures("only_sqlite")
def test_a_store_closed_within_a_turn_lets_the_database_go(
    store: Store, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    domain = store.write(add_domain)

    async def turns() -> None:
        assert _named(store, domain) == domain.name
        store.close()
        await _next_turn()

    with caplog.at_level(logging.WARNING):
        asyncio.run(turns())
    assert not caplog.records
    with sqlite3.connect(str(make_url(url).database), isolation_level=None) as connection:
        assert connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone() == ("exclusive",)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    connection.close()
