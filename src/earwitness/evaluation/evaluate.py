"""An evaluation: read what is asked, hear the recordings under each condition, score them, measure.

What is measured is the product's own way from audio to an answer, but for one gate: enrolments are not refused for
poor quality, so that conditions can be compared on the same speakers. Nothing is tuned to the recordings at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.calibration import Calibration, write_calibration
from earwitness.engine.compensation import Compensation
from earwitness.engine.engine import Engine
from earwitness.engine.space import Space
from earwitness.errors import EvaluationError, TooFewSpeakers
from earwitness.evaluation.conditions import Condition, parse_condition
from earwitness.evaluation.fit import FIT_SECONDS, fit_calibration, require_enough_people
from earwitness.evaluation.hearing import PreparedSpeech, SpeechPreparer, raw_vectors
from earwitness.evaluation.labels import LabelDoubts, require_no_copies
from earwitness.evaluation.line import LearntLine, LineSummary, scores_on_line, summary_of
from earwitness.evaluation.manifest import (
    JoinedRecording,
    Recordings,
    TrialRole,
    Utterance,
    adults,
    children,
    is_trial_list,
    read_manifest,
    read_trials,
)
from earwitness.evaluation.metrics import ErrorCurve, Interval, draws, percentiles, widened, widened_cost
from earwitness.evaluation.recordings import copies, join_utterances
from earwitness.evaluation.requirements import parse_requirement
from earwitness.evaluation.scores import (
    RATE_NAMES,
    Rates,
    ScoreTable,
    fnir_at_fpir,
    rates,
)
from earwitness.progress import Progress
from earwitness.voice.band import Band
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SEARCH_SECONDS_MIN

GALLERY_SIZES = (5, 10, 20, 50, 100, 200, 500, 1000)
FPIR = 0.01
_PERCENT_OF_KNOWN = ("eer_percent", "top1_percent", "found_percent")
_GALLERY_DRAWS = 100
_GALLERIES_PER_DRAW = 10
_SLICE_TARGETS_MIN = 5


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was counted under one condition."""

    speakers: int
    targets: int
    nontargets: int
    #: Tests of enrolled speakers: each can be found or missed.
    searches: int
    #: Tests against a gallery without their speaker: each can be a false alarm.
    stranger_searches: int
    #: Tests with too little speech for a search; they count as missed.
    not_heard: int
    #: Speakers whose enrolment had too little speech under this condition; nobody searches for them.
    not_enrolled: int


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
    counts: Counts
    rates: Rates
    intervals: dict[str, Interval]
    growing: tuple[GrowingGallery, ...]
    slices: dict[str, dict[str, float]]
    table: ScoreTable
    curve: ErrorCurve
    #: What was learnt of the line of its tests, and how strangers score; None when that was not asked.
    line: LineSummary | None = None
    #: The same with the pairs of ids apart that sound like one person; None when there is no such pair.
    doubted_apart: "ConditionResult | None" = None

    # `object`: numbers, and tables of numbers.
    def as_json(self) -> dict[str, object]:
        """Return the result in the shape of `--json`."""
        apart = self.doubted_apart
        return {
            **asdict(self.counts),
            **self._measured(),
            "slices": self.slices,
            "line": None if self.line is None else asdict(self.line),
            "ids_in_doubt_apart": None if apart is None else apart._measured(),
        }

    def _measured(self) -> dict[str, object]:
        growing = {
            str(size.gallery): {"fnir_percent": size.fnir_percent, "interval": list(size.interval)}
            for size in self.growing
        }
        return {
            **asdict(self.rates),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "fnir_percent_at_fpir_1_percent": growing,
        }


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Recordings heard under conditions. What was heard once (a telephone enrolment, say) is not heard again."""

    preparer: SpeechPreparer
    compensation: Compensation
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
        """Return raw embeddings of all recordings of a kind (`enrol`, `test`) under a channel."""
        self.hear(which, channel, net_seconds=[net_seconds])
        return self._memory[which, channel, net_seconds]

    def hear(self, which: str, channel: str, *, net_seconds: Sequence[float]) -> None:
        """Hear what `heard` will return for each of these seconds, in one go where it was not heard before."""
        unheard = [seconds for seconds in net_seconds if (which, channel, seconds) not in self._memory]
        if not unheard:
            return
        recordings: Sequence[JoinedRecording] = self.recordings.enrolments
        if which == "test":
            recordings = [*self.recordings.tests, *self.recordings.strangers]
        heard = self.preparer.hear(
            recordings,
            channel=channel,
            net_seconds=unheard,
            seconds_min=ENROL_SECONDS_MIN if which == "enrol" else SEARCH_SECONDS_MIN,
            others=[*self.recordings.enrolments, *self.recordings.tests],
            doing=f"{which} {channel}",
            progress=self.progress,
        )
        for place, seconds in enumerate(unheard):
            self._memory[which, channel, seconds] = [starts[place] for starts in heard]

    def enrolled(self, condition: Condition) -> list[PreparedSpeech]:
        """Return the enrolments of a condition that had enough speech: the columns of its score table."""
        heard = self.heard("enrol", condition.enrol, net_seconds=self.enrol_seconds)
        return [one for one in heard if one.raw is not None]

    def score(self, condition: Condition, *, test_seconds: float) -> ScoreTable:
        """Return the scores of every test of this much net speech against every enrolment, each one voiceprint."""
        enrolled = self.enrolled(condition)
        tested = self.heard("test", condition.test, net_seconds=test_seconds)
        scores = self._vectors(tested) @ self._vectors(enrolled).T
        return ScoreTable(
            enrolled=np.array([one.recording.speaker_id for one in enrolled]),
            tested=np.array([one.recording.speaker_id for one in tested]),
            scores=scores,
            net_seconds=np.array([one.net_seconds for one in tested]),
            trials=np.ones(scores.shape, np.bool_),
            same_recording=_same_recording(enrolled, tested),
        )

    def on_line(
        self, shipped: ScoreTable, condition: Condition, space: Space, *, test_seconds: float
    ) -> tuple[ScoreTable, LearntLine | None]:
        """Return shipped scores as they are on the line of the tests, and that line; None when it is not learnt."""
        tested = self.heard("test", condition.test, net_seconds=test_seconds)
        return scores_on_line(shipped, tested, self.enrolled(condition), space)

    def _vectors(self, heard: Sequence[PreparedSpeech]) -> NDArray[np.float64]:
        """Return compensated embeddings, shape (recordings, dimension); NaN where there was too little speech."""
        raw = raw_vectors(heard, dimension=len(self.compensation.mean))
        return self.compensation.apply(raw).astype(np.float64)


def _same_recording(enrolled: Sequence[PreparedSpeech], tested: Sequence[PreparedSpeech]) -> NDArray[np.bool_]:
    """Return the cells whose two sides share an utterance, as in trial lists that enrol and test the same files."""
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
    not_enrolled: int,
) -> ConditionResult:
    """Measure a table: rates with intervals, growing galleries and slices. `speakers` has one utterance of each."""
    if not table.target_cells.any() or not table.nontarget_cells.any():
        raise TooFewSpeakers(f"condition {condition.name} has no same-speaker or no different-speaker pairs")
    under = rates(table, calibration, strangers_named_percent=strangers_named_percent)
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = [asdict(under(weights)) for weights in draws(table.speakers, seed=seed)]
    found = {name: percentiles([replicate[name] for replicate in replicates]) for name in RATE_NAMES}
    known, everybody = (len(set(table.tested[rows].tolist())) for rows in (table.known, table.heard))
    for name in _PERCENT_OF_KNOWN:
        found[name] = widened(found[name], speakers=known)
    found["false_alarm_percent"] = widened(found["false_alarm_percent"], speakers=everybody)
    found["min_dcf"] = widened_cost(found["min_dcf"], speakers=known)
    people = len(set(table.enrolled.tolist()))
    sizes = [*(size for size in GALLERY_SIZES if size < people), people]
    return ConditionResult(
        condition=condition,
        counts=Counts(
            speakers=len(table.speakers),
            targets=int(table.target_cells.sum()),
            nontargets=int(table.nontarget_cells.sum()),
            searches=int(table.known.sum()),
            stranger_searches=len(table.tested),
            not_heard=int((~table.heard).sum()),
            not_enrolled=not_enrolled,
        ),
        rates=under(None),
        intervals=found,
        growing=tuple(_growing(table, size, seed=seed) for size in sizes),
        slices=_slices(table, calibration, strangers_named_percent=strangers_named_percent, speakers=speakers),
        table=table,
        curve=table.trial_set().curve(),
    )


def _growing(table: ScoreTable, size: int, *, seed: int) -> GrowingGallery:
    """Measure galleries of random speakers; the interval re-draws the galleries and the tested speakers both."""
    everybody = sorted(set(table.enrolled.tolist()))
    random = np.random.default_rng([seed, size])
    galleries = [set(random.choice(everybody, size, replace=False).tolist()) for _ in range(_GALLERY_DRAWS)]
    plain = [fnir_at_fpir(table, gallery_speakers=each, fpir=FPIR, weights=None) for each in galleries]
    redrawn: list[float] = []
    for weights in draws(table.speakers, seed=seed, replicates=_GALLERY_DRAWS):
        drawn: list[int] = random.integers(0, _GALLERY_DRAWS, _GALLERIES_PER_DRAW).tolist()
        some = [fnir_at_fpir(table, gallery_speakers=galleries[index], fpir=FPIR, weights=weights) for index in drawn]
        redrawn.append(float(np.nanmean(some)))
    people = len(set(table.tested[table.known].tolist()))
    interval = widened(percentiles(redrawn), speakers=people)
    return GrowingGallery(gallery=size, fnir_percent=float(np.nanmean(plain)), interval=interval)


def _slices(
    table: ScoreTable,
    calibration: Calibration,
    *,
    strangers_named_percent: float,
    speakers: dict[str, Utterance],
) -> dict[str, dict[str, float]]:
    """Return rates among people of one sex, age group or source; groups with too few target trials are left out."""
    groups: dict[str, set[str]] = {}
    for speaker_id, utterance in speakers.items():
        age = "adult" if utterance.is_adult else "child"
        for name, value in (("sex", utterance.sex), ("age", age), ("source", utterance.source)):
            if value:
                groups.setdefault(f"{name}={value}", set()).add(speaker_id)
    found: dict[str, dict[str, float]] = {}
    for label, members in sorted(groups.items()):
        part = table.restricted(members)
        targets, nontargets = int(part.target_cells.sum()), int(part.nontarget_cells.sum())
        if targets >= _SLICE_TARGETS_MIN and nontargets:
            measured = rates(part, calibration, strangers_named_percent=strangers_named_percent)(None)
            found[label] = {"targets": targets, "nontargets": nontargets, **asdict(measured)}
    return found


class Evaluation:
    """What is asked, checked at once, before anything long begins."""

    def __init__(
        self,
        path: Path,
        *,
        conditions: Sequence[str],
        requirements: Sequence[str],
        speakers: str,
        enrol_seconds: float,
        test_seconds: float,
        seed: int,
        wav_scp: Path | None,
        utt2spk: Path | None,
        fits_calibration: bool,
        learns_line: bool = True,
        accepted_labels: Sequence[str],
        within: Path | None = None,
    ) -> None:
        """`path` is a manifest or a trial list; `speakers` is `all`, `adults` or `children`.

        `accepted_labels` are those that sound doubtful and were listened to (LabelDoubts). Recordings that are copies
        are refused when a calibration is to be fitted. All recordings of a manifest have to be in the folder `within`.
        """
        self.path = path
        self.conditions = [parse_condition(name) for name in dict.fromkeys(conditions)]
        names = [condition.name for condition in self.conditions]
        self.requirements = [parse_requirement(text, names) for text in requirements]
        self.bands = list(dict.fromkeys(condition.band for condition in self.conditions))
        if fits_calibration and len(self.bands) > 1:
            raise EvaluationError("a calibration belongs to one band; fit `clean` apart from the telephone conditions")
        self.enrol_seconds, self.test_seconds, self.seed = enrol_seconds, test_seconds, seed
        self.learns_line = learns_line
        self.accepted_labels = accepted_labels
        self.trials = read_trials(path, wav_scp=wav_scp, utt2spk=utt2spk) if is_trial_list(path) else None
        if speakers != "all" and self.trials is not None:
            raise EvaluationError("a trial list has no ages; --speakers works with a manifest")
        self.utterances = read_manifest(path, within=within) if self.trials is None else self.trials.utterances
        if speakers != "all":
            self.utterances = (adults if speakers == "adults" else children)(self.utterances)
        self.speakers = {utterance.speaker_id: utterance for utterance in self.utterances}
        if fits_calibration and self.trials is None:
            require_enough_people(len(self.speakers), conditions=len(self.conditions))
        if fits_calibration:
            require_no_copies(self.copies)

    @cached_property
    def copies(self) -> list[tuple[Utterance, Utterance]]:
        """Recordings that are the same audio as an earlier one, each behind that one."""
        return copies(self.utterances)

    def run(self, engines: Mapping[Band, Engine], *, workers: int, progress: Progress) -> "EvaluationResults":
        """Measure every condition, with an engine for each band."""
        evaluators = {
            band: self._evaluator(engine, workers=workers, progress=progress) for band, engine in engines.items()
        }
        heard: list[tuple[ScoreTable, ScoreTable, LearntLine | None]] = []
        for condition in self.conditions:
            engine, evaluator = engines[condition.band], evaluators[condition.band]
            shipped = self.score(evaluator, condition, self.test_seconds)
            table, line = shipped, None
            if self.learns_line:
                table, line = evaluator.on_line(shipped, condition, engine.space, test_seconds=self.test_seconds)
            heard.append((shipped, table, line))
        first = engines[self.conditions[0].band].calibration
        doubts = LabelDoubts.of(heard[0][1], first, accepted=self.accepted_labels)
        results: list[ConditionResult] = []
        for condition, (shipped, table, line) in zip(self.conditions, heard, strict=True):
            progress(f"measuring {condition.name}", 0, 1)
            engine, evaluator = engines[condition.band], evaluators[condition.band]
            measured_as = partial(
                measure,
                condition=condition,
                calibration=engine.calibration,
                strangers_named_percent=engine.strangers_named_percent,
                speakers=self.speakers,
                seed=self.seed,
                not_enrolled=len(evaluator.recordings.enrolments) - len(evaluator.enrolled(condition)),
            )
            apart = replace(table, doubted=[pair.speaker_ids for pair in doubts.one_person])
            measured = replace(
                measured_as(table),
                line=summary_of(shipped, line, learns=self.learns_line),
                doubted_apart=measured_as(apart) if apart.doubted and apart.nontarget_cells.any() else None,
            )
            results.append(measured)
            progress(f"measuring {condition.name}", 1, 1)
        return EvaluationResults(
            asked=self, engines=engines, evaluators=evaluators, conditions=results, label_doubts=doubts
        )

    def score(self, evaluator: Evaluator, condition: Condition, seconds: float) -> ScoreTable:
        """Return the score table of a condition; of a trial list, with its trials."""
        table = evaluator.score(condition, test_seconds=seconds)
        if self.trials is None:
            return table
        enrolments = [one.recording.name for one in evaluator.enrolled(condition)]
        tests = [one.name for one in evaluator.recordings.tests]
        return replace(table, trials=self.trials.mask(enrolments, tests))

    def _evaluator(self, engine: Engine, *, workers: int, progress: Progress) -> Evaluator:
        preparer = SpeechPreparer(vad=engine.vad, encoder=engine.encoder, workers=workers, seed=self.seed)
        net = preparer.net_seconds(self.utterances, progress)
        if self.trials is not None:
            recordings = self.trials.recordings(net.__getitem__)
        else:
            recordings = join_utterances(
                self.utterances,
                net.__getitem__,
                enrol_seconds=self.enrol_seconds,
                test_seconds=self.test_seconds,
                seed=self.seed,
            )
        return Evaluator(
            preparer=preparer,
            compensation=engine.space.shipped,
            recordings=recordings,
            enrol_seconds=self.enrol_seconds,
            progress=progress,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationResults:
    """What an evaluation measured, and what else can be read off it."""

    asked: Evaluation
    engines: Mapping[Band, Engine]
    evaluators: Mapping[Band, Evaluator]
    conditions: list[ConditionResult]
    #: What the voices say against the labels under the first condition.
    label_doubts: LabelDoubts

    @property
    def left_out(self) -> list[str]:
        """Speakers of whom nothing is enrolled or tested, because they have too little speech."""
        given = {one.speaker_id for one in self.asked.utterances if one.role is not TrialRole.OTHER}
        for evaluator in self.evaluators.values():
            recordings = evaluator.recordings
            for kind in (recordings.enrolments, recordings.tests, recordings.strangers):
                given -= {one.speaker_id for one in kind}
        return sorted(given)

    def failures(self) -> list[str]:
        """Return the requirements that do not hold, in words."""
        measured = {result.condition.name: result.rates for result in self.conditions}
        return [failure for each in self.asked.requirements for failure in each.failures(measured)]

    def fit_calibration(self, path: Path) -> Calibration:
        """Fit on all conditions together, for every duration up to that of the tests, and write the file.

        Raise LabelsDoubtful when the voices contradict labels that nobody accepted.
        """
        asked = self.asked
        self.label_doubts.require_none()
        durations = {*(seconds for seconds in FIT_SECONDS if seconds < asked.test_seconds), asked.test_seconds}
        ((band, evaluator),) = self.evaluators.items()
        tables = {
            seconds: [asked.score(evaluator, condition, seconds) for condition in asked.conditions]
            for seconds in sorted(durations)
        }
        names = ", ".join(condition.name for condition in asked.conditions)
        fitted = fit_calibration(
            tables,
            encoder_id=self.engines[band].space.id,
            made_from=f"{asked.path.name} under {names}, seed {asked.seed}",
            sexes={name: utterance.sex for name, utterance in asked.speakers.items()},
        )
        try:
            write_calibration(path, fitted)
        except OSError as error:
            raise EvaluationError(f"the calibration {path} cannot be written: {error.strerror}") from error
        return fitted

    # `object`: JSON.
    def as_json(self) -> dict[str, object]:
        """Return the results as `--json` gives them."""
        return {
            "source": self.asked.path.name,
            "seed": self.asked.seed,
            "left_out_speakers": self.left_out,
            "copies": [
                {
                    "file": str(copy.path),
                    "speaker_id": copy.speaker_id,
                    "same_as_file": str(earlier.path),
                    "same_as_speaker_id": earlier.speaker_id,
                }
                for earlier, copy in self.asked.copies
            ],
            "accepted_labels": list(self.asked.accepted_labels),
            "ids_of_one_person": [asdict(found) for found in self.label_doubts.one_person],
            "ids_of_several_people": [asdict(found) for found in self.label_doubts.several_people],
            "enrol_seconds": self.asked.enrol_seconds,
            "test_seconds": self.asked.test_seconds,
            "calibrations": {band: engine.calibration.counts() for band, engine in self.engines.items()},
            "encoder_ids": {band: engine.space.id for band, engine in self.engines.items()},
            "conditions": {result.condition.name: result.as_json() for result in self.conditions},
        }
