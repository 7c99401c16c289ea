"""What a stream has lost is told with the fragment behind it, by our own log and by AWS's answers."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scripted_aws import EPOCH, ScriptedAws, chunk, error, scripted_aws
from source_streams import HURRY, OwnStream, aws_clients, heard

from earwitness.errors import StreamGone
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.record import MAGIC
from earwitness.media.get_media import KinesisVideoStream
from earwitness.media.kvs import KvsSource
from earwitness.media.source import Source, StartPosition
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def gaps(source: Source, start: StartPosition, *, count: int = 100) -> dict[int, bool]:
    """By second: whether something is missing before it."""
    found: dict[int, bool] = {}
    async with aclosing(source.fragments(start)) as fragments, asyncio.timeout(PATIENCE_SECONDS):
        try:
            async for fragment in fragments:
                found[heard(fragment)] = fragment.after_gap
                if len(found) == count:
                    break
        except StreamGone:
            pass
    return found


def head_of(record: int) -> Callable[[bytes], bytes]:
    """Spoil the head of this record."""

    def damage(content: bytes) -> bytes:
        at = [found.start() for found in re.finditer(MAGIC, content)][record]
        return content[:at] + b"damage" + content[at + 6 :]

    return damage


def end_of(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (head_of(0), {1: True, 2: False, 3: False, 4: False}),
        (head_of(1), {0: False, 2: True, 3: False, 4: False}),
        (head_of(3), {0: False, 1: False, 2: False, 4: True}),
        (end_of, {0: False, 1: False, 4: True}),
    ],
    ids=["first head", "second head", "last head", "half of the file"],
)
async def test_a_damaged_file(
    tmp_path: Path, damage: Callable[[bytes], bytes], expected: dict[int, bool], caplog: pytest.LogCaptureFixture
) -> None:
    stream = OwnStream(await open_fragment_log(tmp_path / "log", clock=lambda: datetime.now(UTC)))
    first = await stream.put(range(4))
    await stream.close()
    (path,) = (tmp_path / "log").rglob("*.segment")
    path.write_bytes(damage(path.read_bytes()))
    if damage is not end_of:  # the index file knows how long it was
        path.with_suffix(".index").unlink()
    with caplog.at_level(logging.ERROR, logger="earwitness.fragments"):
        again = stream.opened_again(await open_fragment_log(tmp_path / "log", clock=lambda: datetime.now(UTC)))
        await again.put([4])
    start = StartPosition(since=LONG_AGO, first_number=first, first_server_time=LONG_AGO)
    assert await gaps(again.source(), start, count=len(expected)) == expected
    await again.close()


@pytest.fixture
def script() -> Iterator[ScriptedAws]:
    with scripted_aws() as running:
        yield running


@pytest.fixture
def source(script: ScriptedAws) -> Iterator[Source]:
    clients = aws_clients(script.url)
    with ThreadPoolExecutor(2) as threads:
        stream = KinesisVideoStream("arn:aws:kinesisvideo:eu-central-1:111122223333:stream/line/1", clients)
        yield KvsSource(stream, threads=threads, patience=HURRY)
    clients.close()


@pytest.mark.parametrize("answer", ["InvalidArgumentException", error(4000)])
async def test_a_fragment_that_aws_no_longer_has(script: ScriptedAws, source: Source, answer: bytes | str) -> None:
    script.answers = [chunk(1) + chunk(2), answer, chunk(5) + chunk(6)]
    assert await gaps(source, StartPosition(since=EPOCH)) == {1: False, 2: False, 5: True, 6: False}


async def test_a_connection_that_broke_is_no_gap(script: ScriptedAws, source: Source) -> None:
    script.answers = [chunk(1), error(5000), chunk(2)[:-500], chunk(2)]
    assert await gaps(source, StartPosition(since=EPOCH)) == {1: False, 2: False}


async def test_a_stream_without_retention_may_miss_what_comes_meanwhile(script: ScriptedAws, source: Source) -> None:
    script.retention_hours = 0
    script.answers = [chunk(1) + chunk(2), chunk(4)]
    assert await gaps(source, StartPosition(since=EPOCH)) == {1: False, 2: False, 4: True}
