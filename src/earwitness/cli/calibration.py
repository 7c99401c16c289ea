"""`earwitness calibration`: what thresholds rest on, how far they are measured, and what a domain is searched by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earwitness import config
from earwitness.cli.domain_calibrations import (
    export_calibration,
    install_calibration,
    list_calibrations,
    use_calibration,
)
from earwitness.cli.options import BandOption, JsonOption
from earwitness.cli.output import print_json, print_table, remark, reporting, say, warn
from earwitness.voice.band import Band

if TYPE_CHECKING:
    from earwitness.engine.calibration import Calibration
    from earwitness.voice.decision import Threshold

GALLERY_SIZES = (10, 30, 100, 1_000, 10_000)
_SEX = {"f": "women", "m": "men"}

calibration = typer.Typer(
    help="What scores mean: show what a calibration was measured on, and install one in a domain of a running service.",
    no_args_is_help=True,
)
calibration.command("list")(list_calibrations)
calibration.command("install")(install_calibration)
calibration.command("use")(use_calibration)
calibration.command("export")(export_calibration)


@calibration.command()
def show(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A calibration file; default: setting calibration_file, else shipped."),
    ] = None,
    band: BandOption = Band.TELEPHONE,
    as_json: JsonOption = False,
) -> None:
    """Show on how many persons a calibration was measured, its thresholds for galleries of several sizes, and how many
    persons it would take to measure those that are extrapolated.
    """
    from earwitness.engine.calibration import calibration_in_use
    from earwitness.models.catalogue import ENCODER_MODEL

    with reporting(as_json=as_json):
        settings = config.load()
        path = file or settings.calibration_file
        shown = calibration_in_use(path, model_id=ENCODER_MODEL, band=band)
    thresholds = [
        [
            shown.threshold(
                gallery_size=size,
                strangers_named_percent=settings.strangers_named_percent,
                net_seconds=fit.net_seconds,
            )
            for fit in shown.fits
        ]
        for size in GALLERY_SIZES
    ]
    if as_json:
        print_json(_document(shown, path, thresholds))
        return
    _print_origin(shown, path)
    _print_thresholds(shown, thresholds)


# `object`: JSON.
def _document(shown: "Calibration", path: Path | None, thresholds: "list[list[Threshold]]") -> dict[str, object]:
    return {
        "file": path,
        "id": shown.id,
        "encoderId": shown.encoder_id,
        "madeFrom": shown.made_from,
        "persons": shown.persons,
        "sexes": shown.sexes,
        "personPairs": shown.person_pairs,
        "trials": shown.trials,
        "unknownLineMargin": shown.unknown_line_margin,
        "durations": [
            {
                "netSeconds": fit.net_seconds,
                "pairFalseMatchRateMin": fit.false_match.rate_min,
                "thresholds": [of_size[number] for of_size in thresholds],
            }
            for number, fit in enumerate(shown.fits)
        ],
    }


def _print_origin(shown: "Calibration", path: Path | None) -> None:
    say("{}, for {}", "shipped with earwitness" if path is None else path, shown.encoder_id)
    say("made from     {}", shown.made_from)
    say("persons       {:,}{}", shown.persons, _by_sex(shown))
    if shown.person_pairs is None:
        say("pairs         of persons: unknown; this former format counts the {:,} pairs of recordings", shown.trials)
    else:
        say("pairs         {:,} of persons; {:,} of recordings", shown.person_pairs, shown.trials)
    for fit in shown.fits:
        say(
            "measured      with {:g} s of speech down to {:.2g} % of pairs",
            fit.net_seconds,
            100 * fit.false_match.rate_min,
        )
    if shown.unknown_line_margin:
        say("unknown line  thresholds are {:.2f} higher until a line is learnt", shown.unknown_line_margin)
    if shown.sexes is not None and len(shown.sexes) == 1:
        warn("everybody in it is of one sex; how alike other voices are it does not know")


def _by_sex(shown: "Calibration") -> str:
    if shown.sexes is None:
        return ", sexes unknown"
    return f" ({', '.join(f'{count} {_SEX.get(sex, sex)}' for sex, count in shown.sexes.items())})"


def _print_thresholds(shown: "Calibration", thresholds: "list[list[Threshold]]") -> None:
    """Print a row for each size of a gallery, with a threshold for each duration."""
    rows: list[list[str]] = []
    for of_size in thresholds:
        needed = max(found.persons_needed or 0 for found in of_size)
        scores = [f"{found.score:.3f}" for found in of_size]
        rows.append([f"{of_size[0].gallery_size:,}", *scores, f"{needed:,} needed" if needed else "measured"])
    durations = [f"{fit.net_seconds:g} s" for fit in shown.fits]
    title = f"thresholds at which at most {thresholds[0][0].strangers_named_percent:g} % of strangers are named"
    print_table(["voiceprints", *durations, "persons"], rows, title=title)
    remark("where more persons are needed, the threshold is extrapolated and may name more strangers than stated")
