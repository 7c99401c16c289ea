"""What a call costs: in one process on SQLite, on one node and on two nodes on PostgreSQL, each pinned to a core."""

import io
import os
import resource
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from scripts.local_cluster import Balancer, Node, postgres

from benchmarks.benchmark import Numbers
from benchmarks.live_calls import Application, Call, Seen, calls_with_pauses
from benchmarks.served import Process
from earwitness import config
from earwitness.engine.engine import build_engine
from earwitness.voice.band import Band

CALLS, _AT_ONCE = 16, 8
_CALL_SECONDS = 90.0
_RESULT_SECONDS_MAX = 300.0
_LOOK_SECONDS = 0.1


def measure_cost() -> Numbers:
    """CPU seconds of each part for a finished call, and finished calls a second of the clock."""
    calls = calls_with_pauses(build_engine(config.Settings(), Band.TELEPHONE), seconds=_CALL_SECONDS)
    numbers: Numbers = {}
    for name, nodes in (("sqlite", 0), ("one", 1), ("two", 2)):
        with tempfile.TemporaryDirectory(prefix="earwitness-cluster-") as folder:
            Path(folder).chmod(0o755)
            numbers |= {f"cost_{name}_{key}": value for key, value in _cost(Path(folder), calls, nodes=nodes).items()}
    one, two = numbers["cost_one_call_cpu_s"], numbers["cost_two_call_cpu_s"]
    return numbers | {"calls_per_cpu_two_to_one": one / two, "call_cpu_ratio": two / numbers["cost_sqlite_call_cpu_s"]}


def _cost(folder: Path, calls: Sequence[Call], *, nodes: int) -> Numbers:
    with ExitStack() as stack:
        records = None
        if nodes:
            (folder / "records").mkdir()
            records = stack.enter_context(postgres(folder / "records"))
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        started = [
            Node(folder / f"node-{number}", "" if records is None else records.url, environment=environment)
            for number in range(max(1, nodes))
        ]
        for core, node in enumerate(started):
            stack.callback(node.stop)
            _start_on(core, node)
        balancer = Balancer([node.port for node in started])
        stack.callback(balancer.close)
        while not all(balancer.ready.values()):
            time.sleep(0.05)
        return _measured(Application(balancer.url), started, calls, None if records is None else records.process_id)


def _start_on(core: int, node: Node) -> None:
    """Start a node that may use one core only: it inherits what this thread may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        node.start()
    finally:
        os.sched_setaffinity(0, before)


def _measured(application: Application, nodes: Sequence[Node], calls: Sequence[Call], database: int | None) -> Numbers:
    seen = [Seen(node.folder / "data" / "events.jsonl") for node in nodes]
    watching = [threading.Thread(target=one.watch) for one in seen]
    for thread in watching:
        thread.start()
    processes = [Process(node.process.pid) for node in nodes if node.process is not None]
    server = None if database is None else Process(database)
    names = count()

    def place(call: Call) -> bool:
        stream = application.open_stream(f"call-{next(names)}")
        search = application.listen(stream)
        application.send(io.BytesIO(call.pcm), stream, [], real_time=False)
        return _wait_for_print(seen, search.task)

    try:
        with ThreadPoolExecutor(_AT_ONCE) as lines:
            list(lines.map(place, [calls[0]] * len(nodes) * 2))  # models are open, statements prepared
            before, began = _used(processes, server), time.perf_counter()
            finished = sum(lines.map(place, [calls[number % len(calls)] for number in range(CALLS)]))
            seconds = time.perf_counter() - began
            used = [after - earlier for after, earlier in zip(_used(processes, server), before, strict=True)]
    finally:
        for one in seen:
            one.over.set()
        for thread in watching:
            thread.join()
    names_of = ("call_cpu_s", "postgresql_cpu_s", "generator_cpu_s")
    parts = {name: total / finished for name, total in zip(names_of, used, strict=True)}
    return {**parts, "finished": finished, "calls_per_s": finished / seconds}


def _used(processes: Sequence[Process], server: Process | None) -> tuple[float, float, float]:
    """CPU seconds so far of the nodes, of PostgreSQL, and of this process, which makes the calls and balances."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    database = 0.0 if server is None else server.cpu_seconds_with_children()
    return sum(process.cpu_seconds() for process in processes), database, own.ru_utime + own.ru_stime


def _wait_for_print(seen: Sequence[Seen], task: str) -> bool:
    """Return whether the voiceprint of a task was told of in time."""
    give_up = time.monotonic() + _RESULT_SECONDS_MAX
    while time.monotonic() < give_up:
        if any(of == task and status.startswith("Voiceprint") for one in seen for of, status in list(one.at)):
            return True
        time.sleep(_LOOK_SECONDS)
    return False
