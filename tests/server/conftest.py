"""Services in threads, shared where their settings allow it; nothing here needs a voice model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Live


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that waits for nobody: a fifth of a second for a head or a body."""
    with Live(tmp_path_factory.mktemp("live"), client_seconds=0.2, store_wait_seconds=0.3, body_bytes=100_000) as one:
        yield one


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Services with settings of a test's own, ended after it."""
    running: list[Live] = []

    def begin(**settings: Any) -> Live:
        running.append(Live(tmp_path / f"data{len(running)}", **settings).__enter__())
        return running[-1]

    yield begin
    for one in running:
        one.__exit__(None, None, None)
