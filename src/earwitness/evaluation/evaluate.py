"""Run an evaluation: hear the recordings under each condition, score them, and measure.

What is measured is the product's own way from audio to an answer, but for one gate: enrolments are not refused for
poor quality, so that conditions can be compared on the same speakers. Nothing is tuned to the recordings at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.calibration import Calibration
from earwitness.errors import TooFewSpeakers
from earwitness.evaluation.conditions import Condition
from earwitness.evaluation.hearing import PreparedSpeech, SpeechPreparer
from earwitness.evaluation.intervals import Interval, draws, intervals, percentiles, widened, widened_cost
from earwitness.evaluation.manifest import Utterance
from earwitness.evaluation.metrics import ErrorCurve
from earwitness.evaluation.recordings import JoinedRecording, Recordings
from earwitness.evaluation.scores import Mask, Rates, ScoreTable, Searches, fnir_at_fpir, rates
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SEARCH_SECONDS_MIN

GALLERY_SIZES = (5, 10, 20, 50, 100, 200, 500, 1000)
FPIR = 0.01
_COUNTED_BY = {
    "eer_percent": "known",
    "top1_percent": "known",
    "found_percent": "known",
    "false_alarm_percent": "everybody",
}
"""Rates that count errors of people, and which people can make them."""
_GALLERY_DRAWS = 100
_GALLERIES_PER_DRAW = 10
_SLICE_TARGETS_MIN = 5

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""


@dataclass(frozen=True, kw_only=True)
class GrowingGallery:
    """Misses at a fixed share of strangers let through, for one gallery size; means over random galleries."""

    gallery: int
    fnir_percent: float
    interval: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionResult:
    """Everything measured under one condition."""

    condition: Condition
    speakers: int
    targets: int
    nontargets: int
    searches: int
    """Tests of enrolled speakers: each can be found or missed."""

    stranger_searches: int
    """Tests against a gallery without their speaker: each can be a false alarm."""

    not_heard: int
    """Tests with too little speech for a search; they count as missed."""

    not_enrolled: int
    """Speakers whose enrolment had too little speech under this condition; nobody searches for them."""

    rates: Rates
    intervals: dict[str, Interval]
    growing: tuple[GrowingGallery, ...]
    slices: dict[str, dict[str, float]]
    table: ScoreTable
    curve: ErrorCurve

    # `object`: numbers, and tables of numbers.
    def as_json(self) -> dict[str, object]:
        """The result in the shape of `--json`."""
        return {
            "speakers": self.speakers,
            "targets": self.targets,
            "nontargets": self.nontargets,
            "searches": self.searches,
            "stranger_searches": self.stranger_searches,
            "not_heard": self.not_heard,
            "not_enrolled": self.not_enrolled,
            **asdict(self.rates),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "fnir_percent_at_fpir_1_percent": {
                str(size.gallery): {"fnir_percent": size.fnir_percent, "interval": list(size.interval)}
                for size in self.growing
            },
            "slices": self.slices,
        }


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Recordings heard under conditions. What was heard once (a telephone enrolment, say) is not heard again."""

    listener: SpeechPreparer
    recordings: Recordings
    enrol_seconds: float
    progress: Progress

    def __post_init__(self) -> None:
        if len(self.recordings.enrolments) < 2 or not self.recordings.tests:
            raise TooFewSpeakers(
                f"{len(self.recordings.enrolments)} speakers have enough speech for an enrolment and a test; at least "
                f"2 are needed (shorten --enrol-seconds or --test-seconds, or add recordings)"
            )

    @cached_property
    def _memory(self) -> dict[tuple[str, str, float], list[PreparedSpeech]]:
        return {}

    def heard(self, which: str, channel: str, *, net_seconds: float) -> list[PreparedSpeech]:
        """Raw embeddings of all recordings of a kind (`enrol`, `test`) under a channel."""
        key = (which, channel, net_seconds)
        if key not in self._memory:
            self._memory[key] = self._hear(*key)
        return self._memory[key]

    def _hear(self, which: str, channel: str, net_seconds: float) -> list[PreparedSpeech]:
        recordings: Sequence[JoinedRecording] = self.recordings.enrolments
        if which == "test":
            recordings = [*self.recordings.tests, *self.recordings.strangers]
        seconds_min = ENROL_SECONDS_MIN if which == "enrol" else SEARCH_SECONDS_MIN
        return self.listener.hear(
            recordings,
            channel=channel,
            net_seconds=net_seconds,
            seconds_min=seconds_min,
            others=[*self.recordings.enrolments, *self.recordings.tests],
            progress=lambda done, total: self.progress(f"{which} {channel}", done, total),
        )

    def enrolled(self, condition: Condition) -> list[PreparedSpeech]:
        """The enrolments of a condition that had enough speech: the columns of its score table."""
        heard = self.heard("enrol", condition.enrol, net_seconds=self.enrol_seconds)
        return [one for one in heard if one.raw is not None]

    def score(self, condition: Condition, *, test_seconds: float) -> ScoreTable:
        """The score table of a condition with tests of this much net speech."""
        tested = self.heard("test", condition.test, net_seconds=test_seconds)
        return score_table(self.listener, self.enrolled(condition), tested)


def score_table(
    listener: SpeechPreparer, enrolled: Sequence[PreparedSpeech], tested: Sequence[PreparedSpeech]
) -> ScoreTable:
    """Every test against every enrolment; each enrolment one voiceprint."""
    dimension = listener.encoder.dimension
    unheard = np.full(dimension, np.nan, np.float32)

    def vectors(heard: Sequence[PreparedSpeech]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        rows = [
            unheard if one.raw is None else listener.encoder.compensate(one.raw, net_seconds=one.net_seconds).vector
            for one in heard
        ]
        return np.array(rows, np.float64).reshape(len(rows), dimension)

    scores = vectors(tested) @ vectors(enrolled).T
    return ScoreTable(
        enrolled=np.array([one.recording.speaker_id for one in enrolled]),
        tested=np.array([one.recording.speaker_id for one in tested]),
        scores=scores,
        net_seconds=np.array([one.net_seconds for one in tested]),
        trials=np.ones(scores.shape, np.bool_),
        same_recording=_same_recording(enrolled, tested),
    )


def _same_recording(enrolled: Sequence[PreparedSpeech], tested: Sequence[PreparedSpeech]) -> Mask:
    """Cells whose two sides share an utterance, as in trial lists that enrol and test the same files."""
    columns: dict[Path, list[int]] = {}
    for column, one in enumerate(enrolled):
        for utterance in one.recording.utterances:
            columns.setdefault(utterance.path, []).append(column)
    shared = np.zeros((len(tested), len(enrolled)), np.bool_)
    for row, one in enumerate(tested):
        for utterance in one.recording.utterances:
            shared[row, columns.get(utterance.path, [])] = True
    return shared


def measure(
    table: ScoreTable,
    condition: Condition,
    calibration: Calibration,
    *,
    strangers_named_percent: float,
    speakers: dict[str, Utterance],
    seed: int,
    not_enrolled: int = 0,
) -> ConditionResult:
    """All rates of a table with intervals, growing galleries and slices. `speakers` has one utterance of each."""
    if not table.target_cells.any() or not table.nontarget_cells.any():
        raise TooFewSpeakers(f"condition {condition.name} has no same-speaker or no different-speaker pairs")
    searches = Searches.of(table, calibration, strangers_named_percent=strangers_named_percent)
    under = rates(table, searches, calibration)
    found = intervals(under, draws(table.speakers, seed=seed))
    known, everybody = (len(set(table.tested[rows].tolist())) for rows in (table.known, table.heard))
    for name, counted in _COUNTED_BY.items():
        found[name] = widened(found[name], speakers=known if counted == "known" else everybody)
    found["min_dcf"] = widened_cost(found["min_dcf"], speakers=known)
    return ConditionResult(
        condition=condition,
        speakers=len(table.speakers),
        targets=int(table.target_cells.sum()),
        nontargets=int(table.nontarget_cells.sum()),
        searches=int(table.known.sum()),
        stranger_searches=len(table.tested),
        not_heard=int((~table.heard).sum()),
        not_enrolled=not_enrolled,
        rates=under(None),
        intervals=found,
        growing=tuple(_growing(table, size, seed=seed) for size in _sizes(table)),
        slices=_slices(table, calibration, strangers_named_percent=strangers_named_percent, speakers=speakers),
        table=table,
        curve=table.trial_set().curve(),
    )


def _sizes(table: ScoreTable) -> list[int]:
    everybody = len(set(table.enrolled.tolist()))
    return [*(size for size in GALLERY_SIZES if size < everybody), everybody]


def _growing(table: ScoreTable, size: int, *, seed: int) -> GrowingGallery:
    """Galleries of random speakers; the interval re-draws the galleries and the tested speakers both."""
    everybody = sorted(set(table.enrolled.tolist()))
    random = np.random.default_rng([seed, size])
    galleries = [set(random.choice(everybody, size, replace=False).tolist()) for _ in range(_GALLERY_DRAWS)]
    plain = [fnir_at_fpir(table, gallery_speakers=each, fpir=FPIR, weights=None) for each in galleries]
    redrawn = [
        float(
            np.nanmean(
                [
                    fnir_at_fpir(table, gallery_speakers=galleries[index], fpir=FPIR, weights=weights)
                    for index in _choose(random)
                ]
            )
        )
        for weights in draws(table.speakers, seed=seed, replicates=_GALLERY_DRAWS)
    ]
    people = len(set(table.tested[table.known].tolist()))
    interval = widened(percentiles(redrawn), speakers=people)
    return GrowingGallery(gallery=size, fnir_percent=float(np.nanmean(plain)), interval=interval)


def _choose(random: np.random.Generator) -> list[int]:
    drawn: NDArray[np.int64] = random.integers(0, _GALLERY_DRAWS, _GALLERIES_PER_DRAW)
    return [int(index) for index in drawn]


def _slices(
    table: ScoreTable,
    calibration: Calibration,
    *,
    strangers_named_percent: float,
    speakers: dict[str, Utterance],
) -> dict[str, dict[str, float]]:
    """Rates among people of one sex, age group or source; groups with too few target trials are left out."""
    groups: dict[str, set[str]] = {}
    for speaker_id, utterance in speakers.items():
        labels = [
            f"sex={utterance.sex}" if utterance.sex else "",
            "age=adult" if utterance.is_adult else "age=child",
        ]
        labels.append(f"source={utterance.source}" if utterance.source else "")
        for label in filter(None, labels):
            groups.setdefault(label, set()).add(speaker_id)
    found: dict[str, dict[str, float]] = {}
    for label, members in sorted(groups.items()):
        part = table.restricted(members)
        if part.target_cells.sum() < _SLICE_TARGETS_MIN or not part.nontarget_cells.any():
            continue
        searches = Searches.of(part, calibration, strangers_named_percent=strangers_named_percent)
        counts: dict[str, float] = {
            "targets": int(part.target_cells.sum()),
            "nontargets": int(part.nontarget_cells.sum()),
        }
        found[label] = counts | asdict(rates(part, searches, calibration)(None))
    return found
