"""A PostgreSQL that stands still: stopped processes, a disk that hangs. And one that takes no changes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from threading import Event, Thread

import psycopg
import pytest
from postgres_server import frozen, serve_postgres
from psycopg import sql
from sqlalchemy import make_url, text
from store_examples import MINE, add_domain, opened

from earwitness.errors import StoreFull, StoreUnavailable
from earwitness.store.postgres_answers import Answers
from earwitness.store.store import Store
from patience import PATIENCE_SECONDS, until

LIMIT_SECONDS = 0.3


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    yield from serve_postgres(own=True, settings=["max_connections=20"])


@pytest.mark.slow
def test_every_call_to_a_server_that_stands_still_ends_and_it_is_used_again_later(own_server: str) -> None:
    store = opened(own_server, wait_seconds_max=LIMIT_SECONDS)
    domain = store.write(add_domain)
    calls = (
        lambda: store.domains.get(MINE, domain.domain_id),  # a point read, by the driver
        lambda: store.domains.count(MINE),
        lambda: store.write(add_domain),
        store.require_ready,
    )

    def ask(number: int) -> str:
        with pytest.raises(StoreUnavailable) as caught:
            calls[number % len(calls)]()
        return str(caught.value)

    def again() -> bool:
        try:
            return store.domains.get(MINE, domain.domain_id) == domain and store.domains.count(MINE) >= 1
        except StoreUnavailable:
            return False

    with ThreadPoolExecutor(20) as threads:
        with frozen(own_server):
            asked = [threads.submit(ask, number) for number in range(20)]
            said = [one.result(PATIENCE_SECONDS) for one in asked]
            # It is known now: one call tries, which may take the limit, and all others are told at once.
            said += [one.result(PATIENCE_SECONDS) for one in [threads.submit(ask, number) for number in range(100)]]
        assert sum("does not answer" in one for one in said) >= 100
        assert {one for one in said if "does not answer" not in one} <= {
            "all connections to PostgreSQL are in use; try again"
        }
    give_up = 50
    while not again():  # each failure takes the limit of a connection that was being made
        give_up -= 1
        assert give_up
    store.close()


def test_one_call_at_a_time_tries_a_server_that_does_not_answer() -> None:
    now = [0.0]
    answers = Answers(monotonic=lambda: now[0])
    with answers.asking():
        answers.missed()
    now[0] = 7.0
    tries, over = Event(), Event()

    def try_it() -> None:
        with answers.asking():
            answers.require()  # a connection that it makes
            tries.set()
            over.wait(PATIENCE_SECONDS)

    trying = Thread(target=try_it)
    trying.start()
    assert tries.wait(PATIENCE_SECONDS)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"does not answer.*\(for 7 s\)"), answers.asking():
            pass
    over.set()
    trying.join()
    with answers.asking():  # the next one tries
        answers.heard()
    with answers.asking():
        answers.require()


def test_a_call_that_waited_in_vain_does_not_try_again() -> None:
    answers = Answers(monotonic=lambda: 0.0)
    with answers.asking():
        answers.missed()
    with answers.asking():  # this thread tries
        answers.require()
        answers.missed()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            answers.require()  # as for the connection that would take the place of the one given up
        over = Event()
        other = Thread(target=lambda: (answers.asking().__enter__(), over.set()))  # but another one may
        other.start()
        assert over.wait(PATIENCE_SECONDS)
        other.join()


def _set_read_only(url: str, value: str) -> None:
    alter = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute(alter.format(sql.Identifier(str(make_url(url).database)), sql.Literal(value)))
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_records_that_take_no_changes_are_not_ready(store: Store, url: str, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("root may write to any file")
    store.require_ready()
    _set_read_only(url, "on")
    with pytest.raises(StoreUnavailable, match="default_transaction_read_only is on"):
        store.require_ready()
    with pytest.raises(StoreUnavailable, match="takes no changes"):
        store.write(add_domain)
    _set_read_only(url, "off")
    store.require_ready()


_OTHERS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


@pytest.mark.slow
def test_a_server_without_a_connection_left_says_so_and_is_used_again_later(own_server: str) -> None:
    store = opened(own_server)
    before = store.domains.count(MINE)
    with ExitStack() as held:
        first = held.enter_context(closing(psycopg.connect(own_server, autocommit=True)))
        first.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
        until(lambda: first.execute(f"SELECT 1 {_OTHERS}").fetchone() is None)
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(closing(psycopg.connect(own_server)))
        for ask in (lambda: store.write(add_domain), lambda: store.domains.count(MINE), store.require_ready):
            with pytest.raises(StoreUnavailable, match="no connection left"):
                ask()
    until(lambda: _is_ready(store))
    store.write(add_domain)
    assert store.domains.count(MINE) == before + 1
    store.close()


def _is_ready(store: Store) -> bool:
    try:
        store.require_ready()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.slow
def test_what_was_acknowledged_is_there_though_connections_are_ended_all_the_time(own_server: str) -> None:
    store = opened(own_server)
    over, done = Event(), list[str]()

    def write() -> None:
        while not over.is_set():
            with suppress(StoreUnavailable):
                done.append(store.write(add_domain).domain_id)

    with ThreadPoolExecutor(4) as threads, closing(psycopg.connect(own_server, autocommit=True)) as other:
        writers = [threads.submit(write) for _ in range(4)]
        try:
            for _ in range(20):
                now = len(done)
                until(lambda now=now: len(done) > now + 2)
                other.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
        finally:
            over.set()
        for writer in writers:
            writer.result(PATIENCE_SECONDS)
    assert len(done) >= 60
    until(lambda: _is_ready(store))
    assert all(store.domains.get(MINE, domain_id) for domain_id in done)
    store.close()


def test_a_full_disk_of_postgresql_is_called_by_its_name(own_server: str) -> None:
    store = opened(own_server)
    raising = text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$")  # what it says then
    with pytest.raises(StoreFull, match="disk of PostgreSQL is full"):
        store._database.write(lambda session: session._connection.execute(raising))
    store.close()
