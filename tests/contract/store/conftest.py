"""Every test of the store runs over SQLite and over PostgreSQL, each time on a database of its own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import create_database, drop_database, serve_postgres, url_of
from store_examples import Clock, opened

from earwitness.store.store import Store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server."""
    yield from serve_postgres()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "records.db"
    opened(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    name = create_database(postgres_server)
    opened(url_of(postgres_server, name)).close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a schema."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = create_database(server)
    yield url_of(server, name)
    drop_database(server, name)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the schema and nothing in it."""
    if kind == "sqlite":
        path = tmp_path / "records.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    name = create_database(server, request.getfixturevalue("postgres_template"))
    yield url_of(server, name)
    drop_database(server, name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_again(url: str) -> Iterator[Callable[[float], Store]]:
    """Further stores on the same database, with a limit in seconds to their patience."""
    stores: list[Store] = []

    def open_one(wait_seconds_max: float = 20.0) -> Store:
        stores.append(opened(url, wait_seconds_max=wait_seconds_max))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = opened(url, clock=clock)
    yield store
    store.close()


@pytest.fixture
def new_target(kind: str, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], str]]:
    """Makes a database, of files in an empty folder, that a backup is put back into."""
    names: list[str] = []

    def new(folder: Path) -> str:
        if kind == "sqlite":
            return f"sqlite:///{folder / 'records.db'}"
        names.append(create_database(request.getfixturevalue("postgres_server")))
        return url_of(request.getfixturevalue("postgres_server"), names[-1])

    yield new
    for name in names:
        drop_database(request.getfixturevalue("postgres_server"), name)


@pytest.fixture
def target(new_target: Callable[[Path], str], tmp_path: Path) -> str:
    """Where a backup is put back."""
    folder = tmp_path / "new"
    folder.mkdir()
    return new_target(folder)
