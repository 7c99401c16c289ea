"""A service in a process of its own, as a user starts it, and what the kernel says of that process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.benchmark import ROOT

_READY_SECONDS_MAX = 60.0
_WATCHDOG = "import os, signal, sys; sys.stdin.read(); os.kill(int(sys.argv[1]), signal.SIGTERM)"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def with_bytecode_in(folder: Path) -> dict[str, str]:
    """Return an environment in which Python keeps what it compiles, in `folder`.

    An installed earwitness has its bytecode beside it from the first start on. A container that builds and measures
    often forbids that with PYTHONDONTWRITEBYTECODE; then each start compiles all anew, which no user waits for.
    """
    others = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return others | {"PYTHONPYCACHEPREFIX": str(folder)}


class Process:
    """A running process; numbers from /proc, so Linux only."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = (self._folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def cpu_seconds_with_children(self) -> float:
        """The same with all its children, those that have ended too: PostgreSQL has one for each connection."""
        fields = (self._folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        own = sum(int(field) for field in fields[11:15]) / _TICKS_PER_SECOND
        task = self._folder / "task" / self._folder.name / "children"
        living = [Process(int(child)) for child in task.read_text(encoding="ascii").split()]
        return own + sum(child._cpu_seconds_if_there() for child in living)

    def _cpu_seconds_if_there(self) -> float:
        try:
            return self.cpu_seconds()
        except OSError:  # it has ended just now
            return 0.0

    def resident_bytes(self) -> int:
        """Memory it has now."""
        return self._status("VmRSS:")

    def resident_bytes_max(self) -> int:
        """The most memory it had since `forget_maximum`."""
        return self._status("VmHWM:")

    def forget_maximum(self) -> None:
        """Count the most memory anew."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")

    def _status(self, name: str) -> int:
        for line in (self._folder / "status").read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"the kernel does not tell {name}")


@contextmanager
def serving(command: Sequence[str | Path], port: int) -> Generator[Process]:
    """Run a command that listens on a port until the block ends; it is ready when the block begins."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EARWITNESS_", "AWS_"))}
    with (
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process,
        ending_with_us(process),
    ):
        began = time.perf_counter()
        while not is_ready(port, seconds_max=_READY_SECONDS_MAX):
            if process.poll() is not None or time.perf_counter() - began > _READY_SECONDS_MAX:
                raise RuntimeError(f"`{' '.join(map(str, command))}` does not become ready")
            time.sleep(0.002)
        yield Process(process.pid)


@contextmanager
def ending_with_us(process: "subprocess.Popen[Any]") -> Generator[None]:
    """End a process with the block, and also when we are killed before the block ends.

    A watchdog reads from a pipe that closes when we are gone, as in tests/started.py.
    """
    command = [sys.executable, "-S", "-E", "-c", _WATCHDOG, str(process.pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        try:
            yield
        finally:
            watchdog.kill()
            process.terminate()


def is_ready(port: int, *, seconds_max: float, path: str = "/ready") -> bool:
    """Whether a service on this machine answers `/ready`, or another path, with 200."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=seconds_max)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
