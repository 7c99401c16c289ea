"""A service for each test, its records a copy of ones that were made once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_world import Clock, World, make_keys, open_records


@pytest.fixture(autouse=True)
def _own_settings() -> None:
    """In place of the fixture that pulls voice models: this room knows none."""


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records with the schema, and keys of two accounts."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    store = open_records(path, Clock())
    make_keys(store)
    store.close()
    return path


@pytest.fixture
def make_world(records: Path, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes services with other quotas or seams."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        path = tmp_path / f"{len(worlds)}.db"
        shutil.copy(records, path)
        worlds.append(World(path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A service with nothing in it but keys."""
    return make_world()
