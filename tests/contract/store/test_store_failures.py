"""What goes wrong around a database: locks, full disks, servers that are away, processes that are killed."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from store_examples import MINE, Clock, add_domain, add_stream, opened, vault

import started
from earwitness.errors import (
    BadRequest,
    ConfigurationError,
    MasterKeyInvalid,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
)
from earwitness.store.sqlite import Sqlite
from earwitness.store.store import Store, Unit, migrate_store, open_store
from earwitness.vault.master_key import MasterKey

LIMIT_SECONDS = 0.3


def _path(url: str) -> str:
    return str(make_url(url).database)


def _driver(store: Store):
    """The connection that a SQLite store writes with."""
    database = store._database
    assert isinstance(database, Sqlite)
    return database._session.driver


@contextmanager
def _locked(url: str, kind: str):
    if kind == "sqlite":
        with closing(sqlite3.connect(_path(url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE voice_profile_domains IN ACCESS EXCLUSIVE MODE")
            yield
            other.rollback()


def test_a_locked_database_is_unavailable_within_the_limit(open_again, url: str, kind: str) -> None:
    store = open_again(LIMIT_SECONDS)
    with _locked(url, kind):
        with pytest.raises(StoreUnavailable) as caught:
            store.write(add_domain)
        assert caught.value.retryable
        assert caught.value.__cause__ is not None or caught.value.__suppress_context__
    assert store.domains.count(MINE) == 0
    store.write(add_domain)


def test_many_who_wait_for_a_lock_are_all_told_within_the_limit(open_again, url: str, kind: str) -> None:
    store = open_again(LIMIT_SECONDS)

    def try_it(_: int) -> str:
        try:
            store.write(add_domain)
        except StoreUnavailable:
            return "unavailable"
        return "done"

    with _locked(url, kind), ThreadPoolExecutor(8) as threads:
        assert set(threads.map(try_it, range(8))) == {"unavailable"}
    assert store.domains.count(MINE) == 0


def test_postgresql_away_is_unavailable_and_comes_back(store: Store, url: str, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite is never away")
    domain = store.write(add_domain)

    def cut(unit: Unit) -> None:
        add_domain(unit)
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        add_domain(unit)

    with pytest.raises(StoreUnavailable):
        store.write(cut)
    assert store.domains.get(MINE, domain.domain_id) == domain
    assert store.domains.count(MINE) == 1


def test_reads_do_not_notice_a_restart_of_postgresql(store: Store, url: str, kind: str) -> None:
    """All connections that wait for reads are dead at once: each read is done again on a new one."""
    if kind == "sqlite":
        pytest.skip("SQLite has no connections to lose")
    domain = store.write(add_domain)
    for reads in (
        lambda: store.domains.get(MINE, domain.domain_id) == domain,  # a point read, by the driver
        lambda: store.domains.count(MINE) == 1,
    ):
        with ThreadPoolExecutor(5) as threads:
            assert all(threads.map(lambda _, reads=reads: reads(), range(20)))
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert [reads() for _ in range(6)] == [True] * 6


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_asking_for_what_no_database_can_hold_is_no_fault(store: Store, bad: str) -> None:
    with suppress(BadRequest):
        assert store.domains.get(MINE, bad) is None


def test_a_server_that_became_a_replica_is_left(store: Store, url: str, kind: str) -> None:
    """After a fail-over the address leads to the new primary; connections to the old one are given up."""
    if kind == "sqlite":
        pytest.skip("SQLite has no replica")
    alter = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    name = sql.Identifier(str(make_url(url).database))
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(alter.format(name, sql.Literal("on")))
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreUnavailable):
        store.write(add_domain)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute(alter.format(name, sql.Literal("off")))
    store.write(add_domain)
    assert store.domains.count(MINE) == 1


def test_no_server_at_all_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        opened("postgresql://nobody@127.0.0.1:1/none", wait_seconds_max=2)


def test_a_full_disk_is_unavailable_and_nothing_is_half_written(store: Store, kind: str) -> None:
    if kind == "postgresql":
        pytest.skip("a full disk cannot be played to a PostgreSQL server from here")
    driver = _driver(store)
    kept = store.write(add_domain)

    def fill(unit: Unit) -> None:
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {pages + 8}")
        for number in range(10_000):
            add_stream(unit, f"stream-{number:05}-" + "x" * 100)

    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.write(fill)
    assert store.streams.count(MINE) == 0
    assert store.domains.list(MINE, limit=9).items == (kept,)
    driver.execute("PRAGMA max_page_count = 1000000000")
    store.write(add_domain)
    assert driver.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_full_disk_at_the_commit_fails_the_whole_group(store: Store, kind: str) -> None:
    if kind == "postgresql":
        pytest.skip("a full disk cannot be played to a PostgreSQL server from here")
    from concurrent.futures import ThreadPoolExecutor

    driver = _driver(store)
    driver.execute(f"PRAGMA max_page_count = {driver.execute('PRAGMA page_count').fetchone()[0]}")

    def try_it(number: int) -> bool:
        try:
            store.write(lambda unit: [add_stream(unit, f"{number}-{n}-" + "y" * 200) for n in range(20)])
        except StoreUnavailable:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = sum(threads.map(try_it, range(8)))
    assert store.streams.count(MINE) == 20 * done
    assert done < 8


def test_another_master_key_is_refused(url: str) -> None:
    with pytest.raises(MasterKeyInvalid, match="another master key"):
        open_store(url, vault=vault(MasterKey(key=b"x" * 32)), clock=Clock())
    opened(url).close()


def test_a_newer_schema_is_refused(url: str, kind: str) -> None:
    _set_revision(url, kind, "9999")
    with pytest.raises(SchemaTooNew, match="9999"):
        opened(url)
    with pytest.raises(SchemaTooNew):
        migrate_store(url)


def test_an_older_schema_asks_for_a_migration(url: str, kind: str) -> None:
    _set_revision(url, kind, "0001")
    with pytest.raises(StoreError, match="earwitness migrate"):
        opened(url)


def _set_revision(url: str, kind: str, revision: str) -> None:
    if kind == "sqlite":
        with closing(sqlite3.connect(_path(url))) as other, other:
            other.execute("UPDATE alembic_version SET version_num = ?", [revision])
    else:
        with psycopg.connect(url) as other:
            other.execute("UPDATE alembic_version SET version_num = %s", [revision])


@pytest.mark.parametrize("bad", ["", "sqlite://", "sqlite:///:memory:", "mysql://x/y", "no url", "/var/lib/x.db"])
def test_an_address_that_makes_no_sense_is_a_configuration_error(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        opened(bad)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is a letter, not a database" * 200)
    with pytest.raises(StoreUnavailable, match="no database"):
        opened(f"sqlite:///{tmp_path / 'x.db'}")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreUnavailable):
        opened(f"sqlite:///{tmp_path / 'folder.db'}")


_CREATE_UNTIL_KILLED = """
import sys, threading
sys.path[:0] = sys.argv[2:]
from store_examples import add_domain, add_profile, opened
from uuid import uuid4
store = opened(sys.argv[1])
lock = threading.Lock()
def create():
    while True:
        def work(unit):
            domain = add_domain(unit, domain_id=str(uuid4()))
            unit.tags.set(store_scope, domain.arn, {"k": "v"}, limit=5)
            return domain.domain_id
        made = store.write(work)
        with lock:
            print(made, flush=True)
from store_examples import MINE as store_scope
for _ in range(6):
    threading.Thread(target=create).start()
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_nothing_that_was_acknowledged(url: str, kind: str) -> None:
    command = [sys.executable, "-c", _CREATE_UNTIL_KILLED, url, str(Path(__file__).parent), *sys.path]
    with started.process(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(60)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout.read().splitlines() if len(line.strip()) == 36]
    assert all(acknowledged)
    if kind == "sqlite":
        with closing(sqlite3.connect(_path(url))) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    with closing(opened(url)) as store:
        for domain_id in acknowledged:
            domain = store.domains.get(MINE, domain_id)
            assert domain is not None
            assert store.tags.list(MINE, domain.arn) == {"k": "v"}
        store.write(add_domain)
