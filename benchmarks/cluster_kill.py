"""A node is killed in the middle of 100 calls and 1,000 tasks that wait: when all of them go on at another."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
from scripts.local_cluster import MASTER_KEY, Balancer, Node, Postgres

import earwitness
from benchmarks.benchmark import Numbers
from benchmarks.cluster_records import make_idle_tasks
from benchmarks.live_calls import RATE, Application
from earwitness import app, config
from earwitness.errors import PutMediaFailed
from earwitness.producer.connection import Ack, AckType

CALLS, IDLE_TASKS = 100, 1_000
_CALL_SECONDS = 600
_WARM_SECONDS = 10.0
_GIVE_UP_SECONDS = 120.0
_LOOK_SECONDS = 0.05


def measure_kill(folder: Path, database: Postgres, *, heirs: int) -> Numbers:
    """Seconds from the kill until the last call had a fragment kept again, and until the last task ran again.

    `heirs` nodes are left, which share what the dead one had.
    """
    environment = {"EARWITNESS_TASKS_AT_ONCE": str(2 * (CALLS + IDLE_TASKS))}
    names = ["doomed", *(f"heir-{number}" for number in range(heirs))]
    doomed, *left = (Node(folder / f"kill-{name}", database.url, environment=environment) for name in names)
    balancer = Balancer([node.port for node in (doomed, *left)])
    over = threading.Event()
    try:
        doomed.start()
        _wait(lambda: balancer.ready[doomed.port])
        application = Application(balancer.url)
        streams = [application.open_stream(f"call-{number}") for number in range(CALLS)]
        for stream in streams:
            application.listen(stream)
        acknowledged: list[list[float]] = [[] for _ in streams]
        with ThreadPoolExecutor(CALLS) as lines:
            try:
                for stream, heard in zip(streams, acknowledged, strict=True):
                    lines.submit(_call, application, stream, heard, over)
                _wait(lambda: all(acknowledged))
                for heir in left:
                    heir.start()
                _wait(lambda: all(balancer.ready.values()))
                time.sleep(_WARM_SECONDS)
                _add_idle_tasks(database, doomed.node_id())
                doomed.kill()
                numbers = _go_on(database, left, acknowledged, killed_at=time.perf_counter())
                return {f"kill_{heirs}_{name}": value for name, value in numbers.items()}
            finally:
                over.set()
    finally:
        balancer.close()
        for node in (doomed, *left):
            node.stop()


def _go_on(
    database: Postgres, heirs: Sequence[Node], acknowledged: Sequence[list[float]], *, killed_at: float
) -> Numbers:
    """Wait until all go on elsewhere. A task runs again when its next attempt has begun."""
    taken_up = calls = float("nan")
    ids = [heir.node_id() for heir in heirs]
    lost = "SELECT count(*) FROM speaker_search_tasks WHERE ended_at IS NULL AND (node_id <> ALL(%s) OR attempt < 1)"
    with psycopg.connect(database.url, autocommit=True) as connection:
        while time.perf_counter() - killed_at < _GIVE_UP_SECONDS and (calls != calls or taken_up != taken_up):
            if calls != calls and all(times and times[-1] > killed_at for times in list(acknowledged)):
                calls = max(min(at for at in times if at > killed_at) for times in acknowledged) - killed_at
            if taken_up != taken_up:
                row = connection.execute(lost, (ids,)).fetchone()
                if row is not None and row[0] == 0:
                    taken_up = time.perf_counter() - killed_at
            time.sleep(_LOOK_SECONDS)
    first = [min((at for at in times if at > killed_at), default=float("nan")) - killed_at for times in acknowledged]
    return {
        "calls_s": calls,
        "calls_s_median": float(np.median(first)),
        "tasks_s": taken_up,
    }


def _call(application: Application, stream: str, acknowledged: list[float], over: threading.Event) -> None:
    """A line on which nobody speaks, so that its task has no result before the kill; dialled again if it breaks."""
    noise = np.random.default_rng(0).normal(0, 20, _CALL_SECONDS * RATE).astype("<i2").tobytes()
    while not over.is_set():
        try:
            earwitness.put_media(
                _Line(noise, over),
                stream_arn=stream,
                session=application.session,
                endpoint_url=application.url,
                on_ack=lambda ack: _note(ack, acknowledged),
            )
        except PutMediaFailed:
            over.wait(0.5)


def _note(ack: Ack, acknowledged: list[float]) -> None:
    if ack.type is AckType.PERSISTED:
        acknowledged.append(time.perf_counter())


class _Line(io.BytesIO):
    """Audio that ends with the measurement."""

    def __init__(self, pcm: bytes, over: threading.Event) -> None:
        super().__init__(pcm)
        self._over = over

    def read(self, size: int | None = -1, /) -> bytes:
        return b"" if self._over.is_set() else super().read(size)


def _add_idle_tasks(database: Postgres, node_id: str) -> None:
    """Tasks of the node that will die, which wait for audio."""
    settings = replace(config.Settings(), store_url=database.url, master_key=MASTER_KEY)
    store = app.open_records(settings, may_make=False)
    try:
        store.write(lambda unit: make_idle_tasks(unit, range(IDLE_TASKS), node_id=node_id))
    finally:
        store.close()


def _wait(is_so: Callable[[], object]) -> None:
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while not is_so():
        if time.monotonic() > give_up:
            raise RuntimeError("the cluster does not get ready")
        time.sleep(_LOOK_SECONDS)
