"""A service for each test, its records a copy of ones that were made once; over SQLite and over PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_world import Clock, World, make_keys, open_records
from postgres_server import create_database, drop_database, serve_postgres, url_of


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server."""
    yield from serve_postgres()


@pytest.fixture(scope="session")
def sqlite_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records with the schema, and keys of two accounts."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    _fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_records(postgres_server: str) -> str:
    """The name of a database with the same."""
    name = create_database(postgres_server)
    _fill(url_of(postgres_server, name))
    return name


def _fill(url: str) -> None:
    store = open_records(url, Clock())
    make_keys(store)
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes records of a test's own, and gives their URL."""
    made: list[str] = []

    def on_sqlite() -> str:
        made.append(str(tmp_path / f"{len(made)}.db"))
        shutil.copy(request.getfixturevalue("sqlite_records"), made[-1])
        return f"sqlite:///{made[-1]}"

    if request.param == "sqlite":
        yield on_sqlite
        return
    server: str = request.getfixturevalue("postgres_server")

    def on_postgres() -> str:
        made.append(create_database(server, request.getfixturevalue("postgres_records")))
        return url_of(server, made[-1])

    yield on_postgres
    for name in made:
        drop_database(server, name)


@pytest.fixture
def make_world(new_records: Callable[[], str], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes services with other quotas or seams."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(new_records(), tmp_path / f"{len(worlds)}.media", **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A service with nothing in it but keys."""
    return make_world()
