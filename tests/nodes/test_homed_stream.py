"""A stream whose parts lie on two nodes, each with records, media log and internal listener of its own."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_server import create_database, drop_database, serve_postgres, url_of
from sqlalchemy import text
from store_examples import MINE, add_stream, opened

from earwitness.errors import BadRequest, LimitExceeded
from earwitness.fragments.interface import AfterFragment, AtTime, Earliest, Now, Retention, StreamIdentity, TimeAxis
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.fragments.numbers import read_number
from earwitness.fragments.stream import FragmentStream
from earwitness.nodes.homed_stream import HomedStream
from earwitness.nodes.homes import StreamHomes, StreamKey
from earwitness.nodes.internal import InternalApi
from earwitness.nodes.peers import Peers
from earwitness.nodes.signing import SignatureCheck
from earwitness.server.beside import Beside
from earwitness.store.leading import Leader
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[str]:
    yield from serve_postgres()


@pytest.fixture
def url(postgres_server: str) -> Iterator[str]:
    name = create_database(postgres_server)
    yield url_of(postgres_server, name)
    drop_database(postgres_server, name)


@dataclass
class Standing:
    """A node without clients."""

    store: Store
    log: FragmentLog
    homes: StreamHomes
    producers: set[str]
    #: How far its clock is behind.
    ago: list[timedelta]

    async def write(self, stream: KinesisStream, *clusters: bytes) -> list[str]:
        """Send fragments to this node; return their numbers."""
        log = await self.homes.open_to_write(MINE, stream)
        numbers: list[str] = []
        for cluster in clusters:
            numbers.append((await log.reserve()).number)
            now = datetime.now(UTC)
            await log.append(numbers[-1], producer_timestamp=now, duration_ms=1_000, header=b"h", cluster=cluster)
        return numbers

    def seen(self, stream: KinesisStream) -> HomedStream:
        return HomedStream(self.homes, StreamKey(MINE, stream.arn), stream, looks=True)


@asynccontextmanager
async def standing(name: str, url: str, folder: Path) -> AsyncIterator[Standing]:
    store = opened(url)
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    leader = Leader(holder=f"run of {name}", host="h", process=1, node_id=name, internal_url=address)
    assert store.leading.claim(leader) is None
    ago = [timedelta()]
    log = await open_fragment_log(folder / name, clock=lambda: datetime.now(UTC) - ago[0])
    producers: set[str] = set()
    nonces = iter(range(10**6))

    async def open_local(scope: Scope, stream: KinesisStream) -> FragmentStream:
        identity = StreamIdentity(account_id=scope.account_id, stream_arn=stream.arn)
        return await log.open_stream(
            identity, key=lambda: store.stream_key(scope, stream), retention=Retention(hours=24)
        )

    homes = StreamHomes(
        store,
        Peers(store.token_key, now=time.time, new_nonce=lambda: f"{name} {next(nonces)}"),
        open_local=open_local,
        has_producer=producers.__contains__,
        run_in_thread=asyncio.to_thread,  # pyright: ignore[reportArgumentType]
        came=lambda _key, _home: None,
    )
    check = SignatureCheck(store.token_key)
    beside = Beside(InternalApi(lambda: homes, check, run=f"run of {name}", now=time.time).application(), listener)
    await beside.open()
    try:
        yield Standing(store, log, homes, producers, ago)
    finally:
        await homes.close()
        await beside.close()
        listener.close()
        await log.close()
        store.close()


@pytest.fixture
async def nodes(url: str, tmp_path: Path) -> AsyncIterator[tuple[Standing, Standing, KinesisStream]]:
    async with standing("a", url, tmp_path) as a, standing("b", url, tmp_path) as b:
        yield a, b, a.store.write(lambda unit: add_stream(unit, "line"))


Nodes = tuple[Standing, Standing, KinesisStream]


async def taken(reading: Any, count: int) -> list[tuple[bytes, bool]]:
    """What a reader gets first: the media, and whether something is missing before it."""
    got: list[tuple[bytes, bool]] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(reading):
        async for result in reading:
            got.append((result.fragment.cluster, result.gap))
            if len(got) == count:
                return got
    return got


def kill(node: Standing, *, seen_by: Standing, name: str) -> None:
    """As if a node had been silent until another one took it for dead."""
    with node.store._database.engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET alive_until = 0 WHERE node_id = :name"), {"name": name})
    assert seen_by.store.write(lambda unit: unit.nodes.bury_one()) == name


async def test_parts_of_two_nodes_are_one_stream_on_both(nodes: Nodes) -> None:
    a, b, stream = nodes
    numbers = [*await a.write(stream, b"1", b"2"), *await b.write(stream, b"3"), *await a.write(stream, b"4")]
    assert numbers == sorted(numbers)
    everything = [(b"1", False), (b"2", False), (b"3", False), (b"4", False)]
    since = datetime.now(UTC) - timedelta(minutes=5)
    for node in (a, b):
        seen = node.seen(stream)
        assert await taken(await seen.read(Earliest()), 4) == everything
        assert await taken(await seen.read(AfterFragment(numbers[1])), 2) == everything[2:]
        assert await taken(await seen.read(AtTime(TimeAxis.SERVER, since)), 4) == everything
        found = await seen.list(TimeAxis.SERVER, start=since, end=since + timedelta(minutes=9))
        assert [info.number for info in found] == numbers
        after = await seen.list(
            TimeAxis.SERVER, start=since, end=since + timedelta(minutes=9), after=numbers[0], limit=2
        )
        assert [info.number for info in after] == numbers[1:3]
        got = [one async for one in seen.get([numbers[3], numbers[0]])]
        assert [getattr(one, "cluster", None) for one in got] == [b"4", b"1"]


async def test_a_reader_goes_where_the_stream_goes(nodes: Nodes) -> None:
    a, b, stream = nodes
    await a.write(stream, b"1")
    readings = [asyncio.ensure_future(taken(await node.seen(stream).read(Earliest()), 3)) for node in (a, b)]
    await b.write(stream, b"2")
    await a.write(stream, b"3")
    assert [await reading for reading in readings] == [[(b"1", False), (b"2", False), (b"3", False)]] * 2


async def test_a_reader_that_ends_leaves_nothing_waiting(nodes: Nodes) -> None:
    a, _, stream = nodes
    await a.write(stream, b"1")
    reader, others = await a.seen(stream).read(Earliest()), asyncio.all_tasks()
    assert (await anext(reader)).fragment.cluster == b"1"
    reading = asyncio.ensure_future(anext(reader))
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks() - others) < 3:  # it waits for the next one, and for news of another home
            await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    left = asyncio.all_tasks() - others
    if left:
        await asyncio.wait(left, timeout=0.2)  # those that are being cancelled
    assert not asyncio.all_tasks() - others


async def test_a_reader_that_is_late_gets_all_of_every_part(nodes: Nodes) -> None:
    """The stream leaves, comes back and leaves again before the reader looks."""
    a, b, stream = nodes
    await a.write(stream, b"1", b"2", b"3")
    for node in (a, b):
        reading = await node.seen(stream).read(Earliest())
        first = await anext(reading)
        assert first.fragment.cluster == b"1"
        written = [chr(97 + place).encode() for place in range(8)]
        for place, cluster in enumerate(written):
            await (b, a)[place % 2].write(stream, cluster)
        before = [b"2", b"3"] if node is a else [b"2", b"3", *written]
        assert await taken(reading, len(before + written)) == [(cluster, False) for cluster in before + written]


async def test_who_reads_from_now_on_gets_nothing_of_before(nodes: Nodes) -> None:
    a, b, stream = nodes
    log = await a.homes.open_to_write(MINE, stream)
    number = (await log.reserve()).number
    await log.append(
        number, producer_timestamp=datetime.now(UTC), duration_ms=0, header=b"h", cluster=b"live when they came"
    )
    readings = [asyncio.ensure_future(taken(await node.seen(stream).read(Now()), 2)) for node in (a, b)]
    await asyncio.wait(readings, timeout=0.2)
    await b.write(stream, b"2")
    for reading in readings:
        assert [cluster for cluster, _ in await reading] == [b"live when they came", b"2"]
    unheard = b.store.write(lambda unit: add_stream(unit, "unheard"))
    early = asyncio.ensure_future(taken(await a.seen(unheard).read(Now()), 1))
    await asyncio.wait({early}, timeout=0.2)
    await b.write(unheard, b"first")
    assert await early == [(b"first", False)]


async def test_who_waits_on_a_silent_stream_is_not_given_the_past(nodes: Nodes) -> None:
    a, b, stream = nodes
    a.ago[0] = timedelta(hours=2)
    await a.write(stream, b"long ago")
    a.ago[0] = timedelta()
    waiting = [asyncio.ensure_future(taken(await node.seen(stream).read(Now()), 1)) for node in (a, b)]
    await asyncio.wait(waiting, timeout=0.2)
    await b.write(stream, b"new")
    assert [await one for one in waiting] == [[(b"new", False)]] * 2


async def test_what_only_a_dead_node_has_is_missing_and_told(nodes: Nodes) -> None:
    a, b, stream = nodes
    numbers = await a.write(stream, b"1")
    kill(a, seen_by=b, name="a")
    numbers += await b.write(stream, b"2")
    assert read_number(numbers[0]).sequence < read_number(numbers[1]).sequence
    seen = b.seen(stream)
    assert await taken(await seen.read(Earliest()), 1) == [(b"2", True)]
    got = [one async for one in seen.get(numbers)]
    assert [getattr(one, "cluster", None) for one in got] == [None, b"2"]


async def test_a_stream_with_a_producer_stays(nodes: Nodes) -> None:
    a, b, stream = nodes
    await a.write(stream, b"1")
    a.producers.add(stream.arn)
    with pytest.raises(LimitExceeded, match="another producer"):
        await b.homes.open_to_write(MINE, stream)
    a.producers.clear()
    await b.homes.open_to_write(MINE, stream)
    assert not a.homes.is_home(StreamKey(MINE, stream.arn))


async def test_a_number_that_was_not_given_out_is_refused(nodes: Nodes) -> None:
    a, b, stream = nodes
    (number,) = await a.write(stream, b"1")
    later = str(int(number) + (7 << 92))
    with pytest.raises(BadRequest):
        await a.seen(stream).read(AfterFragment(later))
    reading = await b.seen(stream).read(AfterFragment(later))
    with pytest.raises(BadRequest):
        await taken(reading, 1)
