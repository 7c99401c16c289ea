"""Memory: whether it grows with the number of embeddings made."""

from pathlib import Path

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number
from benchmarks.engine import require_models
from benchmarks.workers import numbers_of

_ROWS = {
    "settled_mib": "embeddings 51 to 100, median, MiB",
    "middle_mib": "embeddings 501 to 550, median, MiB",
    "last_mib": "embeddings 951 to 1,000, median, MiB",
    "highest_first_mib": "highest of the first 50, MiB",
    "highest_mib": "highest of all others, MiB",
    "growth_percent": "growth of the first of these medians to the last, %",
}


def measure() -> Numbers:
    """Resident memory in MiB and its growth."""
    if not Path("/proc/self/status").exists():
        raise SkippedError("resident memory is read from /proc, which this system does not have")
    require_models()
    return numbers_of("memory_worker")


def tables(numbers: Numbers) -> list[Table]:
    """A number a row."""
    rows = tuple((title, number(numbers[name])) for name, title in _ROWS.items())
    return [Table(columns=("resident memory", "measured"), rows=rows)]


_METHOD = """\
1,000 embeddings of 3 to 25 s of noise that rises and falls like speech, lengths and places drawn from a fixed seed, in
a fresh process; resident memory is read from the system after each. The first 50 are given to settle. It goes up and
down with the length just embedded, so medians over 50 are compared. Random lengths are the point: an allocator that
keeps a block for every length it meets grows without end."""

BENCHMARK = Benchmark(
    name="memory",
    question="Does memory grow with use?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(
            number="growth_percent", says="growth of resident memory, 50 to 1,000 embeddings, %", sign="<=", bound=5.0
        ),
    ),
    tables=tables,
)
