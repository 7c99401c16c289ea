"""Search: the ten closest of a million voices, exactly, and changes to a gallery of that size."""

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.engine import require_models
from benchmarks.workers import numbers_of

_ENVIRONMENTS = {"product": "in the product (one native thread)", "all_cores": "numpy on all cores"}

_ROWS = {
    "search_1m_ms": "search of 1,000,000, top 10, ms",
    "scores_1m_ms": "of that, all cosines, ms",
    "maximum_1m_ms": "`matrix.max()` of 1,000,000 × 192, ms",
    "ratio": "ratio of search and `matrix.max()`",
    "search_20k_ms": "search of 20,000, top 10, ms",
    "search_20k_ms_p90": "the same, nine in ten are faster than, ms",
    "add_ms": "enrol one more in 1,000,000, ms",
    "add_ms_p99": "the same, 99 in 100 are faster than, ms",
    "delete_ms": "delete one of 1,000,000, ms",
    "delete_ms_p99": "the same, 99 in 100 are faster than, ms",
    "fill_add_ms_mean": "enrol 1,000,000 one by one, mean, ms each",
    "fill_add_ms_max": "the slowest of these, ms",
}


def measure() -> Numbers:
    """The worker's numbers in both environments, `product.` and `all_cores.` before their names."""
    require_models()
    found = {"product": numbers_of("search_worker", ["engine"]), "all_cores": numbers_of("search_worker")}
    return {f"{environment}.{name}": value for environment, own in found.items() for name, value in own.items()}


def tables(numbers: Numbers) -> list[Table]:
    """A number a row, an environment a column."""
    rows = tuple(
        (title, *(number(numbers[f"{environment}.{name}"]) for environment in _ENVIRONMENTS))
        for name, title in _ROWS.items()
    )
    return [Table(columns=("median unless said otherwise", *_ENVIRONMENTS.values()), rows=rows)]


_METHOD = """\
A gallery is filled with random unit vectors of 192 numbers, one voiceprint a person, through `Gallery.add`. Each search
compares all of them. Beside it in the same run, and in turn with it, the highest number of a contiguous float32 matrix
of the same size: reading all numbers once is the least a search can do. `max` uses one native thread, and so do
searches in the product: the engine limits numpy to one, and the targets are for that. The second column is a gallery
without an engine, where numpy takes all cores. The slowest addition is a Python dictionary that grows, not the matrix,
which is never copied. Needs 3 GB of memory."""

BENCHMARK = Benchmark(
    name="search",
    question="How fast is an exact search of a million voices?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="product.ratio", says="search of 1,000,000 ÷ `matrix.max()`", sign="<=", bound=2.0),
        Target(number="product.search_20k_ms", says="search of 20,000, median, ms", sign="<=", bound=2.0),
        Target(number="product.add_ms_p99", says="enrol into 1,000,000, 99th percentile, ms", sign="<=", bound=1.0),
        Target(number="product.delete_ms_p99", says="delete from 1,000,000, 99th percentile, ms", sign="<=", bound=1.0),
    ),
    tables=tables,
)
