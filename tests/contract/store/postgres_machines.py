"""PostgreSQL servers that tests do harm: a primary that is killed, its standby that is promoted, a full disk."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from postgres_server import server_answers, server_programs, spare_port, unprivileged

import started
from patience import until


@dataclass
class Machine:
    """One server: its folder, its port and, while it runs, its process."""

    programs: Path
    folder: Path
    port: int = field(default_factory=spare_port)
    settings: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://earwitness@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs to its end."""
        command = [self.programs / program, *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **unprivileged())

    def make(self) -> None:
        """Make an empty database."""
        self.run("initdb", "-D", self.data, "-U", "earwitness", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ("listen_addresses=127.0.0.1", "max_connections=60", "fsync=off", *self.settings)
        options = [part for each in settings for part in ("-c", each)]
        command = [self.programs / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, *options]
        with (self.folder / "log").open("ab") as log:
            self.process = server = started.start(
                command, last_signal=signal.SIGQUIT, cwd=self.folder, stdout=log, stderr=log, **unprivileged()
            )
        with started.ended_if_it_fails(server):
            until(lambda: server_answers(self.url, server))

    def kill(self) -> None:
        """End all its processes as a machine without power does."""
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        self.process.wait()
        for child in children:
            subprocess.run(["kill", "-9", child], check=False, capture_output=True)
        started.end(self.process)

    def stop(self) -> None:
        """End it at once, in order."""
        if self.process is not None:
            started.end(self.process)


@contextmanager
def machines(count: int = 1, *, disk_bytes: int = 0, settings: Sequence[str] = ()) -> Iterator[list[Machine]]:
    """Give servers of our own, none of which runs or has a database yet; on a disk of so many bytes, if any."""
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs here; install them")
    folder = Path(tempfile.mkdtemp(prefix="earwitness-postgres-"))
    started.remove_at_the_end(folder)
    if disk_bytes:
        _mount(folder, disk_bytes)
    folder.chmod(0o755)
    identity = unprivileged()
    found: list[Machine] = []
    try:
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            if identity:
                shutil.chown(own, identity["user"], identity["group"])
            found.append(Machine(programs, own, settings=settings))
        yield found
    finally:
        for machine in found:
            machine.stop()
        if disk_bytes:
            subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mount(folder: Path, size: int) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here; run as root to test a full disk")


@contextmanager
def primary_and_standby() -> Iterator[tuple[Machine, Machine]]:
    """Give a primary and its standby, both running; a change is acknowledged when it is on both disks."""
    with machines(2) as (primary, standby):
        primary.make()
        primary.start()
        source = f"{primary.url}?application_name=standby"
        standby.run("pg_basebackup", "-D", standby.data, "-R", "-N", "-c", "fast", "-d", source)
        standby.start()
        with (primary.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write("synchronous_standby_names = 'standby'\n")
        primary.run("pg_ctl", "-D", primary.data, "reload")
        with closing(psycopg.connect(primary.url, autocommit=True)) as connection:
            kept_twice = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            until(lambda: connection.execute(kept_twice).fetchone())
        yield primary, standby


def promote(standby: Machine) -> None:
    """Make a standby the primary."""
    standby.run("pg_ctl", "-D", standby.data, "promote", "-w")
