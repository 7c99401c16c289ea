"""What many tasks that wait for audio take of a core: on a node with PostgreSQL, and in the one process on SQLite."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.local_cluster import MASTER_KEY, Postgres

from benchmarks.benchmark import ROOT, Numbers
from benchmarks.served import Process, ending_with_us

IDLE_TASKS = 10_000
_SECONDS = 60.0


def measure_idle(folder: Path, database: Postgres) -> Numbers:
    """Cores of the service and of PostgreSQL."""
    numbers: Numbers = {}
    with _worker(folder / "idle-node", database.url) as lines:
        server = Process(database.process_id)
        before = server.cpu_seconds_with_children()
        found = json.loads(next(lines))
        numbers["idle_postgresql_cores"] = (server.cpu_seconds_with_children() - before) / found["seconds"]
        numbers |= {"idle_node_cores": found["cores"], "idle_node_tasks": found["tasks"]}
    with _worker(folder / "idle-sqlite", "") as lines:
        found = json.loads(next(lines))
        numbers |= {"idle_sqlite_cores": found["cores"], "idle_sqlite_tasks": found["tasks"]}
    return numbers


@contextmanager
def _worker(folder: Path, store_url: str) -> Generator[Any]:
    """A worker that begins to measure when the block does; the lines that it prints."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    command = [sys.executable, "-m", "benchmarks.cluster_idle_worker", str(folder), store_url]
    with (
        subprocess.Popen(
            [*command, str(IDLE_TASKS), str(_SECONDS)],
            cwd=ROOT,
            env={**environment, "EARWITNESS_MASTER_KEY": MASTER_KEY, "EARWITNESS_LOG_LEVEL": "error"},
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        ending_with_us(process),
    ):
        assert process.stdout
        if process.stdout.readline() != "begins\n":
            raise RuntimeError("the worker with idle tasks did not begin")
        yield process.stdout
