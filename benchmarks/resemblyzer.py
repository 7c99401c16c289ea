"""Resemblyzer: the same trials with another free speaker encoder, on the same net speech, in the same run."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.benchmark import ROOT, Benchmark, Numbers, SkippedError, Table, number, speech_folder
from benchmarks.timing import Seconds, median_ms, median_ratio
from benchmarks.trials import Trials, Vectors, hear_trials, trial_rates
from benchmarks.workers import ONE_THREAD, run_worker
from earwitness.cli.output import note, progress_of
from earwitness.engine.compensation import unit_length
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.embedding import Samples

_RELEASE = "Resemblyzer==0.1.4"
_ENVIRONMENT = ROOT / ".bench-venv"
_REQUIREMENTS = Path(__file__).with_name("resemblyzer-requirements.txt")

_CONDITIONS = ("telephone", "noise10")
_TIMED_SECONDS, _TIMED_CLIPS, _TIMED_ROUNDS = 10.0, 20, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """What an encoder made of some waveforms."""

    raw: Vectors
    """Before channel compensation, where the encoder has one."""

    embeddings: Vectors
    seconds: Seconds
    """Taken by each."""


Encoder = Callable[[Sequence[Samples]], Embedded]
"""Waveforms to embeddings, in another process."""

_WAYS = {
    "earwitness": "earwitness, as it is used",
    "earwitness_centred": "earwitness, network alone, centred",
    "earwitness_cosine": "earwitness, network alone, cosine",
    "resemblyzer_centred": "Resemblyzer, centred",
    "resemblyzer_cosine": "Resemblyzer, cosine",
}


def measure() -> Numbers:
    """EER and minDCF of both encoders by condition, and milliseconds per embedding."""
    manifest = speech_folder() / "manifest.csv"
    python = _install()
    with progress_of() as show:
        trials = hear_trials(manifest, _CONDITIONS, show)
    with tempfile.TemporaryDirectory() as folder:
        encoders = _encoders(Path(folder), python)
        return {**_times(trials, encoders), **_accuracy(trials, encoders)}


def tables(numbers: Numbers) -> list[Table]:
    """Errors by condition, a way of scoring a row; then times."""

    def cell(condition: str, way: str, rate: str) -> str:
        name = f"{condition}.{way}.{rate}"
        value, low, high = (number(numbers[key]) for key in (name, f"{name}.low", f"{name}.high"))
        return f"{value} [{low}, {high}]"

    errors = tuple(
        (title, *(cell(condition, way, rate) for condition in _CONDITIONS for rate in ("eer_percent", "min_dcf")))
        for way, title in _WAYS.items()
    )
    heads = tuple(f"{condition}: {rate}" for condition in _CONDITIONS for rate in ("EER, %", "minDCF(0.01)"))
    pairs = tuple(
        (condition, *(number(numbers[f"{condition}.earwitness.{count}"]) for count in ("targets", "nontargets")))
        for condition in _CONDITIONS
    )
    times = (
        ("earwitness", number(numbers["earwitness_ms"])),
        ("Resemblyzer", number(numbers["resemblyzer_ms"])),
        ("Resemblyzer ÷ earwitness", number(numbers["resemblyzer_to_earwitness_ratio"])),
    )
    return [
        Table(columns=("rate [95 % interval by speaker]", *heads), rows=errors),
        Table(columns=("pairs", "same speaker", "different speakers"), rows=pairs),
        Table(columns=("embedding of 10 s, one thread", "ms, median"), rows=times),
    ]


def _encoders(folder: Path, python: Path) -> dict[str, Encoder]:
    def with_worker(module: str, interpreter: Path) -> Encoder:
        def embed(speech: Sequence[Samples]) -> Embedded:
            arrived, embedded = folder / "arrived.npz", folder / "embedded.npz"
            np.savez(arrived, *speech)
            run_worker(module, [arrived, embedded], settings=ONE_THREAD, python=interpreter)
            with np.load(embedded) as archive:
                embeddings = archive["embeddings"]
                raw = archive.get("raw", embeddings)
                return Embedded(raw=raw, embeddings=embeddings, seconds=archive["seconds"])

        return embed

    return {
        "earwitness": with_worker("embedding_worker", Path(sys.executable)),
        "resemblyzer": with_worker("resemblyzer_worker", python),
    }


def _times(trials: Trials, encoders: dict[str, Encoder]) -> Numbers:
    """Both encoders in turn, several processes each, on clips of equal length."""
    length = round(_TIMED_SECONDS * CANONICAL_RATE)
    long_enough = [spoken.samples[:length] for spoken in trials.all() if len(spoken.samples) >= length]
    clips = long_enough[:_TIMED_CLIPS]
    taken: dict[str, list[Seconds]] = {name: [] for name in encoders}
    with progress_of() as show:
        for done in range(_TIMED_ROUNDS):
            for name, embed in encoders.items():
                taken[name].append(embed(clips).seconds)
            show("time embeddings of 10 s", done + 1, _TIMED_ROUNDS)
    medians = {name: np.array([np.median(seconds) for seconds in each]) for name, each in taken.items()}
    return {
        "earwitness_ms": median_ms(medians["earwitness"]),
        "resemblyzer_ms": median_ms(medians["resemblyzer"]),
        "resemblyzer_to_earwitness_ratio": median_ratio(medians["resemblyzer"], medians["earwitness"]),
    }


def _accuracy(trials: Trials, encoders: dict[str, Encoder]) -> Numbers:
    numbers: Numbers = {}
    speech = [spoken.samples for spoken in trials.all()]
    with progress_of() as show:
        for done, (name, embed) in enumerate(encoders.items(), start=1):
            ways = _ways(name, embed(speech), enrolments=len(trials.enrolments))
            for way, vectors in ways.items():
                numbers |= _errors(way, vectors, trials)
            show("embed all recordings", done, len(encoders))
    return numbers


def _ways(name: str, embedded: Embedded, *, enrolments: int) -> dict[str, Vectors]:
    """Unit vectors by way of scoring. Centring takes out the mean of the enrolments, which needs no labels."""
    raw = unit_length(embedded.raw)
    centred = unit_length(raw - raw[:enrolments].mean(axis=0))
    return {f"{name}_cosine": raw, f"{name}_centred": centred, name: embedded.embeddings}


def _errors(way: str, vectors: Vectors, trials: Trials) -> Numbers:
    """Rates under every condition; `vectors` follow the order of `Trials.all`."""
    numbers: Numbers = {}
    count = len(trials.enrolments)
    enrolled, vectors = vectors[:count].astype(np.float64), vectors[count:]
    for condition, tests in trials.tests.items():
        tested, vectors = vectors[: len(tests)], vectors[len(tests) :]
        rates = trial_rates(trials.enrolments, tests, tested @ enrolled.T)
        numbers |= {f"{condition}.{way}.{name}": value for name, value in rates.items()}
    return numbers


def _install() -> Path:
    """The Python of Resemblyzer's environment, made at the first run. SkippedError when it cannot be made."""
    python, ready = _ENVIRONMENT / "bin" / "python", _ENVIRONMENT / ".ready"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8") + _RELEASE
    if ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
        return python
    note.print("installing Resemblyzer and torch into .bench-venv (once; some minutes)")
    shutil.rmtree(_ENVIRONMENT, ignore_errors=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", _ENVIRONMENT], check=True)
        subprocess.run([*pip, "-r", _REQUIREMENTS], check=True)
        subprocess.run([*pip, "--no-deps", _RELEASE], check=True)
    except subprocess.CalledProcessError as error:
        raise SkippedError("Resemblyzer could not be installed; this needs the network once") from error
    ready.write_text(wanted, encoding="utf-8")
    return python


_METHOD = f"""\
{_RELEASE.replace("==", " ")} (GE2E, the usual free speaker encoder) and earwitness's encoder get the same net
speech: the adults of the development speech, 20 s enrolled by telephone and 10 s tested, cut, simulated and
freed of silence as in `accuracy`; Resemblyzer's own voice activity detector is not used, its level step is.
*Network alone* leaves out earwitness's channel compensation, which was fitted on these speakers; *centred*
subtracts the mean of the enrolled embeddings, for both alike, so the two centred rows compare the networks
and nothing else. Times are of {_TIMED_CLIPS} clips of {_TIMED_SECONDS:g} s from waveform to embedding, one
native thread, {_TIMED_ROUNDS} processes of each encoder in turn."""

BENCHMARK = Benchmark(
    name="resemblyzer",
    question="How does it compare with Resemblyzer?",
    method=_METHOD,
    measure=measure,
    targets=(),
    tables=tables,
)
