"""Three nodes, a call on each, and one of them is killed in the middle: what happens then.

make cluster-demo
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from local_cluster import Cluster, cluster, postgres

from earwitness.samples import first_call, second_call

EXAMPLE = Path(__file__).parents[1] / "examples" / "live_call.py"
CALLERS = ("kal", "sally", "marvin")
KILLED_AFTER_SECONDS = 6.0
"""What the dead node has heard of a call is lost for its voiceprint, which takes 20 of the 35 seconds of a sample."""

_began = time.monotonic()
_lock = threading.Lock()


def say(who: str, text: str) -> None:
    """Print a line with its time."""
    with _lock:
        print(f"{time.monotonic() - _began:6.1f} s  {who:<10} {text}", flush=True)


def call(caller: str, stranger: str, url: str, results: dict[str, int]) -> None:
    """Run the example for one caller: enrolled by a first call, found by a second, and not mistaken for a stranger."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONUNBUFFERED": "1",
    }
    recordings = [first_call(caller), second_call(caller), second_call(stranger)]
    command = [sys.executable, str(EXAMPLE), *map(str, recordings)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        for line in run.stdout or ():
            if line.strip():
                say(caller, line.rstrip().replace(str(Path(recordings[0]).parent.parent) + "/", ""))
    results[caller] = run.returncode


def media_connections(running: Cluster) -> dict[int, int]:
    """Return how many connections each node has, by its number."""
    return {number: len(running.balancer.open[node.port]) for number, node in enumerate(running.nodes, start=1)}


def main() -> int:
    """Return 0 when all three calls went through."""
    with tempfile.TemporaryDirectory(prefix="earwitness-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "records").mkdir()
        say("cluster", "PostgreSQL and three nodes start")
        with postgres(folder / "records") as records, cluster(folder, records.url) as running:
            say("cluster", f"three nodes serve at {running.url}")
            results: dict[str, int] = {}
            lines = [
                threading.Thread(target=call, args=(caller, CALLERS[place - 1], running.url, results))
                for place, caller in enumerate(CALLERS)
            ]
            for line in lines:
                line.start()
            time.sleep(KILLED_AFTER_SECONDS)
            connections = media_connections(running)
            doomed = max(connections, key=lambda number: connections[number])
            say("cluster", f"connections by node: {connections}; node {doomed} is killed (kill -9)")
            running.nodes[doomed - 1].kill()
            for line in lines:
                line.join()
            for number, node in enumerate(running.nodes, start=1):
                for entry in node.log().splitlines():
                    if "taken for dead" in entry:
                        say(f"node {number}", entry)
    failed = [caller for caller in CALLERS if results.get(caller) != 0]
    say("cluster", f"lost calls: {', '.join(failed)}" if failed else "all calls went through")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
