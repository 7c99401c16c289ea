"""One service for all tests of this folder, and a stream of each kind."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from serving import Served, start, stop
from source_streams import FileStream, KvsStream, OwnStream, Stream

from earwitness.fragments.disk.log import open_disk_log


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = start(tmp_path_factory.mktemp("data"))
    yield running
    stop(running)


@pytest.fixture(params=["own", "kvs", "file"])
async def stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stream]:
    made: Stream
    if request.param == "own":
        made = OwnStream(await open_disk_log(tmp_path / "log", clock=lambda: datetime.now(UTC)))
    elif request.param == "kvs":
        made = KvsStream(request.getfixturevalue("served").url)
    else:
        made = FileStream(tmp_path / "call.mkv")
    yield made
    await made.close()
