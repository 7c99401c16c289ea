"""Who may not come in to PostgreSQL hears why: a real server that asks for passwords."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from postgres_server import serve_postgres
from sqlalchemy import URL, make_url
from store_examples import opened

from earwitness.errors import ConfigurationError, StoreUnavailable

PASSWORD = "only-the-owner-knows"  # noqa: S105  # made up


@pytest.fixture(scope="module")
def server() -> Iterator[URL]:
    """A server with passwords; the one role that may do everything."""
    for url in serve_postgres(password=PASSWORD):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE ROLE dormant NOLOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE closed")
            connection.execute("REVOKE CONNECT ON DATABASE closed FROM public")
        yield make_url(url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "guessed"}, "the password is wrong"),
        ({"username": "nobody"}, "no such role, or the password is wrong"),
        ({"password": None}, "asks for a password"),
        ({"username": "dormant"}, "may not log in"),
        ({"database": "missing"}, "no such database"),
        ({"username": "plain", "database": "closed"}, "may not connect to this database"),
        ({"username": "plain"}, "make it the owner"),
        ({"host": "no.such.host.invalid"}, "no address is known"),
        ({"port": 1}, "nothing listens"),
        ({"query": {"sslmode": "verify-full"}}, "does not speak TLS|sslrootcert"),
        ({"query": {"sslmode": "bogus"}}, "is none that PostgreSQL knows"),
        ({"query": {"foo": "1"}}, "a parameter that PostgreSQL does not know"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(f"{name}" for name in value),
)
def test_each_is_told_as_such(server: URL, change: dict[str, object], said: str) -> None:
    url = URL.create(**({**server._asdict(), **change})).render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailable) as refused:
        opened(url, wait_seconds_max=5)
    assert re.search(said, str(refused.value)), str(refused.value)
    assert not any(word in str(refused.value) for word in (PASSWORD, "guessed", "127.0.0.1"))


def test_a_port_that_is_no_number() -> None:
    with pytest.raises(ConfigurationError, match="not a URL"):
        opened("postgresql://role:word@localhost:port/records")
