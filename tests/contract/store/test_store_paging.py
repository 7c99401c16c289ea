"""Pages of long lists: every row once, whatever happens meanwhile, at the same price per page."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import event, make_url, text
from store_examples import MINE, OTHERS, add_domain, add_pipeline, add_profile, add_stream, configuration_arn, guid

from earwitness.errors import BadRequest
from earwitness.store.records import Page, PageKey
from earwitness.store.store import Store

MANY = 10_000


def _walk(read: Callable[[PageKey | None], Page[Any]], meanwhile: Callable[[int], None] = lambda _: None) -> list[Any]:
    items: list[Any] = []
    after: PageKey | None = None
    for number in range(MANY):
        page = read(after)
        items += page.items
        meanwhile(number)
        if page.next_key is None:
            return items
        after = page.next_key
    raise AssertionError("the list does not end")


def _add_many_streams(store: Store, count: int) -> None:
    for first in range(0, count, 500):
        store.write(lambda unit, first=first: [add_stream(unit, f"s{n:06}") for n in range(first, first + 500)])


@pytest.mark.slow
def test_ten_thousand_rows_page_in_order_beside_inserts(store: Store) -> None:
    _add_many_streams(store, MANY)
    before = [f"s{number:06}" for number in range(MANY)]

    def insert(number: int) -> None:
        store.write(lambda unit: add_stream(unit, f"s{number * 97:06}-meanwhile"))
        store.write(lambda unit: add_stream(unit, f"s{number * 97:06}", OTHERS[0]))

    found = [stream.name for stream in _walk(lambda after: store.streams.list(MINE, after=after, limit=100), insert)]
    assert found == sorted(set(found))
    assert [name for name in found if "meanwhile" not in name] == before
    assert store.streams.count(MINE) > MANY


def test_the_streams_of_all_accounts_come_once_each_with_its_account(store: Store) -> None:
    made: list[tuple[str, str]] = []

    def add(scope: Any, name: str) -> None:
        made.append((scope.account_id, store.write(lambda unit: add_stream(unit, name, scope)).arn))

    for scope in (MINE, *OTHERS):
        for name in ("a", "b", "c"):
            add(scope, name)
    before = list(made)
    found = _walk(
        lambda after: store.streams.list_everywhere(after=after, limit=2), lambda page: add(OTHERS[-1], f"new{page}")
    )
    listed = [(account_id, stream.arn) for account_id, stream in found]
    assert len(set(listed)) == len(listed)
    assert set(before) <= set(listed) <= set(made)


def test_the_newest_first_list_shows_what_was_there_once(store: Store) -> None:
    there = [store.write(add_pipeline).pipeline_id for _ in range(25)]
    found = _walk(
        lambda after: store.pipelines.list(MINE, after=after, limit=4), lambda _: store.write(add_pipeline) and None
    )
    assert [pipeline.pipeline_id for pipeline in found] == there[::-1]


def test_a_page_may_end_in_a_deleted_row(store: Store) -> None:
    domains = [store.write(add_domain) for _ in range(5)]
    page = store.domains.list(MINE, limit=2)
    store.write(lambda unit: unit.domains.delete(MINE, domains[1].domain_id))
    assert store.domains.list(MINE, after=page.next_key, limit=2).items == (domains[2], domains[3])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_a_full_last_page_says_that_it_is_the_last(store: Store, count: int) -> None:
    store.write(lambda unit: [add_stream(unit, f"s{number}") for number in range(count)])
    page = store.streams.list(MINE, limit=4)
    assert len(page.items) == count
    assert page.next_key is None


def test_rows_of_the_same_microsecond_are_not_lost(store: Store) -> None:
    domain = store.write(add_domain)
    store.write(lambda unit: [add_profile(unit, domain.domain_id) for _ in range(9)])
    found = _walk(lambda after: store.profiles.list(MINE, domain.domain_id, after=after, limit=2))
    assert len({profile.profile_id for profile in found}) == len(found) == 9


@pytest.mark.parametrize("key", [(), ("x",), (1, 2), ("x", "y"), (1, "x", "y"), (True, "x"), (1.5, "x")])
def test_the_key_of_another_list_is_a_bad_request(store: Store, key: Any) -> None:
    with pytest.raises(BadRequest):
        store.domains.list(MINE, after=key, limit=2)
    with pytest.raises(BadRequest):
        store.domains.list(MINE, limit=0)


def test_every_page_is_read_from_an_index(store: Store, url: str, kind: str) -> None:
    """A plan that sorts, or reads from the beginning, would make later pages dearer."""
    if kind != "sqlite":
        pytest.skip("PostgreSQL chooses plans by statistics; test_a_late_page_costs_what_an_early_one_does covers it")
    statements: list[tuple[str, Any]] = []

    def keep(*call: Any) -> None:
        _, _, sql, values, _, _ = call
        statements.append((sql, values))

    reads: Any = store._database.reads  # SQLite's, which has engines
    event.listen(reads._engine, "before_cursor_execute", keep)
    _list_everything(store)
    statements = [(sql, values) for sql, values in statements if not sql.startswith("PRAGMA")]
    assert len(statements) == 10
    with closing(sqlite3.connect(str(make_url(url).database))) as raw:
        for sql, values in statements:
            plan = " ".join(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values))
            assert "SEARCH" in plan, (sql, plan)
            assert "B-TREE" not in plan, (sql, plan)


def _list_everything(store: Store) -> None:
    store.access_keys.list(MINE.account_id, after=(1, "x"), limit=5)
    store.bearer_tokens.list(MINE.account_id, after=(1, "x"), limit=5)
    store.configurations.list(MINE, after=("x",), limit=5)
    store.pipelines.list(MINE, after=(1, "x"), limit=5)
    store.domains.list(MINE, after=(1, "x"), limit=5)
    store.streams.list_everywhere(after=("x", "y", "z"), limit=5)
    store.profiles.list(MINE, "d", after=(1, "x"), limit=5)
    store.streams.list(MINE, after=("x",), limit=5)
    store.streams.list(MINE, name_prefix="x", after=("x",), limit=5)
    store.audit.list(MINE, after=(1,), limit=5)


@pytest.mark.slow
def test_a_late_page_costs_what_an_early_one_does(store: Store, kind: str) -> None:
    if kind != "postgresql":
        pytest.skip("test_every_page_is_read_from_an_index covers SQLite")
    _add_many_streams(store, 4000)
    engine = store._database.engine
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
        plan = connection.execute(
            text(
                "EXPLAIN SELECT name FROM kinesis_streams WHERE account_id = :a AND region = :r AND (name) > (:n) "
                "ORDER BY name LIMIT 101"
            ),
            {"a": MINE.account_id, "r": MINE.region, "n": "s003000"},
        ).scalars()
        lines = "\n".join(plan)
    assert "Index" in lines
    assert "Sort" not in lines


def test_readers_in_many_threads_see_the_same(store: Store) -> None:
    name = configuration_arn("analytics")
    store.write(
        lambda unit: unit.configurations.create(MINE, configuration_id=guid(), name="analytics", arn=name, body={})
    )
    domain = store.write(add_domain)
    wrong: list[object] = []

    def read() -> None:
        for _ in range(100):
            if store.domains.get(MINE, domain.domain_id) != domain:
                wrong.append(domain)
            if len(store.configurations.list(MINE, limit=5).items) != 1:
                wrong.append(name)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
