"""Streams come and go at a process that may have few file descriptors: each is kept, and none stays open."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from media_client import HEADER, cluster, new_stream, put, tone
from running import Process

from patience import until

pytestmark = pytest.mark.slow

STREAMS = 200
DESCRIPTORS = 160
"""Fewer than streams; some 30 are in use before the first one."""


def open_files(served: Process) -> list[Path]:
    return list(Path(f"/proc/{served.process.pid}/fd").iterdir())


def test_more_streams_than_descriptors_are_kept(tmp_path: Path) -> None:
    media = HEADER + cluster(0, tone(0.2)) + cluster(200, tone(0.2))

    def one_stream(_: int) -> list[str]:
        return [ack["EventType"] for ack in put(served.url, new_stream(served.url), media)]

    with Process(tmp_path / "data", "--dev", open_files=DESCRIPTORS) as served:
        until(lambda: httpx.get(f"{served.url}/ready").status_code == 200)
        one_stream(0)
        before = len(open_files(served))
        with ThreadPoolExecutor(4) as producers:
            acks = [ack for told in producers.map(one_stream, range(STREAMS)) for ack in told]
        assert "ERROR" not in acks
        assert acks.count("PERSISTED") == 2 * STREAMS
        assert not [path for path in open_files(served) if path.exists() and path.resolve().suffix == ".segment"]
        assert len(open_files(served)) < before + 20  # connections of clients that are kept alive
        assert httpx.get(f"{served.url}/ready").status_code == 200
