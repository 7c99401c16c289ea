"""Several voices: how often one voice is taken for several, how often two for one, and what the check costs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, number, speech_folder
from benchmarks.engine import engine_for
from benchmarks.passages import Passage, Speakers, hear_passage, of_one_voice, of_two_voices, read_speakers, recorded
from benchmarks.several_voices_cost import measure_cost
from earwitness.cli.output import progress_of
from earwitness.engine.engine import Engine
from earwitness.engine.several_voices import VOICE_SECONDS_MIN, Grouping, score_needed
from earwitness.evaluation.recordings import seed_for
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
from earwitness.voice.embedding import Samples

_CONDITIONS = ("telephone", "gsm", "noise10")
_RECORDED = "recorded"
_LENGTHS = (SPEECH_SECONDS_MAX, IDENTIFY_SECONDS)
_TURNS = {4.0: _CONDITIONS, 2.0: ("telephone",), 8.0: ("telephone",)}
"""Seconds of a turn, and the conditions it is tried under."""

_SPEAKERS_MAX = 45
"""How many begin a passage; partners and babble are drawn from everybody."""

_KINDS = ("one", "two_4s", "two_2s", "two_8s")
_FALSE_ALARM_PERCENT_MAX, _MISSED_PERCENT_MAX = 1.0, 10.0
_CPU_RATIO_MAX = 1.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What the encoder made of the first `seconds` of net speech of a passage."""

    passage: Passage
    condition: str
    seconds: float
    grouping: Grouping

    @property
    def kind(self) -> str:
        """One of _KINDS."""
        return "one" if len(self.passage.speakers) == 1 else f"two_{self.passage.turn_seconds:g}s"

    @property
    def score(self) -> float:
        """1.0, like one voice, where the smaller group is too short to count."""
        return self.grouping.score if self.grouping.smaller_seconds >= VOICE_SECONDS_MIN else 1.0

    def is_wrong(self, threshold: float | None = None) -> bool:
        """Whether one voice is taken for several or two for one; at the product's own threshold by default."""
        several = self.grouping.several_voices if threshold is None else self.score < threshold
        return several == (self.kind == "one")


def measure() -> Numbers:
    """Errors, trials and percentages with exact 95 % intervals (`.low`, `.high`); then CPU times."""
    folders = [speech_folder(), *(_beside(speech_folder(), name) for name in ("speech-more", "speech-phone"))]
    engine = engine_for(Band.TELEPHONE)
    with progress_of() as show:
        cost = measure_cost(engine, lambda done, total: show("CPU of a call", done, total))
        speakers = read_speakers(folders[:2], engine.vad, lambda done, total: show("speakers", done, total))
        planned = list(_planned(speakers))
        judged: list[Judged] = []
        for done, (passage, condition) in enumerate(planned, start=1):
            judged += _hear(passage, condition, speakers, engine)
            show("passages", done, len(planned))
        for passage, speech in recorded(folders[2], engine):
            judged += _judge(passage, _RECORDED, speech.samples, engine)
    got = sum(each.seconds == SPEECH_SECONDS_MAX and each.condition != _RECORDED for each in judged)
    numbers: Numbers = {"speakers": len(speakers), "passages": len(planned), "too_short": len(planned) - got}
    for seconds in _LENGTHS:
        numbers |= _numbers([each for each in judged if each.seconds == seconds], f"{seconds:g}s")
    return numbers | cost


def tables(numbers: Numbers) -> list[Table]:
    """Errors at the product's threshold, at thresholds of other speakers, and CPU times."""
    return [
        *(_shipped_table(numbers, seconds) for seconds in _LENGTHS),
        *(_disjoint_table(numbers, seconds) for seconds in _LENGTHS),
        _cost_table(numbers),
    ]


def _beside(folder: Path, name: str) -> Path:
    if not (folder.parent / name / "manifest.csv").is_file():
        raise SkippedError(f"there is no {name} beside {folder}")
    return folder.parent / name


def _planned(speakers: Speakers) -> Iterator[tuple[Passage, str]]:
    """What is heard, and under which condition: all that begins with one of the speakers taken."""
    taken = set(sorted(speakers, key=lambda speaker_id: seed_for("taken", speaker_id))[:_SPEAKERS_MAX])
    for kind, conditions in (
        (of_one_voice(speakers), _CONDITIONS),
        *((of_two_voices(speakers, turn_seconds=turn), conditions) for turn, conditions in _TURNS.items()),
    ):
        for condition in conditions:
            yield from ((passage, condition) for passage in kind if passage.speakers[0] in taken)


def _hear(passage: Passage, condition: str, speakers: Speakers, engine: Engine) -> list[Judged]:
    speech = hear_passage(passage, speakers, condition=condition, engine=engine)
    return list(_judge(passage, condition, speech.samples, engine))


def _judge(passage: Passage, condition: str, samples: Samples, engine: Engine) -> Iterator[Judged]:
    """The passage at each length that it has."""
    for seconds in _LENGTHS:
        first = samples[: round(seconds * CANONICAL_RATE)]
        if len(first) == round(seconds * CANONICAL_RATE):
            grouping = engine.encoder.hear(first).grouping
            yield Judged(passage=passage, condition=condition, seconds=seconds, grouping=grouping)


def _numbers(judged: Sequence[Judged], length: str) -> Numbers:
    numbers: Numbers = {f"{length}.threshold": score_needed(judged[0].seconds)}
    simulated = [each for each in judged if each.condition != _RECORDED]
    recorded_ones = [each.is_wrong() for each in judged if each.condition == _RECORDED]
    numbers |= _rate(f"{length}.{_RECORDED}.one", recorded_ones)
    for kind in _KINDS:
        of_kind = [each for each in simulated if each.kind == kind]
        for condition in (*_CONDITIONS, "all"):
            wrong = [each.is_wrong() for each in of_kind if condition in (each.condition, "all")]
            numbers |= _rate(f"{length}.{condition}.{kind}", wrong)
        numbers |= _rate(f"{length}.by_speaker.{kind}", _by_speaker(of_kind))
        for name, same in (("same_sex", True), ("other_sex", False)):
            wrong = [each.is_wrong() for each in of_kind if each.passage.same_sex is same]
            numbers |= _rate(f"{length}.{name}.{kind}", wrong)
    return numbers | _disjoint(simulated, length)


def _disjoint(judged: Sequence[Judged], length: str) -> Numbers:
    """Each half of the speakers at the lowest score that a single voice of the other half had."""
    thresholds = [
        min(each.score for each in judged if each.kind == "one" and each.passage.half == half) for half in (0, 1)
    ]
    numbers: Numbers = {f"{length}.fitted_on_{half}.threshold": value for half, value in enumerate(thresholds)}
    for kind in ("one", "two_4s"):
        for condition in (*_CONDITIONS, "all"):
            of_kind = [each for each in judged if each.kind == kind and condition in (each.condition, "all")]
            found: list[bool] = []
            for half, threshold in enumerate(thresholds):
                wrong = [each.is_wrong(threshold) for each in of_kind if each.passage.half != half]
                numbers |= _rate(f"{length}.fitted_on_{half}.{condition}.{kind}", wrong)
                found += wrong
            numbers |= _rate(f"{length}.disjoint.{condition}.{kind}", found)
    return numbers


def _by_speaker(judged: Iterable[Judged]) -> list[bool]:
    """For each speaker, or pair, whether any passage was judged wrongly."""
    wrong: defaultdict[tuple[str, ...], list[bool]] = defaultdict(list)
    for each in judged:
        wrong[each.passage.speakers].append(each.is_wrong())
    return [any(each) for each in wrong.values()]


def _rate(name: str, wrong: Sequence[bool]) -> Numbers:
    """Clopper and Pearson's interval: exact where the trials are independent."""
    errors, trials = sum(wrong), len(wrong)
    percent = low = high = float("nan")
    if trials:
        interval = stats.binomtest(errors, trials).proportion_ci(method="exact")
        percent, low, high = (100.0 * float(share) for share in (errors / trials, interval.low, interval.high))
    return {
        f"{name}.errors": errors,
        f"{name}.trials": trials,
        f"{name}.percent": percent,
        f"{name}.percent.low": low,
        f"{name}.percent.high": high,
    }


def _cell(numbers: Numbers, name: str) -> str:
    if not numbers[f"{name}.trials"]:
        return "–"
    percent, low, high = (number(numbers[f"{name}.percent{end}"], 2) for end in ("", ".low", ".high"))
    return f"{numbers[f'{name}.errors']:g} of {numbers[f'{name}.trials']:g}: {percent} [{low}, {high}]"


_ROWS = {
    **{condition: condition for condition in _CONDITIONS},
    "all": "all three",
    "by_speaker": "speakers or pairs with any error",
    "same_sex": "two of the same sex",
    "other_sex": "two of different sex",
    _RECORDED: "real callers",
}


def _shipped_table(numbers: Numbers, seconds: float) -> Table:
    length = f"{seconds:g}s"
    rows: list[tuple[str, ...]] = []
    for row, title in _ROWS.items():
        kinds = [kind for kind in _KINDS if f"{length}.{row}.{kind}.trials" in numbers]
        shown = {kind: _cell(numbers, f"{length}.{row}.{kind}") for kind in kinds}
        if row.endswith("_sex"):
            shown["one"] = "–"
        rows.append((title, *(shown.get(kind, "–") for kind in _KINDS)))
    head = f"{seconds:g} s, errors at the shipped threshold {numbers[f'{length}.threshold']:g}, % [95 %]"
    return Table(
        columns=(head, "one voice called several", *(f"two called one, turns of {turn:g} s" for turn in _TURNS)),
        rows=tuple(rows),
    )


def _disjoint_table(numbers: Numbers, seconds: float) -> Table:
    length = f"{seconds:g}s"
    titles = {
        f"fitted_on_{half}": f"fitted on {name} half: {number(numbers[f'{length}.fitted_on_{half}.threshold'])}"
        for half, name in enumerate(("first", "second"))
    } | {"disjoint": "both ways"}
    rows = [
        (f"{title}, {_ROWS[condition]}", *(_cell(numbers, f"{length}.{way}.{condition}.{kind}") for kind in _KINDS[:2]))
        for way, title in titles.items()
        for condition in (*_CONDITIONS, "all")
    ]
    head = f"{seconds:g} s, errors at the other half's threshold, % [95 %]"
    return Table(columns=(head, "one voice called several", "two called one, turns of 4 s"), rows=tuple(rows))


def _cost_table(numbers: Numbers) -> Table:
    titles = {
        "listen": "decode, voice activity, quality",
        "unjudged": "embeddings of 10 s and 20 s, without the check",
        "judged": "the same, with the check",
        "former": "former check: embeddings of 10 s, the next 10 s, and 20 s",
        "call_unjudged": "**a call without the check**",
        "call_judged": "**a call with the check**",
        "call_former": "**a call with the former check**",
    }
    rows = [(title, number(numbers[f"cpu.{name}_ms"])) for name, title in titles.items()]
    ratios = {
        "call_judged_to_unjudged": "a call, with the check ÷ without",
        "call_judged_to_former": "a call, with the check ÷ with the former one",
        "judged_20s_to_unjudged_20s": "embedding of 20 s, with the check ÷ without",
    }
    rows += [(title, number(numbers[f"cpu.{name}"])) for name, title in ratios.items()]
    return Table(columns=("CPU of a call that is searched and enrolled", "ms, median"), rows=tuple(rows))


_METHOD = f"""\
Adults of `speech` and `speech-more`: the net speech of each, everybody's at one level, is cut into passages of one
voice and of two voices in turns (each speaker gives one and begins one; both at one level through
one line; half of the pairs of one sex). A passage is simulated, goes through voice activity, and its first 20 s and
first 10 s of net speech are judged as the product judges them. Every choice comes from a seed. `real callers` are those
of `speech-phone`, as recorded, and of none was anything fitted. Intervals are Clopper and Pearson's by passage; the
conditions hold the same passages, so that of *all three* is too narrow, and *speakers or pairs with any error* is the
honest one for it. The product's thresholds were chosen on the same people (other cuts of their speech); in the tables
of the two halves a threshold is the lowest score of one half's single voices under the three conditions, and the errors
are those of the other half's people. A passage of two voices in turns of 8 s has 2 s of the second voice in its first
10 s, less than the {VOICE_SECONDS_MIN:g} s that count. CPU is process time of one thread, each piece of work in turn;
*without the check* is the encoder's graph with the embedding as its only output."""


def _target(length: str, way: str, kind: str, bound: float) -> Target:
    says = "one voice called several" if kind == "one" else "two voices called one, turns of 4 s"
    ways = {"all": "shipped threshold", "disjoint": "other speakers' threshold"}
    name = "disjoint.all" if way == "disjoint" else way
    return Target(
        number=f"{length}.{name}.{kind}.percent", says=f"{says}, {length}, {ways[way]}, %", sign="<=", bound=bound
    )


BENCHMARK = Benchmark(
    name="several_voices",
    question="Is one voice told from several?",
    method=_METHOD,
    measure=measure,
    targets=(
        *(
            _target(f"{seconds:g}s", way, kind, bound)
            for seconds in _LENGTHS
            for way in ("all", "disjoint")
            for kind, bound in (("one", _FALSE_ALARM_PERCENT_MAX), ("two_4s", _MISSED_PERCENT_MAX))
        ),
        Target(
            number="cpu.call_judged_to_unjudged",
            says="CPU of a call, with the check ÷ without",
            sign="<=",
            bound=_CPU_RATIO_MAX,
        ),
    ),
    tables=tables,
)
