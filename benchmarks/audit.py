"""Audit: what the trail and its chain add to a search, how many bytes an entry takes, and how fast it is checked."""

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sqlalchemy import text

from benchmarks.benchmark import ROOT, Benchmark, Numbers, SkippedError, Table, Target, number
from benchmarks.postgres import private_server
from benchmarks.served import free_port, serving
from earwitness import config
from earwitness.app import open_records
from earwitness.audit.verify import verify_records
from earwitness.progress import not_shown
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit

_SEARCHES = 40
_ENTRIES = 10_000
_AT_ONCE = 500
_TOKEN = "ewt_" + "b" * 43
_SCOPE = Scope(account_id="000000000000", region="us-east-1")
_ARN = "arn:aws:chime:us-east-1:000000000000:voice-profile-domain/vpd-4ad1657b-80ca-4194-a3b1-88195a90ec5a"
_CALLS = ROOT / "src" / "earwitness" / "samples"

_OFF = "from earwitness.store.audit import AuditWriter; AuditWriter.append = lambda *_, **__: None; "
"""Nobody but this benchmark can have the trail off."""


def measure() -> Numbers:
    """Milliseconds of a search with audit and without, and the costs of entries, on both databases."""
    numbers: Numbers = {}
    with private_server() as url:
        if url is None:
            raise SkippedError("there is no PostgreSQL here")
        for name, address in (("sqlite", ""), ("postgresql", url)):
            with TemporaryDirectory(prefix="earwitness-audit-") as folder:
                found = _searches(Path(folder), address) | _entries(Path(folder), address)
                numbers |= {f"{name}_{key}": value for key, value in found.items()}
    return numbers


def _searches(folder: Path, store_url: str) -> Numbers:
    """Two services take turns, one of which writes no trail."""
    variables = _variables(folder, store_url)
    with closing(open_records(config.load(variables))) as store:
        store.write(_let_in)
    recording = (_CALLS / "second-calls" / "sally.flac").read_bytes()
    with _service(variables, "") as audited:
        domain = _asked(audited, "POST", "/domains?name=callers")["domainId"]
        for each in sorted((_CALLS / "first-calls").glob("*.flac")):
            _asked(audited, "POST", f"/domains/{domain}/profiles?consent=benchmark", each.read_bytes())
        path = f"/domains/{domain}/search"
        seconds: dict[str, list[float]] = {"on": [], "off": []}
        # On SQLite one service at a time has the records; then each has a round of its own, again and again.
        if store_url:
            with _service(variables | _of_another_node(folder), _OFF) as silent:
                for _ in range(_SEARCHES):
                    for which, port in (("on", audited), ("off", silent)):
                        seconds[which].append(_timed(port, path, recording))
    if not store_url:
        for _ in range(4):
            for which, patch in (("on", ""), ("off", _OFF)):
                with _service(variables, patch) as port:
                    _timed(port, path, recording)  # opens models and gallery
                    seconds[which] += [_timed(port, path, recording) for _ in range(_SEARCHES // 4)]
    on, off = (1e3 * float(np.median(seconds[which][2:])) for which in ("on", "off"))
    return {"search_ms": on, "search_without_ms": off, "added": on / off - 1}


def _variables(folder: Path, store_url: str) -> dict[str, str]:
    more = {"EARWITNESS_STORE_URL": store_url, "EARWITNESS_INTERNAL_ADDRESS": "127.0.0.1:0"} if store_url else {}
    models = {"EARWITNESS_MODELS_DIR": str(config.load().models_dir), "EARWITNESS_CALLS_PER_SECOND": "10000"}
    return {"EARWITNESS_DATA_DIR": str(folder), **more, **models}


def _of_another_node(folder: Path) -> dict[str, str]:
    return {"EARWITNESS_MEDIA_DIR": str(folder / "media of another")}


@contextmanager
def _service(variables: Mapping[str, str], patch: str) -> Generator[int]:
    port = free_port()
    program = f"import os; os.environ.update({dict(variables)!r}); {patch}from earwitness.cli.main import main; main()"
    with serving(["-c", program, "serve", "--port", str(port)], port):
        yield port


def _let_in(unit: Unit) -> None:
    account_id = _SCOPE.account_id
    unit.bearer_tokens.create(token=_TOKEN, token_id="t", account_id=account_id, role="admin", name="benchmark")  # noqa: S106


def _asked(port: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request(method, f"/earwitness/v1{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status}: {content.decode()}")
    return json.loads(content)


def _timed(port: int, path: str, recording: bytes) -> float:
    began = time.perf_counter()
    _asked(port, "POST", path, recording)
    return time.perf_counter() - began


def _entries(folder: Path, store_url: str) -> Numbers:
    """What entries take in the records, and how fast they are written, sealed and checked."""
    with closing(open_records(config.load(_variables(folder, store_url)))) as store:
        single = _seconds(lambda: [store.write(_append) for _ in range(_AT_ONCE)]) / _AT_ONCE
        before = _size(store, folder)
        many = _seconds(lambda: [store.write(_append_many) for _ in range(_ENTRIES // _AT_ONCE)])
        sealed = _seconds(lambda: _seal(store))
        after = _size(store, folder)
        count = verify_records(store, [], [], store.signer().public, not_shown).entries
        checked = _seconds(lambda: verify_records(store, [], [], store.signer().public, not_shown))
    return {
        "transaction_ms": 1e3 * single,
        "entry_us": 1e6 * many / _ENTRIES,
        "sealing_us": 1e6 * sealed / _ENTRIES,
        "entry_bytes": (after - before) / _ENTRIES,
        "checked_per_second": count / checked,
    }


def _append(unit: Unit) -> None:
    unit.audit.append(
        _SCOPE,
        key_id="tok-0123456789abcdef",
        operation="SearchRecording",
        resource_arn=_ARN,
        outcome="done",
        request_id="2df425f5-433d-4778-9fca-3aaa60aca4fb",
    )


def _append_many(unit: Unit) -> None:
    for _ in range(_AT_ONCE):
        _append(unit)


def _seal(store: Store) -> None:
    while store.write(lambda unit: unit.audit.seal("", limit=_AT_ONCE)):
        pass


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _size(store: Store, folder: Path) -> int:
    engine = store._database.engine.execution_options(isolation_level="AUTOCOMMIT")  # pyright: ignore[reportPrivateUsage]
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM FULL audit_entries"))
            return int(connection.execute(text("SELECT pg_total_relation_size('audit_entries')")).scalar_one())
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "records.db").stat().st_size


def tables(numbers: Numbers) -> list[Table]:
    """Searches, then entries."""
    rows = (
        ("search_ms", "a search with a recording, median, ms"),
        ("search_without_ms", "the same without any audit, ms"),
        ("transaction_ms", "a transaction of one entry alone, ms"),
        ("entry_us", "an entry more in a transaction, µs"),
        ("sealing_us", "its place in the chain, given later, µs"),
        ("entry_bytes", "an entry in the records with its indexes, bytes"),
        ("checked_per_second", "entries checked in a second"),
    )
    return [
        Table(
            columns=("", "SQLite", "PostgreSQL"),
            rows=tuple(
                (says, number(numbers[f"sqlite_{name}"]), number(numbers[f"postgresql_{name}"])) for name, says in rows
            ),
        )
    ]


BENCHMARK = Benchmark(
    name="audit",
    question="What does the audit trail cost?",
    method=f"""A real service is asked, one request after the other, who speaks in a recording; {_SEARCHES} times with
the trail and {_SEARCHES} times by a process that has its writing patched out, in turns: request by request of two nodes
on PostgreSQL, ten requests at a time on SQLite. Then {_ENTRIES:,} entries are written, {_AT_ONCE} in a transaction,
sealed where they are sealed later, and checked.""",
    measure=measure,
    targets=(
        Target(number="sqlite_added", says="what audit adds to a search on SQLite, as a share", sign="<=", bound=0.10),
        Target(
            number="postgresql_added",
            says="what audit adds to a search on PostgreSQL, as a share",
            sign="<=",
            bound=0.10,
        ),
    ),
    tables=tables,
)
