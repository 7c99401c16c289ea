"""Connections to a service reached as AWS is are cut, the service is started anew: nothing is lost or comes twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from proxy import Proxy, proxy_to
from serving import Served, start, stop
from source_streams import HURRY, KvsStream, heard, take, until

from earwitness.errors import SourceRefused, SourceUnavailable, StreamGone
from earwitness.media.get_media import KinesisVideoStream
from earwitness.media.kvs import KvsSource, Patience
from earwitness.media.source import StartPosition, StreamFragment

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FRAGMENT_BYTES = 16_000
"""At least; a second of audio."""


@asynccontextmanager
async def stream_behind_proxy(served: Served, *, retention_hours: int = 1) -> AsyncIterator[tuple[KvsStream, Proxy]]:
    async with proxy_to(served.url) as proxy:
        stream = KvsStream(served.url, seen_at=proxy.url, retention_hours=retention_hours)
        yield stream, proxy
        await stream.close()


def reader_of(stream: KvsStream) -> AbstractAsyncContextManager[AsyncGenerator[StreamFragment]]:
    """Reads from the live edge on."""
    return aclosing(stream.source().fragments(StartPosition(since=datetime.now(UTC))))


@pytest.mark.parametrize(
    "cut_after_bytes", [3_000, FRAGMENT_BYTES + 600, 2 * FRAGMENT_BYTES, 2 * FRAGMENT_BYTES + 5_000]
)
async def test_cut_connections_lose_and_repeat_nothing(served: Served, cut_after_bytes: int) -> None:
    async with stream_behind_proxy(served) as (stream, proxy):
        first = await stream.put(range(8))
        before_first = StartPosition(since=datetime.now(UTC), after_number=str(int(first) - 2**92))
        proxy.answer_bytes_max = [cut_after_bytes] * 4
        async with aclosing(stream.source().fragments(before_first)) as fragments:
            assert [heard(fragment) for fragment in await take(fragments, 8)] == list(range(8))
        assert proxy.cuts >= 3


async def test_a_reader_that_is_cut_at_the_live_edge_goes_on_there(served: Served) -> None:
    async with stream_behind_proxy(served) as (stream, proxy), reader_of(stream) as fragments:
        upcoming = asyncio.ensure_future(take(fragments, 6))
        await stream.reading()
        for number in range(6):
            proxy.cut()
            await stream.put([number])
        assert [heard(fragment) for fragment in await upcoming] == list(range(6))


async def test_a_stream_that_keeps_nothing_goes_on_at_its_live_edge(served: Served) -> None:
    async with stream_behind_proxy(served, retention_hours=0) as (stream, proxy), reader_of(stream) as fragments:
        upcoming = asyncio.ensure_future(take(fragments, 1))
        await stream.reading()
        await stream.put([0])
        assert [heard(fragment) for fragment in await upcoming] == [0]
        proxy.cut()
        connected = len(stream.connections)
        upcoming = asyncio.ensure_future(take(fragments, 1))
        await until(lambda: len(stream.connections) > connected)
        await stream.put([1])
        assert [heard(fragment) for fragment in await upcoming] == [1]


async def test_a_service_that_is_started_anew(tmp_path: Path) -> None:
    running = start(tmp_path)
    try:
        async with stream_behind_proxy(running) as (stream, proxy), reader_of(stream) as fragments:
            upcoming = asyncio.ensure_future(take(fragments, 2))
            await stream.reading()
            await stream.put([0, 1])
            taken = await upcoming
            upcoming = asyncio.ensure_future(take(fragments, 2))
            proxy.reachable.clear()
            await asyncio.to_thread(stop, running)
            running = await asyncio.to_thread(start, tmp_path)
            stream.moved(running.url)
            await stream.put([2])
            proxy.target_url = running.url
            proxy.reachable.set()
            await stream.put([3])
            assert [heard(fragment) for fragment in [*taken, *await upcoming]] == [0, 1, 2, 3]
    finally:
        await asyncio.to_thread(stop, running)


async def test_a_number_of_another_stream_leads_to_the_live_edge(served: Served) -> None:
    stream, other = KvsStream(served.url), KvsStream(served.url)
    await other.put(range(3))
    number = await other.put([9])
    async with aclosing(
        stream.source().fragments(StartPosition(since=datetime.now(UTC), after_number=number))
    ) as fragments:
        upcoming = asyncio.ensure_future(take(fragments, 2))
        await stream.reading()
        await stream.put([5, 6])
        assert [heard(fragment) for fragment in await upcoming] == [5, 6]
    await stream.close()
    await other.close()


async def test_a_stream_that_never_was(served: Served) -> None:
    stream = KvsStream(served.url)
    arn = stream.arn.replace("/s-", "/t-")
    with pytest.raises(StreamGone, match="does not exist"):
        await take(stream.source(arn).fragments(StartPosition(since=datetime.now(UTC))), 1)
    assert stream.connections == []
    await stream.close()


async def test_credentials_that_may_not(served: Served) -> None:
    stream = KvsStream(served.url, key="nobody")
    with pytest.raises(SourceRefused, match="kinesisvideo:DescribeStream"):
        await take(stream.source().fragments(StartPosition(since=datetime.now(UTC))), 1)
    await stream.close()


async def test_nobody_there_is_told_after_many_tries(served: Served) -> None:
    stream = KvsStream(served.url, seen_at="http://127.0.0.1:1")
    patience = Patience(delays=(0.0, 0.0, 0.0))
    source = KvsSource(KinesisVideoStream(stream.arn, stream.clients), threads=stream.threads, patience=patience)
    with pytest.raises(SourceUnavailable, match="EndpointConnectionError"):
        await take(source.fragments(StartPosition(since=datetime.now(UTC))), 1)
    await stream.close()


def test_tests_do_not_wait() -> None:
    assert not any(HURRY.delays)
    assert sum(Patience().delays) > 60
