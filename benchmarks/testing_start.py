"""Services for tests: how long a test waits for one, and for a scripted answer."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.served import with_bytecode_in
from earwitness.cli.output import progress_of

_REPEATS = 7
_SERVICES = 6

_PROGRAM = """
import json, sys, time
sys.path.insert(0, "tests/testing")
began = time.perf_counter()
from earwitness.testing import no_match, start_service

starts, ends, answers = [], [], []
for number in range(int(sys.argv[1])):
    began = began if number == 0 else time.perf_counter()
    service = start_service()
    starts.append(time.perf_counter() - began)
    if number == 0:
        from telephone import Telephone

        telephone = Telephone(service, "line")
        for _ in range(5):
            service.script(no_match())
            asked = time.perf_counter()
            service.wait_for_event("IdentificationNoMatchesFound", task_id=telephone.ring())
            answers.append(time.perf_counter() - asked)
            telephone.hang_up()
    ending = time.perf_counter()
    service.close()
    ends.append(time.perf_counter() - ending)
print(json.dumps([starts[0], *(sum(times) / len(times) for times in (starts[1:], ends, answers))]))
"""


def measure() -> Numbers:
    """Milliseconds of wall time: of the first start in a process, of each further one, of an end, of an answer."""
    rounds: list[list[float]] = []
    with progress_of() as show, tempfile.TemporaryDirectory() as folder:
        for done in range(_REPEATS + 1):
            show("services for tests", done, _REPEATS + 1)
            command = [sys.executable, "-c", _PROGRAM, str(_SERVICES)]
            said = subprocess.run(
                command, env=with_bytecode_in(Path(folder)), check=True, capture_output=True, text=True
            ).stdout
            rounds.append([1e3 * float(word) for word in said.strip("[]\n").split(",")])
    compiling, *counted = rounds
    names = ("first_ms", "further_ms", "end_ms", "answer_ms")
    medians = {name: statistics.median(column) for name, column in zip(names, zip(*counted, strict=True), strict=True)}
    return medians | {"first_ms_max": max(row[0] for row in counted), "compiling_ms": compiling[0]}


def tables(numbers: Numbers) -> list[Table]:
    """The times."""
    rows = (
        ("the first service of a test run, median", number(numbers["first_ms"])),
        ("the first service of a test run, slowest", number(numbers["first_ms_max"])),
        ("the first of all, in which Python compiles what it loads, once", number(numbers["compiling_ms"])),
        ("each further one", number(numbers["further_ms"])),
        ("the end of one", number(numbers["end_ms"])),
        ("pipeline and task made, until the event of a scripted answer is read", number(numbers["answer_ms"])),
    )
    return [Table(columns=("wall time", "ms"), rows=rows)]


_METHOD = f"""\
Wall time in a process of its own, medians of {_REPEATS} after one that is not counted, in which Python compiles what it
loads; each starts {_SERVICES} services one after the other. The first start loads what a service needs into the
template, which the others are forked from. An absolute bound: somebody waits for each test."""

BENCHMARK = Benchmark(
    name="testing_start",
    question="How long does a test wait for its service?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="first_ms", says="the first service of a test run, ms", sign="<=", bound=2_000.0, aim=1_000.0),
        Target(number="further_ms", says="each further service, ms", sign="<=", bound=1_000.0, aim=400.0),
    ),
    tables=tables,
)
