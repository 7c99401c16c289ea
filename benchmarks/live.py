"""Live calls: how long after ten seconds of speech the result is out, and how many calls a machine bears."""

import io
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import soundfile

import earwitness
from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number, script
from earwitness import config
from earwitness.app import build_engine
from earwitness.cli.output import progress_of
from earwitness.flows.hear import CallVoice
from earwitness.producer.acks import Ack, AckType
from earwitness.samples import KNOWN, STRANGERS, first_call
from earwitness.voice.band import Band

_RATE = 8_000
_LATENCY_CALLS = 24
_CALLS = 50
_LOAD_SECONDS = 60.0
_SPREAD_SECONDS = 30.0
_CAUGHT_UP_SECONDS = 1.5
_CALLERS = (*KNOWN, *STRANGERS)
_KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
_PROCESSOR = {
    "Type": "VoiceAnalyticsProcessor",
    "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
}


@dataclass(frozen=True)
class _Call:
    """Samples of a call, and the second (and fragment, from 0) in which its ten seconds of speech are complete."""

    samples: np.ndarray
    due: int
    cpu_seconds: float
    """What finding speech in it costs one core."""


@dataclass
class _Seen:
    """When events were in the file, by task and status; watched from a thread."""

    file: Path
    at: dict[tuple[str, str], float] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        read = 0
        while not self.over.is_set():
            data = self.file.read_bytes()[read:] if self.file.exists() else b""
            now = time.perf_counter()
            for line in data.splitlines(keepends=True):
                if line.endswith(b"\n"):
                    read += len(line)
                    detail = json.loads(line)["detail"]
                    if "taskId" in detail:
                        self.at.setdefault((detail["taskId"], detail["detailStatus"]), now)
            time.sleep(0.002)

    def identified(self, task: str) -> float | None:
        return next(
            (at for (of, what), at in self.at.items() if of == task and what.startswith("Identification")), None
        )


class _Client:
    """An application of the service, and what it has created."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session: Any = boto3.Session("test", "test", region_name="us-east-1")  # no types
        self._kinesis, voice, self._pipelines = (
            self.session.client(name, endpoint_url=url)
            for name in ("kinesisvideo", "chime-sdk-voice", "chime-sdk-media-pipelines")
        )
        domain = voice.create_voice_profile_domain(
            Name="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": _KMS_KEY}
        )
        self._domain = domain["VoiceProfileDomain"]["VoiceProfileDomainArn"]
        made = self._pipelines.create_media_insights_pipeline_configuration(
            MediaInsightsPipelineConfigurationName="live",
            ResourceAccessRoleArn="arn:aws:iam::000000000000:role/earwitness",
            Elements=[_PROCESSOR],
        )["MediaInsightsPipelineConfiguration"]
        self._configuration = made["MediaInsightsPipelineConfigurationArn"]

    def ring(self, name: str) -> tuple[str, str]:
        """A stream and a task that listens to it."""
        stream = self._kinesis.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
        source = {
            "Streams": [{"StreamArn": stream, "StreamChannelDefinition": {"NumberOfChannels": 1}}],
            "MediaEncoding": "pcm",
            "MediaSampleRate": _RATE,
        }
        pipeline = self._pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self._configuration,
            KinesisVideoStreamSourceRuntimeConfiguration=source,
        )["MediaInsightsPipeline"]["MediaPipelineId"]
        task = self._pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=self._domain)
        return stream, task["SpeakerSearchTask"]["SpeakerSearchTaskId"]

    def send(self, samples: np.ndarray, stream: str, *, real_time: bool) -> list[float]:
        """When each fragment was acknowledged as kept."""
        acknowledged: list[float] = []

        def note(ack: Ack) -> None:
            if ack.type is AckType.PERSISTED:
                acknowledged.append(time.perf_counter())

        pcm = io.BytesIO((samples * 32_767).astype("<i2").tobytes())
        earwitness.put_media(
            pcm, stream_arn=stream, real_time=real_time, session=self.session, endpoint_url=self.url, on_ack=note
        )
        return acknowledged


def measure() -> Numbers:
    """Latency on a machine that does nothing else, then many calls at once."""
    engine = build_engine(config.Settings(), Band.TELEPHONE)
    found: Numbers = {}
    with progress_of() as show, _served() as (client, seen, pid):
        calls = [_analysed(engine, _speech_of(caller)) for caller in _CALLERS]
        embeddings = [_seconds(lambda: engine.encoder.embed(np.zeros(160_000, np.float32) + 0.01)) for _ in range(11)]
        found["embedding_ms"] = 1e3 * statistics.median(embeddings)
        latencies = []
        for index in range(_LATENCY_CALLS):
            show("one call at a time", index, _LATENCY_CALLS)
            latencies.append(_latency(client, seen, calls[index % len(calls)], f"one-{index}"))
        found["latency_ms"] = 1e3 * statistics.median(latencies)
        found["latency_p95_ms"] = 1e3 * float(np.percentile(latencies, 95))
        found["latency_above_embedding_ms"] = found["latency_p95_ms"] - found["embedding_ms"]
        show("calls at once", 0, 1)
        paused = [_analysed(engine, _with_pauses(call.samples)) for call in calls]
        found |= _load(client, seen, paused, pid, embedding_seconds=statistics.median(embeddings))
    return found


def _latency(client: _Client, seen: _Seen, call: _Call, name: str) -> float:
    """From the acknowledgement of the fragment that completes ten seconds of speech to its event in the file."""
    stream, task = client.ring(name)
    client.send(call.samples[: call.due * _RATE], stream, real_time=False)
    time.sleep(_CAUGHT_UP_SECONDS)
    (acknowledged,) = client.send(call.samples[call.due * _RATE : (call.due + 1) * _RATE], stream, real_time=False)
    return _identified(seen, task, seconds_max=10.0) - acknowledged


def _load(client: _Client, seen: _Seen, calls: list[_Call], pid: int, *, embedding_seconds: float) -> Numbers:
    """Many calls in real time. Their starts are spread, else all would be searched in the same second."""
    rings = [client.ring(f"many-{index}") for index in range(_CALLS)]
    memory_before, cpu_before, began = _memory_mb(pid), _cpu_seconds(pid), time.perf_counter()

    def one(index: int) -> float | None:
        time.sleep(_SPREAD_SECONDS * index / _CALLS)
        call, (stream, task) = calls[index % len(calls)], rings[index]
        acknowledged = client.send(call.samples, stream, real_time=True)
        at = seen.identified(task)
        return None if at is None else at - acknowledged[call.due]

    with ThreadPoolExecutor(_CALLS) as lines:
        results = list(lines.map(one, range(_CALLS)))
    elapsed, cpu = time.perf_counter() - began, _cpu_seconds(pid) - cpu_before
    late = [one for one in results if one is not None]
    spoken = statistics.mean(call.cpu_seconds for call in calls)
    return {
        "calls": float(_CALLS),
        "load_result_p95_ms": 1e3 * float(np.percentile(late, 95)) if late else float("nan"),
        "load_results_missing": float(len(results) - len(late)),
        "load_cores": cpu / elapsed,
        "load_cpu_ms_per_call_second": 1e3 * cpu / _CALLS / _LOAD_SECONDS,
        "engine_cpu_ms_per_call_second": 1e3 * (spoken + 4 * embedding_seconds) / _LOAD_SECONDS,
        "load_mb_per_call": (_memory_mb(pid) - memory_before) / _CALLS,
    }


def tables(numbers: Numbers) -> list[Table]:
    """One call on an idle machine, then many."""
    one = (
        ("result after its fragment was kept, median", number(numbers["latency_ms"])),
        ("result after its fragment was kept, p95", number(numbers["latency_p95_ms"])),
        ("one embedding of 10 s alone, median", number(numbers["embedding_ms"])),
    )
    many = (
        ("calls at once", number(numbers["calls"])),
        ("result after its fragment was kept, p95, ms", number(numbers["load_result_p95_ms"])),
        ("calls without a result by their end", number(numbers["load_results_missing"])),
        ("cores the service used", number(numbers["load_cores"])),
        ("CPU per second of a call, ms", number(numbers["load_cpu_ms_per_call_second"])),
        ("of which finding speech and embedding alone, ms", number(numbers["engine_cpu_ms_per_call_second"])),
        ("memory per call, MB", number(numbers["load_mb_per_call"])),
    )
    return [Table(columns=("one call", "ms"), rows=one), Table(columns=("many calls", "measured"), rows=many)]


@contextmanager
def _served() -> Iterator[tuple[_Client, _Seen, int]]:
    """A service of our own, and its events as they come."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        command = [str(script("earwitness")), "serve", "--dev", "--port", "0", "--data", str(data)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"answers at (http://\S+?);", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            seen = _Seen(data / "events.jsonl")
            watching = threading.Thread(target=seen.watch)
            watching.start()
            try:
                yield _Client(url), seen, process.pid
            finally:
                seen.over.set()
                watching.join()
                process.terminate()


def _identified(seen: _Seen, task: str, *, seconds_max: float) -> float:
    give_up = time.perf_counter() + seconds_max
    while (at := seen.identified(task)) is None:
        if time.perf_counter() > give_up:
            raise RuntimeError("a call was not searched in time")
        time.sleep(0.002)
    return at


def _speech_of(caller: str) -> np.ndarray:
    samples, _ = soundfile.read(first_call(caller), dtype="float32")
    return np.asarray(samples, np.float32)


def _with_pauses(samples: np.ndarray) -> np.ndarray:
    """A minute in which somebody speaks for 40 % of the time: 1.6 s of a call, 2.4 s of the other side."""
    piece, pause = round(1.6 * _RATE), np.zeros(round(2.4 * _RATE), np.float32)
    pieces = [part for first in range(0, len(samples), piece) for part in (samples[first : first + piece], pause)]
    return np.concatenate(pieces)[: round(_LOAD_SECONDS * _RATE)]


def _analysed(engine: Any, samples: np.ndarray) -> _Call:  # `Any`: an Engine
    """The call with what is known of it beforehand."""
    voice, due, began = CallVoice(engine, rate=_RATE), None, time.process_time()
    for second in range(len(samples) // _RATE):
        voice.feed(samples[second * _RATE : (second + 1) * _RATE])
        if due is None and voice.can_identify:
            due = second
    if due is None:
        raise RuntimeError("a sample call has less than ten seconds of speech")
    return _Call(samples, due, time.process_time() - began)


def _seconds(work: Any) -> float:  # `Any`: a callable
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


_METHOD = f"""\
A real service and the real producer. One call at a time, {_LATENCY_CALLS} of them: all fragments but the one that
completes ten seconds of net speech are sent at once, then that one; measured is the time from its PERSISTED
acknowledgement to the event in the file of events. Then {_CALLS} calls of one minute in real time with 40 % speech and
fragments of one second, their starts spread over {_SPREAD_SECONDS:.0f} s; the producers share the
machine with the service."""

BENCHMARK = Benchmark(
    name="live",
    question="How soon is a caller named, and how many calls does a machine bear?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(
            number="latency_above_embedding_ms",
            says="result after its fragment, p95, above one embedding, ms",
            sign="<=",
            bound=100.0,
        ),
        Target(number="load_results_missing", says=f"results missing at {_CALLS} calls", sign="<=", bound=0.0),
    ),
    tables=tables,
)
