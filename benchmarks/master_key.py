"""Master key: how long 20,000 data keys take to be wrapped again while a service answers, and what sealing costs."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number
from benchmarks.postgres import private_server
from benchmarks.served import free_port, serving
from earwitness import config
from earwitness.app import open_records
from earwitness.config import Settings
from earwitness.engine.space import shipped_space
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.store.records import NewVoiceprint, Scope
from earwitness.store.store import Store, Unit
from earwitness.tasks.galleries import Galleries
from earwitness.vault.data_key import DataKey
from earwitness.voice.band import Band

_KEYS = 20_000
_VOICEPRINTS = 20_000
_AT_ONCE = 500
_TOKEN = "ewt_" + "b" * 43
_SCOPE = Scope(account_id="000000000000", region="us-east-1")


def measure() -> Numbers:
    """Seconds of a rotation, requests meanwhile, and seconds to open a gallery, sealed and not."""
    numbers: Numbers = {}
    with private_server() as url:
        if url is None:
            raise SkippedError("there is no PostgreSQL here")
        for name, address in (("sqlite", ""), ("postgresql", url)):
            with TemporaryDirectory(prefix="earwitness-rotation-") as folder:
                numbers |= {f"{name}_{key}": value for key, value in _rotation(Path(folder), address).items()}
    with TemporaryDirectory(prefix="earwitness-gallery-") as folder:
        numbers |= _gallery(Path(folder))
    return numbers


def _rotation(folder: Path, store_url: str) -> Numbers:
    variables = {"EARWITNESS_DATA_DIR": str(folder), "EARWITNESS_QUOTAS": "domains=100000"} | (
        {"EARWITNESS_STORE_URL": store_url} if store_url else {}
    )
    settings = config.load(variables)
    _fill(settings)
    file = folder / "settings.toml"
    lines = [f'{name.removeprefix("EARWITNESS_").lower()} = "{value}"' for name, value in variables.items()]
    file.write_text("\n".join(lines), encoding="utf-8")
    port = free_port()
    program = f"import os; os.environ['EARWITNESS_CONFIG']={str(file)!r}; from earwitness.cli.main import main; main()"
    answers = _Answers(port)
    with serving(["-c", program, "serve", "--port", str(port)], port), answers:
        time.sleep(2.0)
        before = len(answers.seconds)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, "master-key", "rotate"], check=True, capture_output=True)
        seconds = time.perf_counter() - began
        meanwhile = np.asarray(answers.seconds[before:])
        time.sleep(3.0)
    return {
        "rotation_seconds": seconds,
        "requests": float(len(meanwhile)),
        "refused": float(answers.refused),
        "request_ms_median": 1e3 * float(np.median(meanwhile)),
        "request_ms_max": 1e3 * float(meanwhile.max()),
    }


def _fill(settings: Settings) -> None:
    def let_in(unit: Unit) -> None:
        unit.bearer_tokens.create(
            token=_TOKEN,
            token_id="t",  # noqa: S106
            account_id=_SCOPE.account_id,
            role="admin",
            name="benchmark",
        )

    def streams(unit: Unit, first: int) -> None:
        for each in range(first, first + _AT_ONCE):
            unit.streams.create(
                _SCOPE, name=f"line-{each}", arn=f"arn:line-{each}", version="v", retention_hours=0, status="ACTIVE"
            )

    with closing(open_records(settings)) as store:
        store.write(let_in)
        for first in range(0, _KEYS, _AT_ONCE):
            store.write(lambda unit, first=first: streams(unit, first))


class _Answers:
    """A client that makes a domain and reads it, which opens its data key, again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = Event()
        self._thread = Thread(target=self._ask_again_and_again)
        self.seconds: list[float] = []
        self.refused = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask_again_and_again(self) -> None:
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        while not self._ended.is_set():
            for method, path in (("POST", "/domains?name=callers"), ("GET", "/domains?limit=5")):
                began = time.perf_counter()
                with closing(HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
                    connection.request(method, f"/earwitness/v1{path}", headers=headers)
                    status = connection.getresponse().status
                self.refused += status not in (200, 201)
                self.seconds.append(time.perf_counter() - began)
                self._ended.wait(0.02)


def _gallery(folder: Path) -> Numbers:
    """Seconds until a domain's voices are in memory: as they are, and with values that lie in clear."""
    settings = config.load({"EARWITNESS_DATA_DIR": str(folder)})
    found: Numbers = {}
    clear: dict[str, Callable[..., bytes]] = {name: lambda _, value, place: value for name in ("seal", "open")}  # noqa: ARG005
    kept: dict[str, Callable[..., bytes]] = {name: getattr(DataKey, name) for name in clear}
    for name, ways in (("sealed", kept), ("clear", clear)):
        domain_id = f"vpd-{name}"
        space = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
        with closing(open_records(settings)) as store:
            try:
                _patch(ways)
                _enrol(store, domain_id, space.encoder_id)
                times = []
                for _ in range(5):
                    began = time.perf_counter()
                    gallery = Galleries(store).get(_SCOPE, domain_id, space=space)
                    times.append(time.perf_counter() - began)
                    if len(gallery) != _VOICEPRINTS:
                        raise RuntimeError(f"{len(gallery)} voiceprints were loaded")
                found[f"gallery_{name}_seconds"] = float(np.median(times))
            finally:
                _patch(kept)
    found["gallery_ratio"] = found["gallery_sealed_seconds"] / found["gallery_clear_seconds"]
    return found


def _patch(ways: dict[str, Callable[..., bytes]]) -> None:
    for name, way in ways.items():
        setattr(DataKey, name, way)


def _enrol(store: Store, domain_id: str, encoder_id: str) -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(size=(_VOICEPRINTS, 192)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expires_at = datetime.now(UTC) + timedelta(days=9)

    def make(unit: Unit) -> None:
        unit.domains.create(
            _SCOPE,
            domain_id=domain_id,
            arn=f"arn:{domain_id}",
            name="callers",
            description="",
            kms_key_arn="arn:aws:kms:us-east-1:000000000000:key/1",
            band=Band.TELEPHONE,
        )

    def add(unit: Unit, first: int) -> None:
        for each in range(first, first + _AT_ONCE):
            profile_id = f"vp-{domain_id}-{each}"
            unit.profiles.create(
                _SCOPE, profile_id=profile_id, domain_id=domain_id, arn=f"arn:{profile_id}", expires_at=expires_at
            )
            made = NewVoiceprint(
                encoder_id=encoder_id, vector=vectors[each].tobytes(), net_speech_seconds=20.0, quality={}
            )
            unit.profiles.add_voiceprint(_SCOPE, profile_id, voiceprint_id="p", voiceprint=made, expires_at=expires_at)

    store.write(make)
    for first in range(0, _VOICEPRINTS, _AT_ONCE):
        store.write(lambda unit, first=first: add(unit, first))


def tables(numbers: Numbers) -> list[Table]:
    """The rotation over both databases, and the gallery."""
    names = (
        ("rotation_seconds", "`earwitness master-key rotate`, s"),
        ("requests", "requests meanwhile"),
        ("refused", "refused, from the start to the end"),
        ("request_ms_median", "a request, median, ms"),
        ("request_ms_max", "the slowest, ms"),
    )
    rows = tuple(
        (says, number(numbers[f"sqlite_{name}"]), number(numbers[f"postgresql_{name}"])) for name, says in names
    )
    gallery = (
        ("sealed", number(numbers["gallery_sealed_seconds"])),
        ("the same values in clear", number(numbers["gallery_clear_seconds"])),
    )
    return [
        Table(columns=(f"{_KEYS:,} data keys", "SQLite", "PostgreSQL"), rows=rows),
        Table(columns=(f"{_VOICEPRINTS:,} voiceprints are loaded", "s"), rows=gallery),
    ]


BENCHMARK = Benchmark(
    name="master_key",
    question="How long does a change of the master key take, and what does sealing cost?",
    method=f"""A real service on records with {_KEYS:,} streams, each with a data key of its own. A client makes and
lists domains all the time; meanwhile the command changes the master key. The time is that of the whole command, its
start and the wait for the service to take the key up included. Then a gallery of {_VOICEPRINTS:,} voiceprints is loaded
from SQLite, the median of five times, and the same with sealing and opening taken out of the code.""",
    measure=measure,
    targets=(
        Target(number="sqlite_rotation_seconds", says="a rotation on SQLite, s", sign="<=", bound=60.0),
        Target(number="postgresql_rotation_seconds", says="a rotation on PostgreSQL, s", sign="<=", bound=60.0),
        Target(number="sqlite_refused", says="refused requests on SQLite", sign="<=", bound=0.0),
        Target(number="postgresql_refused", says="refused requests on PostgreSQL", sign="<=", bound=0.0),
        Target(number="gallery_ratio", says="a sealed gallery's load against one in clear", sign="<=", bound=2.0),
    ),
    tables=tables,
)
