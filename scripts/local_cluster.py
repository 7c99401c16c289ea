"""A cluster on this machine, for the demonstration and for tests: PostgreSQL, nodes, and a balancer before them.

Nodes are real processes, so that they can be killed and stopped. The balancer passes bytes on, as one for TCP does; it
sends new connections to nodes that say they are ready, where fewest are open.
"""

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path

import httpx

MASTER_KEY = "ZWFyd2l0bmVzcyBjbHVzdGVyIGRlbW8sIG5vdCByZWE="
PATIENCE_SECONDS = float(os.environ.get("EARWITNESS_PATIENCE_SECONDS", "120"))
_LOOK_SECONDS = 0.3
_PORTS = range(15_000, 32_768)
"""Below those that systems give to connections."""

_TRIES_MAX = 100


class Balancer:
    """Passes connections on to nodes that are ready."""

    def __init__(self, ports: list[int]) -> None:
        self.port = spare_port()
        self.ready: dict[int, bool] = dict.fromkeys(ports, False)
        self.open: dict[int, set[asyncio.StreamWriter]] = {port: set() for port in ports}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return where clients reach the cluster."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Pass nothing on any more."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._pass_on())

    async def _pass_on(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        looking = asyncio.create_task(self._look())
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            await self._ended.wait()
            for writer in [one for connections in self.open.values() for one in connections]:
                writer.transport.abort()
        looking.cancel()
        await asyncio.wait({looking})

    async def _look(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while True:
                await asyncio.gather(*(self._look_at(client, port) for port in self.ready))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _look_at(self, client: httpx.AsyncClient, port: int) -> None:
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/ready")
            self.ready[port] = answer.is_success
        except httpx.HTTPError:
            self.ready[port] = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in sorted(
            (one for one, is_ready in self.ready.items() if is_ready), key=lambda one: len(self.open[one])
        ):
            try:
                to_node = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            self.open[port].add(writer)
            try:
                await asyncio.gather(_pass(reader, to_node[1]), _pass(to_node[0], writer))
            finally:
                self.open[port].discard(writer)
                to_node[1].transport.abort()
                writer.transport.abort()
            return
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


class Node:
    """One `earwitness serve`."""

    def __init__(
        self,
        folder: Path,
        store_url: str,
        *,
        environment: Mapping[str, str],
        port: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._options = options
        self.port = port or spare_port()
        self.url = f"http://127.0.0.1:{self.port}"
        shell = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
        shell |= {name: os.environ[name] for name in ("EARWITNESS_MODELS_DIR",) if name in os.environ}
        self._environment = {
            **shell,
            "EARWITNESS_STORE_URL": store_url,
            "EARWITNESS_MASTER_KEY": MASTER_KEY,
            "EARWITNESS_LOG_LEVEL": "info",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def change_environment(self, **variables: str) -> None:
        """Have other variables from its next start on."""
        self._environment.update(variables)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", str(self.port), *self._options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.folder / "data")],
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def await_ready(self) -> None:
        """Wait until it is ready. Raise RuntimeError when it has ended, or takes too long."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"a node did not start:\n{self.log()[-3_000:]}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/ready", timeout=2, trust_env=False).is_success
        return False

    def log(self) -> str:
        """Return what it has said."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def node_id(self) -> str:
        """Return what the records call it."""
        return (self.folder / "data" / "media" / "node").read_text().strip()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """End it in order; kill it when that takes too long."""
        if self.process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.kill()


class Cluster:
    """Nodes and their balancer."""

    def __init__(self, nodes: list[Node], balancer: Balancer, store_url: str) -> None:
        self.nodes = nodes
        self.balancer = balancer
        self.store_url = store_url

    @property
    def url(self) -> str:
        """Return where clients reach it."""
        return self.balancer.url


@contextmanager
def cluster(
    folder: Path,
    store_url: str,
    *,
    nodes: int = 3,
    environment: Mapping[str, str] | None = None,
    each: Sequence[Mapping[str, str]] = (),
    is_public: bool = False,
) -> Generator[Cluster]:
    """Start nodes on the records at this address.

    `environment` is for all nodes, `each` has more for the first ones. With `is_public` every node tells clients the
    balancer's address, however it was reached itself.
    """
    ports = [spare_port() for _ in range(nodes)]
    with ExitStack() as stack:
        balancer = Balancer(ports)
        stack.callback(balancer.close)
        told = {**(environment or {}), **({"EARWITNESS_PUBLIC_URL": balancer.url} if is_public else {})}
        started = [
            Node(folder / f"node-{number + 1}", store_url, port=port, environment={**told, **own})
            for number, (port, own) in enumerate(zip_longest(ports, each, fillvalue={}))
        ]
        for node in started:
            stack.callback(node.stop)
            node.begin()
        for node in started:
            node.await_ready()
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not all(balancer.ready.values()) and time.monotonic() < give_up:
            time.sleep(0.1)
        yield Cluster(started, balancer, store_url)


class Postgres:
    """A PostgreSQL server of our own, which may be killed and started again."""

    def __init__(self, folder: Path, *, hosts: str = "127.0.0.1") -> None:
        """`hosts` are the addresses that it listens on, with commas between them."""
        self._folder, self._hosts = folder, hosts
        self._programs = _postgres_programs()
        self._port = spare_port()
        self._identity: dict[str, int] = {}
        self._server: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            entry = pwd.getpwnam("postgres")
            self._identity = {"user": entry.pw_uid, "group": entry.pw_gid}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        making = [self._programs / "initdb", "-D", self._data, "-U", "earwitness", "--auth=trust", "-E", "UTF8"]
        subprocess.run([*making, "--locale=C"], check=True, capture_output=True, cwd=folder, **self._identity)

    @property
    def url(self) -> str:
        """Return the address of a database on it."""
        return f"postgresql://earwitness@127.0.0.1:{self._port}/postgres"

    @property
    def process_id(self) -> int:
        """Return the process that all others of it are children of."""
        if self._server is None:
            raise RuntimeError("PostgreSQL is not started")
        return self._server.pid

    @property
    def _data(self) -> Path:
        return self._folder / "postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", str(self._port), "-h", self._hosts, "-k", str(self._folder), "-c", "max_connections=400"]
        command: list[Path | str] = [self._programs / "postgres", "-D", self._data, *options]
        asking = [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self._port), "-t", "1"]
        give_up = time.monotonic() + PATIENCE_SECONDS
        self._server = self._begun(command)
        while subprocess.run(asking, check=False, capture_output=True).returncode:
            if self._server.poll() is not None:  # what was killed may not be gone yet, with the memory that it shares
                if time.monotonic() > give_up:
                    raise RuntimeError("PostgreSQL did not start: " + (self._folder / "postgres.log").read_text())
                self._server = self._begun(command)
            time.sleep(0.1)

    def _begun(self, command: list[Path | str]) -> subprocess.Popen[bytes]:
        with (self._folder / "postgres.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._identity)

    def kill(self) -> None:
        """End it as a power cut does; its other processes notice that it is gone."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGINT) -> None:
        """Stop it; SIGQUIT ends it without a checkpoint, as a crash does."""
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait()
            self._server = None


@contextmanager
def postgres(folder: Path, *, hosts: str = "127.0.0.1") -> Generator[Postgres]:
    """Have a PostgreSQL server of our own."""
    server = Postgres(folder, hosts=hosts)
    server.start()
    try:
        yield server
    finally:
        server.end()


def _postgres_programs() -> Path:
    found = shutil.which("pg_ctl")  # Debian keeps it where no path leads
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    if not places:
        sys.exit("PostgreSQL is not on this machine; install it, as with `apt install postgresql`")
    return places[0]


def spare_port() -> int:
    """Return a port that nobody has, and that no client is given: what had it and was killed has it again."""
    for port in random.sample(_PORTS, _TRIES_MAX):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError(f"{_TRIES_MAX} ports were tried, and others have them all")
