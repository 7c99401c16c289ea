"""Many live calls: what 200 of them cost, and at how many the results come late."""

import io
import resource
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.live_calls import (
    BYTES_A_SECOND,
    Application,
    Call,
    Seen,
    calls_with_pauses,
    inference_seconds,
    served,
)
from benchmarks.served import Process
from earwitness import config
from earwitness.cli.output import progress_of
from earwitness.engine.engine import build_engine
from earwitness.progress import Progress
from earwitness.voice.band import Band

_STEPS = (200, 400, 500, 600)
"""Calls in progress. The first is the capacity that Start allows by default; the others look for the breaking point."""

_CALL_SECONDS = 300.0
_MEASURED_SECONDS = 120.0
_INGEST_SECONDS = 30.0
_RESULT_SECONDS_MAX = 2.0


@dataclass(frozen=True)
class _Window:
    """What was used between two moments."""

    seconds: float
    service_cpu: float
    generator_cpu: float


class _Meter:
    """Reads clocks twice."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._began = self._read()

    def window(self) -> _Window:
        """Since it was made."""
        now = self._read()
        return _Window(*(end - begin for begin, end in zip(self._began, now, strict=True)))

    def _read(self) -> tuple[float, float, float]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return time.perf_counter(), self._process.cpu_seconds(), own.ru_utime + own.ru_stime


def measure() -> Numbers:
    """Each step in a service of its own; after the first that breaks, no more."""
    engine = build_engine(config.Settings(), Band.TELEPHONE)
    calls = calls_with_pauses(engine, seconds=_CALL_SECONDS)
    numbers: Numbers = {f"{name}_{step}": float("nan") for step in _STEPS for name in _NAMES}
    numbers["models_cpu_s"] = statistics.mean(inference_seconds(engine, call) for call in calls)
    del engine
    with progress_of() as show:
        for step in _STEPS:
            with served({"EARWITNESS_TASKS_AT_ONCE": str(2 * step)}) as (application, seen, process):
                found = _Load(application, seen, process, calls, show).run(step)
            numbers |= {f"{name}_{step}": value for name, value in found.items()}
            if found["result_p95_s"] > _RESULT_SECONDS_MAX:
                break
    numbers["cpu_ratio"] = numbers[f"call_cpu_s_{_STEPS[0]}"] / numbers["models_cpu_s"]
    return numbers


class _Voice(io.BytesIO):
    """What a caller says, until the step is over."""

    def __init__(self, pcm: bytes, over: threading.Event) -> None:
        super().__init__(pcm)
        self._over = over

    def read(self, size: int | None = -1, /) -> bytes:
        return b"" if self._over.is_set() else super().read(size)


class _Load:
    """One step: media alone, then calls that begin evenly until so many are in progress, and go on beginning."""

    def __init__(
        self, application: Application, seen: Seen, process: Process, calls: Sequence[Call], show: Progress
    ) -> None:
        self._application, self._seen, self._process = application, seen, process
        self._calls, self._show = calls, show
        self._over = threading.Event()
        self._names = count()
        self._acknowledged: dict[str, list[float]] = {}
        self._heard: dict[str, Call] = {}
        self._lock = threading.Lock()

    def run(self, step: int) -> Numbers:
        """So many calls in progress."""
        with ThreadPoolExecutor(3 * step) as lines:
            self._open_models()
            ingest_cores = self._media_alone(step, lines)
            resident = self._process.resident_bytes()
            every = _CALL_SECONDS / step
            began = time.perf_counter()
            warm = measured = None
            total = _CALL_SECONDS + _MEASURED_SECONDS
            callers: list[Future[None]] = []
            lags: list[float] = []
            for index in range(round(total / every)):
                time.sleep(max(0.0, began + index * every - time.perf_counter()))
                self._show(f"{step} calls at once", round(index * every), round(total))
                if warm is None and index * every >= _CALL_SECONDS:
                    warm, measured = time.perf_counter(), _Meter(self._process)
                if warm is not None:
                    lags.append(self._application.lag_seconds())
                callers.append(lines.submit(self._call, self._calls[index % len(self._calls)]))
            assert warm and measured
            window, growth = measured.window(), self._process.resident_bytes() - resident
            time.sleep(5.0)  # results of the last fragments
            late = self._results(since=warm, until=warm + window.seconds)
            self._over.set()
        for caller in callers:
            caller.result()
        numbers = self._numbers(step, window, late, growth=growth, ingest_cores=ingest_cores)
        return {"lag_worst_s": max(lags), **numbers}

    def _numbers(self, step: int, window: _Window, late: list[float], *, growth: int, ingest_cores: float) -> Numbers:
        begun = step * window.seconds / _CALL_SECONDS
        present = [seconds for seconds in late if np.isfinite(seconds)]
        return {
            "result_p50_s": float(np.percentile(late, 50)),
            "result_p95_s": float(np.percentile(late, 95, method="higher")),
            "result_worst_s": max(present, default=float("nan")),
            "results": float(len(late)),
            "results_missing": float(len(late) - len(present)),
            "cores": window.service_cpu / window.seconds,
            "generator_cores": window.generator_cpu / window.seconds,
            "ingest_cores": ingest_cores,
            "call_cpu_s": (window.service_cpu - ingest_cores * window.seconds) / begun,
            "mb_per_call": growth / 1e6 / step,
        }

    def _open_models(self) -> None:
        """One call as fast as it goes, so that what is opened once is there."""
        stream = self._application.open_stream("first")
        task = self._application.listen(stream).task
        self._application.send(io.BytesIO(self._calls[0].pcm), stream, [], real_time=False)
        while self._seen.identified(task) is None:
            time.sleep(0.1)
        time.sleep(_RESULT_SECONDS_MAX)

    def _media_alone(self, step: int, lines: ThreadPoolExecutor) -> float:
        """Cores that as many streams take which nobody listens to."""
        self._show(f"{step} streams, nobody listens", 0, 1)
        pcm = self._calls[0].pcm[: round((_INGEST_SECONDS + 10) * BYTES_A_SECOND)]
        names = [f"media-{step}-{next(self._names)}" for _ in range(step)]
        streams = list(lines.map(self._application.open_stream, names))
        send = self._application.send
        sent = [lines.submit(send, io.BytesIO(pcm), stream, [], real_time=True) for stream in streams]
        time.sleep(5.0)
        meter = _Meter(self._process)
        time.sleep(_INGEST_SECONDS)
        window = meter.window()
        for each in sent:
            each.result()
        return window.service_cpu / window.seconds

    def _call(self, call: Call) -> None:
        """Ring, and speak until the call or the step is over."""
        stream = self._application.open_stream(f"call-{next(self._names)}")
        task = self._application.listen(stream).task
        with self._lock:
            self._heard[task], self._acknowledged[task] = call, []
        voice = _Voice(call.pcm, self._over)
        self._application.send(voice, stream, self._acknowledged[task], real_time=True)

    def _results(self, *, since: float, until: float) -> list[float]:
        """For each call whose ten seconds were complete in that time, how long its result took; infinite for none."""
        late: list[float] = []
        with self._lock:
            heard = dict(self._heard)
        for task, call in heard.items():
            acknowledged = self._acknowledged[task]
            if len(acknowledged) > call.identified_in and since <= acknowledged[call.identified_in] < until:
                at = self._seen.identified(task)
                late.append(float("inf") if at is None else at - acknowledged[call.identified_in])
        return late


_NAMES = {
    "result_p50_s": "result after its fragment was kept, median, s",
    "result_p95_s": "the same, p95, s",
    "result_worst_s": "the same, the last, s",
    "lag_worst_s": "how far a call was behind its stream at most, s",
    "results": "results that fell due while it was measured",
    "results_missing": "results that had not come 5 s after that",
    "cores": "cores that the service used",
    "ingest_cores": "of which for taking the media in, measured alone",
    "generator_cores": "cores that the callers used, beside it",
    "call_cpu_s": "CPU of a call until its voiceprint, media apart, s",
    "mb_per_call": "memory per call, MB",
}


def tables(numbers: Numbers) -> list[Table]:
    """A column per step."""
    rows = [(title, *(number(numbers[f"{name}_{step}"]) for step in _STEPS)) for name, title in _NAMES.items()]
    rows.append(("CPU of the models alone for a call, s", number(numbers["models_cpu_s"]), *[""] * (len(_STEPS) - 1)))
    return [Table(columns=("calls in progress", *map(str, _STEPS)), rows=tuple(rows))]


_METHOD = f"""\
A real service, the real producer and boto3. Calls of {_CALL_SECONDS:.0f} s in real time, 8 kHz mono, 40 % speech,
fragments of one second. Their starts are spread evenly, and from {_CALL_SECONDS:.0f} s on, when as many end as begin,
it is measured for {_MEASURED_SECONDS:.0f} s. The callers are threads of one process on the same machine; what they use
is shown. What the media alone cost was measured before that with as many streams and no task."""

BENCHMARK = Benchmark(
    name="capacity",
    question="How many calls does a machine bear?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="result_p95_s_200", says="result after its fragment, p95, 200 calls, s", sign="<=", bound=2.0),
        Target(number="lag_worst_s_200", says="a call behind its stream, at most, 200 calls, s", sign="<=", bound=2.0),
        Target(number="results_missing_200", says="results missing at 200 calls", sign="<=", bound=0.0),
        Target(number="cpu_ratio", says="CPU of a call in that of its models alone, 200 calls", sign="<=", bound=1.5),
        Target(number="mb_per_call_200", says="memory per call, 200 calls, MB", sign="<=", bound=2.0),
    ),
    tables=tables,
)
