"""How many processes, cores, gigabytes and connections so many calls take, from what was measured.

The measurements are in benchmarks/results, on one machine (2 cores of an AMD EPYC, 2026-11-26). A core of yours may do
half or twice as much: `make bench` measures it.
"""

import math
from dataclasses import dataclass

from earwitness.config.limits import PROCESS_CONNECTIONS_MIN, Limits

RESULT_CPU_SECONDS = 1.36
"""Of a call until its voiceprint, media apart: capacity.json, call_cpu_s_200."""

MEDIA_CORES = 0.2476 / 200
"""For one stream in progress: capacity.json, ingest_cores_200."""

CALL_BYTES = 5.15e6
"""Of memory for a call in progress: capacity.json, mb_per_call_200."""

PROCESS_BYTES = 302 * 2**20
"""Of memory for a process with its models: memory.json, settled_mib."""

PROFILE_BYTES = 192 * 4 + 400
"""Of memory for a profile in the galleries of a process: 192 numbers of 4 bytes and its name."""

CALLS_OF_A_PROCESS = 200
"""Streams in progress at which one process was measured, with its event loop late by 64 ms at most; the default of
`tasks_at_once`."""

USE = 0.6
"""Of the cores at the busiest time: the rest is for calls of a node that died, and for results that come together."""

LIVE_HOURS = 0.1
"""Media of a stream without retention lie on the disk for six minutes."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be served at the busiest time."""

    #: Calls in progress, each of which is searched for once.
    calls: int
    call_seconds: float
    #: Streams or channels of a call that are listened to.
    voices: int
    #: Of one voice; 8 kHz and 16 bits are 16,000.
    bytes_per_second: float
    #: In all domains that are searched.
    profiles: int
    #: For which media are kept; 0 is the live minutes alone.
    retention_hours: float
    cores_per_machine: int


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What that takes."""

    searches_per_second: float
    #: Of the voice models, and of the media, at the busiest time.
    model_cores: float
    media_cores: float
    #: To have, with reserve.
    cores: int
    processes: int
    #: With one to spare: the calls of one that dies go on at the others.
    machines: int
    processes_per_machine: int
    memory_bytes_per_machine: float
    disk_bytes: float
    network_bytes_per_second: float
    #: One more of each process says that it lives.
    postgres_connections: int


def sizing(load: Load) -> Sizing:
    """Return what a load takes."""
    voices = load.calls * load.voices
    searches = voices / load.call_seconds
    model_cores, media_cores = searches * RESULT_CPU_SECONDS, voices * MEDIA_CORES
    cores = max(1, math.ceil((model_cores + media_cores) / USE))
    busy = max(1, math.ceil(cores / load.cores_per_machine))
    processes = max(busy, math.ceil(voices / CALLS_OF_A_PROCESS))
    each = math.ceil(processes / busy)
    machines = busy + 1
    of_process = PROCESS_BYTES + load.profiles * PROFILE_BYTES
    network = voices * load.bytes_per_second
    return Sizing(
        searches_per_second=searches,
        model_cores=model_cores,
        media_cores=media_cores,
        cores=cores,
        processes=machines * each,
        machines=machines,
        processes_per_machine=each,
        memory_bytes_per_machine=each * of_process + voices / busy * CALL_BYTES,
        disk_bytes=network * 3_600 * max(load.retention_hours, LIVE_HOURS),
        network_bytes_per_second=network,
        postgres_connections=machines * (max(Limits().connections, each * PROCESS_CONNECTIONS_MIN) + each),
    )
