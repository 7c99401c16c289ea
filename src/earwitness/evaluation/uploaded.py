"""An evaluation in a process of its own, of calls that somebody sent: `python -m earwitness.evaluation.uploaded`.

It reads one line of JSON, what is asked, and writes lines of JSON: how far it is, then results or why there are none.
It computes when nothing else does, and ends with the process that began it.
"""

import json
import math
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.files import open_recording
from earwitness.config.settings import EngineSettings
from earwitness.engine.calibration import Calibration
from earwitness.engine.engine import Engine, build_engine
from earwitness.errors import AudioError, EarwitnessError, EvaluationError
from earwitness.evaluation.conditions import parse_condition
from earwitness.evaluation.evaluate import ConditionResult, Evaluation, EvaluationResults, measure
from earwitness.evaluation.incoming import MANIFEST
from earwitness.evaluation.labels import require_no_copies
from earwitness.evaluation.manifest import Utterance, is_trial_list
from earwitness.evaluation.metrics import draws
from earwitness.evaluation.scores import ScoreTable

GRID = tuple(round(-0.3 + 0.01 * step, 2) for step in range(131))
"""Scores that costs are told of."""

NICE = 10
"""Calls go first: beside a process of theirs this one gets a tenth of a core, and does not starve."""

REDRAWN = 100
DET_POINTS_MAX = 200
TOTAL_SECONDS_MAX = 20 * 3_600.0
FIT_SECONDS = 10.0


# `Any`: JSON, here and below.
def main() -> None:
    """Do what the first line of standard input asks for."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(NICE)
    try:
        results = _evaluated(asked)
    except EarwitnessError as error:
        _say({"failed": str(error).replace(asked["folder"] + "/", "")})
    except MemoryError:
        _say({"failed": "there is not enough memory for so much audio; send fewer or shorter recordings"})
    else:
        _say({"results": results})


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _say(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(_finite(document), allow_nan=False) + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Return a document without numbers that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}  # type: ignore[misc]  # `Any`
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]  # type: ignore[misc]  # `Any`
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _progress(doing: str, done: int, total: int) -> None:
    _say({"doing": doing, "done": done, "total": total})


def _evaluated(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    folder = Path(asked["folder"])
    manifest = folder / MANIFEST
    if is_trial_list(manifest):
        raise EvaluationError("trial lists are for the command line; send a CSV file with the columns file, speaker_id")
    evaluation = Evaluation(
        manifest,
        conditions=[asked["condition"]],
        requirements=[],
        speakers="all",
        enrol_seconds=asked["enrolSeconds"],
        test_seconds=asked["testSeconds"],
        seed=0,
        wav_scp=None,
        utt2spk=None,
        fits_calibration=False,
        accepted_labels=[],
        within=folder,
    )
    _require_not_too_much(evaluation.utterances, seconds_max=asked["decodedSecondsMax"])
    calibration_file = asked["calibrationFile"]
    settings = EngineSettings(
        models_dir=Path(asked["modelsDir"]),
        calibration_file=None if calibration_file is None else Path(calibration_file),
        prior_known=asked["priorKnown"],
        strangers_named_percent=asked["strangersNamedPercent"],
    )
    band = parse_condition(asked["condition"]).band
    engine = build_engine(settings, band)
    results = evaluation.run({band: engine}, workers=asked["workers"], progress=_progress)
    return _document(results, engine, folder)


def _require_not_too_much(utterances: list[Utterance], *, seconds_max: float) -> None:
    """Raise EvaluationError for recordings that are longer than may be: a megabyte may hold ten hours of silence."""
    total = 0.0
    for number, utterance in enumerate(utterances, start=1):
        _progress("measuring lengths", number, len(utterances))
        seconds = 0.0
        try:
            recording = open_recording(utterance.path, channel=utterance.channel)
            for block in recording.blocks():
                seconds += len(block) / recording.rate
                if seconds > seconds_max or total + seconds > TOTAL_SECONDS_MAX:
                    raise EvaluationError(
                        f"{utterance.path.name} is longer than {seconds_max / 60:g} min, or all recordings together "
                        f"are longer than {TOTAL_SECONDS_MAX / 3_600:g} h; cut or leave out some"
                    )
        except AudioError:
            continue  # whoever listens to it says what is wrong
        total += seconds


def _document(results: EvaluationResults, engine: Engine, folder: Path) -> Mapping[str, Any]:
    (result,) = results.conditions
    fitted, refusal = _fitted(results, folder)
    after = None if fitted is None else _measured(results, result, engine, fitted)
    return {
        "counts": asdict(result.counts),
        "before": _rates(result),
        "after": None if after is None else _rates(after),
        "growing": [asdict(one) for one in result.growing],
        "det": _det(result),
        "costs": _costs(result.table),
        "falseMatch": [engine.calibration.false_match_rate(score, net_seconds=FIT_SECONDS) for score in GRID],
        "falseMatchAfter": None
        if fitted is None
        else [fitted.false_match_rate(score, net_seconds=FIT_SECONDS) for score in GRID],
        "calibration": None if fitted is None else json.loads((folder / "fitted.json").read_text(encoding="utf-8")),
        "calibrationId": None if fitted is None else fitted.id,
        "inUse": {"id": engine.calibration.id, "persons": engine.calibration.persons},
        "fitRefusal": refusal,
        "strangersNamedPercent": engine.strangers_named_percent,
        "leftOut": results.left_out,
        "copies": [[earlier.path.name, copy.path.name] for earlier, copy in results.asked.copies],
        "onePerson": [[*pair.speaker_ids, pair.score] for pair in results.label_doubts.one_person],
        "severalPeople": [one.speaker_id for one in results.label_doubts.several_people],
    }


def _fitted(results: EvaluationResults, folder: Path) -> tuple[Calibration | None, str]:
    """Return a calibration that is fitted on these calls, or why there is none."""
    try:
        require_no_copies(results.asked.copies)
        return results.fit_calibration(folder / "fitted.json"), ""
    except EvaluationError as error:
        return None, str(error)


def _measured(
    results: EvaluationResults, result: ConditionResult, engine: Engine, calibration: Calibration
) -> ConditionResult:
    """Measure the same scores once more by another calibration."""
    return measure(
        result.table,
        result.condition,
        calibration,
        strangers_named_percent=engine.strangers_named_percent,
        speakers=results.asked.speakers,
        seed=results.asked.seed,
        not_enrolled=result.counts.not_enrolled,
    )


def _rates(result: ConditionResult) -> Mapping[str, Any]:
    return {name: [value, *result.intervals[name]] for name, value in asdict(result.rates).items()}


def _det(result: ConditionResult) -> list[tuple[float, float]]:
    """Return (false alarms, misses) of thresholds, at most so many of them."""
    curve = result.curve
    steps = np.unique(np.linspace(0, len(curve.misses) - 1, DET_POINTS_MAX).round().astype(int))
    return [(float(curve.false_alarms[step]), float(curve.misses[step])) for step in steps.tolist()]


def _costs(table: ScoreTable) -> Mapping[str, Any]:
    """Return misses and false alarms at each score of GRID: as counted, and of speakers drawn again and again."""
    weights = [None, *draws(table.speakers, seed=0, replicates=REDRAWN)]
    pairs = [_errors(table, one) for one in weights]
    return {
        "scores": list(GRID),
        "misses": [misses.round(6).tolist() for misses, _ in pairs],
        "falseAlarms": [alarms.round(6).tolist() for _, alarms in pairs],
    }


def _errors(table: ScoreTable, weights: Mapping[str, int] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of target trials below each score of GRID, and of others at or above it, shape (scores,)."""

    def weighed(speakers: NDArray[np.str_]) -> NDArray[np.float64]:
        return np.array([1 if weights is None else weights.get(one, 0) for one in speakers.tolist()], np.float64)

    row, column = weighed(table.tested), weighed(table.enrolled)

    def below(cells: NDArray[np.bool_], trial: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = table.scores[cells]
        order = np.argsort(scores)
        total = np.concatenate([[0.0], np.cumsum(trial[order])])
        return total[np.searchsorted(scores[order], GRID)] / max(total[-1], 1e-12)

    target, other = table.target_cells, table.nontarget_cells
    own = np.broadcast_to(row[:, None], table.scores.shape)[target]
    others = (row[:, None] * column[None, :])[other]
    return below(target, own), 1.0 - below(other, others)


if __name__ == "__main__":
    main()
