"""Startup: how long somebody waits for `earwitness --help`."""

import subprocess
import sys

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number, script
from benchmarks.timing import median_ms, rounds
from earwitness.cli.output import progress_of

_REPEATS = 10


def measure() -> Numbers:
    """Milliseconds of wall time, and those of a Python that does nothing, which nobody can go below."""
    with progress_of() as show:
        seconds = rounds(
            {
                "help": lambda: _run([str(script("earwitness")), "--help"]),
                "python": lambda: _run([sys.executable, "-c", "pass"]),
            },
            repeats=_REPEATS,
            progress=lambda done, total: show("earwitness --help", done, total),
        )
    return {
        "help_ms": median_ms(seconds["help"]),
        "help_ms_max": 1e3 * float(seconds["help"].max()),
        "python_ms": median_ms(seconds["python"]),
    }


def tables(numbers: Numbers) -> list[Table]:
    """The times beside the floor."""
    rows = (
        ("`earwitness --help`, median", number(numbers["help_ms"])),
        ("`earwitness --help`, slowest", number(numbers["help_ms_max"])),
        ("`python -c pass`, median", number(numbers["python_ms"])),
    )
    return [Table(columns=("wall time", "ms"), rows=rows)]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


_METHOD = f"""\
Wall time of whole processes, median of {_REPEATS} runs after one that is not counted. An absolute bound: it
is what a person at a terminal notices."""

BENCHMARK = Benchmark(
    name="startup",
    question="How long does the command line take to answer?",
    method=_METHOD,
    measure=measure,
    targets=(Target(number="help_ms", says="`earwitness --help`, median, ms", sign="<=", bound=600.0),),
    tables=tables,
)
