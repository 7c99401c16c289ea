"""Scrape: how long Prometheus waits for the metrics of a service that listens to 200 calls."""

import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.live_calls import Application, served
from earwitness.cli.output import progress_of

_TASKS = 200
_SCRAPES = 100


def measure() -> Numbers:
    """Milliseconds of scrapes, one after the other, while all tasks listen to streams that are silent."""
    with progress_of() as show, served({}) as (application, _, process):
        for done in range(_TASKS):
            show("calls", done, _TASKS)
            application.listen(application.open_stream(f"line-{done}"))
        scrape = _scraper(application)
        text = scrape()
        if f"\nearwitness_tasks_running {_TASKS}.0\n".encode() not in text:
            raise RuntimeError("not all tasks are listened for")
        before, seconds = process.cpu_seconds(), np.zeros(_SCRAPES)
        for done in range(_SCRAPES):
            show("scrapes", done, _SCRAPES)
            started = time.perf_counter()
            scrape()
            seconds[done] = time.perf_counter() - started
        cpu = process.cpu_seconds() - before
    return {
        "scrape_ms": 1e3 * float(np.median(seconds)),
        "scrape_ms_p95": 1e3 * float(np.quantile(seconds, 0.95)),
        "scrape_cpu_ms": 1e3 * cpu / _SCRAPES,
        "scrape_kb": len(text) / 1e3,
    }


def _scraper(application: Application) -> Callable[[], bytes]:
    def scrape() -> bytes:
        with closing(HTTPConnection(urlsplit(application.url).netloc, timeout=30)) as connection:
            connection.request("GET", "/metrics", headers={"Authorization": "Bearer test"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"a scrape was answered with {answer.status}")
            return answer.read()

    return scrape


def tables(numbers: Numbers) -> list[Table]:
    """The times and the size."""
    rows = (
        ("a scrape, median", f"{number(numbers['scrape_ms'])} ms"),
        ("a scrape, the slowest in twenty", f"{number(numbers['scrape_ms_p95'])} ms"),
        ("CPU of the service for one, its other work included", f"{number(numbers['scrape_cpu_ms'])} ms"),
        ("text", f"{number(numbers['scrape_kb'])} kB"),
    )
    return [Table(columns=(f"{_TASKS} tasks listen", ""), rows=rows)]


BENCHMARK = Benchmark(
    name="scrape",
    question="How long does a scrape of the metrics take?",
    method=f"""A real service, boto3 and {_TASKS} tasks that listen to streams on which nothing comes.
{_SCRAPES} scrapes with a connection each, one after the other, so that what is counted of the records
every five seconds and what is gone through once a minute is in some of them.""",
    measure=measure,
    targets=(
        Target(number="scrape_ms", says="a scrape at 200 calls, ms", sign="<=", bound=20.0),
        Target(number="scrape_ms_p95", says="the slowest scrape in twenty, ms", sign="<=", bound=60.0, aim=20.0),
    ),
    tables=tables,
)
