"""Backup: how long one of 1 GB of records takes against a copy of the file, plain and encrypted."""

import math
import os
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number, script
from earwitness import config
from earwitness.installation import open_installation
from earwitness.vault.age import new_identity

_BYTES = 10**9
_ROW_BYTES = 3_900
_ROUNDS = 3
_BLOCK_BYTES = 2**20


def measure() -> Numbers:
    """Seconds of a copy and of two backups, medians of rounds in which each ran once; and the ratios of the medians."""
    with TemporaryDirectory(prefix="earwitness-backup-") as name:
        folder = Path(name)
        records = _records(folder / "data")
        _, recipient = new_identity()
        works: dict[str, Callable[[Path], None]] = {
            "copy": lambda place: _copy(records, place),
            "plain": lambda place: _backup(folder / "data", place, "--plain"),
            "encrypted": lambda place: _backup(folder / "data", place, "--to", recipient),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in works}
        cpu: dict[str, list[float]] = {kind: [] for kind in works}
        for _ in range(_ROUNDS):
            for kind, work in works.items():
                place = folder / "place"
                place.mkdir()
                began, cpu_began = time.perf_counter(), _cpu_seconds()
                work(place)
                seconds[kind].append(time.perf_counter() - began)
                cpu[kind].append(_cpu_seconds() - cpu_began)
                shutil.rmtree(place)
        size = records.stat().st_size
    numbers: Numbers = {f"{kind}_seconds": statistics.median(each) for kind, each in seconds.items()}
    numbers |= {f"{kind}_seconds_max": max(each) for kind, each in seconds.items()}
    numbers |= {f"{kind}_cpu_seconds": statistics.median(each) for kind, each in cpu.items()}
    numbers["gigabytes"] = size / 1e9
    for kind in ("plain", "encrypted"):
        numbers[f"{kind}_ratio"] = numbers["copy_seconds"] / numbers[f"{kind}_seconds"]
    return numbers


def _cpu_seconds() -> float:
    """Return what this process and its children that have ended took of all cores."""
    return sum(os.times()[:4])


def _records(data: Path) -> Path:
    """Make records of 1 GB: a backup takes the pages of the file as they are, so it does not matter whose they are."""
    settings = config.load({"EARWITNESS_DATA_DIR": str(data)})
    with closing(open_installation(settings, clock=lambda: datetime.now(UTC), may_make=True)):
        pass
    path = data / "records.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filling (content BLOB)")
        rows = ((os.urandom(_ROW_BYTES),) for _ in range(_BYTES // _ROW_BYTES))
        connection.executemany("INSERT INTO filling VALUES (?)", rows)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return path


def _copy(records: Path, place: Path) -> None:
    with records.open("rb") as source, (place / "copy").open("wb") as target:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)
        target.flush()
        os.fsync(target.fileno())


def _backup(data: Path, place: Path, *how: str) -> None:
    command = [str(script("earwitness")), "backup", str(place), "--no-media", "--data", str(data), *how]
    subprocess.run(command, check=True, capture_output=True)


def tables(numbers: Numbers) -> list[Table]:
    """The three beside one another."""
    rows = tuple(
        (
            says,
            number(numbers[f"{kind}_seconds"]),
            number(numbers[f"{kind}_seconds_max"]),
            number(numbers.get(f"{kind}_cpu_seconds", math.nan)),
            number(numbers.get(f"{kind}_ratio", 1.0)),
        )
        for kind, says in (
            ("copy", "copy of the file, synced"),
            ("plain", "`earwitness backup --plain`"),
            ("encrypted", "`earwitness backup --to KEY`"),
        )
    )
    columns = (
        f"{number(numbers['gigabytes'])} GB of records",
        "s, median",
        "s, slowest",
        "s of CPU",
        "speed against a copy",
    )
    return [Table(columns=columns, rows=rows)]


BENCHMARK = Benchmark(
    name="backup",
    question="How long does a backup of 1 GB take, against a copy of the file?",
    method=f"""Records on SQLite, filled with random bytes up to 1 GB. {_ROUNDS} rounds; in each, one after the other,
the file is copied and synced to the same disk, and the command makes a plain and an encrypted backup, its start and the
sync included. The file is in the memory of the system from the first round on. A plain backup reads each byte, hashes
and writes it; an encrypted one encrypts it too.""",
    measure=measure,
    targets=(
        Target(number="plain_ratio", says="speed of a plain backup against a copy", sign=">=", bound=0.5),
        Target(number="encrypted_ratio", says="speed of an encrypted backup against a copy", sign=">=", bound=0.5),
    ),
    tables=tables,
)
