"""The media log on disk: what a hundred live streams cost, how soon a fragment is safe and read, how fast it opens."""

import asyncio
import gc
import os
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.timing import median_ms, median_ratio
from earwitness.cli.output import progress_of
from earwitness.fragments.interface import Now, Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.fragments.stream import FragmentStream
from earwitness.vault.data_key import DataKey

_STREAMS, _SECONDS = 100, 15
_MEDIA = os.urandom(16_000)
"""A second of a telephone channel."""

_LARGE = os.urandom(8 * 2**20)
_LARGE_APPENDS, _LARGE_ROUNDS = 8, 7

_INDEXED, _INDEXED_BYTES = 100_000, 1_000
_WAITING = 512

_KEY = DataKey(os.urandom(32))


def measure() -> Numbers:
    """Milliseconds, MB/s, bytes and shares."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> Numbers:
    with progress_of() as show:
        show("live streams", 0, 3)
        numbers = await _live(folder / "live")
        show("large appends", 1, 3)
        numbers |= await _large(folder / "large")
        show("opening", 2, 3)
        numbers |= await _opening(folder / "opening")
    return numbers


@asynccontextmanager
async def _log(folder: Path) -> AsyncIterator[FragmentLog]:
    log = await open_fragment_log(folder, clock=lambda: datetime.now(UTC))
    try:
        yield log
    finally:
        await log.close()


async def _stream(log: FragmentLog, name: str) -> FragmentStream:
    identity = StreamIdentity(account_id="000000000000", stream_arn=f"arn:aws:kinesisvideo:::stream/{name}/1")
    return await log.open_stream(identity, key=lambda: _KEY, retention=Retention(hours=24))


async def _append(stream: FragmentStream, media: bytes) -> str:
    reserved = await stream.reserve()
    at = reserved.server_timestamp
    await stream.append(reserved.number, producer_timestamp=at, duration_ms=1_000, header=b"", cluster=media)
    return reserved.number


async def _live(folder: Path) -> Numbers:
    """Streams whose fragments come evenly spread, each followed by a reader at its live end."""
    durable: list[float] = []
    read: list[float] = []
    async with _log(folder) as log:
        streams = [await _stream(log, str(place)) for place in range(_STREAMS)]
        cpu, started = time.process_time(), time.perf_counter()
        live = [_live_stream(stream, place, started, durable, read) for place, stream in enumerate(streams)]
        await asyncio.gather(*live)
        cpu_percent = 100 * (time.process_time() - cpu) / (time.perf_counter() - started)
    plain = await asyncio.to_thread(_plain_appends, folder.parent / "plain")
    return {
        "live_cpu_percent": cpu_percent,
        "durable_ms": 1e3 * float(np.median(durable)),
        "durable_ms_p99": 1e3 * float(np.percentile(durable, 99)),
        "plain_ms": 1e3 * float(np.median(plain)),
        "plain_ms_p99": 1e3 * float(np.percentile(plain, 99)),
        "read_ms": 1e3 * float(np.median(read)),
        "read_ms_p99": 1e3 * float(np.percentile(read, 99)),
        "read_ms_max": 1e3 * max(read),
    }


async def _live_stream(
    stream: FragmentStream, place: int, started: float, durable: list[float], read: list[float]
) -> None:
    persisted: dict[str, float] = {}
    arrived: dict[str, float] = {}
    reader = await stream.read(Now())

    async def follow() -> None:
        for _ in range(_SECONDS):
            delivery = await anext(reader)
            arrived[delivery.fragment.info.number] = time.perf_counter()

    following = asyncio.create_task(follow())
    for second in range(_SECONDS):
        await asyncio.sleep(max(0.0, started + second + (1 + place) / _STREAMS - time.perf_counter()))
        called = time.perf_counter()
        fragment = await _append(stream, _MEDIA)
        persisted[fragment] = time.perf_counter()
        durable.append(persisted[fragment] - called)
    await following
    read += [arrived[fragment] - at for fragment, at in persisted.items()]


def _plain_appends(path: Path) -> list[float]:
    """Seconds of a write with fdatasync to a file, at the same pace."""
    taken: list[float] = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(3 * _STREAMS):
        time.sleep(1 / _STREAMS)
        started = time.perf_counter()
        os.write(descriptor, _MEDIA)
        os.fdatasync(descriptor)
        taken.append(time.perf_counter() - started)
    os.close(descriptor)
    return taken


async def _large(folder: Path) -> Numbers:
    """The same bytes through the log and into a plain file, in turn."""
    logged: list[float] = []
    plain: list[float] = []
    async with _log(folder) as log:
        for turn in range(_LARGE_ROUNDS + 1):
            stream = await _stream(log, f"large {turn}")
            started = time.perf_counter()
            for _ in range(_LARGE_APPENDS):
                await _append(stream, _LARGE)
            logged.append(time.perf_counter() - started)
            plain.append(await asyncio.to_thread(_plain_large, folder / f"plain {turn}"))
    seconds, plain_seconds = np.array(logged[1:]), np.array(plain[1:])
    megabytes = _LARGE_APPENDS * len(_LARGE) / 1e6
    return {
        "large_mb_per_s": megabytes / float(np.median(seconds)),
        "large_plain_mb_per_s": megabytes / float(np.median(plain_seconds)),
        "large_over_plain": median_ratio(seconds, plain_seconds),
    }


def _plain_large(path: Path) -> float:
    started = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(_LARGE_APPENDS):
        os.write(descriptor, _LARGE)
        os.fdatasync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - started


async def _opening(folder: Path) -> Numbers:
    media = bytes(_INDEXED_BYTES)
    async with _log(folder) as log:
        stream = await _stream(log, "long")
        for _ in range(_INDEXED // _WAITING + 1):
            reserved = [await stream.reserve() for _ in range(_WAITING)]
            await asyncio.gather(
                *(
                    stream.append(
                        each.number, producer_timestamp=each.server_timestamp, duration_ms=1, header=b"", cluster=media
                    )
                    for each in reserved
                )
            )
        fragments = (await stream.status()).fragments
    indexed = [await _seconds_to_open(folder) for _ in range(5)]
    walked: list[float] = []
    for _ in range(3):
        for path in folder.rglob("*.index"):
            path.unlink()
        walked.append(await _seconds_to_open(folder))
    return {
        "opened_fragments": fragments,
        "open_ms": median_ms(np.array(indexed)),
        "open_walked_ms": median_ms(np.array(walked)),
        "index_bytes_per_fragment": await _index_bytes(folder) / fragments,
    }


async def _seconds_to_open(folder: Path) -> float:
    async with _log(folder) as log:
        started = time.perf_counter()
        await _stream(log, "long")
        return time.perf_counter() - started


async def _index_bytes(folder: Path) -> int:
    """Bytes that Python holds more of once the stream is open."""
    async with _log(folder) as log:
        gc.collect()
        tracemalloc.start()
        stream = await _stream(log, "long")
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (await stream.status()).fragments
        return held


_ROWS = {
    "live_cpu_percent": "CPU of 100 streams, a fragment of 16 KB a second each, appended and read, % of one core",
    "durable_ms": "append to durable, median, ms",
    "durable_ms_p99": "append to durable, 99th percentile, ms",
    "plain_ms": "`write` and `fdatasync` of one file at the same pace, median, ms",
    "plain_ms_p99": "`write` and `fdatasync` of one file at the same pace, 99th percentile, ms",
    "read_ms": "durable to read by a live reader, median, ms",
    "read_ms_p99": "durable to read by a live reader, 99th percentile, ms",
    "read_ms_max": "durable to read by a live reader, slowest, ms",
    "large_mb_per_s": "appends of 8 MiB, one after the other, MB/s",
    "large_plain_mb_per_s": "the same bytes with `write` and `fdatasync`, MB/s",
    "large_over_plain": "time of the former over the latter, median of pairs",
    "open_ms": "opening 100,000 fragments, ms",
    "open_walked_ms": "the same without index files, ms",
    "index_bytes_per_fragment": "memory of the index, bytes a fragment",
}


def tables(numbers: Numbers) -> list[Table]:
    """A number a row."""
    rows = tuple((title, number(numbers[name])) for name, title in _ROWS.items())
    return [Table(columns=("media log on disk", "measured"), rows=rows)]


_METHOD = f"""\
{_STREAMS} streams get a fragment of 16 KB each second for {_SECONDS} s, evenly spread, and every one has a reader at
its live end; CPU is that of the whole process, the writing of the benchmark included. How long it takes until
something is durable is mostly the disk's affair, so a plain file that is written and synced at the same pace stands
beside it. Large appends and a plain file take turns. The log that is opened holds fragments of {_INDEXED_BYTES} bytes
in one stream; with warm caches."""

BENCHMARK = Benchmark(
    name="fragments",
    question="What does the media log cost, and how soon is a fragment safe and read?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="live_cpu_percent", says="100 live streams, % of one core", sign="<=", bound=25.0, aim=10.0),
        Target(number="durable_ms_p99", says="append to durable, p99, ms", sign="<=", bound=100.0, aim=20.0),
        Target(number="read_ms_max", says="durable to read, slowest, ms", sign="<=", bound=50.0),
        Target(number="large_over_plain", says="large appends over plain writes, ratio", sign="<=", bound=2.0, aim=1.3),
        Target(number="open_ms", says="opening 100,000 fragments, ms", sign="<=", bound=500.0, aim=100.0),
        Target(number="index_bytes_per_fragment", says="index in memory, bytes a fragment", sign="<=", bound=64.0),
    ),
    tables=tables,
)
