"""Cluster: several nodes on the same records; what they cost, and what happens when one is killed."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.local_cluster import Postgres, postgres

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number
from benchmarks.cluster_cost import CALLS, measure_cost
from benchmarks.cluster_idle import IDLE_TASKS, measure_idle
from benchmarks.cluster_kill import CALLS as KILLED_CALLS
from benchmarks.cluster_kill import IDLE_TASKS as KILLED_TASKS
from benchmarks.cluster_kill import measure_kill
from benchmarks.machine import load


def measure() -> Numbers:
    """Each part has a PostgreSQL of its own. `load_…` is how many processes wanted a core before it."""
    if not Path("/proc/self/status").exists():
        raise SkippedError("CPU seconds are read from /proc, which this system does not have")
    numbers: Numbers = {"load_cost": load(), **measure_cost()}
    parts: dict[str, Callable[[Path, Postgres], Numbers]] = {
        "kill_1": partial(measure_kill, heirs=1),
        "kill_2": partial(measure_kill, heirs=2),
        "idle": measure_idle,
    }
    for name, part in parts.items():
        with tempfile.TemporaryDirectory(prefix="earwitness-cluster-") as place:
            folder = Path(place)
            folder.chmod(0o755)
            (folder / "records").mkdir()
            numbers[f"load_{name}"] = load()
            with postgres(folder / "records") as records:
                numbers |= part(folder, records)
    return numbers


def tables(numbers: Numbers) -> list[Table]:
    """Cost of a call, a kill, idle tasks."""
    kinds = {"sqlite": "one process, SQLite", "one": "one node, PostgreSQL", "two": "two nodes, PostgreSQL"}
    keys = ("call_cpu_s", "postgresql_cpu_s", "generator_cpu_s", "calls_per_s")
    cost = Table(
        columns=("a call", "CPU s of the nodes", "of PostgreSQL", "of the generator", "finished calls/s"),
        rows=tuple((title, *(number(numbers[f"cost_{kind}_{key}"]) for key in keys)) for kind, title in kinds.items()),
    )
    killed = Table(
        columns=("seconds after kill -9 of a node", "one node is left", "two are left"),
        rows=tuple(
            (title, *(number(numbers[f"kill_{heirs}_{key}"]) for heirs in (1, 2)))
            for title, key in (
                (f"half of {KILLED_CALLS} calls have fragments kept again", "calls_s_median"),
                ("all of them", "calls_s"),
                (f"all their tasks, and {KILLED_TASKS:,} that wait for audio, run elsewhere", "tasks_s"),
            )
        ),
    )
    idle = Table(
        columns=(f"{IDLE_TASKS:,} tasks that wait for audio", "% of a core"),
        rows=(
            ("a node", number(100 * numbers["idle_node_cores"])),
            ("PostgreSQL for it", number(100 * numbers["idle_postgresql_cores"])),
            ("the process on SQLite", number(100 * numbers["idle_sqlite_cores"])),
        ),
    )
    return [cost, killed, idle]


_METHOD = f"""\
Cost: {CALLS} calls, eight at once, sent as fast as the service takes them, until each has its voiceprint. Every node is
pinned to a core with one inference thread; PostgreSQL, the balancer and the generator have what is left, so on two
cores calls a second say nothing of two nodes, and CPU seconds of each process (from /proc) do. Kill: calls on which
nobody speaks come to one node by a balancer, tasks that wait are added, and the node gets SIGKILL while one or two
others serve; a call goes on when its next fragment is acknowledged as PERSISTED, a task when another node has begun
an attempt at it. Idle: the process serves, and nobody asks it anything; that each stream had a fragment is told to it
every five seconds without media, because a silent call ends after fifteen."""

BENCHMARK = Benchmark(
    name="cluster",
    question="What do several nodes cost, and what does the death of one?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="kill_2_calls_s", says="all calls go on after kill -9, s", sign="<=", bound=10.0),
        Target(number="kill_2_tasks_s", says="all tasks go on after kill -9, s", sign="<=", bound=10.0),
        Target(
            number="calls_per_cpu_two_to_one",
            says="finished calls a CPU second of two nodes, of those of one",
            sign=">=",
            bound=0.85,
        ),
        Target(
            number="call_cpu_ratio",
            says="CPU of a call on two nodes, of that in one process on SQLite",
            sign="<=",
            bound=1.25,
        ),
        Target(number="idle_node_cores", says=f"cores of a node with {IDLE_TASKS:,} idle tasks", sign="<=", bound=0.02),
    ),
    tables=tables,
)
