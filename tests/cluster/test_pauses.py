"""A node is stopped between the disk and an acknowledgement, and goes on after another one became the home."""

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from local_cluster import Node
from media_client import HEADER, Producer, client, cluster, new_stream, put, tone
from traffic import Lines, Watched, answered

from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

NOW_MS = 1_790_000_000_000
SECOND = tone(1.0)
BETWEEN_SECONDS_MAX = 0.003
"""How long after a fragment's bytes are in the file the node is stopped: a sync takes about as long."""

ON_ITS_WAY_SECONDS = 0.5
"""After a stop; what was told before has come by then."""


class Told:
    """The acknowledgements on a connection, as they come."""

    def __init__(self, producer: Producer) -> None:
        self.acks: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, args=(producer,), daemon=True)
        self._thread.start()

    def persisted(self) -> list[str]:
        return [ack["FragmentNumber"] for ack in self.acks if ack["EventType"] == "PERSISTED"]

    def join(self) -> None:
        """Wait until the connection ends."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _read(self, producer: Producer) -> None:
        with suppress(OSError, ValueError):  # a node that ends says no last chunk
            for ack in producer.acks():
                self.acks.append(ack)


def test_nothing_is_told_persisted_after_another_node_became_home(start_cluster: Callable[..., Watched]) -> None:
    watched = start_cluster(2)
    stopped, other = watched.cluster.nodes
    lines = Lines(watched.cluster, watched.seen, count=2, pace_seconds=0.5, has_voices=False)
    with lines.running():
        until(lines.all_have_spoken)
        stream = answered(lambda: new_stream(stopped.url))
        arn = client(stopped.url).describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
        with Producer(stopped.url, stream) as producer:
            told = stop_before_an_acknowledgement(stopped, producer)
            before = told.persisted()
            until(lambda: "taken for dead" in other.log())
            at_other = answered(lambda: persisted_by(other, stream))
            stopped.signal(signal.SIGCONT)
            told.join()
        assert told.persisted() == before
        assert stopped.process is not None
        assert stopped.process.wait(PATIENCE_SECONDS) == 8
        assert "this process serves no longer" in stopped.log()
        stopped.start()
    watched.seen.persisted[arn] += [*before, *at_other]
    assert lines.wrong == []
    assert watched.broken() == []


def persisted_by(node: Node, stream: str) -> list[str]:
    """Send a fragment to a node, and return what it says is kept."""
    acks = put(node.url, stream, HEADER + cluster(NOW_MS + 999_000, SECOND))
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]


def stop_before_an_acknowledgement(node: Node, producer: Producer) -> Told:
    """Send fragments until the node was stopped when one was in its file and not yet told PERSISTED."""
    chance, media = random.Random(1), node.folder / "data" / "media"
    had = set(media.rglob("*.segment"))
    producer.opened().send(HEADER + cluster(NOW_MS, SECOND))
    told = Told(producer)
    until(told.persisted)
    (file,) = set(media.rglob("*.segment")) - had
    give_up = time.monotonic() + PATIENCE_SECONDS
    sent = 1
    while time.monotonic() < give_up:
        until(lambda sent=sent: len(told.persisted()) == sent)
        size, after = file.stat().st_size, time.monotonic() + PATIENCE_SECONDS
        producer.send(cluster(NOW_MS + 1_000 * sent, SECOND))
        sent += 1
        while file.stat().st_size == size:
            assert time.monotonic() < after
        time.sleep(chance.uniform(0.0, BETWEEN_SECONDS_MAX))
        node.signal(signal.SIGSTOP)
        time.sleep(ON_ITS_WAY_SECONDS)
        if len(told.persisted()) < sent:
            return told
        node.signal(signal.SIGCONT)
    raise AssertionError("each fragment was acknowledged before the node was stopped")
