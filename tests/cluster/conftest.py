"""Nodes in processes of their own, and a PostgreSQL server for each test."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from local_cluster import Cluster, Postgres, cluster, postgres

import started


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A server, in a folder that PostgreSQL's own user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="earwitness-cluster-"))
    started.remove_at_the_end(folder)
    try:
        with postgres(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_cluster(
    tmp_path: Path,
    database: Postgres,
    model_cache: object,
) -> Iterator[Callable[..., Cluster]]:
    """Starts nodes, which end with the test."""
    with ExitStack() as stack:

        def start(nodes: int = 2, **environment: str) -> Cluster:
            return stack.enter_context(cluster(tmp_path, database.url, nodes=nodes, environment=environment))

        yield start
