"""Ingest: what a hundred live calls cost the service, how fast media goes in, and how soon it comes out."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.ingest_load import (
    STUDIO,
    TELEPHONE,
    Heard,
    Reader,
    first_byte_seconds,
    live_calls,
    upload,
)
from benchmarks.served import Process, free_port, serving
from earwitness.cli.output import progress_of

_CALLS, _READERS = 100, 4
_CALL_SECONDS, _WARM_UP_SECONDS = 20, 3
_UPLOAD_BYTES, _WARM_UP_BYTES = 2_000_000_000, 32_000_000
_ROUNDS = 3
_FIRST_BYTES = 50
_STEPS = 4


def measure() -> Numbers:
    """All numbers, from one service process on a fresh folder and one sink."""
    with progress_of() as show, tempfile.TemporaryDirectory() as folder:
        port, sink_port = free_port(), free_port()
        url, sink_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sink_port}"
        command = ["-m", "earwitness", "serve", "--dev", "--port", str(port), "--data", str(Path(folder) / "data")]
        with serving(command, port) as service:
            show("ingest", 0, _STEPS)
            streams = _make_streams(url, _CALLS + 3)
            numbers = _live(url, streams[:_CALLS], service)
            show("ingest", 1, _STEPS)
            with serving(["-m", "benchmarks.ingest_sink", str(sink_port)], sink_port):
                numbers |= asyncio.run(_uploads(url, sink_url, streams[_CALLS:], service))
            show("ingest", 3, _STEPS)
            first_byte = [first_byte_seconds(url, streams[0]) for _ in range(_FIRST_BYTES)]
    return numbers | {
        "first_byte_ms": 1e3 * float(np.median(first_byte)),
        "first_byte_ms_max": 1e3 * max(first_byte),
    }


def tables(numbers: Numbers) -> list[Table]:
    """Live calls, the upload, the reading."""
    rows = [(says, number(numbers[name])) for name, says in _ROWS.items()]
    return [Table(columns=("what", "measured"), rows=tuple(rows))]


def _make_streams(url: str, count: int) -> list[str]:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # noqa: S106
    client: Any = session.client("kinesisvideo", endpoint_url=url)  # boto3 has no types
    names = [f"call-{index}" for index in range(count)]
    for name in names:
        client.create_stream(StreamName=name, DataRetentionInHours=1)
    return names


def _live(url: str, streams: list[str], service: Process) -> Numbers:
    asyncio.run(live_calls(url, streams, seconds=_WARM_UP_SECONDS, heard=Heard()))
    heard = Heard()
    cpu, began = service.cpu_seconds(), time.perf_counter()
    readers = [Reader(url, stream, heard) for stream in streams[:_READERS]]
    for reader in readers:
        reader.start()
    asyncio.run(live_calls(url, streams, seconds=_CALL_SECONDS, heard=heard))
    # The service is measured while calls go on, so the second before the first frame counts for nothing.
    cpu, wall = service.cpu_seconds() - cpu, time.perf_counter() - began - 1.0
    for reader in readers:
        reader.join()
    persisted = np.array(heard.persisted_seconds)
    if len(persisted) != len(streams) * _CALL_SECONDS:
        raise RuntimeError(f"{len(persisted)} fragments were persisted of {len(streams) * _CALL_SECONDS}")
    shared = heard.read.keys() & heard.persisted.keys()
    reached = np.array([heard.read[name] - heard.persisted[name] for name in shared])
    return {
        "cpu_percent": 100 * cpu / wall,
        "persisted_ms": 1e3 * float(np.median(persisted)),
        "persisted_ms_p99": 1e3 * float(np.percentile(persisted, 99)),
        "persisted_ms_max": 1e3 * float(persisted.max()),
        "reached_ms": 1e3 * float(np.median(reached)),
        "reached_ms_p99": 1e3 * float(np.percentile(reached, 99)),
        "reached_fragments": float(len(reached)),
    }


async def _uploads(url: str, sink_url: str, streams: list[str], service: Process) -> Numbers:
    """Rounds of a part of the bytes each, service and sink in turn."""
    before = service.resident_bytes()
    service.forget_maximum()
    for one in (url, sink_url):
        await upload(one, streams[0], STUDIO, bytes_min=_WARM_UP_BYTES)
    share = _UPLOAD_BYTES // _ROUNDS
    speeds = [
        [await upload(one, streams[1], STUDIO, bytes_min=share) for one in (url, sink_url)] for _ in range(_ROUNDS)
    ]
    grown = service.resident_bytes_max() - before
    telephone = await upload(url, streams[2], TELEPHONE, bytes_min=_WARM_UP_BYTES)
    ours, sinks = np.array(speeds).T
    return {
        "upload_megabytes_per_second": float(np.median(ours)) / 1e6,
        "sink_megabytes_per_second": float(np.median(sinks)) / 1e6,
        "upload_ratio": float(np.median(ours / sinks)),
        "upload_megabytes": _UPLOAD_BYTES / 1e6,
        "memory_growth_mib": grown / 2**20,
        "telephone_hours_per_second": telephone / (TELEPHONE.rate * 2) / 3_600,
    }


_ROWS = {
    "cpu_percent": f"{_CALLS} live calls: CPU of the service, % of one core",
    "persisted_ms": "the same: a fragment's last byte to PERSISTED, median, ms",
    "persisted_ms_p99": "99th percentile, ms",
    "persisted_ms_max": "slowest, ms",
    "reached_ms": f"the same, {_READERS} readers: PERSISTED to the end of the fragment at a reader, median, ms",
    "reached_ms_p99": "99th percentile, ms",
    "upload_megabytes_per_second": "one upload as fast as it goes, fragments of 192 KB, MB/s",
    "sink_megabytes_per_second": "the same into a sink on the same HTTP server, MB/s",
    "upload_ratio": "ratio of the two",
    "memory_growth_mib": f"most memory during {_UPLOAD_BYTES / 1e6:.0f} MB in, above what it was before, MiB",
    "telephone_hours_per_second": "one upload of 8 kHz mono in fragments of 16 KB, hours of audio a second",
    "first_byte_ms": "GetMedia from EARLIEST to its first byte, median, ms",
    "first_byte_ms_max": f"slowest of {_FIRST_BYTES}, ms",
}

_METHOD = f"""\
One `earwitness serve --dev` process on a fresh folder, clients in the process of the benchmark on the same machine.
First {_CALLS} producers of 8 kHz mono at once for {_CALL_SECONDS} s, frames every 0.1 s as they are spoken, fragments
of 1 s on streams that keep them, with {_READERS} GetMedia readers; CPU is that of the whole service process. Then one
producer of 48 kHz stereo as fast as it goes: {_UPLOAD_BYTES / 1e6:.0f} MB in {_ROUNDS} requests, in turn with the same
bytes into an application that throws them away behind the same HTTP server and settings. Every fragment is encrypted
and on the disk before it counts. A reader can have a fragment before its producer hears PERSISTED; the time is
negative then."""

BENCHMARK = Benchmark(
    name="ingest",
    question="How many calls can one core take in, and how soon are they durable and readable?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="cpu_percent", says=f"{_CALLS} live calls, % of one core", sign="<=", bound=50.0, aim=25.0),
        Target(number="persisted_ms_p99", says="last byte to PERSISTED, 99th percentile, ms", sign="<=", bound=100.0),
        Target(number="upload_ratio", says="upload ÷ a sink on the same HTTP server", sign=">=", bound=0.1),
        Target(number="memory_growth_mib", says="memory growth during the upload, MiB", sign="<=", bound=32.0),
        Target(number="first_byte_ms", says="GetMedia to its first byte, median, ms", sign="<=", bound=50.0),
        Target(number="reached_ms_p99", says="PERSISTED to a live reader, 99th percentile, ms", sign="<=", bound=50.0),
    ),
    tables=tables,
)
