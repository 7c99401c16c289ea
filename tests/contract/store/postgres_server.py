"""A PostgreSQL server for tests: one that is named, else one of our own in a new folder; and databases on it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

import started
from patience import until

GIVEN_SERVER = os.environ.get("EARWITNESS_TEST_POSTGRES_URL")


def serve_postgres(*, password: str | None = None, own: bool = False, settings: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a server: the one that EARWITNESS_TEST_POSTGRES_URL names, else one of our own.

    With a password it is always one of our own, which asks for it; also with `own`, for a test that does it harm.
    """
    if GIVEN_SERVER and password is None and not own:
        yield GIVEN_SERVER
        return
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs here; install them, or name one by EARWITNESS_TEST_POSTGRES_URL")
    folder = Path(tempfile.mkdtemp(prefix="earwitness-postgres-"))
    started.remove_at_the_end(folder)
    try:
        yield from _serve(programs, folder, password, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """All processes of a server of ours stand still meanwhile; its machine goes on acknowledging what is sent."""
    with psycopg.connect(url) as connection:
        folder = connection.execute("SHOW data_directory").fetchone()
    assert folder
    postmaster = int((Path(folder[0]) / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)  # first, so that it begins no other
    stopped = [postmaster, *_children(postmaster)]
    for process in stopped[1:]:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(stopped):
            with suppress(ProcessLookupError):  # it ended as soon as it went on
                os.kill(process, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def serve_pooler(server: str, *, ignoring: str = "") -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode before a server of ours; `ignoring` names startup parameters."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer here; install it")
    folder = Path(tempfile.mkdtemp(prefix="earwitness-pooler-"))
    started.remove_at_the_end(folder)
    to, port = make_url(server), spare_port()
    (folder / "pooler.ini").write_text(
        f"""
[databases]
* = host={to.host} port={to.port} user={to.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = {ignoring}
""",
        encoding="utf-8",
    )
    identity = unprivileged()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    with (folder / "log").open("wb") as log:
        pooler = started.start([program, folder / "pooler.ini"], stdout=log, stderr=log, **identity)
    try:
        url = str(to.set(port=port))
        until(lambda: _listens(port, pooler))
        yield url
    finally:
        started.end(pooler)
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "PgBouncer ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unprivileged() -> dict[str, Any]:
    """Whom servers run as that refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres" if _has_user("postgres") else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def server_programs() -> Path | None:
    found = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    on_path = shutil.which("initdb")
    return found[0] if found else Path(on_path).resolve().parent if on_path else None


def _serve(programs: Path, folder: Path, password: str | None, more: Sequence[str]) -> Iterator[str]:
    identity = unprivileged()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    data, port = folder / "data", spare_port()
    authentication = ["-A", "trust"]
    if password is not None:
        (folder / "password").write_text(password, encoding="utf-8")
        (folder / "password").chmod(0o644)  # the folder itself is the server's alone
        authentication = ["-A", "scram-sha-256", "--pwfile", str(folder / "password")]
    options = ("-U", "earwitness", *authentication, "-E", "UTF8", "--no-locale", "--no-sync")
    initdb = [str(programs / "initdb"), "-D", str(data), *options]
    subprocess.run(initdb, check=True, cwd=folder, stdout=subprocess.DEVNULL, **identity)
    settings = (
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        "max_connections=60",
        *(part for each in more for part in ("-c", each)),
    )
    command = [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, *settings]
    with (folder / "log").open("wb") as log:
        # SIGQUIT ends it at once, with its children and its shared memory.
        server = started.start(command, last_signal=signal.SIGQUIT, cwd=folder, stdout=log, stderr=log, **identity)
    try:
        secret = "" if password is None else f":{password}"
        url = f"postgresql://earwitness{secret}@127.0.0.1:{port}/postgres"
        until(lambda: server_answers(url, server))
        yield url
    finally:
        started.end(server)


def server_answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "the PostgreSQL server ended"
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def spare_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def create_database(server: str, template: str = "template1") -> str:
    name = f"earwitness_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop_database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def url_of(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
