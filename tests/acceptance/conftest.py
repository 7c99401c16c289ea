"""Services for tests: one for a module, and one with a SIPREC door."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Served, start, stop


@pytest.fixture(scope="session", autouse=True)
def _models(model_cache: object) -> None:
    """Everything here runs a service or a command, which hear voices; no start has to wait for a download."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = start(tmp_path_factory.mktemp("data"))
    yield running
    stop(running)


@pytest.fixture
def siprec_served(tmp_path: Path) -> Iterator[tuple[Served, int]]:
    """A service of its own, and the port of its SIPREC door."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "siprec.toml"
    settings.write_text(f'siprec = "127.0.0.1:{port}"\nsiprec_media = "30000-32767"\n', encoding="utf-8")
    running = start(tmp_path / "data", settings_file=settings)
    yield running, port
    stop(running)
