"""Whom a command and all it starts talk to: seen from inside Python, and from the kernel's side where strace works."""

import ipaddress
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import started
from patience import PATIENCE_SECONDS

_SITE = """
import os, sys
def _tell(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host:
        host = host.decode() if isinstance(host, bytes) else str(host)
        file = os.open(os.environ["NETWORK_GUARD_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, (host + "\\n").encode())
        os.close(file)
sys.addaudithook(_tell)
"""
"""`sitecustomize`: each Python process imports it first, from PYTHONPATH."""

_TRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none")
_ADDRESS = re.compile(r'sin_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a command did."""

    code: int
    output: str
    hosts: frozenset[str]
    """Everybody it connected to, sent to, or looked up."""

    @property
    def outside(self) -> set[str]:
        """Those that are not this machine."""
        return {host for host in self.hosts if not _is_here(host)}


def can_trace() -> bool:
    """Whether the kernel's side can be seen here."""
    return bool(shutil.which("strace")) and subprocess.run([*_TRACE, "true"], capture_output=True).returncode == 0


def watched(command: Sequence[str | Path], environment: Mapping[str, str], *, folder: Path) -> Watched:
    """Run a command to its end, with every Python process and, where it can be, every system call watched."""
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    told, traced, output = folder / "told", folder / "traced", folder / "output"
    guard = {"PYTHONPATH": str(folder), "NETWORK_GUARD_FILE": str(told)}
    before = [*_TRACE, "-o", traced] if can_trace() else []
    with (
        output.open("wb") as file,
        started.process([*before, *command], env={**environment, **guard}, stdout=file, stderr=file) as process,
    ):
        code = process.wait(PATIENCE_SECONDS)
    hosts = set(told.read_text("utf-8").split()) if told.exists() else set()
    if traced.exists():
        hosts |= {first or second for first, second in _ADDRESS.findall(traced.read_text("utf-8", errors="replace"))}
    return Watched(code=code, output=output.read_text("utf-8", errors="replace"), hosts=frozenset(hosts))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


PYTHON = sys.executable
