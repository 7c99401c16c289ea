"""What lies between nodes and PostgreSQL fails: networks are cut, clocks differ, PostgreSQL is away, a disk is full.

All happens to one cluster, one after the other, while calls run. Its first node has a clock that is two minutes ahead
of the second one's, an address of its own for each way that is to be cut, and a small disk.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from local_cluster import Node, Postgres
from media_client import HEADER, Producer, client, cluster, new_stream, put, tone
from traffic import SECOND_HOST, Lines, Watched, answered

from patience import PATIENCE_SECONDS, until
from wall_clock import WallClock

pytestmark = pytest.mark.slow

AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "8"))
CUT_SECONDS = 8.0
"""Longer than a lease."""

CLAIMS = 10
DISK_BYTES = 64 * 2**20
FIRST, SECOND = "127.0.0.3", "127.0.0.4"
NOW_MS = 1_790_000_000_000
AUDIO = tone(1.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system for the data of the first node."""
    folder = tmp_path / "node-1" / "data"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here; run as root to test a full disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def clock_off_by(tmp_path: Path) -> Callable[[int], Mapping[str, str]]:
    """Returns the environment of a process whose wall clock is off; its monotonic clock is not."""
    return lambda seconds: WallClock(tmp_path / f"off-by-{seconds}", ahead_seconds=seconds).environment


@contextmanager
def cut(*hosts: str) -> Iterator[None]:
    """Let nothing through to or from these addresses, without a word."""
    rules = [["INPUT", way, host, "-j", "DROP"] for host in hosts for way in ("-d", "-s")]
    for rule in rules:
        subprocess.run(["iptables", "-A", *rule], check=True)
    yield
    for rule in rules:
        subprocess.run(["iptables", "-D", *rule], check=True)


@pytest.mark.usefixtures("own_network")
def test_calls_outlive_what_lies_between(
    small_disk: Path,
    clock_off_by: Callable[[int], Mapping[str, str]],
    database: Postgres,
    start_cluster: Callable[..., Watched],
) -> None:
    watched = start_cluster(
        2,
        is_public=True,
        each=[
            {
                "EARWITNESS_STORE_URL": database.url.replace("127.0.0.1", SECOND_HOST),
                "EARWITNESS_INTERNAL_ADDRESS": f"{FIRST}:0",
                "EARWITNESS_LIMITS": "persist_wait_seconds=10",
                **clock_off_by(60),
            },
            {"EARWITNESS_INTERNAL_ADDRESS": f"{SECOND}:0", **clock_off_by(-60)},
        ],
    )
    first, second = watched.cluster.nodes
    lines = Lines(watched.cluster, watched.seen, count=3, pace_seconds=0.5, has_voices=True)
    with lines.running():
        until(lines.all_have_spoken)
        stream = Stream(watched, first)
        two_nodes_claim_a_stream_at_once(watched)
        nodes_are_cut_off_from_each_other(stream, first, second)
        a_disk_is_full(stream, first, second, small_disk)
        a_node_is_cut_off_from_the_records(stream, first, second)
        the_records_are_away(stream, database, second)
        a_node_dies_whose_endpoint_a_producer_has(stream, first)
    assert lines.wrong == []
    assert watched.broken() == []


def sent(url: str, stream: str, at_ms: int) -> tuple[list[str], str]:
    """Send a fragment: what was told PERSISTED, and the last word on it, or `refused`."""
    try:
        acks = put(url, stream, HEADER + cluster(at_ms, AUDIO))
    except (OSError, AssertionError, IndexError, ValueError):  # it was refused, or nobody was there
        return [], "refused"
    kept = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    return kept, acks[-1].get("ErrorCode", acks[-1]["EventType"]) if acks else "refused"


class Stream:
    """A stream of a producer that sends a fragment now and then, to one node or another."""

    def __init__(self, watched: Watched, node: Node) -> None:
        self._watched, self._at = watched, NOW_MS
        self.name = answered(lambda: new_stream(node.url))
        kinesis = client(node.url)
        self.arn = kinesis.describe_stream(StreamName=self.name)["StreamInfo"]["StreamARN"]
        asked = {"StreamName": self.name, "APIName": "PUT_MEDIA"}
        self.endpoint = kinesis.get_data_endpoint(**asked)["DataEndpoint"]
        assert self.sent_to(node.url) == "PERSISTED"

    def status(self, url: str) -> int:
        """What a producer is answered."""
        with Producer(url, self.name) as producer:
            producer.finish()
            return producer.status()

    def sent_to(self, url: str) -> str:
        """The last word on a fragment: PERSISTED, or why not."""
        self._at += 1_000
        kept, last = sent(url, self.name, self._at)
        self._watched.seen.persisted[self.arn] += kept
        return last

    def goes_to(self, url: str) -> None:
        """Wait until a fragment is kept there."""
        until(lambda: self.sent_to(url) == "PERSISTED")


def two_nodes_claim_a_stream_at_once(watched: Watched) -> None:
    """One is the home, and the other one after it, or not at all."""
    urls = [node.url for node in watched.cluster.nodes]
    with ThreadPoolExecutor(len(urls)) as threads:
        for _ in range(CLAIMS):
            name = answered(lambda: new_stream(urls[0]))
            arn = client(urls[0]).describe_stream(StreamName=name)["StreamInfo"]["StreamARN"]
            told = list(threads.map(lambda url, name=name: sent(url, name, NOW_MS), urls))
            kept = [number for numbers, _ in told for number in numbers]
            assert kept
            watched.seen.persisted[arn] = sorted(kept)


def nodes_are_cut_off_from_each_other(stream: Stream, first: Node, second: Node) -> None:
    """Both live, nobody is taken for dead; a producer who comes to the wrong one is told to come again."""
    with cut(FIRST, SECOND):
        assert stream.status(second.url) == 503
        time.sleep(CUT_SECONDS)
        assert stream.status(second.url) == 503
        assert stream.sent_to(first.url) == "PERSISTED"
    assert not any("taken for dead" in node.log() for node in (first, second))
    stream.goes_to(second.url)
    stream.goes_to(first.url)


def a_disk_is_full(stream: Stream, first: Node, second: Node, disk: Path) -> None:
    """The node says so, to producers and to the balancer; its streams go to the other one."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4_096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    continue
        assert stream.sent_to(first.url) == "ARCHIVAL_ERROR"
        until(lambda: httpx.get(f"{first.url}/ready", trust_env=False).status_code == 503)
        stream.goes_to(second.url)
    ballast.unlink()
    stream.goes_to(first.url)


def a_node_is_cut_off_from_the_records(stream: Stream, first: Node, second: Node) -> None:
    """Another one takes it for dead; it says PERSISTED no more, and ends when it hears of it."""
    with cut(SECOND_HOST):
        until(lambda: "taken for dead" in second.log())
        assert stream.sent_to(first.url) != "PERSISTED"
        stream.goes_to(second.url)
    assert first.process is not None
    assert first.process.wait(PATIENCE_SECONDS) == 8
    first.start()
    stream.goes_to(first.url)


def the_records_are_away(stream: Stream, database: Postgres, second: Node) -> None:
    """Nobody is taken for dead meanwhile, and all goes on afterwards."""
    dead = second.log().count("taken for dead")
    database.end(signal.SIGQUIT)
    time.sleep(AWAY_SECONDS)
    database.start()
    stream.goes_to(second.url)
    assert second.log().count("taken for dead") == dead


def a_node_dies_whose_endpoint_a_producer_has(stream: Stream, first: Node) -> None:
    """The address that it gave is the balancer's, which leads to another one."""
    stream.goes_to(first.url)
    first.kill()
    stream.goes_to(stream.endpoint)
    first.start()
