"""Doors: what a hundred calls at once cost the service without models, and how soon their audio is kept."""

import asyncio
import base64
import json
import math
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.doors_siprec import FRAMES, ports_of_sink, siprec_call, siprec_media
from benchmarks.ingest_load import Heard, live_calls
from benchmarks.served import Process, free_port, serving
from earwitness import app
from earwitness.cli.output import progress_of
from earwitness.config import Settings
from earwitness.doors.audiosocket import HANG_UP, write_audio, write_identity
from earwitness.store.records import Scope

_CALLS = 100
_SECONDS, _WARM_UP_SECONDS = 15, 2
_SCOPE = Scope(account_id="000000000000", region="us-east-1")
_SERVE = """
import os, sys
os.environ["EARWITNESS_AUDIOSOCKET"] = "127.0.0.1:{door}"
os.environ["EARWITNESS_SIPREC"] = "127.0.0.1:{siprec}"
sys.argv = ["earwitness", "serve", "--dev", "--port", "{port}", "--data", {data!r}]
from earwitness.cli.main import main
main()
"""

Frames = Sequence[bytes]
"""What goes out every 20 ms."""


Call = tuple[str, bytes, Frames, bytes]
"""A call's id, and what it says first, every 20 ms, and last."""

Line = Callable[[float], Awaitable[None]]
"""Places a call that speaks from the given time on."""

Sent = dict[tuple[str, int], float]
"""When the last frame of a second of a call went out, in Unix time."""


def measure() -> Numbers:
    """All numbers, from one service process on a fresh folder and one sink."""
    with progress_of() as show, tempfile.TemporaryDirectory() as folder:
        port, door, siprec, sink_port = free_port(), free_port(), free_port(), free_port()
        data = Path(folder) / "data"
        command = ["-c", _SERVE.format(door=door, siprec=siprec, port=port, data=str(data))]
        sink_command = ["-m", "benchmarks.doors_sink", str(sink_port), str(2 * _CALLS)]
        with serving(command, port) as service, serving(sink_command, sink_port) as sink:
            url = f"http://127.0.0.1:{port}"
            connector = _connector(url)
            numbers: Numbers = {}
            for place, (name, at) in enumerate((("websocket", port), ("audiosocket", door), ("siprec", siprec))):
                show("doors", place, 4)
                sent: Sent = {}
                if name == "siprec":
                    lines, sinking = _siprec_lines(at, sink_port, connector, sent)
                else:
                    calls = _calls(name, data, connector)
                    lines, sinking = _tcp_lines(at, calls, sent), _tcp_lines(sink_port, calls, {})
                numbers[f"{name}_cores"] = asyncio.run(_cores(service, lines))
                numbers[f"{name}_sink_cores"] = asyncio.run(_cores(sink, sinking))
                numbers |= {f"{name}_{what}": value for what, value in _lateness(url, data, sent).items()}
            show("doors", 3, 4)
            numbers["put_media_cores"] = _put_media(url, service)
    return numbers


def tables(numbers: Numbers) -> list[Table]:
    """Each door beside PutMedia and an empty receiver."""
    rows = [(says, number(numbers.get(name, math.nan))) for name, says in _ROWS.items()]
    return [Table(columns=("what", "measured"), rows=tuple(rows))]


def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # noqa: S106


def _connector(url: str) -> str:
    voice: Any = _session().client("chime-sdk-voice", endpoint_url=url)  # boto3 has no types
    made = voice.create_voice_connector(Name="load", RequireEncryption=False)["VoiceConnector"]["VoiceConnectorId"]
    voice.put_voice_connector_streaming_configuration(
        VoiceConnectorId=made, StreamingConfiguration={"DataRetentionInHours": 1, "Disabled": False}
    )
    return str(made)


def _calls(door: str, data: Path, connector: str) -> list[Call]:
    if door == "audiosocket":
        audio = np.random.default_rng(0).integers(-9_000, 9_000, 160).astype("<i2").tobytes()
        ids = [str(uuid.uuid4()) for _ in range(_CALLS)]
        with closing(app.open_records(Settings(data_dir=data), may_make=False)) as store:
            expires = datetime.now(UTC) + timedelta(minutes=10)
            for call in ids:
                store.write(
                    lambda unit, call=call: unit.connectors.announce(
                        _SCOPE, connector, call_id=call, expires_at=expires
                    )
                )
        return [(call, write_identity(call), [write_audio(audio, rate=8_000)], HANG_UP) for call in ids]
    return [_twilio(connector) for _ in range(_CALLS)]


def _twilio(connector: str) -> Call:
    call = uuid.uuid4().hex
    tracks = ["inbound", "outbound"]
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}
    start = {"streamSid": call, "callSid": call, "tracks": tracks, "customParameters": {}, "mediaFormat": media_format}
    upgrade = (
        f"GET /doors/{connector}/twilio HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
    ).encode()
    payload = base64.b64encode(bytes(range(160))).decode()
    media = [
        _frame({"event": "media", "streamSid": call, "media": {"track": track, "payload": payload}}) for track in tracks
    ]
    first = _frame({"event": "start", "streamSid": call, "start": start})
    return call, upgrade, [first, *media], _frame({"event": "stop"})


def _frame(message: dict[str, Any]) -> bytes:
    """A text message as a client sends it (RFC 6455, 5.2), with a mask of zeros, which changes nothing."""
    text = json.dumps(message).encode()
    head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
    return head + bytes(4) + text


def _tcp_lines(port: int, calls: Sequence[Call], sent: Sent) -> list[Line]:
    return [partial(_call, port, call, sent) for call in calls]


def _siprec_lines(port: int, sink_port: int, connector: str, sent: Sent) -> tuple[list[Line], list[Line]]:
    """Return calls at the door, and the same media without signalling at the sink."""
    seconds, ports = _WARM_UP_SECONDS + _SECONDS, ports_of_sink(sink_port)
    return (
        [partial(siprec_call, port, connector, sent, seconds=seconds) for _ in range(_CALLS)],
        [
            partial(siprec_media, ports[2 * index : 2 * index + 2], {}, call_id="", seconds=seconds)
            for index in range(_CALLS)
        ],
    )


async def _cores(process: Process, lines: Sequence[Line]) -> float:
    """Return the cores that a process uses while these calls go on."""
    began = time.perf_counter() + 1.0
    measured = asyncio.create_task(_measured(process, began))
    async with asyncio.TaskGroup() as group:
        for index, line in enumerate(lines):
            group.create_task(_started(line, began + index / len(lines) / FRAMES))
    return await measured


async def _measured(process: Process, began: float) -> float:
    await asyncio.sleep(began + _WARM_UP_SECONDS - time.perf_counter())
    cpu, wall = process.cpu_seconds(), time.perf_counter()
    await asyncio.sleep(_SECONDS - 1.0)
    return (process.cpu_seconds() - cpu) / (time.perf_counter() - wall)


async def _started(line: Line, began: float) -> None:
    await line(began)


async def _call(port: int, call: Call, sent: Sent, began: float) -> None:
    call_id, first, frames, last = call
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    if first.startswith(b"GET"):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frames[0])
        frames = frames[1:]
    every = b"".join(frames)
    for place in range((_WARM_UP_SECONDS + _SECONDS) * FRAMES):
        await asyncio.sleep(max(0.0, began + place / FRAMES - time.perf_counter()))
        writer.write(every)
        if place % FRAMES == FRAMES - 1:
            sent[call_id, place // FRAMES] = time.time()
    writer.write(last)
    await writer.drain()
    writer.close()


def _lateness(url: str, data: Path, sent: Sent) -> Numbers:
    """Return how long after its last frame went out a fragment was given to the disk, by its server timestamp."""
    with closing(app.open_records(Settings(data_dir=data), may_make=False)) as store:
        kept = {call.call_id: call for call in store.connector_calls.list(_SCOPE, limit=2 * _CALLS).items}
    archived: Any = _session().client("kinesis-video-archived-media", endpoint_url=url)  # boto3 has no types
    ever = {"StartTimestamp": "2020-01-01", "EndTimestamp": "2120-01-01"}
    selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": ever}
    late: list[float] = []
    wanted = 0
    for call_id in {call_id for call_id, _ in sent}:
        for leg in kept[call_id].legs:
            found = archived.list_fragments(StreamARN=leg.stream_arn, MaxResults=1_000, FragmentSelector=selector)
            fragments = sorted(found["Fragments"], key=lambda one: one["FragmentNumber"])
            wanted += _WARM_UP_SECONDS + _SECONDS
            late += [
                one["ServerTimestamp"].timestamp() - sent[call_id, second]
                for second, one in enumerate(fragments[: _WARM_UP_SECONDS + _SECONDS])
            ]
    return {
        "late_ms": 1e3 * float(np.median(late)),
        "late_ms_max": 1e3 * max(late),
        "seconds_kept_percent": 100 * len(late) / wanted,
    }


def _put_media(url: str, service: Process) -> float:
    """Two producers a call, as two legs are two streams."""
    kinesis: Any = _session().client("kinesisvideo", endpoint_url=url)
    streams = [f"call-{index}" for index in range(2 * _CALLS)]
    for name in streams:
        kinesis.create_stream(StreamName=name, DataRetentionInHours=1)

    async def both() -> float:
        measured = asyncio.create_task(_measured(service, time.perf_counter() + 1.0))
        await live_calls(url, streams, seconds=_WARM_UP_SECONDS + _SECONDS, heard=Heard())
        return await measured

    return asyncio.run(both())


_ROWS = {
    "websocket_cores": f"{_CALLS} calls of two legs by WebSocket (Twilio's shape): cores",
    "websocket_sink_cores": "the same frames into an empty receiver: cores",
    "websocket_late_ms": "the same: last frame of a fragment sent to its writing, median, ms",
    "websocket_late_ms_max": "latest, ms",
    "websocket_seconds_kept_percent": "audio kept, % of what was sent",
    "audiosocket_cores": f"{_CALLS} calls of one leg by AudioSocket: cores",
    "audiosocket_sink_cores": "the same frames into an empty receiver: cores",
    "audiosocket_late_ms": "the same: last frame of a fragment sent to its writing, median, ms",
    "audiosocket_late_ms_max": "latest, ms",
    "audiosocket_seconds_kept_percent": "audio kept, % of what was sent",
    "siprec_cores": f"{_CALLS} calls of two legs by SIPREC (UDP, mu-law): cores",
    "siprec_sink_cores": "the same media into an empty receiver: cores",
    "siprec_late_ms": "the same: last packet of a fragment sent to its writing, median, ms",
    "siprec_late_ms_max": "latest, ms",
    "siprec_seconds_kept_percent": "audio kept, % of what was sent",
    "put_media_cores": f"{_CALLS} calls of two legs by PutMedia, frames of 0.1 s: cores",
}

_METHOD = f"""\
One `earwitness serve --dev` process on a fresh folder, and no searches; clients in the process of the benchmark on the
same machine. {_CALLS} calls at once, a frame of 20 ms on each leg as it is spoken; CPU is that of the whole service
over {_SECONDS - 1} s, while audio is kept encrypted on the disk. The same bytes then go to a process that throws them
away, and the same legs by PutMedia. By SIPREC these are the packets of the media; the calls begin and end outside what
is measured. A fragment's lateness is its server timestamp less the time at which the client
sent the frame that completed it."""

BENCHMARK = Benchmark(
    name="doors",
    question="What do a hundred calls from phone systems cost, and how soon is their audio kept?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="websocket_cores", says=f"{_CALLS} two-legged calls by WebSocket, cores", sign="<=", bound=0.6),
        Target(number="audiosocket_cores", says=f"{_CALLS} calls by AudioSocket, cores", sign="<=", bound=0.6),
        Target(number="siprec_cores", says=f"{_CALLS} two-legged calls by SIPREC, cores", sign="<=", bound=0.6),
        Target(number="websocket_late_ms_max", says="latest fragment by WebSocket, ms", sign="<=", bound=1_500.0),
        Target(number="audiosocket_late_ms_max", says="latest fragment by AudioSocket, ms", sign="<=", bound=1_500.0),
        Target(number="siprec_late_ms_max", says="latest fragment by SIPREC, ms", sign="<=", bound=1_500.0),
    ),
    tables=tables,
)
