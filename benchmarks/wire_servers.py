"""The processes that `wire` measures, each on a port of its own of 127.0.0.1."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.benchmark import ROOT
from benchmarks.wire_records import CALLS_PER_SECOND

_START_SECONDS_MAX = 120.0
_STOP_SECONDS_MAX = 15.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers."""

    port: int
    process_id: int


@contextmanager
def bare(kind: str) -> Generator[Server]:
    """The bare route: `limited` or `plain`."""
    port = spare_port()
    with _running([sys.executable, "-m", "benchmarks.wire_bare_worker", kind, str(port)], port, {}) as server:
        yield server


@contextmanager
def earwitness(folder: Path, store_url: str) -> Generator[Server]:
    """`earwitness serve` on these records."""
    port = spare_port()
    settings = {"EARWITNESS_STORE_URL": store_url, "EARWITNESS_CALLS_PER_SECOND": str(CALLS_PER_SECOND)}
    command = [sys.executable, "-m", "earwitness", "serve", "--data", str(folder), "--port", str(port)]
    with _running(command, port, settings) as server:
        yield server


def spare_port() -> int:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], port: int, settings: dict[str, str]) -> Generator[Server]:
    with TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            if not _answers(port, process):
                said.seek(0)
                raise RuntimeError(f"{shlex.join(command)} does not answer: {said.read().decode()}")
            yield Server(port=port, process_id=process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False
