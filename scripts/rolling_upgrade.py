"""A rolling upgrade: two nodes of a former commit are replaced one after the other while calls run.

python scripts/rolling_upgrade.py COMMIT

The former commit runs from a copy of its sources with the libraries of this environment. Exit code 0 when every call
had its result and nothing that was acknowledged is missing.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cluster_demo import call, say
from local_cluster import Balancer, Node, postgres

ROOT = Path(__file__).parents[1]
CALLERS = ("kal", "sally", "marvin")


@contextmanager
def sources_of(commit: str, folder: Path) -> Generator[Path]:
    """Have the sources of a commit in a folder."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, commit], cwd=ROOT, check=True)
    try:
        yield folder / "src"
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def calls_until(ended: threading.Event, url: str, results: list[int]) -> None:
    """Place one call after the other; `results` gets their exit codes."""
    place = 0
    while not ended.is_set() or not results:
        found: dict[str, int] = {}
        caller = CALLERS[place % len(CALLERS)]
        call(caller, CALLERS[place % len(CALLERS) - 1], url, found)
        results.append(found[caller])
        place += 1


def main(commit: str) -> int:
    """Return 0 when all calls went through."""
    with tempfile.TemporaryDirectory(prefix="earwitness-upgrade-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "records").mkdir()
        former = stack.enter_context(sources_of(commit, folder / "former"))
        records = stack.enter_context(postgres(folder / "records"))
        nodes = [
            Node(folder / f"node-{number}", records.url, environment={"PYTHONPATH": str(former)}) for number in (1, 2)
        ]
        for node in nodes:
            node.start()
            stack.callback(node.stop)
        balancer = Balancer([node.port for node in nodes])
        stack.callback(balancer.close)
        say("upgrade", f"two nodes of {commit} serve at {balancer.url}")
        ended, results = threading.Event(), list[int]()
        calling = threading.Thread(target=calls_until, args=(ended, balancer.url, results))
        calling.start()
        for number, node in enumerate(nodes, start=1):
            time.sleep(10)
            say("upgrade", f"node {number} stops")
            node.stop()
            node.change_environment(PYTHONPATH="")
            node.start()
            say("upgrade", f"node {number} serves with this version")
        ended.set()
        calling.join()
        say("upgrade", f"{results.count(0)} of {len(results)} runs of three calls went through")
        return int(any(results))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]) if len(sys.argv) == 2 else __doc__)
