"""`earwitness evaluate`: how well it works on somebody's labelled recordings."""

import importlib
import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.output import Exit, out, plain, print_json, print_table, progress_of, remark, reporting, warn
from earwitness.cli.voices import engine_for
from earwitness.errors import EvaluationError

if TYPE_CHECKING:
    from earwitness.evaluation.evaluate import ConditionResult, Evaluation, EvaluationResults
    from earwitness.evaluation.line import LineSummary, StrangersSummary


class Speakers(StrEnum):
    """Whose recordings are used; by the manifest's age column."""

    ALL = "all"
    ADULTS = "adults"
    CHILDREN = "children"


class LineMode(StrEnum):
    """Whether the line of the tests is learnt."""

    LEARNT = "learnt"
    UNKNOWN = "unknown"


RATES = {
    "found_percent": "found, %",
    "false_alarm_percent": "strangers named, %",
    "eer_percent": "EER, %",
    "top1_percent": "top-1, %",
    "cllr": "Cllr, bits",
    "min_dcf": "minDCF(0.01)",
}
"""Every rate by its key for `--require` and in the JSON, and its title; the important ones first."""

_PERSONS_FEW = 50
"""From fewer people a calibration finds fewer callers than the shipped one (docs/evaluation.md)."""

_COUNTS = ("speakers", "same", "other", "searches", "strangers", "not heard", "not enrolled")
_LINE = ("line", "voices", "different people", "about the shipped mean")
_SLICED = ("EER, %", "found, %", "strangers named, %")

AcceptLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-labels",
        metavar="IDS",
        help="You have listened to recordings whose labels sound doubtful, and they are right: A=B for two people "
        "who sound alike, A for one person who sounds like several. Repeatable.",
    ),
]
FitCalibration = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Fit a calibration on these trials; `earwitness calibration install` installs it in a domain.",
    ),
]
LineOption = Annotated[
    LineMode,
    typer.Option(
        help="Learn the line from the tests, without the two people of each trial, as searches come to know it; or "
        "leave it unknown, as it is at first."
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE",
        help="Exit with 1 unless it holds, as in 'eer_percent<=0.5' or 'gsm:found_percent>=90'. Repeatable.",
    ),
]


def evaluate(
    trials: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST_OR_TRIALS", help="A CSV manifest (file, speaker_id, …) or a Kaldi trial list."
        ),
    ],
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            help="recorded (your calls as they are; the default), clean (wideband), or simulated: telephone, gsm, "
            "noise10, reverb, or a codec of docs/evaluation.md, as amr-4.75; enrolled by telephone unless written "
            "ENROL>TEST. Repeatable.",
        ),
    ] = None,
    enrol_seconds: Annotated[float, typer.Option(min=10.0, max=20.0, help="Net speech of an enrolment.")] = 20.0,
    test_seconds: Annotated[float, typer.Option(min=3.0, max=20.0, help="Net speech of a test.")] = 10.0,
    speakers: Annotated[
        Speakers, typer.Option(help="Restrict by age: adults are 18 and over, or of unknown age.")
    ] = Speakers.ALL,
    seed: Annotated[int, typer.Option(min=0, help="Fixes what is enrolled, tested, simulated and re-drawn.")] = 0,
    wav_scp: Annotated[Path | None, typer.Option(help="For trial lists; default: wav.scp beside it.")] = None,
    utt2spk: Annotated[Path | None, typer.Option(help="For trial lists; default: utt2spk beside it.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Write DET, score and gallery plots (PNG).")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - prints them.")
    ] = None,
    fit_calibration: FitCalibration = None,
    accept_labels: AcceptLabels = None,
    line: LineOption = LineMode.LEARNT,
    require: Require = None,
) -> None:
    """Measure accuracy on labelled recordings: error rates with 95 % intervals by speaker."""
    from earwitness.evaluation.evaluate import Evaluation

    to_stdout = str(json_file) == "-"
    with reporting(as_json=to_stdout):
        if plots is not None:
            # Without matplotlib it ends here, not after the work.
            importlib.import_module("earwitness.evaluation.plots")
        asked = Evaluation(
            trials,
            conditions=condition or ["recorded"],
            requirements=require or [],
            speakers=speakers,
            enrol_seconds=enrol_seconds,
            test_seconds=test_seconds,
            seed=seed,
            wav_scp=wav_scp,
            utt2spk=utt2spk,
            fits_calibration=fit_calibration is not None,
            learns_line=line is LineMode.LEARNT,
            accepted_labels=accept_labels or [],
        )
        _warn_of_copies(asked)
        _warn_of_outcomes(asked)
        engines = {band: engine_for(band) for band in asked.bands}
        with progress_of() as show:
            results = asked.run(engines, workers=config.load().workers, progress=show)
    _warn_of_labels(results)
    # What took long is shown before anything that can still fail.
    if to_stdout:
        print_json(results.as_json())
    else:
        _print_results(results.conditions)
    _write_files(results, json_file=None if to_stdout else json_file, plots=plots, calibration=fit_calibration)
    _require_met(results.failures())


def _write_files(
    results: "EvaluationResults", *, json_file: Path | None, plots: Path | None, calibration: Path | None
) -> None:
    """Write what was asked for on disk, and name each file when it is there."""
    with reporting(as_json=False):
        if json_file is not None:
            try:
                json_file.write_text(json.dumps(plain(results.as_json()), indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise EvaluationError(f"{json_file} cannot be written: {error.strerror}") from error
            remark("wrote {}", json_file)
        if plots is not None:
            from earwitness.evaluation.plots import write_plots

            write_plots(plots, results.conditions, results.engines)
            remark("wrote {}", plots)
        if calibration is not None:
            _fit_calibration(calibration, results)


def _fit_calibration(path: Path, results: "EvaluationResults") -> None:
    fitted = results.fit_calibration(path)
    remark("wrote {}", path)
    lowest = max(fit.false_match.rate_min for fit in fitted.fits)
    remark(
        "fitted on {:,} people, {:,} pairs of people and {:,} of recordings; false-match rates are measured down to "
        "{:.2g} %, so that at 1 % {}; `earwitness calibration show {}` says how far more people would reach",
        fitted.persons,
        fitted.person_pairs or 0,
        fitted.trials,
        100 * lowest,
        f"up to {int(0.01 / lowest):,} voices can be enrolled before thresholds are extrapolated"
        if lowest <= 0.01
        else "every threshold is extrapolated",
        path,
    )
    if fitted.persons < _PERSONS_FEW:
        warn(
            "from {} people come high thresholds: fewer callers are found than with the shipped calibration. {} people "
            "and more make it worth while",
            fitted.persons,
            _PERSONS_FEW,
        )
    if fitted.sexes is not None and len(fitted.sexes) == 1:
        warn(
            "everybody in this calibration is of one sex ({}); how alike other voices are it does not know. Fit it on "
            "callers of every kind that you enrol or search for",
            *fitted.sexes,
        )


def _require_met(failures: list[str]) -> None:
    """Leave with 1 when a requirement does not hold; name each that does not."""
    for failure in failures:
        remark("[red]not met[/red] {}", failure)
    if failures:
        raise typer.Exit(Exit.NO)


def _warn_of_copies(asked: "Evaluation") -> None:
    """Name recordings that are the same audio as another one."""
    for earlier, copy in asked.copies:
        warn(
            "{} ({}) is the same audio as {} ({}); list it once, or the rates are not true",
            copy.path.name,
            copy.speaker_id,
            earlier.path.name,
            earlier.speaker_id,
        )


def _warn_of_outcomes(asked: "Evaluation") -> None:
    """Say what cannot be concluded where the list holds calls of one outcome alone."""
    from earwitness.voice.label import only_matches_advice

    outcomes = Counter(one.outcome for one in asked.utterances)
    advice = only_matches_advice(matches=outcomes["match"], no_matches=outcomes["no match"])
    if advice is not None:
        warn("{}", advice)


def _warn_of_labels(results: "EvaluationResults") -> None:
    """Name the speakers who could not be used, and the ids that the voices contradict."""
    if left_out := results.left_out:
        remark(
            "[yellow]left out[/yellow] {} of {} speakers, who have too little speech for an enrolment and a test: {}",
            len(left_out),
            len(results.asked.speakers),
            ", ".join(left_out),
        )
    for pair in results.label_doubts.one_person:
        warn(
            "{} and {} sound like one person (score {:.2f}; hardly any pair of different people sounds so alike); if "
            "they are, give them one id, or the rates are not true",
            *pair.speaker_ids,
            pair.score,
        )
    for one in results.label_doubts.several_people:
        warn(
            "{} sounds like more than one person: {} of {} tests are unlike what was "
            "enrolled; listen to the recordings of this id",
            one.speaker_id,
            one.unlike,
            one.tests,
        )


def _print_results(results: "list[ConditionResult]") -> None:
    """Print rates with intervals, counts, growing galleries and groups; a condition is a row."""
    from earwitness.evaluation.evaluate import FPIR
    from earwitness.evaluation.labels import APART

    sizes = sorted({size.gallery for result in results for size in result.growing})
    rates: list[list[str]] = []
    counts: list[list[str]] = []
    growing: list[list[str]] = []
    slices: list[list[str]] = []
    lines = [[result.condition.name, *_line(result.line)] for result in results if result.line is not None]
    for result in results:
        name = result.condition.name
        counts.append([name, *map(str, vars(result.counts).values())])
        for title, one in ((name, result), (f"{name}, {APART}", result.doubted_apart)):
            if one is not None:
                rates.append([title, *(_interval(getattr(one.rates, rate), one.intervals[rate]) for rate in RATES)])
                by_size = {size.gallery: _interval(size.fnir_percent, size.interval) for size in one.growing}
                growing.append([title, *(by_size.get(size, "") for size in sizes)])
        for label, part in result.slices.items():
            measured = (part["eer_percent"], part["found_percent"], part["false_alarm_percent"])
            pairs = f"{part['targets']:.0f} / {part['nontargets']:.0f}"
            slices.append([label, name, pairs, *(f"{value:.3g}" for value in measured)])
    missed = f"not found, %, when {100 * FPIR:g} % of strangers get through, by how many are enrolled"
    print_table(["condition", *RATES.values()], rates, title="rate [95 % interval by speaker]")
    print_table(["condition", *_COUNTS], counts, title="what was counted")
    print_table(["condition", *map(str, sizes)], growing, title=missed)
    print_table(["condition", *_LINE], lines, title="lines, and how different people score: near 0 is well")
    if slices:
        print_table(["within", "condition", "pairs same / different", *_SLICED], slices, title="by group")
    out.print(
        "found and strangers named: at the engine's own threshold, everybody else being enrolled; within a group, "
        "everybody else of the group, which is a smaller gallery with a lower threshold",
        soft_wrap=True,
    )
    if any(result.doubted_apart is not None for result in results):
        out.print(
            f"{APART}: pairs of ids that sound like one person are neither strangers to each other nor trials; "
            "requirements count as labelled",
            soft_wrap=True,
        )
    for result in results:
        if result.line is not None and result.line.advice is not None:
            warn("{}: {}", result.condition.name, result.line.advice)


def _line(line: "LineSummary") -> tuple[str, ...]:
    def shown(strangers: "StrangersSummary") -> str:
        return f"{strangers.mean:.2f} ± {strangers.spread:.2f}"

    voices = str(line.voices) if line.voices else ""
    return line.state, voices, shown(line.strangers), shown(line.strangers_shipped)


def _interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3g}\n[{interval[0]:.3g}, {interval[1]:.3g}]"
