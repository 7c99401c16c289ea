"""The JSON API over real records, one application a test."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from rest_examples import (
    MINE,
    Clock,
    Rest,
    add_domain,
    add_event,
    add_pipeline,
    add_task,
    conclude,
    enrol,
    open_accounts,
    token,
)

from earwitness.engine.engine import Engine
from earwitness.store.store import Store, Unit, open_store
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


@pytest.fixture
def url(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application on a port, and the shell of an admin."""

    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        conclude(unit, add_task(unit, task_id="done"))
        add_task(unit, task_id="waiting")
        add_event(unit, "https://hooks.example/calls", event_id="event-1")
        enrol(unit, consent="form 12")

    rest.store.write(work)
    server = uvicorn.Server(uvicorn.Config(rest.app, port=0, lifespan="off", log_config=None, ws="none"))
    ready = threading.Event()
    real_startup = server.startup

    async def startup(sockets: object = None) -> None:
        await real_startup()
        ready.set()

    server.startup = startup
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(10)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", MINE.region)
    monkeypatch.setenv("EARWITNESS_URL", address)
    monkeypatch.setenv("EARWITNESS_TOKEN", token("admin"))
    yield address
    server.should_exit = True
    thread.join()
