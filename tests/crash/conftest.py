"""Records for services that are killed: in the data folder, or in a database of their own at PostgreSQL."""

from collections.abc import Iterator

import pytest
from killed_records import Records
from postgres_server import create_database, drop_database, serve_postgres, url_of


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    yield from serve_postgres()


@pytest.fixture(params=["sqlite", "postgresql"])
def records_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Records that a service makes at its start. Commands that the test runs know where they are."""
    if request.param == "sqlite":
        yield Records()
        return
    server = request.getfixturevalue("postgres_server")
    name = create_database(server)
    url = url_of(server, name)
    monkeypatch.setenv("EARWITNESS_STORE_URL", url)
    yield Records(url, {"EARWITNESS_STORE_URL": url})
    drop_database(server, name)
