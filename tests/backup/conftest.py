"""Records in SQLite with something in them, and a backup of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from restored_examples import backup_of
from store_examples import Clock, add_domain, opened

from earwitness.backup.documents import BackupManifest
from earwitness.store.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'records.db'}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened_one = opened(url, clock=clock)
    opened_one.write(add_domain)
    yield opened_one
    opened_one.close()


@pytest.fixture
def manifest(store: Store, url: str, place: Path, clock: Clock) -> BackupManifest:
    return backup_of(store, url, place, clock)
