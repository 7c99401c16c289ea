"""A primary that dies and its standby: what was acknowledged is there, and a standby is called one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from threading import Event
from typing import Any

import psycopg
import pytest
from postgres_machines import Machine, primary_and_standby, promote
from postgres_server import frozen
from store_examples import MINE, add_domain, opened

from earwitness.errors import StoreUnavailable
from earwitness.store.postgres_connection import AnsweringConnection
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.fixture
def pair() -> Iterator[tuple[Machine, Machine]]:
    with primary_and_standby() as machines:
        yield machines


def both(primary: Machine, standby: Machine, *, wanted: str = "read-write") -> str:
    """An address that leads to whichever of the two takes changes."""
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    return f"postgresql://earwitness@/postgres?{hosts}&target_session_attrs={wanted}"


def has_the_schema(machine: Machine) -> bool:
    with closing(psycopg.connect(machine.url, autocommit=True)) as connection:
        found = connection.execute("SELECT to_regclass('vault_checks')").fetchone()
    return found is not None and found[0] is not None


def test_what_was_acknowledged_outlives_the_primary(pair: tuple[Machine, Machine]) -> None:
    primary, standby = pair
    over, acknowledged = Event(), list[str]()

    def write() -> None:
        while not over.is_set():
            with suppress(StoreUnavailable):
                acknowledged.append(store.write(add_domain).domain_id)

    with closing(opened(both(primary, standby))) as store, ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write) for _ in range(4)]
        try:
            until(lambda: len(acknowledged) >= 40)
            primary.kill()
            promote(standby)
            before = len(acknowledged)
            until(lambda: len(acknowledged) >= before + 40)
        finally:
            over.set()
        for writer in writers:
            writer.result(PATIENCE_SECONDS)
        assert all(store.domains.get(MINE, domain_id) for domain_id in acknowledged)
    with closing(opened(standby.url)) as there:
        assert there.domains.count(MINE) >= len(acknowledged)


def test_a_standby_is_called_one_until_it_is_promoted(pair: tuple[Machine, Machine]) -> None:
    primary, standby = pair
    opened(primary.url).close()
    port = primary.port
    with closing(opened(primary.url, wait_seconds_max=3)) as store:
        store.require_ready()
        primary.kill()
        standby.stop()
        standby.port = port  # the address leads to it now
        standby.start()
        until(lambda: has_the_schema(standby))  # what is on its disk is applied while it answers already
        with pytest.raises(StoreUnavailable, match="is a standby, which takes no changes: promote it"):
            store.require_ready()
        with pytest.raises(StoreUnavailable, match="takes no changes"):
            store.write(add_domain)
        assert store.domains.count(MINE) == 0  # what is there can be read
        promote(standby)
        store.require_ready()
        store.write(add_domain)


def test_two_hosts_without_a_primary_are_told_as_such(pair: tuple[Machine, Machine]) -> None:
    primary, standby = pair
    with ExitStack() as stack:
        stores = [
            stack.enter_context(closing(opened(both(primary, standby, wanted=wanted), wait_seconds_max=3)))
            for wanted in ("read-write", "primary")
        ]
        primary.kill()
        for store in stores:
            for ask in (store.require_ready, lambda store=store: store.write(add_domain)):
                with pytest.raises(StoreUnavailable, match="takes no changes: it is a standby"):
                    ask()


def test_a_call_waits_once_for_a_primary_that_stands_still(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair
    connect, waited = AnsweringConnection.connect, list[int]()

    def counted(*arguments: Any, **options: Any) -> Any:
        waited.append(options["connect_timeout"])
        return connect(*arguments, **options)

    monkeypatch.setattr(AnsweringConnection, "connect", counted)
    with closing(opened(both(primary, standby), wait_seconds_max=4)) as store:
        domain = store.write(add_domain)
        store._database.reads._engine.dispose()
        store._database.engine.dispose()
        calls = (
            lambda: store.domains.get(MINE, domain.domain_id),  # a point read, by the driver
            lambda: store.domains.count(MINE),
            lambda: store.write(add_domain),
        )
        with frozen(primary.url):
            for call in calls:
                waited.clear()
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    call()
                # The standby answers at once that it takes no changes; both share the time.
                assert waited == [2]
