"""Wire: what it costs to speak AWS's protocol, against a route that answers JSON and does nothing else."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import wire_servers
from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number
from benchmarks.postgres import private_server
from benchmarks.wire_load_worker import Plan
from benchmarks.wire_pages import measure_pages
from benchmarks.wire_records import DOMAINS, TASK_PIPELINE_ID, Made, make_records, settings_in
from benchmarks.wire_signed import PIPELINES, VOICE, Signer
from benchmarks.workers import numbers_of

_CONNECTIONS = 32
_ROUNDS, _PHASE_SECONDS = 30, 0.3
_STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_STAGES = {
    "head": "read the head, name the request",
    "key": "find the key (store)",
    "signature": "check the signature (SigV4)",
    "find_operation": "find the operation",
    "authorise": "authorise",
    "throttle": "throttle",
    "parameters": "read and check the parameters",
    "call": "call the operation (store)",
    "write_result": "serialise",
    "whole": "all of them, without a clock in between",
}
_LOADS = {
    "plain": "bare route, uvicorn as it comes",
    "bare": "bare route, behind earwitness's limits",
    "sqlite_domain": "GetVoiceProfileDomain, SQLite",
    "sqlite_domain_by_arn": "GetVoiceProfileDomain by ARN, SQLite",
    "sqlite_pipeline": "GetMediaPipeline, SQLite",
    "sqlite_task": "GetSpeakerSearchTask, SQLite",
    "postgresql_domain": "GetVoiceProfileDomain, PostgreSQL",
    "postgresql_pipeline": "GetMediaPipeline, PostgreSQL",
    "postgresql_task": "GetSpeakerSearchTask, PostgreSQL",
}
_UNITS = ("per_second", "ratio_to_plain", "ratio_to_bare", "ms_p50", "ms_p99")


@dataclass(frozen=True, kw_only=True)
class _Store:
    """Records in one of the databases."""

    folder: Path
    url: str
    made: Made


def measure() -> Numbers:
    """Rates and latencies under load, the stages of a request, and pages of a long list."""
    if not Path("/proc/self/status").exists():
        raise SkippedError("resident memory is read from /proc, which this system does not have")
    with _stores() as stores:
        numbers = _not_measured()
        for name, store in stores.items():
            numbers |= {f"{name}_{key}": value for key, value in _stages(store).items()}
        return numbers | _load(stores) | _pages(stores["sqlite"])


@contextmanager
def _stores() -> Generator[dict[str, _Store]]:
    with TemporaryDirectory(prefix="earwitness-wire-") as name, private_server() as postgres:
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        stores: dict[str, _Store] = {}
        for store, url in urls.items():
            folder = Path(name) / store
            folder.mkdir()
            stores[store] = _Store(folder=folder, url=url, made=make_records(settings_in(folder, url)))
        yield stores


def _not_measured() -> Numbers:
    """What stays empty where there is no PostgreSQL."""
    names = [f"postgresql_{stage}_us" for stage in _STAGES]
    names += [f"{load}_{unit}" for load in _LOADS if load.startswith("postgresql") for unit in _UNITS]
    return dict.fromkeys(names, float("nan"))


def _stages(store: _Store) -> Numbers:
    request = store.folder / "request"
    request.write_bytes(_requests(store, port=4500)["domain"])
    numbers = numbers_of("wire_stages_worker", [store.folder, store.url, request])
    return {f"{stage}_us": microseconds for stage, microseconds in numbers.items()}


def _requests(store: _Store, *, port: int) -> dict[str, bytes]:
    signer = Signer(store.made, port=port)
    made = store.made
    return {
        "domain": signer.request(VOICE, "GetVoiceProfileDomain", {"VoiceProfileDomainId": made.domain_id}),
        "domain_by_arn": signer.request(VOICE, "GetVoiceProfileDomain", {"VoiceProfileDomainId": made.domain_arn}),
        "task": signer.request(
            PIPELINES,
            "GetSpeakerSearchTask",
            {"Identifier": TASK_PIPELINE_ID, "SpeakerSearchTaskId": made.task_id},
        ),
        "pipeline": signer.request(PIPELINES, "GetMediaPipeline", {"MediaPipelineId": made.pipeline_id}),
    }


def _load(stores: dict[str, _Store]) -> Numbers:
    """All servers run; only one is asked at a time."""
    with ExitStack() as running:
        requests: dict[str, tuple[int, bytes]] = {}
        for kind, name in {"plain": "plain", "limited": "bare"}.items():
            port = running.enter_context(wire_servers.bare(kind)).port
            requests[name] = port, _requests(stores["sqlite"], port=port)["domain"]
        for name, store in stores.items():
            port = running.enter_context(wire_servers.earwitness(store.folder, store.url)).port
            signed = _requests(store, port=port)
            wanted = {f"{name}_{what}": (port, request) for what, request in signed.items()}
            requests |= {load: each for load, each in wanted.items() if load in _LOADS}
        plan = Plan(requests=requests, connections=_CONNECTIONS, rounds=_ROUNDS, phase_seconds=_PHASE_SECONDS)
        plan_file = stores["sqlite"].folder / "plan.json"
        plan.write(plan_file)
        return numbers_of("wire_load_worker", [plan_file])


def _pages(store: _Store) -> Numbers:
    with wire_servers.earwitness(store.folder, store.url) as server:
        return measure_pages(server, store.made)


def tables(numbers: Numbers) -> list[Table]:
    """Load, stages, pages."""
    load = Table(
        columns=(
            f"{_CONNECTIONS} connections",
            "requests/s",
            "of the first row",
            "of the second",
            "p50, ms",
            "p99, ms",
        ),
        rows=tuple((title, *(number(numbers[f"{name}_{unit}"]) for unit in _UNITS)) for name, title in _LOADS.items()),
    )
    stages = Table(
        columns=("GetVoiceProfileDomain, one at a time", *(f"{title}, µs" for title in _STORES.values())),
        rows=tuple(
            (title, *(number(numbers[f"{store}_{stage}_us"]) for store in _STORES)) for stage, title in _STAGES.items()
        ),
    )
    titles = {
        "page_first_ms": "the first 10 pages, median, ms",
        "page_last_ms": "the last 10 pages, median, ms",
        "page_resident_first_mib": "resident memory of the server after one walk, MiB",
        "page_resident_last_mib": "resident memory of the server after six, MiB",
    }
    pages = Table(
        columns=(f"a list of {DOMAINS:,} domains in pages of 100", "measured"),
        rows=tuple((title, number(numbers[name])) for name, title in titles.items()),
    )
    return [load, stages, pages]


_METHOD = f"""\
Load: `earwitness serve` on {DOMAINS:,} domains, two pipelines and a task, and two bare routes of Starlette that
answer JSON of the same size, each in a process of its own with uvloop and httptools; one bare route on uvicorn as it
comes, one behind the same protocol as earwitness (limits to heads and connections, an answer's head and body in one
write). One client process with {_CONNECTIONS} connections that stay open asks them in turn, {_PHASE_SECONDS:g} s
each, {_ROUNDS} rounds after two that are not counted; a ratio is the median of those within a round, latencies are of
all requests. All get the same bytes, as boto3 signed them. PostgreSQL is a server of its own on the same machine and
takes time from the same cores; its requests run in threads. Stages: medians of one request at a time in a process
without a network, where caches are warmer than under load, so they add up to less than a request takes there. Pages:
six walks through the list, signed page by page; the first is not counted."""


def _at_least(load: str, title: str) -> Target:
    says = f"{title} on SQLite, requests/s of those of a bare route of Starlette behind the same protocol"
    return Target(number=f"{load}_ratio_to_bare", says=says, sign=">=", bound=0.4, aim=0.5)


def _p99(load: str, title: str) -> Target:
    says = f"{title} on SQLite, p99 at {_CONNECTIONS} connections, ms"
    return Target(number=f"{load}_ms_p99", says=says, sign="<=", bound=30.0)


BENCHMARK = Benchmark(
    name="wire",
    question="What does it cost to speak AWS's protocol?",
    method=_METHOD,
    measure=measure,
    targets=(
        _at_least("sqlite_domain", "GetVoiceProfileDomain"),
        _at_least("sqlite_pipeline", "GetMediaPipeline"),
        _at_least("sqlite_task", "GetSpeakerSearchTask"),
        _p99("sqlite_domain", "GetVoiceProfileDomain"),
        _p99("sqlite_pipeline", "GetMediaPipeline"),
        Target(
            number="page_ratio",
            says="time of a list's last pages in that of its first, 10,000 items",
            sign="<=",
            bound=1.25,
        ),
        Target(number="page_growth_percent", says="growth of memory over five walks, %", sign="<=", bound=5.0),
    ),
    tables=tables,
)
