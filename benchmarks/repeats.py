"""Repeats: how often a recording that is played again is missed, and how often other words of one person are taken
for one."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number, speech_folder, with_interval
from benchmarks.engine import network_for
from benchmarks.heard import kept_file
from earwitness.audio.canonical import resampled
from earwitness.audio.net_speech import gather
from earwitness.cli.output import progress_of
from earwitness.engine.compensation import no_compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.repeats import REPEAT_LIKENESS_MIN, fingerprint_of, likeness
from earwitness.evaluation.conditions import CHANNELS
from earwitness.evaluation.manifest import adults, read_manifest
from earwitness.evaluation.metrics import TrialSet
from earwitness.evaluation.recordings import read_utterance
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.tasks.repeats import COSINE_MIN
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.embedding import Samples

LINES = ("gsm", "amr-4.75", "amr-12.2", "opus-12", "noise10", "reverb", "loss-5", "mobile-mobile")
"""What a recording of a call is played through, after the line that it was recorded over."""

CUTS = (2.0, 5.0, 10.0)
"""Seconds that a replay lacks at its start, played through GSM."""

SETS = {"speech-more": "telephone", "speech-phone": "recorded"}
"""Folders of speech, and the line of the first call."""

_REPLAYS = ("again", *LINES, *(f"cut{cut:g}" for cut in CUTS))
_NAMES = ("first", "other", *_REPLAYS, "other-gsm")
_FINGERPRINT_BYTES = 6_400
_GAP_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class HeardCalls:
    """What was heard of calls: of each speaker the first, other words, and the first again over every line."""

    #: Shape (speakers, names, dimension); NaN where there were less than 20 s of speech.
    vectors: NDArray[np.float32]
    #: Shape (speakers, names, bytes).
    fingerprints: NDArray[np.uint8]
    #: Bytes of each fingerprint; 0 where there is none. Shape (speakers, names).
    lengths: NDArray[np.int64]

    def pairs(self, name: str) -> list[tuple[float, float]]:
        """Return cosine and likeness of the first call and this one, of all speakers who have both."""
        return [self.pair(one, "first", one, name) for one in range(len(self.lengths)) if self._has(one, name)]

    def of_two_people(self) -> list[tuple[float, float]]:
        """Return the same of the first calls of every two speakers."""
        whole = [one for one in range(len(self.lengths)) if self._has(one, "first")]
        return [self.pair(one, "first", other, "first") for one in whole for other in whole if other < one]

    def pair(self, one: int, name: str, other: int, other_name: str) -> tuple[float, float]:
        """Return cosine and likeness of two calls."""
        first, second = self.vectors[one, _NAMES.index(name)], self.vectors[other, _NAMES.index(other_name)]
        cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
        return cosine, likeness(self._fingerprint(one, name), self._fingerprint(other, other_name))

    def _has(self, one: int, name: str) -> bool:
        return all(self.lengths[one, _NAMES.index(each)] for each in ("first", name))

    def _fingerprint(self, one: int, name: str) -> bytes:
        index = _NAMES.index(name)
        return self.fingerprints[one, index, : self.lengths[one, index]].tobytes()


def measure() -> Numbers:
    """By set and line: replays missed, the share of errors of embeddings and of fingerprints; false alarms of all."""
    numbers: Numbers = {}
    flagged: dict[str, list[bool]] = defaultdict(list)
    for name, line in SETS.items():
        calls = _heard(speech_folder().parent / name, line)
        other = [*calls.pairs("other"), *calls.pairs("other-gsm")]
        people = calls.of_two_people()
        flagged["other"] += [_is_flagged(pair) for pair in other]
        flagged["people"] += [_is_flagged(pair) for pair in people]
        numbers[f"{name}.other.likeness_max"] = max(score for _, score in other)
        numbers[f"{name}.people.likeness_max"] = max(score for _, score in people)
        for again in _REPLAYS:
            replays = calls.pairs(again)
            missed = [not _is_flagged(pair) for pair in replays]
            flagged["missed"] += missed
            numbers |= _share(f"{name}.{again}.missed", missed)
            for what, column in (("embedding", 0), ("fingerprint", 1)):
                targets, nontargets = (np.array([pair[column] for pair in pairs]) for pairs in (replays, other))
                numbers[f"{name}.{again}.{what}.eer"] = 100 * TrialSet(targets, nontargets).curve().eer()
    for what, answers in flagged.items():
        numbers |= _share(f"all.{what}", answers)
    return numbers


def _is_flagged(pair: tuple[float, float]) -> bool:
    cosine, score = pair
    return cosine >= COSINE_MIN and score >= REPEAT_LIKENESS_MIN


def _share(name: str, answers: list[bool]) -> Numbers:
    """Return how often it was so in per cent, with the exact interval, and of how many."""
    interval = stats.binomtest(sum(answers), len(answers)).proportion_ci(method="exact")
    shares = {"": sum(answers) / len(answers), ".low": interval.low, ".high": interval.high}
    counts = {f"{name}.of": float(len(answers)), f"{name}.count": float(sum(answers))}
    return {f"{name}{suffix}": 100 * share for suffix, share in shares.items()} | counts


def _heard(folder: Path, first_line: str) -> HeardCalls:
    """Return what was heard of the people of a folder, and hear what was not (benchmarks/heard.py)."""
    if not (folder / "manifest.csv").is_file():
        raise SkippedError(f"there is no {folder.name} with a manifest.csv beside the development speech")
    model = network_for(ENCODER_MODEL)
    file = kept_file(f"{folder.name}-repeats-{model.model.numbers_id}", first_line).with_suffix(".npz")
    if not file.is_file():
        _hear(folder, first_line, file)
    with np.load(file) as kept:
        return HeardCalls(vectors=kept["vectors"], fingerprints=kept["fingerprints"], lengths=kept["lengths"])


def _hear(folder: Path, first_line: str, file: Path) -> None:
    model = network_for(ENCODER_MODEL)
    encoder = SpeakerEncoder(model, band=Band.TELEPHONE, compensation=no_compensation(model.model.dimension))
    vad = network_for(VAD_MODEL)
    speakers = _speech_of(folder)
    vectors = np.full((len(speakers), len(_NAMES), encoder.dimension), np.nan, np.float32)
    fingerprints = np.zeros((len(speakers), len(_NAMES), _FINGERPRINT_BYTES), np.uint8)
    lengths = np.zeros((len(speakers), len(_NAMES)), np.int64)
    with progress_of() as show:
        for one, speech in enumerate(speakers):
            show("repeats", one, len(speakers))
            for index, (arrived, rate) in enumerate(_calls(speech, first_line, np.random.default_rng(one))):
                heard = gather([arrived], vad=vad, band=encoder.band, rate=rate, target_seconds=SPEECH_SECONDS_MAX)
                if heard.seconds < SPEECH_SECONDS_MAX - 0.1:
                    continue
                vectors[one, index] = encoder.embed(heard.samples).vector
                made = np.frombuffer(fingerprint_of(heard), np.uint8)
                fingerprints[one, index, : len(made)], lengths[one, index] = made, len(made)
    np.savez(file, allow_pickle=False, vectors=vectors, fingerprints=fingerprints, lengths=lengths)


def _calls(speech: Samples, first_line: str, random: np.random.Generator) -> list[tuple[Samples, int]]:
    """Return what arrives of each call of one person, in the order of _NAMES, with its rate."""
    half = len(speech) // 2
    first, rate = CHANNELS[first_line](speech[:half], random, [])
    other = CHANNELS[first_line](speech[half:], random, [])
    recorded = resampled(first, rate=rate, to=CANONICAL_RATE)
    again = [CHANNELS[line](recorded, random, []) for line in (first_line, *LINES)]
    # A replay does not begin at one of our frames.
    starts = [round(cut * CANONICAL_RATE) + 777 for cut in CUTS]
    cut = [CHANNELS["gsm"](recorded[start:], random, []) for start in starts]
    return [(first, rate), other, *again, *cut, CHANNELS["gsm"](speech[half:], random, [])]


def _speech_of(folder: Path) -> list[Samples]:
    """Return all speech of each adult of a folder, one utterance after the other."""
    theirs: dict[str, list[Samples]] = defaultdict(list)
    gap = np.zeros(round(_GAP_SECONDS * CANONICAL_RATE), np.float32)
    for one in adults(read_manifest(folder / "manifest.csv")):
        theirs[one.speaker_id] += [read_utterance(one), gap]
    return [np.concatenate(theirs[speaker]) for speaker in sorted(theirs)]


def tables(numbers: Numbers) -> list[Table]:
    """What is missed by line, then false alarms."""

    def counted(name: str) -> tuple[str, str]:
        return f"{numbers[f'{name}.count']:.0f} of {numbers[f'{name}.of']:.0f}", with_interval(numbers, name)

    words = {"again": "the same line again", **{f"cut{cut:g}": f"gsm, {cut:g} s of its start cut off" for cut in CUTS}}
    missed = [
        (
            f"{name}: {words.get(again, again)}",
            *counted(f"{name}.{again}.missed"),
            *(number(numbers[f"{name}.{again}.{what}.eer"]) for what in ("embedding", "fingerprint")),
        )
        for name in SETS
        for again in _REPLAYS
    ]
    alarms = {
        "missed": "replays missed, all lines",
        "other": "other words of the same person flagged",
        "people": "two people flagged",
    }
    return [
        Table(
            columns=("played again through", "missed", "missed, %", "EER of embeddings, %", "EER of fingerprints, %"),
            rows=tuple(missed),
            text_columns=2,
        ),
        Table(
            columns=("in all", "calls", "%"),
            rows=tuple((says, *counted(f"all.{what}")) for what, says in alarms.items()),
            text_columns=2,
        ),
    ]


_METHOD = f"""\
Of each person the first half of the speech is a call (telephone line; real callers as recorded), the second half is
other words of the same session. The first call is played again through another line, also with its start cut off. Each
call is its first 20 s of net speech. A replay is flagged from a likeness of {REPEAT_LIKENESS_MIN:g} on, among calls
whose raw embeddings have a cosine of {COSINE_MIN:g} at least. Intervals are exact (Clopper and Pearson) and take pairs
as independent, which those of one person are not. Callers of speech-phone read digits: other words are much alike."""

BENCHMARK = Benchmark(
    name="repeats",
    question="How often is a recording that is played again noticed?",
    method=_METHOD,
    measure=measure,
    targets=(
        Target(number="all.other", says="other words of one person flagged, %", sign="<=", bound=1.0),
        Target(number="all.missed", says="replays missed, %", sign="<=", bound=5.0),
    ),
    tables=tables,
)
