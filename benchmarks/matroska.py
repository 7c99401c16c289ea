"""Matroska: how fast a producer's body is taken apart, and whether that depends on how long it has lasted."""

from time import perf_counter

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.timing import Progress, Seconds, median_ratio, rounds
from earwitness.audio.matroska.events import FragmentReceived
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.cli.output import progress_of

_RATE = 8_000
_FRAME_BYTES = 1_024
_FRAMES = 16
"""In a fragment: about a second of 16-bit audio at 8 kHz."""

_FRAGMENTS = 1_200
"""Twenty minutes of a call; 20 MB."""

_FRAME_MS = 1_000 * _FRAME_BYTES // (2 * _RATE)
_CHUNKS = (1_000, 4_096, 16_384, 65_536)
_REPEATS = 15
_TENTHS = 10
_CALL_HOURS = 3
_MB_PER_SECOND_MIN = 120.0
_AGE_RATIO_MAX = 1.15

Chunks = list[bytes]


def measure() -> Numbers:
    """Megabytes a second for each chunk size, with sizes known and unknown; the last tenth against the first."""
    numbers: Numbers = {}
    with progress_of() as show:
        for known in (True, False):
            body, title = _body(fragments=_FRAGMENTS, size_known=known), f"sizes {_name(known)}"
            cut = {str(size): _cut(body, size) for size in _CHUNKS}
            seconds = rounds(
                {name: lambda chunks=chunks: _read(PutMediaReader(), chunks) for name, chunks in cut.items()},
                repeats=_REPEATS,
                progress=lambda done, total, title=title: show(title, done, total),
            )
            for size, taken in seconds.items():
                numbers[f"{_name(known)}.{size}_mb_per_second"] = len(body) / 1e6 / float(np.median(taken))
        first, last = _ages(lambda done, total: show("a long call", done, total))
    numbers["age_ratio"] = median_ratio(last, first)
    numbers["mb_per_second_min"] = min(value for name, value in numbers.items() if name.endswith("mb_per_second"))
    return numbers


def tables(numbers: Numbers) -> list[Table]:
    """Megabytes a second by the size of the chunks, and the ratio of age."""
    rows = tuple(
        (f"{size:,}", *(number(numbers[f"{_name(known)}.{size}_mb_per_second"]) for known in (True, False)))
        for size in _CHUNKS
    )
    age = ((f"last tenth ÷ first tenth of {_CALL_HOURS} hours", number(numbers["age_ratio"])),)
    return [
        Table(columns=("MB/s, bytes fed at a time", "cluster size known", "unknown"), rows=rows),
        Table(columns=("time", "ratio"), rows=age),
    ]


def _name(known: bool) -> str:
    return "known" if known else "unknown"


def _body(*, fragments: int, size_known: bool) -> bytes:
    frame = bytes(range(256)) * (_FRAME_BYTES // 256)
    blocks = [write_block(1, _FRAME_MS * index, frame) for index in range(_FRAMES)]
    step = _FRAME_MS * _FRAMES
    clusters = (write_cluster(step * index, blocks, size_known=size_known) for index in range(fragments))
    return write_header([pcm_track(rate=_RATE)]) + b"".join(clusters)


def _cut(body: bytes, size: int) -> Chunks:
    return [body[first : first + size] for first in range(0, len(body), size)]


def _read(reader: PutMediaReader, chunks: Chunks) -> int:
    fragments = 0
    for chunk in chunks:
        fragments += sum(isinstance(event, FragmentReceived) for event in reader.feed(chunk))
    return fragments


def _ages(progress: Progress) -> tuple[Seconds, Seconds]:
    """Seconds of the first and of the last tenth of a long stream, in each of some rounds."""
    chunks = _cut(_body(fragments=_CALL_HOURS * 3_600, size_known=True), _CHUNKS[0])
    length = len(chunks) // _TENTHS
    first, last = [], []
    for done in range(_REPEATS + 1):
        reader = PutMediaReader()
        taken: list[float] = []
        for tenth in range(_TENTHS):
            started = perf_counter()
            _read(reader, chunks[tenth * length : (tenth + 1) * length])
            taken.append(perf_counter() - started)
        first.append(taken[0])
        last.append(taken[-1])
        progress(done, _REPEATS)
    return np.array(first[1:]), np.array(last[1:])


_METHOD = f"""\
A producer's body of {_FRAGMENTS:,} fragments with {_FRAMES} frames of {_FRAME_BYTES:,} bytes is fed to the
parser in chunks of one size, all sizes in turn, {_REPEATS} rounds; megabytes are the body's, seconds the
median. Each fragment comes out as its own copy of the bytes. The ratio of age is the median over rounds of one
reader fed {_CALL_HOURS} hours of a call {_CHUNKS[0]:,} bytes at a time: its last tenth against its first."""

BENCHMARK = Benchmark(
    name="matroska",
    question="How fast is a producer's body taken apart?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(
            number="mb_per_second_min",
            says="parser, slowest of all chunk sizes, MB/s",
            sign=">=",
            bound=_MB_PER_SECOND_MIN,
        ),
        Target(
            number="age_ratio",
            says=f"last tenth ÷ first tenth of a call of {_CALL_HOURS} hours, time",
            sign="<=",
            bound=_AGE_RATIO_MAX,
        ),
    ),
    tables=tables,
)
