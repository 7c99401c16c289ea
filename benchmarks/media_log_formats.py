"""`python -m benchmarks.media_log_formats FOLDER [LOAD ...]`: our media log against SQLite, in turn, on one disk.

Every load is run over our files, over SQLite with one database for all streams, and over SQLite with one for each
stream; rounds of the three follow one another, and the median of the rounds is printed. What came of it:
docs/decisions/2026-11-26-media-log.md.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import load
from benchmarks.media_log_sqlite import SqliteLog
from earwitness.errors import EarwitnessError
from earwitness.fragments.interface import AtTime, Earliest, Fragment, Now, Retention, StreamIdentity, TimeAxis
from earwitness.fragments.log import open_fragment_log
from earwitness.vault.data_key import DataKey

_KEY = DataKey(os.urandom(32))
_DAY = Retention(hours=24)
_FRAGMENT = os.urandom(16_000)
_LARGE = os.urandom(8 * 2**20)
_LIVE_STREAMS, _LIVE_SECONDS = 100, 10
_KEPT = 2_000
_INDEXED = 100_000
_DAMAGES = 30
_FORMATS = ("ours", "SQLite, one", "SQLite, each")

Numbers = dict[str, float]


async def _open(kind: str, folder: Path) -> Any:
    if kind == "ours":
        return await open_fragment_log(folder, clock=lambda: datetime.now(UTC))
    return SqliteLog(folder, one_database=kind.endswith("one"))


def _identity(name: object) -> StreamIdentity:
    return StreamIdentity(account_id="000000000000", stream_arn=f"arn:aws:kinesisvideo:::stream/{name}/1")


async def _stream(log: Any, name: object) -> Any:
    return await log.open_stream(_identity(name), key=lambda: _KEY, retention=_DAY)


async def _append(stream: Any, media: bytes, *, second: int = 0) -> str:
    reserved = await stream.reserve()
    at = reserved.server_timestamp + timedelta(seconds=second)
    await stream.append(reserved.number, producer_timestamp=at, duration_ms=1_000, header=b"", cluster=media)
    return reserved.number


async def _append_many(stream: Any, media: bytes, count: int) -> list[str]:
    numbers: list[str] = []
    for start in range(0, count, 500):
        added = min(500, count - start)
        numbers += await asyncio.gather(*(_append(stream, media, second=start + i) for i in range(added)))
    return numbers


async def _live(kind: str, folder: Path) -> Numbers:
    """A hundred live streams with readers and late tags; a stream of 32 MB is deleted beneath them."""
    log = await _open(kind, folder)
    streams = [await _stream(log, place) for place in range(_LIVE_STREAMS)]
    await _append_many(await _stream(log, "old"), _FRAGMENT, _KEPT)
    durable: dict[bool, list[float]] = {False: [], True: []}
    read: list[float] = []
    deleting = False
    written, cpu, started = _written_bytes(), time.process_time(), time.perf_counter()
    cpu_percent = 0.0

    async def one(place: int, stream: Any) -> None:
        reader = await stream.read(Now())
        for second in range(_LIVE_SECONDS + 3):
            await asyncio.sleep(max(0.0, started + second + place / _LIVE_STREAMS - time.perf_counter()))
            called = time.perf_counter()
            number = await _append(stream, _FRAGMENT)
            durable[deleting].append(time.perf_counter() - called)
            came = time.perf_counter()
            await anext_of(reader)
            read.append(time.perf_counter() - came)
            if second % 10 == place % 10:
                await stream.append_tags(number, b"tags" * 100)

    async def delete() -> None:
        nonlocal deleting, cpu_percent, written
        await asyncio.sleep(_LIVE_SECONDS)
        cpu_percent = 100 * (time.process_time() - cpu) / (time.perf_counter() - started)
        written = _written_bytes() - written
        deleting = True
        await log.delete_stream(_identity("old"))

    await asyncio.gather(delete(), *(one(place, stream) for place, stream in enumerate(streams)))
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    await log.close()
    return {
        "live: CPU, % of a core": cpu_percent,
        "live: durable, median, ms": 1e3 * float(np.median(durable[False])),
        "live: durable, p99, ms": 1e3 * float(np.percentile(durable[False], 99)),
        "live: durable to read, p99, ms": 1e3 * float(np.percentile(read, 99)),
        "live: slowest append while 32 MB are deleted, ms": 1e3 * max(durable[True]),
        "live: bytes written to the device for one kept": written / (_LIVE_STREAMS * _LIVE_SECONDS * len(_FRAGMENT)),
        "live: open files": handles,
    }


async def anext_of(reader: Any) -> Fragment:
    """What it delivers next."""
    return (await reader.__anext__()).fragment


def _written_bytes() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


async def _bulk(kind: str, folder: Path) -> Numbers:
    log = await _open(kind, folder)
    stream = await _stream(log, "bulk")
    started = time.perf_counter()
    await _append_many(stream, _FRAGMENT, 4_000)
    small = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(12):
        await _append(stream, _LARGE)
    large = time.perf_counter() - started
    await log.close()
    return {
        "bulk: 16 KB, 500 waiting, ms a MB": 1e3 * small / (4_000 * len(_FRAGMENT) / 1e6),
        "bulk: 8 MiB one by one, ms a MB": 1e3 * large / (12 * len(_LARGE) / 1e6),
    }


async def _reading(kind: str, folder: Path) -> Numbers:
    """100,000 fragments of 1,000 bytes in one stream, opened anew and read."""
    if not folder.exists():
        log = await _open(kind, folder)
        await _append_many(await _stream(log, "long"), bytes(1_000), _INDEXED)
        await log.close()
    log = await _open(kind, folder)
    started = time.perf_counter()
    stream = await _stream(log, "long")
    reader = await stream.read(Earliest())
    first = (await anext_of(reader)).info
    opened = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(3_000):
        await anext_of(reader)
    forward = time.perf_counter() - started
    begin = first.producer_timestamp
    listed = await _timed(
        20,
        lambda i: stream.list(
            TimeAxis.PRODUCER,
            start=begin + timedelta(seconds=4_000 * i),
            end=begin + timedelta(seconds=4_000 * i + 900),
        ),
    )
    days = [begin + timedelta(seconds=seconds) for seconds in range(0, _INDEXED, _INDEXED // 10)]
    pages = [await stream.list(TimeAxis.PRODUCER, start=day, end=day + timedelta(seconds=90)) for day in days]
    numbers = [info.number for page in pages for info in page]
    chosen = random.Random(1).sample(numbers, 500)  # noqa: S311  # not a secret

    async def by_number(i: int) -> None:
        async for found in stream.get([chosen[i]]):
            assert isinstance(found, Fragment)

    async def by_time(i: int) -> None:
        await anext_of(
            await stream.read(AtTime(TimeAxis.PRODUCER, begin + timedelta(seconds=_INDEXED // 600 * i + 0.5)))
        )

    result = {
        "opening 100,000 and reading the first, ms": 1e3 * opened,
        "reading on, µs a fragment": 1e6 * forward / 3_000,
        "reading by number, µs": 1e6 * await _timed(500, by_number),
        "reading by time, µs": 1e6 * await _timed(500, by_time),
        "listing 900 by time, ms": 1e3 * listed,
        "disk for 100,000 of 1,000 B, MB": _bytes_of(folder) / 1e6,
    }
    await log.close()
    return result


async def _timed(count: int, work: Callable[[int], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    for place in range(count):
        await work(place)
    return (time.perf_counter() - started) / count


async def _retention(kind: str, folder: Path) -> Numbers:
    """A stream of 64 MB is cut to a half, then deleted: time, disk given back, what can still be found in the files."""
    log = await _open(kind, folder)
    for other in range(4):
        await _append_many(await _stream(log, f"other {other}"), _FRAGMENT, 100)
    stream = await _stream(log, "kept")
    await _append_many(stream, _FRAGMENT, 4_000)
    before = _bytes_of(folder)
    sealed = _some_bytes(folder)
    started = time.perf_counter()
    await stream.set_retention(Retention(hours=24, bytes_max=32_000_000))
    half = time.perf_counter() - started
    freed = before - _bytes_of(folder)
    started = time.perf_counter()
    await log.delete_stream(_identity("kept"))
    deleted = time.perf_counter() - started
    left = _bytes_of(folder) - 4 * 100 * len(_FRAGMENT)
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    await log.close()
    return {
        "retention: 32 of 64 MB go, ms": 1e3 * half,
        "retention: MB given back of 32": freed / 1e6,
        "deletion of 32 MB, ms": 1e3 * deleted,
        "deletion: MB left beyond what is kept": left / 1e6,
        "deletion: samples still in the files, of 200": sum(sample in content for sample in sealed),
    }


def _some_bytes(folder: Path) -> list[bytes]:
    """Samples of the greatest file, which lie behind what is kept of other streams."""
    largest = [max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)]
    data = largest[0].read_bytes()
    start = min(len(data) // 2, 20_000_000)
    places = range(start, len(data) - 100, (len(data) - start) // 200)
    return [data[place : place + 48] for place in places if len(set(data[place : place + 48])) > 30][:200]


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


async def _full_disk(kind: str, folder: Path) -> Numbers:
    """Two streams fill a disk of 64 MB: can one be cut to a half, the other deleted?"""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        return {}
    try:
        log = await _open(kind, folder / "media")
        streams = [await _stream(log, name) for name in ("one", "other")]
        try:
            for _ in range(10_000):
                for stream in streams:
                    await _append(stream, _FRAGMENT)
        except (EarwitnessError, sqlite3.Error, OSError):
            pass
        (folder / "rest").write_bytes(b"")
        try:
            with (folder / "rest").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            pass
        halves = await _works(kind, "retention", streams[1].set_retention(Retention(hours=24, bytes_max=15_000_000)))
        deletes = await _works(kind, "deletion", log.delete_stream(_identity("one")))
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        await log.close()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    return {
        "full disk: a retention that halves a stream works (1) or not": halves,
        "full disk: deleting a stream works (1) or not": deletes,
        "full disk: MB free then": free / 1e6,
    }


async def _works(kind: str, what: str, work: Awaitable[None]) -> float:
    try:
        await work
    except (EarwitnessError, sqlite3.Error, OSError) as error:
        print(f"  {kind}, {what} on a full disk: {error}")
        return 0.0
    return 1.0


async def _damage(kind: str, folder: Path) -> Numbers:
    """4 KB are overwritten somewhere in one file, many times: what can be read of ten streams of 40 fragments."""
    log = await _open(kind, folder / "good")
    numbers = {name: await _append_many(await _stream(log, name), _FRAGMENT, 40) for name in range(10)}
    await log.close()
    chosen = random.Random(2)  # noqa: S311  # not a secret
    lost: list[int] = []
    streams_hit: list[int] = []
    for turn in range(_DAMAGES):
        copy = folder / f"bad {turn}"
        shutil.copytree(folder / "good", copy)
        files = [path for path in copy.rglob("*") if path.is_file() and path.stat().st_size >= 4096]
        path = chosen.choices(files, [file.stat().st_size for file in files])[0]
        with path.open("r+b") as file:
            file.seek(chosen.randrange(path.stat().st_size // 4096) * 4096)
            file.write(chosen.randbytes(4096))
        by_stream = await _readable(kind, copy, numbers)
        lost.append(sum(40 - found for found in by_stream))
        streams_hit.append(sum(found < 40 for found in by_stream))
        shutil.rmtree(copy)
    return {
        "damage of 4 KB: fragments lost of 400, mean": float(np.mean(lost)),
        "damage of 4 KB: fragments lost of 400, worst": max(lost),
        "damage of 4 KB: streams hit of 10, worst": max(streams_hit),
    }


async def _readable(kind: str, folder: Path, numbers: dict[int, list[str]]) -> list[int]:
    found: list[int] = []
    try:
        log = await _open(kind, folder)
    except (EarwitnessError, sqlite3.Error):
        return [0] * len(numbers)
    for name, each in numbers.items():
        count = 0
        for number in each:
            try:
                stream = await _stream(log, name)
                count += sum([isinstance(one, Fragment) async for one in stream.get([number])])
            except (EarwitnessError, sqlite3.Error):
                continue
        found.append(count)
    with suppress(EarwitnessError, sqlite3.Error):
        await log.close()
    return found


_LOADS: tuple[tuple[Callable[[str, Path], Awaitable[Numbers]], int], ...] = (
    (_live, 3),
    (_bulk, 3),
    (_reading, 3),
    (_retention, 3),
    (_full_disk, 1),
    (_damage, 1),
)


def main(arguments: list[str]) -> None:
    """Run all loads and print a row a number."""
    print(f"load before: {load()}")
    with tempfile.TemporaryDirectory(dir=arguments[0]) as name:
        for measure, rounds in _LOADS:
            if arguments[1:] and measure.__name__[1:] not in arguments[1:]:
                continue
            rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
            for turn in range(rounds):
                for kind in _FORMATS:
                    folder = Path(name) / measure.__name__ / kind / ("" if measure is _reading else str(turn))
                    for title, value in asyncio.run(measure(kind, folder)).items():
                        rows[title][kind].append(value)
            shutil.rmtree(Path(name) / measure.__name__)
            for title, by_kind in rows.items():
                values = [float(np.median(by_kind[kind])) for kind in _FORMATS]
                ratios = [f"{value / values[0]:.2f}" if values[0] else "-" for value in values[1:]]
                print(
                    f"| {title} | {' | '.join(f'{value:.4g}' for value in values)} | {' | '.join(ratios)} |", flush=True
                )
    print(f"load after: {load()}")


if __name__ == "__main__":
    main(sys.argv[1:])
