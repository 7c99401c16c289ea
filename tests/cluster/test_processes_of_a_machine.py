"""`serve --processes 2`: one port, two nodes; each has streams of its own, and the other one answers for it."""

import contextlib
import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
from calls import Application, pcm
from local_cluster import Node, Postgres, spare_port
from prometheus_client.parser import text_string_to_metric_families
from test_cluster import listed
from traffic import ServedAt

from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

STREAMS_MAX = 40
"""Of so many connections at least one comes to each of two processes, but for one time in 10^11."""


def nodes_of(database: Postgres) -> list[tuple[str, int]]:
    """Return the nodes that live, and their processes."""
    with psycopg.connect(database.url) as connection:
        query = "SELECT node_id, process FROM nodes WHERE dead_at IS NULL AND alive_until > extract(epoch FROM now())"
        return connection.execute(query).fetchall()  # pyright: ignore[reportReturnType]


def homes_of(database: Postgres) -> set[str]:
    """Return which nodes are the home of a stream."""
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT home_node FROM kinesis_streams WHERE home_node IS NOT NULL").fetchall()
    return {home for (home,) in rows}


def speak_shortly(app: Application, name: str) -> tuple[str, list[str]]:
    """Send three seconds to a stream; return it, and what was acknowledged."""
    stream, persisted = app.stream(name), list[str]()

    def note(ack: Ack) -> None:
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    app.send(pcm(first_call("kal"), seconds=3), stream, on_ack=note)
    return stream, persisted


def two_free_ports() -> int:
    """Return the first of two ports that follow one another."""
    while True:
        first = spare_port()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", first + 1))
            return first


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def persisted_by(port: int) -> float:
    """Return how many fragments the process whose metrics are at this port has persisted, as Prometheus reads it."""
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    assert [sample.value for sample in samples if sample.name == "earwitness_store_up"] == [1.0]
    counted = (one for one in samples if one.name == "earwitness_fragments_total")
    return sum(one.value for one in counted if one.labels["outcome"] == "persisted")


def test_two_processes_serve_at_one_port(tmp_path: Path, database: Postgres, model_cache: object) -> None:
    metrics = two_free_ports()
    own = {"EARWITNESS_METRICS_ADDRESS": f"127.0.0.1:{metrics}"}
    node = Node(tmp_path / "machine", database.url, environment=own, options=("--processes", "2"))
    node.start()
    try:
        with closing(Application(ServedAt(node.url, node.folder / "data"), "several")) as app:  # pyright: ignore[reportArgumentType]
            until(lambda: "2 processes serve" in node.log())
            sent: dict[str, list[str]] = {}
            while len(homes_of(database)) < 2:
                assert len(sent) < STREAMS_MAX
                sent.update([speak_shortly(app, f"line-{len(sent)}")])
            for _ in range(4):  # whichever process answers
                assert all(numbers and set(numbers) == listed(app, stream) for stream, numbers in sent.items())
            counted = [persisted_by(port) for port in (metrics, metrics + 1)]
            assert all(counted) and sum(counted) == sum(map(len, sent.values()))  # each counts its own
            shared = httpx.get(f"{node.url}/metrics", timeout=PATIENCE_SECONDS)
            assert (shared.status_code, "set metrics_address" in shared.text) == (404, True)
            before = nodes_of(database)
            os.kill(before[0][1], signal.SIGKILL)
            until(
                lambda: (
                    {name for name, _ in nodes_of(database)} == {name for name, _ in before}
                    and before != nodes_of(database)
                )
            )
            for stream, numbers in sent.items():
                until(lambda stream=stream, numbers=numbers: set(numbers) == listed(app, stream))
            until(lambda: all(listens(port) for port in (metrics, metrics + 1)))
            again = [persisted_by(port) for port in (metrics, metrics + 1)]
            assert sorted(again) == sorted([0.0, *set(again).intersection(counted)])  # the one that is new has its port
    finally:
        node.stop()
    assert node.process is not None
    assert node.process.returncode == 0
