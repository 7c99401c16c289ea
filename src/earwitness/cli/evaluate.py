"""`earwitness evaluate`: how well it works on somebody's labelled recordings."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness.cli.output import Exit, note, out, print_json, progress_of, reporting, say
from earwitness.cli.table import print_table

if TYPE_CHECKING:
    from earwitness.cli.evaluation_run import Evaluation
    from earwitness.evaluation.evaluate import ConditionResult


class Speakers(StrEnum):
    """Whose recordings are used; by the manifest's age column."""

    ALL = "all"
    ADULTS = "adults"
    CHILDREN = "children"


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


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
            "noise10, reverb; enrolled by telephone unless written ENROL>TEST. Repeatable.",
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
    fit_calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fit a calibration on these trials; use it by EARWITNESS_CALIBRATION_FILE."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Exit with 1 unless it holds, as in 'eer_percent<=0.5' or 'gsm:found_percent>=90'. Repeatable.",
        ),
    ] = None,
) -> None:
    """Measure accuracy on labelled recordings: error rates with 95 % intervals by speaker."""
    from earwitness.cli.evaluation_run import Evaluation

    to_stdout = str(json_file) == "-"
    with reporting(as_json=to_stdout):
        run = Evaluation(
            trials,
            conditions=condition or ["recorded"],
            enrol_seconds=enrol_seconds,
            test_seconds=test_seconds,
            speakers=speakers,
            seed=seed,
            wav_scp=wav_scp,
            utt2spk=utt2spk,
            requirements=require or [],
            fits_calibration=fit_calibration is not None,
        )
        warn_of_copies(run)
        with progress_of() as show:
            results = run.results(show)
    name_left_out(run)
    warn_of_labels(run)
    # What took long is shown before anything that can still fail.
    if to_stdout:
        print_json(run.document())
    else:
        print_results(results)
    with reporting(as_json=False):
        write_files(run, json_file=None if to_stdout else json_file, plots=plots, calibration=fit_calibration)
    exit_on(run.failures())


def write_files(run: "Evaluation", *, json_file: Path | None, plots: Path | None, calibration: Path | None) -> None:
    """What was asked for on disk, each said when it is there."""
    if json_file is not None:
        run.write_json(json_file, run.document())
        wrote(json_file)
    if plots is not None:
        run.write_plots(plots)
        wrote(plots)
    if calibration is not None:
        with progress_of() as show:
            fitted = run.fit_calibration(calibration, show)
        wrote(calibration)
        lowest = max(fit.false_match.rate_min for fit in fitted.fits)
        say(
            "fitted on {} speakers and {} pairs; false-match rates are measured down to {:.2g} %, so that up to {} "
            "voices can be enrolled at 1 % before thresholds are extrapolated",
            fitted.speakers,
            fitted.pairs,
            100 * lowest,
            int(0.01 / lowest),
            to=note,
        )


def name_left_out(run: "Evaluation") -> None:
    """Name the speakers who were given and could not be used."""
    if run.left_out:
        say(
            "[yellow]left out[/yellow] {} of {} speakers, who have too little speech for an enrolment and a test: {}",
            len(run.left_out),
            run.speaker_count,
            ", ".join(run.left_out),
            to=note,
        )


def warn_of_copies(run: "Evaluation") -> None:
    """Name recordings that are the same audio as another one."""
    for earlier, copy in run.copies:
        say(
            "[yellow]warning:[/yellow] {} ({}) is the same audio as {} ({}); list it once, or the rates are not true",
            copy.path.name,
            copy.speaker_id,
            earlier.path.name,
            earlier.speaker_id,
            to=note,
        )


def warn_of_labels(run: "Evaluation") -> None:
    """Name ids that the voices contradict."""
    for pair in run.one_person:
        say(
            "[yellow]warning:[/yellow] {} and {} sound like one person (score {:.2f}; of different people at most 1 "
            "pair in 10,000 sounds so alike); if they are, give them one id, or the rates are not true",
            *pair.speaker_ids,
            pair.score,
            to=note,
        )
    for one in run.several_people:
        say(
            "[yellow]warning:[/yellow] {} sounds like more than one person: {} of {} tests are unlike what was "
            "enrolled; listen to the recordings of this id",
            one.speaker_id,
            one.unlike,
            one.tests,
            to=note,
        )


def wrote(path: Path) -> None:
    """Say what was written where."""
    say("wrote {}", path, to=note)


def exit_on(failures: list[str]) -> None:
    """Leave with 1 when a requirement does not hold, naming each."""
    for failure in failures:
        say("[red]not met[/red] {}", failure, to=note)
    if failures:
        raise typer.Exit(Exit.NO)


RATES = (
    ("found_percent", "found, %"),
    ("false_alarm_percent", "strangers named, %"),
    ("eer_percent", "EER, %"),
    ("top1_percent", "top-1, %"),
    ("cllr", "Cllr, bits"),
    ("min_dcf", "minDCF(0.01)"),
)
"""Every rate by its key for `--require` and in the JSON, and its title; the important ones first."""

_COUNTS = ("speakers", "same", "other", "searches", "strangers", "not heard", "not enrolled")
_SLICED = ("EER, %", "found, %", "strangers named, %")


def print_results(results: "list[ConditionResult]") -> None:
    """Rates with intervals, counts, growing galleries and groups; a condition is a row."""
    from earwitness.evaluation.evaluate import FPIR

    sizes = sorted({size.gallery for result in results for size in result.growing})
    rates: list[list[str]] = []
    counts: list[list[str]] = []
    growing: list[list[str]] = []
    slices: list[list[str]] = []
    for result in results:
        name = result.condition.name
        rates.append(
            [name, *(_with_interval(getattr(result.rates, rate), result.intervals[rate]) for rate, _ in RATES)]
        )
        numbers = (result.speakers, result.targets, result.nontargets, result.searches, result.stranger_searches)
        counts.append([name, *(str(number) for number in (*numbers, result.not_heard, result.not_enrolled))])
        by_size = {size.gallery: _with_interval(size.fnir_percent, size.interval) for size in result.growing}
        growing.append([name, *(by_size.get(size, "") for size in sizes)])
        for label, part in result.slices.items():
            measured = (part["eer_percent"], part["found_percent"], part["false_alarm_percent"])
            pairs = f"{part['targets']:.0f} / {part['nontargets']:.0f}"
            slices.append([label, name, pairs, *(f"{value:.3g}" for value in measured)])
    missed = f"not found, %, when {100 * FPIR:g} % of strangers get through, by how many are enrolled"
    print_table(["condition", *(title for _, title in RATES)], rates, title="rate [95 % interval by speaker]")
    print_table(["condition", *_COUNTS], counts, title="what was counted")
    print_table(["condition", *map(str, sizes)], growing, title=missed)
    if slices:
        print_table(["within", "condition", "pairs same / different", *_SLICED], slices, title="by group")
    out.print(
        "found and strangers named: at the engine's own threshold, everybody else being enrolled; within a group, "
        "everybody else of the group, which is a smaller gallery with a lower threshold",
        soft_wrap=True,
    )


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3g}\n[{interval[0]:.3g}, {interval[1]:.3g}]"
