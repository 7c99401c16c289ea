"""Every test of the media log runs over all of its implementations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fragments_examples import MEDIA, OpenLog, World


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(MEDIA))
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    return MEDIA[request.param](tmp_path)


@pytest.fixture
async def world(open_log: OpenLog) -> AsyncIterator[World]:
    world = World(open_log)
    await world.open()
    yield world
    await world.close()
