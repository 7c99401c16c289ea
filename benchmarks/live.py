"""One live call: how long after ten seconds of speech the result is out."""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.live_calls import BYTES_A_SECOND, Application, Call, Seen, continuous_calls, served
from earwitness import config
from earwitness.app import build_engine
from earwitness.cli.output import progress_of
from earwitness.voice.band import Band

_CALLS = 24
_CAUGHT_UP_SECONDS = 1.5
_EVENT_SECONDS_MAX = 10.0


def measure() -> Numbers:
    """Latency on a machine that does nothing else."""
    engine = build_engine(config.Settings(), Band.TELEPHONE)
    calls = continuous_calls(engine)
    latencies: list[float] = []
    with progress_of() as show, served({}) as (application, seen, _):
        speech = np.random.default_rng(0).normal(0, 0.05, 10 * 16_000).astype(np.float32)
        embeddings = [_seconds(lambda: engine.encoder.embed(speech)) for _ in range(11)]
        for index in range(_CALLS):
            show("calls", index, _CALLS)
            latencies.append(_latency(application, seen, calls[index % len(calls)], f"one-{index}"))
    p95 = 1e3 * float(np.percentile(latencies, 95))
    embedding = 1e3 * statistics.median(embeddings)
    return {
        "embedding_ms": embedding,
        "latency_ms": 1e3 * statistics.median(latencies),
        "latency_p95_ms": p95,
        "latency_above_embedding_ms": p95 - embedding,
    }


def _latency(application: Application, seen: Seen, call: Call, name: str) -> float:
    """From the acknowledgement of the fragment that completes ten seconds of speech to its event in the file."""
    stream = application.open_stream(name)
    task = application.listen(stream)
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
    return [Table(columns=("one call", "ms"), rows=rows)]


_METHOD = f"""\
A real service and the real producer. One call at a time, {_CALLS} of them: all fragments but the one that
completes ten seconds of net speech are sent at once, then that one; measured is the time from its PERSISTED
acknowledgement to the event in the file of events."""

BENCHMARK = Benchmark(
    name="live",
    question="How soon is a caller named?",
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
