"""The store behind PgBouncer in transaction mode: what holds of a database of its own holds there too."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from postgres_server import create_database, drop_database, serve_pooler, url_of
from psycopg import sql
from store_examples import MINE, add_domain, opened

# They run here with this module's database.
from test_store_failures import (  # noqa: F401
    test_a_locked_database_is_unavailable_within_the_limit,
    test_another_master_key_is_refused,
    test_many_who_wait_for_a_lock_are_all_told_within_the_limit,
)
from test_store_leading import (  # noqa: F401
    other,
    postgres_only,
    test_a_leader_that_is_gone_is_waited_for,
    test_a_lease_is_renewed_by_the_clock_of_the_database,
    test_nobody_takes_over_in_the_middle_of_a_change,
    test_the_second_hears_who_the_first_is,
    test_whoever_lost_the_place_changes_nothing,
)
from test_store_schema import test_several_first_starts_at_once_make_one_schema  # noqa: F401
from test_store_units import (  # noqa: F401
    test_a_hundred_identical_creates_make_one_resource,
    test_a_limit_holds_against_many_at_once,
    test_a_unit_that_fails_leaves_nothing,
    test_one_failing_unit_among_many_takes_no_other_with_it,
    test_two_stores_on_one_database_share_it,
)

from earwitness.store.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["", "options"], ids=["refuses options", "ignores options"])
def pooler(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    yield from serve_pooler(postgres_server, ignoring=request.param)


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
def empty_url(postgres_server: str, pooler: str) -> Iterator[str]:
    name = create_database(postgres_server)
    yield url_of(pooler, name)
    drop_database(postgres_server, name)


@pytest.fixture
def url(postgres_server: str, postgres_template: str, pooler: str) -> Iterator[str]:
    name = create_database(postgres_server, postgres_template)
    yield url_of(pooler, name)
    drop_database(postgres_server, name)


def test_a_statement_that_is_repeated_is_not_prepared(store: Store) -> None:
    """The next one may come to another connection of the server, which does not know it."""
    domain = store.write(add_domain)
    for _ in range(20):
        store.write(add_domain)
        assert store.domains.get(MINE, domain.domain_id) == domain
    assert store.domains.count(MINE) == 21


def test_limits_are_of_a_transaction_and_end_with_it(store: Store, url: str) -> None:
    names = ("synchronous_commit", "lock_timeout", "statement_timeout")
    with store._database.engine.begin() as connection:
        within = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    assert within == ["on", "20s", "20s"]
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other_client:
        assert {other_client.execute("SHOW lock_timeout").fetchone() for _ in range(9)} == {("0",)}


@pytest.mark.parametrize("limit", ["0", "5s"])
def test_a_role_without_a_limit_for_reads_is_told(
    postgres_server: str, postgres_template: str, pooler: str, limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "earwitness.store")
    name = create_database(postgres_server, postgres_template)
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(
            sql.SQL("ALTER DATABASE {} SET statement_timeout = {}").format(sql.Identifier(name), sql.Literal(limit))
        )
    opened(url_of(pooler, name)).close()
    assert ("ALTER ROLE" in caplog.text) == (limit == "0")
    drop_database(postgres_server, name)
