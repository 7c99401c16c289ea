"""Live calls: how long after ten seconds of speech the result is out, and how fast the service answers meanwhile."""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.live_calls import (
    BYTES_A_SECOND,
    Application,
    Call,
    Search,
    Seen,
    calls_with_pauses,
    continuous_calls,
    served,
)
from benchmarks.workers import numbers_of
from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.engine import build_engine
from earwitness.voice.band import Band

_CALLS = 24
_CAUGHT_UP_SECONDS = 1.5
_EVENT_SECONDS_MAX = 10.0
_HALF_LOAD, _HALF_LOAD_SECONDS, _ASKED_SECONDS = 100, 100.0, 30.0
_CALL_WORKS_SECONDS = 60.0
"""Of 40 % speech, twenty seconds take fifty; and ten to spare."""


def measure() -> Numbers:
    """Latency on a machine that does nothing else."""
    engine = build_engine(config.Settings(), Band.TELEPHONE)
    calls = continuous_calls(engine)
    paused = calls_with_pauses(engine, seconds=_HALF_LOAD_SECONDS)
    latencies: list[float] = []
    with progress_of() as show, served({}) as (application, seen, _):
        speech = np.random.default_rng(0).normal(0, 0.05, 10 * 16_000).astype(np.float32)
        embeddings = [_seconds(lambda: engine.encoder.embed(speech)) for _ in range(11)]
        for index in range(_CALLS):
            show("calls", index, _CALLS)
            latencies.append(_latency(application, seen, calls[index % len(calls)], f"one-{index}"))
        search = application.listen(application.open_stream("asked"))
        show("asked while nobody calls", 0, 1)
        answers = _asked(application, search, "idle")
        show(f"asked while {_HALF_LOAD} calls go on", 0, 1)
        answers |= _asked_under_load(application, search, paused)
    p95 = 1e3 * float(np.percentile(latencies, 95))
    embedding = 1e3 * statistics.median(embeddings)
    return {
        "embedding_ms": embedding,
        "latency_ms": 1e3 * statistics.median(latencies),
        "latency_p95_ms": p95,
        "latency_above_embedding_ms": p95 - embedding,
        **answers,
    }


def _latency(application: Application, seen: Seen, call: Call, name: str) -> float:
    """From the acknowledgement of the fragment that completes ten seconds of speech to its event in the file."""
    stream = application.open_stream(name)
    task = application.listen(stream).task
    due = call.identified_in * BYTES_A_SECOND
    application.send(io.BytesIO(call.pcm[:due]), stream, [], real_time=False)
    time.sleep(_CAUGHT_UP_SECONDS)
    acknowledged: list[float] = []
    application.send(io.BytesIO(call.pcm[due : due + BYTES_A_SECOND]), stream, acknowledged, real_time=False)
    give_up = time.perf_counter() + _EVENT_SECONDS_MAX
    while (at := seen.identified(task)) is None:
        if time.perf_counter() > give_up:
            raise RuntimeError("a call was not searched in time")
        time.sleep(0.002)
    return at - acknowledged[0]


def _asked_under_load(application: Application, search: Search, calls: Sequence[Call]) -> Numbers:
    """As many calls as begin evenly in the time until a voice is known, which is the hardest part of a call."""
    with ThreadPoolExecutor(_HALF_LOAD) as lines:

        def ring(index: int) -> None:
            time.sleep(index * _CALL_WORKS_SECONDS / _HALF_LOAD)
            stream = application.open_stream(f"half-{index}")
            application.listen(stream)
            application.send(io.BytesIO(calls[index % len(calls)].pcm), stream, [], real_time=True)

        callers = [lines.submit(ring, index) for index in range(_HALF_LOAD)]
        time.sleep(_CALL_WORKS_SECONDS)
        answers = _asked(application, search, "half_load")
        for caller in callers:
            caller.result()
    return answers


def _asked(application: Application, search: Search, name: str) -> Numbers:
    numbers = numbers_of("answers_worker", [application.url, *search, str(_ASKED_SECONDS)])
    return {f"{name}_{key}": value for key, value in numbers.items()}


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tables(numbers: Numbers) -> list[Table]:
    """One call on an idle machine."""
    rows = (
        ("result after its fragment was kept, median", number(numbers["latency_ms"])),
        ("result after its fragment was kept, p95", number(numbers["latency_p95_ms"])),
        ("one embedding of 10 s alone, median", number(numbers["embedding_ms"])),
    )
    asked = tuple(
        (
            title,
            *(
                number(numbers[f"{load}_{kind}_ms_p{percent}"])
                for load in ("idle", "half_load")
                for percent in (50, 99)
            ),
        )
        for kind, title in {"health": "/health: the event loop alone", "task": "GetSpeakerSearchTask, by boto3"}.items()
    )
    loads = ("idle, p50, ms", "p99", f"{_HALF_LOAD} calls, p50, ms", "p99")
    return [Table(columns=("one call", "ms"), rows=rows), Table(columns=("asked meanwhile", *loads), rows=asked)]


_METHOD = f"""\
A real service and the real producer. One call at a time, {_CALLS} of them: all fragments but the one that
completes ten seconds of net speech are sent at once, then that one; measured is the time from its PERSISTED
acknowledgement to the event in the file of events. Then a client in a process of its own asks every 20 ms for
{_ASKED_SECONDS:.0f} s, first while nobody calls, then while {_HALF_LOAD} calls with 40 % speech go on, all in the
time before their voice is known or just after it; `/health` tells how long the event loop keeps a request waiting."""

BENCHMARK = Benchmark(
    name="live",
    question="How soon is a caller named, and how fast does the service answer meanwhile?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(
            number="latency_above_embedding_ms",
            says="result after its fragment, p95, above one embedding, ms",
            sign="<=",
            bound=100.0,
        ),
    ),
    tables=tables,
)
