"""Every test of the media log runs over all of its implementations. One that joins adds its name and its medium."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest
from fragments_examples import OpenLog, World

from earwitness.fragments.disk.log import open_disk_log
from earwitness.fragments.seam import FragmentLog


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _disk(folder: Path) -> OpenLog:
    async def open_log(clock: Callable[[], datetime]) -> FragmentLog:
        return await open_disk_log(folder / "fragments", clock=clock)

    return open_log


MEDIA = {"disk": _disk}


@pytest.fixture(params=sorted(MEDIA))
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    return MEDIA[request.param](tmp_path)


@pytest.fixture
async def world(open_log: OpenLog) -> AsyncIterator[World]:
    world = World(open_log)
    await world.open()
    yield world
    await world.close()
