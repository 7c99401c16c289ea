"""Codecs, lost packets and chains of codecs between the caller and the recording: how often is the answer right?"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, number, speech_folder
from benchmarks.codec_libraries import LIBRARY_LINES, Coder, coders
from benchmarks.engine import network_for
from benchmarks.heard import ENROL_SECONDS, HeardSet, RawVectors, heard_sets, kept_file
from benchmarks.unseen import Answers, answers, learnt
from earwitness import config
from earwitness.audio.net_speech import gather
from earwitness.cli.output import progress_of
from earwitness.engine.compensation import no_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.space import Space, shipped_space
from earwitness.evaluation.codecs import CODECS
from earwitness.evaluation.conditions import CHANNELS, SimulatedLine, at_level, telephone_line
from earwitness.evaluation.hearing import SpeechPreparer
from earwitness.evaluation.manifest import JoinedRecording, adults, read_manifest
from earwitness.evaluation.metrics import TrialSet, draws, percentiles, widened
from earwitness.evaluation.recordings import join_utterances, read_joined, seed_for
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.progress import Progress
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples, Vector

SECONDS = (20.0, 10.0, 5.0, 3.0)
"""Net speech of the tests; shorter ones are the starts of the longest."""

GALLERIES = (30, 100, 1_000, 10_000)
_PEOPLE_MAX = 16
"""Who are searched for; the gallery holds everybody of the set. 16 take two idle cores some six minutes, once."""

_SEED = 0
_SIMULATED = (
    "telephone", "gsm", *CODECS, "loss-1", "loss-3", "loss-5", "loss-10",
    "mobile-mobile", "internet-mobile", "mobile-recorder",
)  # fmt: skip
LINES = (*_SIMULATED, *LIBRARY_LINES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """Raw embeddings of the same people over one line, by seconds; shape (people, dimension) each."""

    speakers: list[str]
    raw: dict[float, RawVectors]


def measure() -> Numbers:
    """By line and seconds: EER, found and strangers named with the line learnt from the other half of the people."""
    folder = speech_folder().parent / "speech-more"
    if not (folder / "manifest.csv").is_file():
        raise SkippedError("there is no speech-more with a manifest.csv beside the development speech")
    enrolled = heard_sets(folder, ["telephone"])["telephone"]
    space = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
    numbers: Numbers = {}
    for name, searched in _hear(folder).items():
        for seconds in SECONDS:
            numbers |= _rates(f"{name}.{seconds:g}", space, enrolled, searched, seconds)
    return numbers


def _lines() -> dict[str, SimulatedLine]:
    return {
        **{name: CHANNELS[name] for name in _SIMULATED},
        **{name: _by_library(rate, coder) for name, (rate, coder) in coders().items()},
    }


def _by_library(rate: int, coder: Coder) -> SimulatedLine:
    def line(speech: Samples, _random: np.random.Generator, _others: list[Samples]) -> tuple[Samples, int]:
        return coder(telephone_line(speech) if rate < CANONICAL_RATE else at_level(speech)), rate

    return line


def _hear(folder: Path) -> dict[str, Searched]:
    """Return what was heard over each line, and hear what was not (benchmarks/heard.py)."""
    model = network_for(ENCODER_MODEL)
    compensation = no_compensation(model.model.dimension)
    encoder = SpeakerEncoder(model, band=Band.TELEPHONE, compensation=compensation)
    vad, workers = network_for(VAD_MODEL), config.load().workers

    def embed(line: SimulatedLine, name: str, test: JoinedRecording) -> list[Vector]:
        random = np.random.default_rng(seed_for(_SEED, name, test.name))
        arrived, rate = line(read_joined(test), random, [])
        speech = gather([arrived], vad=vad, band=encoder.band, rate=rate, target_seconds=SECONDS[0])
        nothing = np.full(encoder.dimension, np.nan, np.float32)
        starts = [(speech.samples[: round(seconds * CANONICAL_RATE)], seconds) for seconds in SECONDS]
        return [
            encoder.embed(start).vector if len(start) >= 0.9 * seconds * CANONICAL_RATE else nothing
            for start, seconds in starts
        ]

    with progress_of() as show:
        tests = _tests(folder, SpeechPreparer(vad=vad, encoder=encoder, workers=workers, seed=_SEED), show)
        heard: dict[str, Searched] = {}
        for count, (name, line) in enumerate(_lines().items()):
            show("codecs", count, len(LINES))
            file = kept_file(f"{folder.name}-codecs-{model.model.numbers_id}", name)
            if not file.is_file():
                with ThreadPoolExecutor(workers) as pool:
                    vectors = np.array(list(pool.map(partial(embed, line, name), tests)))  # (people, durations, dim)
                np.save(file, vectors)
            vectors = np.load(file)
            raw = {seconds: vectors[:, index] for index, seconds in enumerate(SECONDS)}
            heard[name] = Searched(speakers=[test.speaker_id for test in tests], raw=raw)
    return heard


def _tests(folder: Path, preparer: SpeechPreparer, show: Progress) -> list[JoinedRecording]:
    """Return one recording of 20 s of each of some people; what is enrolled of them is not in it."""
    utterances = adults(read_manifest(folder / "manifest.csv"))
    net = preparer.net_seconds(utterances, show)
    recordings = join_utterances(
        utterances, net.__getitem__, enrol_seconds=ENROL_SECONDS, test_seconds=SECONDS[0], seed=_SEED
    )
    first = {test.speaker_id: test for test in reversed(recordings.tests)}
    return [first[speaker] for speaker in sorted(first)][:_PEOPLE_MAX]


def _rates(name: str, space: Space, enrolled: HeardSet, searched: Searched, seconds: float) -> Numbers:
    """Return the rates over one line, learnt for each half of the people from the other half."""
    rows = np.flatnonzero(enrolled.kind == "enrol")
    speakers = np.array(searched.speakers)
    parts: list[Answers] = []
    for half in (0, 1):
        own = np.arange(len(speakers)) % 2 == half
        on = learnt(space, searched.raw[10.0][~own])
        parts.append(
            answers(
                on,
                enrolled=(enrolled.raw[ENROL_SECONDS][rows], enrolled.speaker[rows]),
                tested=(searched.raw[seconds][own], speakers[own]),
                seconds=seconds,
            )
        )
    whole = Answers(
        speaker=np.concatenate([part.speaker for part in parts]),
        alarm=np.concatenate([part.alarm for part in parts]),
        own=np.concatenate([part.own for part in parts]),
        first=np.concatenate([part.first for part in parts]),
        others=np.concatenate([part.others for part in parts]),
        thresholds=parts[0].thresholds,
    )
    measured = whole.numbers()
    replicates = [whole.numbers(weights) for weights in draws(np.unique(whole.speaker).tolist(), seed=_SEED)]
    numbers: Numbers = {f"{name}.searches": len(whole.speaker)}
    targets, nontargets = whole.own[~np.isnan(whole.own)], whole.others.ravel()
    numbers[f"{name}.eer"] = 100 * TrialSet(targets, nontargets[np.isfinite(nontargets)]).curve().eer()
    for rate, value in measured.items():
        low, high = widened(percentiles([each[rate] for each in replicates if each]), speakers=len(speakers))
        numbers |= {f"{name}.{rate}": value, f"{name}.{rate}.low": low, f"{name}.{rate}.high": high}
    return numbers


def tables(numbers: Numbers) -> list[Table]:
    """Found by seconds, then by size of the gallery at 10 s."""
    lines = [line for line in LINES if f"{line}.10.eer" in numbers]

    def cell(name: str) -> str:
        value, low, high = (number(numbers[key]) for key in (name, f"{name}.low", f"{name}.high"))
        return f"{value} [{low}, {high}]"

    by_seconds = [
        (
            line,
            *(number(numbers[f"{line}.{seconds:g}.eer"]) for seconds in sorted(SECONDS)),
            *(cell(f"{line}.{seconds:g}.found.0") for seconds in sorted(SECONDS)),
            *(number(numbers[f"{line}.{seconds:g}.strangers"]) for seconds in sorted(SECONDS)),
        )
        for line in lines
    ]
    by_size = [(line, *(cell(f"{line}.10.found.{size}") for size in GALLERIES)) for line in lines]
    heads = [f"{seconds:g} s" for seconds in sorted(SECONDS)]
    return [
        Table(
            columns=(
                "searched for over",
                *(f"EER, % {head}" for head in heads),
                *(f"found, % {head}" for head in heads),
                *(f"strangers named, % {head}" for head in heads),
            ),
            rows=tuple(by_seconds),
        ),
        Table(columns=("10 s, found, % at", *(f"{size:,}" for size in GALLERIES)), rows=tuple(by_size)),
    ]


_METHOD = f"""\
Enrolled over the telephone (20 s, 65 adults), searched for over the line of the row, which the product learnt from one
recording each of half of the people; {_PEOPLE_MAX} of them are searched for, one recording each. Nobody is new to the
shipped numbers, most lines are. Strangers named: searches without the caller's own voiceprint, of which at most 1 %
should be given a name. *Found at N*: the share of callers above the threshold of a gallery of N; beyond 65 people the
threshold is extrapolated. `gsm` is GSM 06.10 with another handset, `amr-12.2` is GSM's enhanced full rate, `loss-N`
G.711 with N % of the packets lost in bursts, `mobile-mobile` AMR, A-law and AMR again, `internet-mobile` Opus, µ-law
and AMR with 3 % lost, `mobile-recorder` AMR, µ-law and MP3. AMR-WB and G.729 are coded by Debian's libvo-amrwbenc0 and
libbcg729-0. Not measured, because nothing at hand codes them: EVS, iLBC, SILK, Speex (PyAV's wheels decode iLBC only);
GSM half rate."""

BENCHMARK = Benchmark(
    name="codecs",
    question="How often is the answer right over other codecs?",
    method=_METHOD,
    measure=measure,
    targets=(),
    tables=tables,
)
