"""One run of `earwitness evaluate`: from its options to results, files and requirements."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from earwitness import config
from earwitness.cli.output import plain
from earwitness.cli.voices import engine_for
from earwitness.engine.calibration import Calibration, write_calibration
from earwitness.engine.engine import Engine
from earwitness.errors import EvaluationError
from earwitness.evaluation.conditions import Condition, parse_condition
from earwitness.evaluation.copies import copies
from earwitness.evaluation.evaluate import ConditionResult, Evaluator, measure
from earwitness.evaluation.fit import FIT_SECONDS, fit_calibration, require_enough_people
from earwitness.evaluation.hearing import SpeechPreparer
from earwitness.evaluation.kaldi import TrialList, is_trial_list, read_trials
from earwitness.evaluation.labels import OnePerson, SeveralPeople, ids_of_one_person, ids_of_several_people
from earwitness.evaluation.manifest import TrialRole, Utterance, adults, children, read_manifest
from earwitness.evaluation.recordings import join_utterances
from earwitness.evaluation.requirement import parse_requirement
from earwitness.evaluation.scores import ScoreTable
from earwitness.voice.band import Band

Show = Callable[[str, int, int], None]


class Evaluation:
    """Options checked at once, before anything long begins."""

    def __init__(
        self,
        path: Path,
        *,
        conditions: list[str],
        enrol_seconds: float,
        test_seconds: float,
        speakers: str,
        seed: int,
        wav_scp: Path | None,
        utt2spk: Path | None,
        requirements: list[str],
        fits_calibration: bool,
    ) -> None:
        self._path = path
        self._conditions = [parse_condition(name) for name in dict.fromkeys(conditions)]
        self._requirements = [
            parse_requirement(text, [condition.name for condition in self._conditions]) for text in requirements
        ]
        if fits_calibration and len({condition.band for condition in self._conditions}) > 1:
            raise EvaluationError("a calibration belongs to one band; fit `clean` apart from the telephone conditions")
        self._enrol_seconds, self._test_seconds = enrol_seconds, test_seconds
        self._seed = seed
        self._trials: TrialList | None = None
        if is_trial_list(path):
            self._trials = read_trials(path, wav_scp=wav_scp, utt2spk=utt2spk)
            self._utterances = self._trials.utterances
        else:
            self._utterances = read_manifest(path)
        if speakers != "all" and self._trials is not None:
            raise EvaluationError("a trial list has no ages; --speakers works with a manifest")
        if speakers != "all":
            self._utterances = adults(self._utterances) if speakers == "adults" else children(self._utterances)
        if fits_calibration and self._trials is None:
            require_enough_people(self.speaker_count, conditions=len(self._conditions))
        self._evaluators: dict[Band, Evaluator] = {}
        self._results: list[ConditionResult] = []
        self.one_person: list[OnePerson] = []
        """Pairs of ids that sound like one person under the first condition; after the results."""

        self.several_people: list[SeveralPeople] = []
        """Ids that sound like more than one person under the first condition; after the results."""

    @cached_property
    def copies(self) -> list[tuple[Utterance, Utterance]]:
        """Recordings that are the same audio as an earlier one, each behind that one."""
        return copies(self._utterances)

    def results(self, show: Show) -> list[ConditionResult]:
        """Measure every condition."""
        for condition in self._conditions:
            engine = self._engines[condition.band]
            table = self._score(condition, self._test_seconds, show)
            if condition is self._conditions[0]:
                self.one_person = ids_of_one_person(table, engine.calibration)
                self.several_people = ids_of_several_people(table, engine.calibration)
            show(f"measuring {condition.name}", 0, 1)
            self._results.append(
                measure(
                    table,
                    condition,
                    engine.calibration,
                    strangers_named_percent=engine.strangers_named_percent,
                    speakers={utterance.speaker_id: utterance for utterance in self._utterances},
                    seed=self._seed,
                    not_enrolled=self._not_enrolled(condition),
                )
            )
            show(f"measuring {condition.name}", 1, 1)
        return self._results

    def fit_calibration(self, path: Path, show: Show) -> Calibration:
        """Fit on all conditions together, for every duration up to that of the tests."""
        durations = sorted({seconds for seconds in FIT_SECONDS if seconds < self._test_seconds} | {self._test_seconds})
        tables = {
            seconds: [self._score(condition, seconds, show) for condition in self._conditions] for seconds in durations
        }
        (band,) = {condition.band for condition in self._conditions}
        names = ", ".join(condition.name for condition in self._conditions)
        fitted = fit_calibration(
            tables,
            encoder_id=self._engines[band].encoder.encoder_id,
            made_from=f"{self._path.name} under {names}, seed {self._seed}",
        )
        try:
            write_calibration(path, fitted)
        except OSError as error:
            raise EvaluationError(f"the calibration {path} cannot be written: {error.strerror}") from error
        return fitted

    def write_plots(self, folder: Path) -> None:
        from earwitness.evaluation.plots import write_plots

        calibrations = {band: engine.calibration for band, engine in self._engines.items()}
        share = next(iter(self._engines.values())).strangers_named_percent
        write_plots(folder, self._results, calibrations, strangers_named_percent=share)

    # `object`: JSON.
    def document(self) -> dict[str, object]:
        """The results as `--json` gives them."""
        return {
            "source": self._path.name,
            "seed": self._seed,
            "left_out_speakers": self.left_out,
            "copies": [
                {
                    "file": str(copy.path),
                    "speaker_id": copy.speaker_id,
                    "same_as_file": str(earlier.path),
                    "same_as_speaker_id": earlier.speaker_id,
                }
                for earlier, copy in self.copies
            ],
            "ids_of_one_person": [asdict(found) for found in self.one_person],
            "ids_of_several_people": [asdict(found) for found in self.several_people],
            "enrol_seconds": self._enrol_seconds,
            "test_seconds": self._test_seconds,
            "encoder_ids": {band: engine.encoder.encoder_id for band, engine in self._engines.items()},
            "conditions": {result.condition.name: result.as_json() for result in self._results},
        }

    def write_json(self, path: Path, document: dict[str, object]) -> None:
        try:
            path.write_text(json.dumps(plain(document), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise EvaluationError(f"{path} cannot be written: {error.strerror}") from error

    @property
    def speaker_count(self) -> int:
        """How many people speak in the recordings."""
        return len({utterance.speaker_id for utterance in self._utterances})

    @property
    def left_out(self) -> list[str]:
        """Speakers of whom nothing is enrolled or tested, because they have too little speech; after the results."""
        given = {utterance.speaker_id for utterance in self._utterances if utterance.role is not TrialRole.OTHER}
        for evaluator in self._evaluators.values():
            recordings = evaluator.recordings
            kinds = (recordings.enrolments, recordings.tests, recordings.strangers)
            given -= {one.speaker_id for kind in kinds for one in kind}
        return sorted(given)

    def failures(self) -> list[str]:
        """Requirements that do not hold, in words."""
        return [failure for requirement in self._requirements for failure in requirement.failures(self._results)]

    @cached_property
    def _engines(self) -> dict[Band, Engine]:
        return {band: engine_for(band) for band in dict.fromkeys(each.band for each in self._conditions)}

    def _score(self, condition: Condition, seconds: float, show: Show) -> ScoreTable:
        evaluator = self._evaluator(condition.band, show)
        table = evaluator.score(condition, test_seconds=seconds)
        if self._trials is None:
            return table
        enrolments = [one.recording.name for one in evaluator.enrolled(condition)]
        tests = [one.name for one in evaluator.recordings.tests]
        return replace(table, trials=self._trials.mask(enrolments, tests))

    def _not_enrolled(self, condition: Condition) -> int:
        evaluator = self._evaluators[condition.band]
        return len(evaluator.recordings.enrolments) - len(evaluator.enrolled(condition))

    def _evaluator(self, band: Band, show: Show) -> Evaluator:
        if band not in self._evaluators:
            engine = self._engines[band]
            listener = SpeechPreparer(
                vad=engine.vad, encoder=engine.encoder, workers=config.load().workers, seed=self._seed
            )
            net = listener.net_seconds(self._utterances, lambda done, total: show("net speech", done, total))
            if self._trials is not None:
                recordings = self._trials.recordings(net.__getitem__)
            else:
                recordings = join_utterances(
                    self._utterances,
                    net.__getitem__,
                    enrol_seconds=self._enrol_seconds,
                    test_seconds=self._test_seconds,
                    seed=self._seed,
                )
            self._evaluators[band] = Evaluator(
                listener=listener, recordings=recordings, enrol_seconds=self._enrol_seconds, progress=show
            )
        return self._evaluators[band]
