"""A service for the tests of one module."""

from collections.abc import Iterator

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
