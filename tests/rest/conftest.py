"""The JSON API over real records, one application a test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rest_examples import Clock, Rest, open_accounts

from earwitness.engine.engine import Engine
from earwitness.store.store import Store, open_store
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper


def opened(path: Path, clock: Clock) -> Store:
    vault = Vault(MasterKeyWrapper(MasterKey(key=bytes(range(32)))))
    return open_store(f"sqlite:///{path}", vault=vault, clock=clock)


@pytest.fixture(scope="session")
def records_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records with accounts and nothing else."""
    path = tmp_path_factory.mktemp("rest") / "records.db"
    store = opened(path, Clock())
    open_accounts(store)
    store.close()
    return path


@pytest.fixture
def build(records_template: Path, tmp_path: Path, engine: Engine) -> Iterator[Callable[..., Rest]]:
    """Builds an application with other limits than the usual ones."""
    path = tmp_path / "records.db"
    shutil.copy(records_template, path)
    stores: list[Store] = []

    def build_one(**given: Any) -> Rest:
        clock = Clock()
        stores.append(opened(path, clock))
        return Rest(store=stores[-1], engine=engine, clock=clock, **given)

    yield build_one
    for store in stores:
        store.close()


@pytest.fixture
def rest(build: Callable[..., Rest]) -> Rest:
    return build()
