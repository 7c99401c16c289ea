"""Startup: how long somebody waits for `earwitness --help`, and for `earwitness serve` to answer."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number, script
from benchmarks.served import free_port, is_ready, with_bytecode_in
from benchmarks.timing import median_ms, rounds
from earwitness.cli.output import progress_of

_REPEATS = 10
_READY_SECONDS_MAX = 60.0


def measure() -> Numbers:
    """Milliseconds of wall time, and those of a Python that does nothing, which nobody can go below."""
    with progress_of() as show, tempfile.TemporaryDirectory() as folder:
        environment = with_bytecode_in(Path(folder) / "bytecode")
        seconds = rounds(
            {
                "help": lambda: _run([str(script("earwitness")), "--help"], environment),
                "version": lambda: _run([str(script("earwitness")), "--version"], environment),
                "python": lambda: _run([sys.executable, "-c", "pass"], environment),
            },
            repeats=_REPEATS,
            progress=lambda done, total: show("earwitness --help", done, total),
        )
        ready = _seconds_until_ready(Path(folder), environment, lambda done: show("earwitness serve", done, _REPEATS))
    return {
        "serve_ready_ms": 1e3 * statistics.median(ready),
        "serve_ready_ms_max": 1e3 * max(ready),
        "help_ms": median_ms(seconds["help"]),
        "help_ms_max": 1e3 * float(seconds["help"].max()),
        "version_ms": median_ms(seconds["version"]),
        "python_ms": median_ms(seconds["python"]),
    }


def tables(numbers: Numbers) -> list[Table]:
    """The times beside the floor."""
    rows = (
        ("`earwitness --help`, median", number(numbers["help_ms"])),
        ("`earwitness --help`, slowest", number(numbers["help_ms_max"])),
        ("`earwitness --version`, median", number(numbers["version_ms"])),
        ("`earwitness serve` to the first 200 of `/health`, median", number(numbers["serve_ready_ms"])),
        ("`earwitness serve` to the first 200 of `/health`, slowest", number(numbers["serve_ready_ms_max"])),
        ("`python -c pass`, median", number(numbers["python_ms"])),
    )
    return [Table(columns=("wall time", "ms"), rows=rows)]


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def _seconds_until_ready(folder: Path, environment: Mapping[str, str], progress: Callable[[int], None]) -> list[float]:
    """From the start of a process to its first 200, on SQLite records that exist; the first start, which makes them, is
    not counted."""
    seconds: list[float] = []
    for done in range(_REPEATS + 1):
        progress(done)
        seconds.append(_start_and_stop(folder, environment))
    return seconds[1:]


def _start_and_stop(folder: Path, environment: Mapping[str, str]) -> float:
    port = free_port()
    command = [str(script("earwitness")), "serve", "--port", str(port), "--data", str(folder / "data")]
    plain = {name: value for name, value in environment.items() if not name.startswith("EARWITNESS_")}
    started = time.perf_counter()
    with subprocess.Popen(command, env=plain, stderr=subprocess.DEVNULL) as process:
        try:
            while not is_ready(port, seconds_max=_READY_SECONDS_MAX, path="/health"):
                if process.poll() is not None or time.perf_counter() - started > _READY_SECONDS_MAX:
                    raise RuntimeError("`earwitness serve` does not answer")
                time.sleep(0.002)
            return time.perf_counter() - started
        finally:
            process.terminate()


_METHOD = f"""\
Wall time of whole processes, median of {_REPEATS} runs after one that is not counted, in which Python compiles
what it loads. An absolute bound: it is what a person at a terminal notices. Voice models are opened beside the first
requests, and not waited for."""

BENCHMARK = Benchmark(
    name="startup",
    question="How long does the command line take to answer?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="help_ms", says="`earwitness --help`, median, ms", sign="<=", bound=600.0),
        Target(
            number="serve_ready_ms",
            says="`earwitness serve` to the first 200 of `/health`, median, ms",
            sign="<=",
            bound=1_500.0,
            aim=1_000.0,
        ),
    ),
    tables=tables,
)
