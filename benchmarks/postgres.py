"""A PostgreSQL server of our own in a new folder, as the tests of the store have one; none where its programs are not
installed."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.wire_servers import spare_port


@contextmanager
def private_server() -> Generator[str | None]:
    """The URL of an empty database; None when there can be none."""
    programs = _programs()
    if programs is None:
        yield None
        return
    with TemporaryDirectory(prefix="earwitness-postgres-") as name:
        yield from _serve(programs, Path(name))


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).resolve().parent if on_path else None


def _serve(programs: Path, folder: Path) -> Generator[str]:
    # A server refuses to run as root.
    names = {entry.pw_name for entry in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody") if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)

    def run(*command: str | Path) -> None:
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        subprocess.run([str(part) for part in command], check=True, cwd=folder, stdout=subprocess.DEVNULL, **identity)

    data, port = folder / "data", spare_port()
    run(programs / "initdb", "-D", data, "-U", "earwitness", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run(programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield f"postgresql://earwitness@127.0.0.1:{port}/postgres"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
