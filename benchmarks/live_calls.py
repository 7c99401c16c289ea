"""Calls for `live`: what is said in them, an application that makes them ring, and when their events came."""

import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import boto3
import numpy as np
import soundfile

import earwitness
from benchmarks.benchmark import script
from benchmarks.served import Process, ending_with_us
from earwitness.engine.engine import Engine
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import KNOWN, STRANGERS, first_call
from earwitness.tasks.hear import gatherer_of
from earwitness.voice.durations import IDENTIFY_SECONDS

RATE = 8_000
BYTES_A_SECOND = 2 * RATE
_CALLERS = (*KNOWN, *STRANGERS)
_SPEECH_SECONDS, _PAUSE_SECONDS = 1.6, 2.4
_LOOK_SECONDS = 0.004
_KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
_PROCESSOR = {
    "Type": "VoiceAnalyticsProcessor",
    "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
}


@dataclass(frozen=True)
class Call:
    """What is said in a call, and what is known of it beforehand."""

    pcm: bytes
    """8 kHz, 16 bits."""

    identified_in: int
    """The second, and so the fragment, from 0, in which ten seconds of speech are complete."""

    printed_in: int | None
    """The one in which twenty are."""


def continuous_calls(engine: Engine) -> list[Call]:
    """Callers who speak without a pause."""
    return [_analysed(engine, _speech_of(caller)) for caller in _CALLERS]


def calls_with_pauses(engine: Engine, *, seconds: float) -> list[Call]:
    """Callers who speak for 40 % of the time: 1.6 s of a call, 2.4 s of the other side."""
    return [_analysed(engine, _with_pauses(_speech_of(caller), seconds=seconds)) for caller in _CALLERS]


@dataclass
class Seen:
    """When events were in the file, by task and status; watched from a thread."""

    file: Path
    at: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Until it is over."""
        while not self.file.exists() and not self.over.is_set():
            time.sleep(_LOOK_SECONDS)
        if self.over.is_set():
            return
        with self.file.open("rb") as file:
            rest = b""
            while not self.over.is_set():
                *lines, rest = (rest + file.read()).split(b"\n")
                self._note(lines)
                time.sleep(_LOOK_SECONDS)

    def _note(self, lines: list[bytes]) -> None:
        now = time.perf_counter()
        for line in lines:
            detail = json.loads(line)["detail"]
            if "taskId" in detail:
                self.at.setdefault((detail["taskId"], detail["detailStatus"]), now)

    def identified(self, task: str) -> float | None:
        """When the result of its search came."""
        came = [at for (of, status), at in list(self.at.items()) if of == task and status.startswith("Identification")]
        return min(came, default=None)


class Search(NamedTuple):
    """A task, as GetSpeakerSearchTask wants it named."""

    pipeline: str
    task: str


class Application:
    """A program that uses the service with boto3."""

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

    def open_stream(self, name: str) -> str:
        """A stream."""
        return str(self._kinesis.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"])

    def listen(self, stream: str) -> Search:
        """A task that listens to it, in a pipeline of its own."""
        source = {
            "Streams": [{"StreamArn": stream, "StreamChannelDefinition": {"NumberOfChannels": 1}}],
            "MediaEncoding": "pcm",
            "MediaSampleRate": RATE,
        }
        pipeline = self._pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self._configuration,
            KinesisVideoStreamSourceRuntimeConfiguration=source,
        )["MediaInsightsPipeline"]["MediaPipelineId"]
        task = self._pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=self._domain)
        return Search(pipeline=pipeline, task=task["SpeakerSearchTask"]["SpeakerSearchTaskId"])

    def lag_seconds(self) -> float:
        """How far the task that is furthest behind is behind its stream."""
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=30)) as connection:
            connection.request("GET", "/earwitness/v1/status", headers={"Authorization": "Bearer test"})
            return float(json.load(connection.getresponse())["lagSecondsMax"] or 0.0)

    def send(self, audio: BinaryIO, stream: str, acknowledged: list[float], *, real_time: bool) -> None:
        """Send PCM; into `acknowledged`, when each fragment of one second was acknowledged as kept."""

        def note(ack: Ack) -> None:
            if ack.type is AckType.PERSISTED:
                acknowledged.append(time.perf_counter())

        earwitness.put_media(
            audio, stream_arn=stream, real_time=real_time, session=self.session, endpoint_url=self.url, on_ack=note
        )


@contextmanager
def served(settings: Mapping[str, str]) -> Generator[tuple[Application, Seen, Process]]:
    """A service of our own, an application of it, and its events as they come. `settings` as EARWITNESS_*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        command = [str(script("earwitness")), "serve", "--dev", "--port", "0", "--data", str(data)]
        with (
            subprocess.Popen(command, env={**environment, **settings}, stderr=subprocess.PIPE, text=True) as process,
            ending_with_us(process),
        ):
            assert process.stderr
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"answers at (http://\S+) ", line)))
            next(line for line in lines if line.startswith("ready:"))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            seen = Seen(data / "events.jsonl")
            watching = threading.Thread(target=seen.watch)
            watching.start()
            try:
                yield Application(url), seen, Process(process.pid)
            finally:
                seen.over.set()
                watching.join()


def inference_seconds(engine: Engine, call: Call) -> float:
    """What the models alone cost for a call until its voiceprint: voice activity second by second, three embeddings.

    These are of the first ten seconds, of the second, which must be of the same voice, and of all twenty.
    """
    heard = (call.printed_in or len(call.pcm) // BYTES_A_SECOND) + 1
    frames = np.zeros((31, 576), np.float32)
    state = np.zeros((1, 1, 128), np.float32)
    activity = statistics.median(_cpu_of(lambda: engine.vad.run(input=frames, h=state, c=state)) for _ in range(200))
    speech = np.random.default_rng(0).normal(0, 0.05, 20 * 16_000).astype(np.float32)
    embeddings = [
        statistics.median(
            _cpu_of(lambda length=length: engine.encoder.embed(speech[: length * 16_000])) for _ in range(7)
        )
        for length in (10, 10, 20)
    ]
    return heard * activity + sum(embeddings)


def _cpu_of(work: Any) -> float:  # `Any`: a callable
    began = time.process_time()
    work()
    return time.process_time() - began


def _speech_of(caller: str) -> np.ndarray:
    samples, _ = soundfile.read(first_call(caller), dtype="float32")
    return np.asarray(samples, np.float32)


def _with_pauses(samples: np.ndarray, *, seconds: float) -> np.ndarray:
    piece, pause = round(_SPEECH_SECONDS * RATE), np.zeros(round(_PAUSE_SECONDS * RATE), np.float32)
    pieces = [part for first in range(0, len(samples), piece) for part in (samples[first : first + piece], pause)]
    once = np.concatenate(pieces)
    wanted = round(seconds * RATE)
    return np.tile(once, -(-wanted // len(once)))[:wanted]


def _analysed(engine: Engine, samples: np.ndarray) -> Call:
    """The call with the seconds in which its results fall due."""
    speech, identified_in, printed_in = gatherer_of(engine, rate=RATE), None, None
    for second in range(len(samples) // RATE):
        speech.feed(samples[second * RATE : (second + 1) * RATE])
        if identified_in is None and speech.seconds >= IDENTIFY_SECONDS:
            identified_in = second
        if speech.complete:
            printed_in = second
            break
    if identified_in is None:
        raise RuntimeError("a sample call has less than ten seconds of speech")
    return Call((samples * 32_767).astype("<i2").tobytes(), identified_in, printed_in)
