"""People and lines no fit has heard: what is fitted on some is measured on others, and on real telephone callers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import Benchmark, Numbers, SkippedError, Table, Target, speech_folder, with_interval
from benchmarks.heard import ENROL_SECONDS, TEST_SECONDS, HeardSet, RawVectors, heard_sets
from earwitness.engine.compensation import Compensation, Vectors
from earwitness.engine.line import learn_at_once
from earwitness.engine.space import Space, shipped_space
from earwitness.evaluation.fit import fit_calibration, fit_compensation, line_means
from earwitness.evaluation.labels import LabelDoubts
from earwitness.evaluation.metrics import draws, percentiles, widened
from earwitness.evaluation.scores import ScoreTable
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.voice.band import Band
from earwitness.voice.embedding import Embedding

LINES = ("telephone", "gsm", "noise10", "reverb")
_RECORDED = "recorded"
GALLERIES = (30, 100, 1_000, 10_000)
_STATES = ("unknown", "learnt")
_SPLITS, _VOTERS, _PHONE_DRAWS = 20, 20, 50
_ASKED_PERCENT = 1.0
_POOLED = ("telephone", "gsm", "noise10")
_SOURCES = {"speech-more": "speech", "speech": "speech-more"}
"""Measured on one, with everything fitted on the other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What searches for tests would answer, every one with its own speaker's voiceprint and without."""

    #: Speaker of each test, shape (tests,).
    speaker: NDArray[np.str_]
    #: Whether somebody else reaches the threshold, shape (tests,).
    alarm: NDArray[np.bool_]
    #: Score with the own voiceprint, NaN for people who are not enrolled, shape (tests,).
    own: NDArray[np.float64]
    #: Whether the own voiceprint scores highest, shape (tests,).
    first: NDArray[np.bool_]
    #: Scores with all others' voiceprints, -inf elsewhere, shape (tests, voiceprints).
    others: NDArray[np.float64]
    #: Threshold by size of the gallery; 0 stands for the gallery as it is.
    thresholds: dict[int, float]

    def numbers(self, weights: dict[str, int] | None = None) -> Numbers:
        """Return per cent of strangers named and of callers found, at each size."""
        weight = np.array([1 if weights is None else weights.get(name, 0) for name in self.speaker.tolist()], float)
        known = weight * ~np.isnan(self.own)
        if not known.any():
            return {}
        found = {
            f"found.{size}": 100 * float(known @ (self.first & (self.own >= threshold)) / known.sum())
            for size, threshold in self.thresholds.items()
        }
        return {"strangers": 100 * float(weight @ self.alarm / weight.sum()), **found}


def joined(sets: Sequence[HeardSet]) -> HeardSet:
    return HeardSet(
        speaker=np.concatenate([one.speaker for one in sets]),
        kind=np.concatenate([one.kind for one in sets]),
        raw={seconds: np.concatenate([one.raw[seconds] for one in sets]) for seconds in (ENROL_SECONDS, *TEST_SECONDS)},
    )


def fitted_on(people: Sequence[str], heard: dict[str, HeardSet], shipped: Space) -> Space:
    """Return the space that scripts/fit_engine.py would make of these people."""
    first = heard[LINES[0]]
    enrolled, tested = first.rows(people, "enrol"), first.rows(people, "test")
    everywhere = [
        np.concatenate([one.raw[ENROL_SECONDS][enrolled], one.raw[TEST_SECONDS[0]][tested]]) for one in heard.values()
    ]
    whole = np.isfinite([vectors[:, 0] for vectors in everywhere]).all(axis=0)
    under_lines = [vectors[whole] for vectors in everywhere]
    compensation = fit_compensation(under_lines)
    means = dict(zip(heard, line_means(under_lines), strict=True))

    def scores(line: str, seconds: float) -> ScoreTable:
        own = Compensation(means[line], compensation.directions)
        columns = Compensation(means[LINES[0]], compensation.directions).apply(first.raw[ENROL_SECONDS][enrolled])
        return table(
            own.apply(heard[line].raw[seconds][tested]), columns, first.speaker[tested], first.speaker[enrolled]
        )

    calibration = fit_calibration(
        {
            seconds: [replace(scores(line, seconds), net_seconds=np.full(len(tested), seconds)) for line in LINES]
            for seconds in TEST_SECONDS
        },
        encoder_id=f"{shipped.encoder_id}/{compensation.id}",
        made_from="a benchmark",
        unknown_line_margin=shipped.calibration.unknown_line_margin,
    )
    return replace(shipped, shipped=compensation, calibration=calibration)


def table(rows: Vectors, columns: Vectors, tested: NDArray[np.str_], enrolled: NDArray[np.str_]) -> ScoreTable:
    scores = rows.astype(np.float64) @ columns.astype(np.float64).T
    return ScoreTable(
        enrolled=enrolled,
        tested=tested,
        scores=scores,
        net_seconds=np.full(len(tested), TEST_SECONDS[0]),
        trials=np.ones(scores.shape, np.bool_),
        same_recording=np.zeros(scores.shape, np.bool_),
    )


def answers(
    space: Space,
    *,
    enrolled: tuple[RawVectors, NDArray[np.str_]],
    tested: tuple[RawVectors, NDArray[np.str_]],
    seconds: float,
    apart: Sequence[tuple[str, str]] = (),
) -> Answers:
    """Search as the product does: on a line that is known the lower of two scores counts (engine/space.py).

    `apart` holds pairs of ids that may be one person: neither is a stranger to the other.
    """
    heard = np.isfinite(tested[0][:, 0])
    probes, speaker = tested[0][heard], tested[1][heard]
    rows, names = enrolled
    scores = np.min(
        [each.apply(probes).astype(np.float64) @ each.apply(rows).T for each in (space.shipped, space.compensation)],
        axis=0,
    )
    own = speaker[:, None] == names[None]
    not_strangers = own.copy()
    for one, other in apart:
        both = (one, other)
        not_strangers |= np.isin(speaker, both)[:, None] & np.isin(names, both)[None]
    best_own = np.where(own, scores, -np.inf).max(axis=1)
    others = np.where(not_strangers, -np.inf, scores)
    best_other = others.max(axis=1)

    def threshold(size: int) -> float:
        return space.calibration.threshold(
            gallery_size=size,
            strangers_named_percent=_ASKED_PERCENT,
            net_seconds=seconds,
            line_unknown=space.line.unknown,
        ).score

    without_own = np.array([threshold(len(names) - int(count)) for count in own.sum(axis=1)])
    return Answers(
        speaker=speaker,
        alarm=best_other >= without_own,
        own=np.where(own.any(axis=1), best_own, np.nan),
        first=best_own > best_other,
        others=others,
        thresholds={0: threshold(len(names)), **{size: threshold(size) for size in GALLERIES}},
    )


def learnt(space: Space, voices: RawVectors) -> Space:
    """Return the space on the line of these voices, as the product learns it."""
    embeddings = [
        Embedding(vector=voice, encoder_id=space.encoder_id, net_speech_seconds=TEST_SECONDS[0])
        for voice in voices
        if np.isfinite(voice[0])
    ]
    line = learn_at_once(space, embeddings)
    return space if line is None else space.on(line)


def one_each(heard: HeardSet, people: Sequence[str], random: np.random.Generator) -> RawVectors:
    """Return one test of each of some of these people."""
    rows = heard.rows(people, "test")
    _, firsts = np.unique(heard.speaker[rows], return_index=True)
    return heard.raw[TEST_SECONDS[0]][random.permutation(rows[firsts])[:_VOTERS]]


def measure() -> Numbers:
    """Rates of halves, of sources and of real callers, by state of the line, condition and seconds."""
    folder = speech_folder()
    others = {name: folder.parent / name for name in ("speech-more", "speech-phone")}
    if missing := [path for path in others.values() if not (path / "manifest.csv").is_file()]:
        raise SkippedError(f"there is no {missing[0]} with a manifest.csv beside the development speech")
    shipped = shipped_space(ENCODER_MODEL, Band.TELEPHONE)
    sets = {name: heard_sets(path, LINES) for name, path in {"speech": folder, **others}.items() if name in _SOURCES}
    return {
        **_halves({line: joined([one[line] for one in sets.values()]) for line in LINES}, shipped),
        **_sources(sets, shipped),
        **_phone(others["speech-phone"], shipped),
    }


def _halves(heard: dict[str, HeardSet], shipped: Space) -> Numbers:
    first = heard[LINES[0]]
    enrollable = np.unique(first.speaker[first.kind == "enrol"])
    strangers = np.setdiff1d(np.unique(first.speaker), enrollable)
    seen: dict[str, list[float]] = {}
    for split in range(_SPLITS):
        random = np.random.default_rng(split)
        order, extra = random.permutation(enrollable), random.permutation(strangers)
        half, some = len(order) // 2, len(extra) // 2
        train, test = [*order[:half], *extra[:some]], [*order[half:], *extra[some:]]
        space = fitted_on(train, heard, shipped)
        rows = first.rows(order[half:].tolist(), "enrol")
        pooled: dict[str, list[Answers]] = {}
        for line in LINES:
            known = learnt(space, one_each(heard[line], train, random))
            tests = heard[line].rows(test, "test")
            for seconds in TEST_SECONDS:
                for state, on in zip(_STATES, (space, known), strict=True):
                    got = answers(
                        on,
                        enrolled=(first.raw[ENROL_SECONDS][rows], first.speaker[rows]),
                        tested=(heard[line].raw[seconds][tests], first.speaker[tests]),
                        seconds=seconds,
                    )
                    for name, value in got.numbers().items():
                        seen.setdefault(f"halves.{state}.{line}.{seconds:g}.{name}", []).append(value)
                    if line in _POOLED:
                        pooled.setdefault(f"{state}.pooled.{seconds:g}", []).append(got)
        for key, parts in pooled.items():
            tests_of = np.array([len(part.alarm) for part in parts])
            measured = [part.numbers() for part in parts]
            for name in measured[0]:
                value = float(np.average([each[name] for each in measured], weights=tests_of))
                seen.setdefault(f"halves.{key}.{name}", []).append(value)
    return _over_draws(seen)


def _sources(sets: dict[str, dict[str, HeardSet]], shipped: Space) -> Numbers:
    numbers: Numbers = {}
    for tested, fitted in _SOURCES.items():
        random = np.random.default_rng(0)
        space = fitted_on(np.unique(sets[fitted][LINES[0]].speaker).tolist(), sets[fitted], shipped)
        first = sets[tested][LINES[0]]
        rows = np.flatnonzero(first.kind == "enrol")
        for line in LINES:
            heard = sets[tested][line]
            voters = one_each(sets[fitted][line], np.unique(sets[fitted][line].speaker).tolist(), random)
            tests = np.flatnonzero(heard.kind == "test")
            for seconds in TEST_SECONDS:
                for state, on in zip(_STATES, (space, learnt(space, voters)), strict=True):
                    got = answers(
                        on,
                        enrolled=(first.raw[ENROL_SECONDS][rows], first.speaker[rows]),
                        tested=(heard.raw[seconds][tests], heard.speaker[tests]),
                        seconds=seconds,
                    )
                    numbers |= _by_speaker(f"sources.{tested}.{state}.{line}.{seconds:g}", got)
    return numbers


def _phone(folder: Path, shipped: Space) -> Numbers:
    heard = heard_sets(folder, [_RECORDED])[_RECORDED]
    rows, tests = np.flatnonzero(heard.kind == "enrol"), np.flatnonzero(heard.kind == "test")
    enrolled = heard.raw[ENROL_SECONDS][rows], heard.speaker[rows]
    doubts = LabelDoubts.of(
        table(
            shipped.shipped.apply(heard.raw[TEST_SECONDS[0]][tests]),
            shipped.shipped.apply(enrolled[0]),
            heard.speaker[tests],
            enrolled[1],
        ),
        shipped.calibration,
    )
    apart = [one.speaker_ids for one in doubts.one_person]
    numbers: Numbers = {"phone.ids_in_doubt": len(apart)}
    seen: dict[str, list[float]] = {}
    for seconds in TEST_SECONDS:
        for name, counted_apart in (("", apart), (".as_labelled", ())):
            got = answers(
                shipped,
                enrolled=enrolled,
                tested=(heard.raw[seconds][tests], heard.speaker[tests]),
                seconds=seconds,
                apart=counted_apart,
            )
            numbers |= _by_speaker(f"phone{name}.unknown.{_RECORDED}.{seconds:g}", got)
    people = np.unique(heard.speaker[tests])
    for draw in range(_PHONE_DRAWS):
        random = np.random.default_rng(draw)
        voters = random.permutation(people)[:_VOTERS].tolist()
        known = learnt(shipped, one_each(heard, voters, random))
        left = tests[~np.isin(heard.speaker[tests], voters)]
        for seconds in TEST_SECONDS:
            for name, counted_apart in (("", apart), (".as_labelled", ())):
                got = answers(
                    known,
                    enrolled=enrolled,
                    tested=(heard.raw[seconds][left], heard.speaker[left]),
                    seconds=seconds,
                    apart=counted_apart,
                )
                for number_name, value in got.numbers().items():
                    seen.setdefault(f"phone{name}.learnt.{_RECORDED}.{seconds:g}.{number_name}", []).append(value)
    return {**numbers, **_over_draws(seen, people=len(people))}


def _over_draws(seen: dict[str, list[float]], *, people: int | None = None) -> Numbers:
    """Return means, the middle 95 % of the draws, and the worst tenth of strangers named.

    Where all draws are of the same `people`, none of whom was mistaken, the interval is what so many can exclude.
    """
    numbers: Numbers = {}
    for name, values in seen.items():
        low, high = percentiles(values) if people is None else widened(percentiles(values), speakers=people)
        numbers |= {name: float(np.mean(values)), f"{name}.low": low, f"{name}.high": high}
        if name.endswith("strangers"):
            numbers[f"{name}.worst_tenth"] = float(np.quantile(values, 0.9))
    return numbers


def _by_speaker(name: str, got: Answers) -> Numbers:
    """Return the rates with 95 % intervals of a bootstrap by speaker."""
    people = np.unique(got.speaker).tolist()
    replicates = [got.numbers(weights) for weights in draws(people, seed=0)]
    numbers: Numbers = {}
    for rate, value in got.numbers().items():
        low, high = widened(percentiles([each[rate] for each in replicates if each]), speakers=len(people))
        numbers |= {f"{name}.{rate}": value, f"{name}.{rate}.low": low, f"{name}.{rate}.high": high}
    return numbers


_COLUMNS = ("strangers named, %", "found, %", *(f"found at {size:,}, %" for size in GALLERIES))
_RATES = ("strangers", "found.0", *(f"found.{size}" for size in GALLERIES))


def tables(numbers: Numbers) -> list[Table]:
    """Real callers, halves, sources."""
    return [
        _table(numbers, "real telephone callers, shipped numbers", "phone", [_RECORDED]),
        _table(numbers, "halves of the people", "halves", [*LINES, "pooled"]),
        *(
            _table(numbers, f"{name}, fitted on {fitted}", f"sources.{name}", LINES)
            for name, fitted in _SOURCES.items()
        ),
    ]


def _table(numbers: Numbers, title: str, prefix: str, lines: Sequence[str]) -> Table:
    rows = [
        (
            f"{line}, {seconds:g} s, line {state}",
            *(with_interval(numbers, f"{prefix}.{state}.{line}.{seconds:g}.{rate}") for rate in _RATES),
        )
        for line in lines
        for seconds in TEST_SECONDS
        for state in _STATES
    ]
    return Table(columns=(title, *_COLUMNS), rows=tuple(rows))


_METHOD = f"""\
*Halves*: the adults of both development sets are divided at random {_SPLITS} times; compensation and calibration are
fitted on one half as scripts/fit_engine.py does, and measured on the other half, of whom nothing was heard.
*Sources*: fitted on one set, measured on the other. *Real telephone callers*: 41 callers of an IVR as recorded, at
what is shipped, which was not fitted on them; pairs of ids that the label audit takes for one person are counted
apart. Enrolled over the telephone (20 s), searched for over the line in the row. *Line unknown*: with the margin of
the threshold. *Learnt*: from one recording each of {_VOTERS} other people over the same line ({_PHONE_DRAWS} draws
for the real callers). *Found* is with everybody enrolled; *found at N* is the share of callers who score above the
threshold of a gallery of N: with more than the people there are, the threshold is extrapolated. Brackets: the middle
95 % of the draws, or of a bootstrap by speaker. Strangers named should be at most {_ASKED_PERCENT:g} %."""


def _target(name: str, says: str, sign: str, bound: float) -> Target:
    return Target(number=name, says=says, sign="<=" if sign == "<=" else ">=", bound=bound)


BENCHMARK = Benchmark(
    name="unseen",
    question="How often is the answer right for people and lines that no fit has heard?",
    method=_METHOD,
    measure=measure,
    targets=(
        _target("halves.learnt.pooled.10.strangers", "strangers named, %: halves, 10 s, learnt", "<=", 1.2),
        _target("halves.learnt.pooled.10.strangers.worst_tenth", "… in the worst tenth of the halves", "<=", 2.5),
        _target("halves.learnt.pooled.10.found.0", "found, %: halves, 10 s, learnt", ">=", 88.0),
        _target("phone.learnt.recorded.10.strangers", "strangers named, %: real callers, 10 s, learnt", "<=", 2.5),
        _target("phone.learnt.recorded.10.found.0", "found, %: real callers, 10 s, learnt", ">=", 97.0),
        _target("phone.unknown.recorded.10.strangers", "strangers named, %: real callers, line unknown", "<=", 3.0),
        _target("phone.unknown.recorded.10.found.0", "found, %: real callers, line unknown", ">=", 90.0),
    ),
    tables=tables,
)
