"""Pipeline: what everything around the two models costs, from a file to its embedding."""

import math
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, Table, Target, number
from benchmarks.engine import engine_for, network_for
from benchmarks.speech import write_call
from benchmarks.timing import Progress, Seconds, Work, median_ms, median_ratio, rounds
from earwitness.audio.canonical import CanonicalBand
from earwitness.audio.files import open_recording
from earwitness.audio.quality import QualityMeter, frame_bounds
from earwitness.audio.vad import FRAME_SAMPLES, VoiceActivity
from earwitness.cli.output import progress_of
from earwitness.engine.encoder import Features, log_mel, without_mean
from earwitness.engine.engine import Engine
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

_CALL_SECONDS = 60.0
_REPEATS = 25
_RATIO_MAX = 1.25
_QUALITY_FRAMES = CANONICAL_RATE // FRAME_SAMPLES
"""Frames measured at once: about a second, as in the product."""

_PARTS = {
    "pipeline": "**file to embedding**",
    "models": "**the two models alone**",
    "decode": "read and decode the file",
    "canonical": "canonical band",
    "vad": "voice activity, a second at a time",
    "quality": "quality",
    "filter_bank": "filter bank",
    "encoder": "encoder network",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of file heard in one band."""

    key: str
    title: str
    rate: int
    band: Band


CASES = (
    Case(key="8khz_telephone", title="8 kHz, telephone band", rate=8_000, band=Band.TELEPHONE),
    Case(key="16khz_telephone", title="16 kHz, telephone band", rate=16_000, band=Band.TELEPHONE),
    Case(key="16khz_wideband", title="16 kHz, wideband", rate=16_000, band=Band.WIDEBAND),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A recording taken apart, so that each step can be timed on what it really gets.

    Only the beginning of the file is in here: the product stops once it has enough net speech.
    """

    path: Path
    engine: Engine
    network: ModelSession
    """The encoder's network without what the product puts around it."""

    rate: int
    blocks: list[Samples]
    """As decoded, at `rate`."""

    canonical: Samples
    """In the engine's band, at 16 kHz; as long as what the product listened to."""

    probabilities: Samples
    """Of speech, one per frame of `canonical`."""

    speech: Samples
    features: Features

    def work(self) -> dict[str, Work]:
        """Everything that is timed, in order."""
        return {
            "pipeline": self.embed,
            "models": self.run_models,
            "decode": lambda: _decode(self.path, blocks=len(self.blocks)),
            "canonical": lambda: _convert(self.blocks, band=self.engine.band, rate=self.rate),
            "vad": self.judge,
            "quality": self.measure_quality,
            "filter_bank": lambda: without_mean(log_mel(self.speech)),
            "encoder": lambda: self.network.run(features=self.features[None]),
        }

    def embed(self) -> None:
        """What the product does."""
        self.engine.encoder.embed(self.engine.listen(self.path).samples)

    def run_models(self) -> None:
        """What no product with these two models can do without."""
        VoiceActivity(self.engine.vad).feed(self.canonical)
        self.network.run(features=self.features[None])

    def judge(self) -> None:
        """Voice activity as the product runs it."""
        activity = VoiceActivity(self.engine.vad)
        for first in range(0, len(self.canonical), CANONICAL_RATE):
            activity.feed(self.canonical[first : first + CANONICAL_RATE])

    def measure_quality(self) -> None:
        """Quality as the product measures it."""
        arrived = np.concatenate(self.blocks)
        meter = QualityMeter(self.rate)
        for first in range(0, len(self.probabilities), _QUALITY_FRAMES):
            judged = self.probabilities[first : first + _QUALITY_FRAMES]
            bounds = frame_bounds(first, len(judged), self.rate)
            meter.feed(arrived[bounds[0] : bounds[-1]], bounds[:-1] - bounds[0], judged)
        meter.read()


def measure() -> Numbers:
    """Milliseconds of every step and the ratio, for each case."""
    network = network_for(ENCODER_MODEL)
    numbers: Numbers = {}
    with tempfile.TemporaryDirectory() as folder, progress_of() as show:
        for case in CASES:
            path = Path(folder) / f"{case.key}.wav"
            write_call(path, rate=case.rate, seconds=_CALL_SECONDS)
            call = take_apart(path, engine_for(case.band), network)
            found = _measure(call, lambda done, total, title=case.title: show(title, done, total))
            numbers |= {f"{case.key}.{name}": value for name, value in found.items()}
    return numbers


def take_apart(path: Path, engine: Engine, network: ModelSession) -> Call:
    """Run every step once and keep what it gave."""
    rate = open_recording(path).rate
    speech = engine.listen(path)
    blocks = _decode(path, blocks=math.ceil(speech.heard_seconds) + 1)
    canonical = np.concatenate(_convert(blocks, band=engine.band, rate=rate))
    canonical = canonical[: round(speech.heard_seconds * CANONICAL_RATE)]
    heard = math.ceil(speech.heard_seconds)
    return Call(
        path=path,
        engine=engine,
        network=network,
        rate=rate,
        blocks=blocks[:heard],
        canonical=canonical,
        probabilities=VoiceActivity(engine.vad).feed(canonical),
        speech=speech.samples,
        features=without_mean(log_mel(speech.samples)),
    )


def tables(numbers: Numbers) -> list[Table]:
    """Milliseconds by step, a case a column."""
    rows = [(title, *(number(numbers[f"{case.key}.{name}_ms"]) for case in CASES)) for name, title in _PARTS.items()]
    ratios = ("ratio of the first two", *(number(numbers[f"{case.key}.ratio"]) for case in CASES))
    heard = ("seconds listened to", *(number(numbers[f"{case.key}.heard_seconds"]) for case in CASES))
    return [Table(columns=("ms, median", *(case.title for case in CASES)), rows=(*rows, ratios, heard))]


def _measure(call: Call, progress: Progress) -> Numbers:
    seconds = rounds(call.work(), repeats=_REPEATS, progress=progress)
    return {
        "ratio": median_ratio(seconds["pipeline"], seconds["models"]),
        "heard_seconds": len(call.canonical) / CANONICAL_RATE,
        "net_seconds": len(call.speech) / CANONICAL_RATE,
        **_milliseconds(seconds),
    }


def _milliseconds(seconds: dict[str, Seconds]) -> Numbers:
    return {f"{name}_ms": median_ms(taken) for name, taken in seconds.items()}


def _decode(path: Path, *, blocks: int) -> list[Samples]:
    return list(islice(open_recording(path).blocks(), blocks))


def _convert(blocks: list[Samples], *, band: Band, rate: int) -> list[Samples]:
    converter = CanonicalBand(band, rate)
    return [converter.feed(block).unfiltered for block in blocks]


_METHOD = f"""\
A WAV file of {_CALL_SECONDS:g} s goes the product's way to an embedding: decode, canonical band, voice
activity, quality, net speech, filter bank, encoder, compensation. The product stops listening once it has 20
s of net speech. Beside it, the two models alone: voice activity over the stretch that was listened to, in as
few calls as possible, and the encoder's network on features made beforehand. All pieces run in turn,
{_REPEATS} rounds; times are medians, the ratio is the median of the ratios within each round."""

BENCHMARK = Benchmark(
    name="pipeline",
    question="What does everything around the two models cost?",
    method=_METHOD,
    measure=measure,
    targets=tuple(
        Target(
            number=f"{case.key}.ratio", says=f"file to embedding ÷ models, {case.title}", sign="<=", bound=_RATIO_MAX
        )
        for case in CASES
    ),
    tables=tables,
)
