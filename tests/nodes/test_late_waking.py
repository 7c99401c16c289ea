"""A node that goes on after it was stopped says nothing of before, once others may have taken over."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, signal, socket, sys
from datetime import UTC, datetime
from pathlib import Path
from earwitness.nodes.own import own_node
from earwitness.store.leading import Renewal

now = [0.0]
listen = lambda: socket.create_server(("127.0.0.1", 0))
folder = Path(sys.argv[1])
with own_node(folder, listen=listen, internal_url="", node_url="", monotonic=lambda: now[0]) as node:
    os.kill(os.getpid(), signal.SIGCONT)
    print("had no lease yet", flush=True)
    node.lease.renewed(Renewal(asked_at=0.0, answered_at=0.0, database_time=datetime.now(UTC)))
    os.kill(os.getpid(), signal.SIGCONT)
    print("has one", flush=True)
    now[0] = 3_600.0
    os.kill(os.getpid(), signal.SIGCONT)
    print("PERSISTED", flush=True)
"""


def test_a_node_that_stood_still_for_longer_than_its_lease_says_nothing_more(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (8, "had no lease yet\nhas one\n"), done.stderr
    assert "this process serves no longer" in done.stderr
