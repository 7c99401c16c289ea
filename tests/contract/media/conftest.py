"""One service for all tests of this folder, and a stream of each kind."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from serving import Served, start, stop
from source_streams import FileStream, KvsStream, OwnStream, Stream, WavStream

from earwitness.fragments.log import open_fragment_log


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, model_cache: object) -> Iterator[Served]:
    running = start(tmp_path_factory.mktemp("data"))
    yield running
    stop(running)


LIVE = ("own", "kvs")
"""Sources whose streams grow while they are read, and whose fragments arrive at times that reading may begin at."""

WHOLE = ("matroska", "wav")
"""Sources that are there as a whole: they end, and no time of arrival leaves anything out."""


@pytest.fixture(params=LIVE + WHOLE)
async def stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stream]:
    """A stream of each kind."""
    async with _made(request, tmp_path) as made:
        yield made


@pytest.fixture(params=LIVE)
async def live_stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stream]:
    """For what only live sources owe."""
    async with _made(request, tmp_path) as made:
        yield made


@pytest.fixture(params=WHOLE)
async def whole_stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stream]:
    """For what the others owe instead."""
    async with _made(request, tmp_path) as made:
        yield made


@asynccontextmanager
async def _made(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stream]:
    made: Stream
    if request.param == "own":
        made = OwnStream(await open_fragment_log(folder / "log", clock=lambda: datetime.now(UTC)))
    elif request.param == "kvs":
        made = KvsStream(request.getfixturevalue("served").url)
    elif request.param == "matroska":
        made = FileStream(folder / "call.mkv")
    else:
        made = WavStream(folder / "call.wav")
    try:
        yield made
    finally:
        await made.close()
