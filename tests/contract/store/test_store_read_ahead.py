"""Work on an event loop whose point reads PostgreSQL makes beforehand, many in one round trip; SQLite reads at once."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select
from store_examples import MINE, add_domain, guid

from earwitness.errors import StoreBusy, StoreUnavailable
from earwitness.store import read_ahead
from earwitness.store.hot_reads import HotRead
from earwitness.store.postgres import Postgres
from earwitness.store.read_ahead import TOGETHER_MAX, ReadAhead, RowWanted, WantedRow
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.schema import domains
from earwitness.store.store import Store
from patience import PATIENCE_SECONDS


@pytest.fixture
def only_postgres(kind: str) -> None:
    if kind != "postgresql":
        pytest.skip("SQLite's reads need no round trip")


def _domain(store: Store, domain_id: str) -> VoiceProfileDomain | None:
    return store.domains.get(MINE, domain_id)


def _watch(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each round trip had."""
    database = store._database
    assert isinstance(database, Postgres)
    trips: list[int] = []
    real = database.reads.together

    def together(wanted: Sequence[WantedRow]) -> Sequence[Any]:
        trips.append(len(wanted))
        return real(wanted)

    monkeypatch.setattr(database, "ahead", ReadAhead(together))
    return trips


def test_work_on_a_loop_finds_what_is_there(store: Store) -> None:
    domain, nobodys = store.write(add_domain), guid()

    def both() -> tuple[VoiceProfileDomain | None, VoiceProfileDomain | None]:
        return _domain(store, domain.domain_id), _domain(store, nobodys)

    assert asyncio.run(store.on_loop(both)) == (domain, None)


def test_work_that_begins_after_a_change_finds_it(store: Store, open_again: Callable[[], Store]) -> None:
    domain, other = store.write(add_domain), open_again()

    async def turns() -> None:
        for number in range(20):
            name = f"name {number}"
            await asyncio.to_thread(
                other.write, lambda unit, name=name: unit.domains.update(MINE, domain.domain_id, name=name)
            )
            found = await store.on_loop(lambda: _domain(store, domain.domain_id))
            assert found is not None
            assert found.name == name

    asyncio.run(turns())


@pytest.mark.usefixtures("only_postgres")
def test_many_reads_are_one_round_trip(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = [store.write(add_domain) for _ in range(5)]
    trips = _watch(store, monkeypatch)

    async def at_once() -> list[VoiceProfileDomain | None]:
        wanted = [domain.domain_id for domain in domains] * 3
        return await asyncio.gather(*(store.on_loop(lambda name=name: _domain(store, name)) for name in wanted))

    assert asyncio.run(at_once()) == domains * 3
    assert trips == [5]


@pytest.mark.usefixtures("only_postgres")
def test_what_is_no_point_read_is_left_to_a_thread(store: Store) -> None:
    with pytest.raises(StoreBusy):
        asyncio.run(store.on_loop(lambda: store.domains.list(MINE, limit=1)))
    assert store.domains.list(MINE, limit=1).items == ()


@pytest.mark.usefixtures("only_postgres")
def test_a_connection_that_broke_is_left_to_a_thread(store: Store, open_again: Callable[[], Store]) -> None:
    domain = store.write(add_domain)
    assert asyncio.run(store.on_loop(lambda: _domain(store, domain.domain_id))) == domain
    database = open_again()._database
    assert isinstance(database, Postgres)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreBusy):
        asyncio.run(store.on_loop(lambda: _domain(store, domain.domain_id)))
    assert _domain(store, domain.domain_id) == domain
    assert asyncio.run(store.on_loop(lambda: _domain(store, domain.domain_id))) == domain


@pytest.mark.usefixtures("only_postgres")
def test_who_comes_while_reads_take_long_takes_a_thread(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = store.write(add_domain)
    database = store._database
    assert isinstance(database, Postgres)
    go_on, real = threading.Event(), database.reads.together

    def slow(wanted: Sequence[WantedRow]) -> Sequence[Any]:
        assert go_on.wait(60)
        return real(wanted)

    monkeypatch.setattr(database, "ahead", ReadAhead(slow))
    monkeypatch.setattr("earwitness.store.read_ahead.SLOW_SECONDS", -1.0)

    async def two() -> VoiceProfileDomain | None:
        first = asyncio.ensure_future(store.on_loop(lambda: _domain(store, domain.domain_id)))
        await asyncio.sleep(0)
        with pytest.raises(StoreBusy):
            await store.on_loop(lambda: _domain(store, domain.domain_id))
        go_on.set()
        return await first

    assert asyncio.run(two()) == domain


@pytest.mark.usefixtures("only_postgres")
def test_thousands_that_can_wait_are_read_in_parts_and_behind_requests(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "SLOW_SECONDS", PATIENCE_SECONDS)  # it is about the order, not about the time
    domain, trips = store.write(add_domain), _watch(store, monkeypatch)
    order: list[str] = []

    async def read(domain_id: str) -> None:
        assert await store.read(lambda: _domain(store, domain_id), in_thread=asyncio.to_thread) is None  # pyright: ignore[reportArgumentType]
        order.append(domain_id)

    async def request() -> None:
        assert await store.on_loop(lambda: _domain(store, domain.domain_id)) == domain
        order.append("request")

    async def all_at_once() -> None:
        await asyncio.gather(*(read(guid()) for _ in range(2 * TOGETHER_MAX + 1)), request())

    asyncio.run(all_at_once())
    assert trips == [TOGETHER_MAX, TOGETHER_MAX, 2]
    assert "request" in order[:TOGETHER_MAX]


@pytest.mark.usefixtures("only_postgres")
def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(store.on_loop(lambda: _domain(store, guid())))


def test_who_lacks_a_row_is_told_when_the_system_gives_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def lacking() -> None:
        raise RowWanted((HotRead(select(domains)), ()))

    async def scene() -> None:
        ahead = ReadAhead(lambda wanted: [None] * len(wanted))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(StoreUnavailable, match="no more threads"):
                await ahead.run(lacking)

    asyncio.run(scene())
