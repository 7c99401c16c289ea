"""Nodes in processes of their own: a cluster for each test that breaks it, and one for all that leave it whole."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from invariants import Seen
from local_cluster import Postgres, cluster, postgres
from traffic import SECOND_HOST, Sink, Watched

import started

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of sched.h


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A server, in a folder that PostgreSQL's own user reaches."""
    with _database() as server:
        yield server


@pytest.fixture
def own_network() -> Iterator[None]:
    """A network that this test and what it starts have to themselves, and may cut; gone with the last of them."""
    if not sys.platform.startswith("linux") or not (shutil.which("ip") and shutil.which("iptables")):
        pytest.skip("this needs Linux with ip and iptables")
    libc = ctypes.CDLL(None)
    common = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(_NEW_NETWORK):  # of this thread, and of threads and processes that it starts
        os.close(common)
        pytest.skip("this needs a network namespace of its own; run it as root")
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(common, 0) == 0
        os.close(common)


@pytest.fixture
def start_cluster(tmp_path: Path, database: Postgres, model_cache: object) -> Iterator[Callable[..., Watched]]:
    """Starts nodes, which end with the test."""
    with ExitStack() as stack:

        def start(
            nodes: int = 2, *, each: Sequence[Mapping[str, str]] = (), is_public: bool = False, **environment: str
        ) -> Watched:
            watched = _watched(tmp_path, database, nodes, environment, each=each, is_public=is_public)
            return stack.enter_context(watched)

        yield start


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, model_cache: object) -> Iterator[Watched]:
    """Two nodes that nothing happens to."""
    with _database() as server, _watched(tmp_path_factory.mktemp("calm"), server, 2, {}) as watched:
        yield watched


@contextmanager
def _database() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="earwitness-cluster-"))
    started.remove_at_the_end(folder)
    try:
        with postgres(folder, hosts=f"127.0.0.1,{SECOND_HOST}") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _watched(
    folder: Path, database: Postgres, nodes: int, environment: Mapping[str, str], **options: Any
) -> Iterator[Watched]:
    seen = Seen()
    with ExitStack() as stack:
        sink = Sink(seen)
        stack.callback(sink.close)
        settings = folder / "settings.toml"
        settings.touch()
        told = {"EARWITNESS_CONFIG": str(settings), **sink.settings, **environment}
        running = stack.enter_context(cluster(folder, database.url, nodes=nodes, environment=told, **options))
        yield Watched(cluster=running, seen=seen)
