"""`earwitness labels`: what people say of results: written into a file, summed up, and compared with a calibration."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness import config
from earwitness.cli.calls import service_client
from earwitness.cli.options import BandOption, JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, print_table, remark, reporting, say, warn, write_privately
from earwitness.errors import ConfigurationError, EvaluationError, ManifestInvalid
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome
from earwitness.voice.label import EXPORT_FORMAT, LabelledCall, Picked, Spoke

if TYPE_CHECKING:
    from earwitness.engine.calibration import Calibration
    from earwitness.evaluation.scored_labels import LabelFit

_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".mkv")

Exports = Annotated[list[Path], typer.Argument(metavar="FILE", help="What `labels export` has written; several count.")]
LabelledDomain = Annotated[str, typer.Option("--domain", metavar="ID", help="The id of a voice profile domain.")]
OutputOption = Annotated[Path, typer.Option("--output", metavar="FILE", help="The file to write.")]

labels = typer.Typer(
    help="Labels of results: export them, sum them up, fit a calibration to them. They change nothing by themselves.",
    no_args_is_help=True,
)


@dataclass(frozen=True, kw_only=True)
class ExportedLabels:
    """Labelled calls of one or several exports, each call once."""

    calls: tuple[LabelledCall, ...]
    matches: int
    no_matches: int
    #: Whose labels they are, sorted.
    domains: tuple[str, ...]


@labels.command("export")
def export_labels(
    domain: LabelledDomain,
    output: OutputOption,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the labelled calls of a domain, with what the searches said, into a file of your own.

    The service keeps labels as long as results, seven days: export every week what you want to evaluate later.
    """
    with service_client(url, region, as_json=as_json) as service:
        path = f"/domains/{service.segment(domain, what='domain')}/labels"
        report = service.get(f"{path}/report")
        calls = list(service.every(path, "calls"))
        document = {
            "format": EXPORT_FORMAT,
            "domainId": report["domainId"],
            "matches": report["matches"],
            "noMatches": report["noMatches"],
            "calls": calls,
        }
        write_privately(output, json.dumps(document, indent=1) + "\n")
    if as_json:
        print_json({"file": output, "calls": len(calls)})
        return
    remark("wrote {} labelled calls into {}; it says who spoke: keep it as you keep voiceprints", len(calls), output)
    for caution in report["cautions"]:
        warn("{}", caution)


@labels.command("report")
def report_labels(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="What `labels export` has written; several count.")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", metavar="ID", help="Of a running service.")] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how often searches were right, by the labels of exports or of a domain, with 95 % intervals by call."""
    if domain is not None and not files:
        with service_client(url, region, as_json=as_json) as service:
            found = service.get(f"/domains/{service.segment(domain, what='domain')}/labels/report")
    else:
        with reporting(as_json=as_json):
            if not files or domain is not None:
                raise ConfigurationError("give files of `labels export`, or --domain, and not both")
            found = _report(read_exports(files))
    if as_json:
        print_json(found)
    else:
        _print_report(found)


@labels.command("manifest")
def list_recordings(
    files: Exports,
    recordings: Annotated[
        Path,
        typer.Option("--recordings", metavar="DIR", help="Where recordings of the calls lie, each as TASK_ID.wav."),
    ],
    output: OutputOption,
    as_json: JsonOption = False,
) -> None:
    """Write a manifest for `earwitness evaluate`: the labelled calls of which you have a recording, by who spoke."""
    with reporting(as_json=as_json):
        rows, missing, unknown = _rows(read_exports(files).calls, recordings)
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(("file", "speaker_id", "role", "outcome"))
        table.writerows(rows)
        write_privately(output, text.getvalue())
    if as_json:
        print_json({"file": output, "recordings": len(rows), "missing": missing, "withoutSpeaker": unknown})
        return
    remark("wrote {} recordings into {}", len(rows), output)
    if missing:
        warn("{} labelled calls have no recording in {}; save it there as TASK_ID.wav", missing, recordings)
    if unknown:
        remark("{} labels do not say which profile spoke, and are left out", unknown)


@labels.command("fit")
def fit_labels(
    files: Exports,
    output: OutputOption,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="ID", help="Begin with the calibration in force in a domain of a service."),
    ] = None,
    band: BandOption = Band.TELEPHONE,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the calibration in use with labelled strangers, and write one that fits them; nothing is installed.

    It begins with the calibration in force in --domain, of which the running service is asked; without, with that of
    EARWITNESS_CALIBRATION_FILE, else with the shipped one. It is moved up where strangers score higher than it says,
    and never down. `earwitness calibration install` installs the file in one domain, and `calibration use` goes back;
    `EARWITNESS_CALIBRATION_FILE` is for the whole service. --url and --region count with --domain, which has a band of
    its own; --band counts without it.
    """
    from earwitness.engine.calibration import write_calibration
    from earwitness.evaluation.scored_labels import fit_to_labels

    with reporting(as_json=as_json):
        before, begins = _first_calibration(domain, band, url=url, region=region)
        exported = read_exports(files)
        foreign = () if domain is None else sorted({*exported.domains} - {domain})
        if foreign:
            raise ConfigurationError(
                f"there are labels of domain {', '.join(foreign)} in these files; give exports of {domain}, or the "
                "domain that they are of as --domain"
            )
        fit = fit_to_labels(exported.calls, before, matches=exported.matches, no_matches=exported.no_matches)
        others = {one.calibration_id for one in exported.calls if one.is_labelled} - {before.id, None}
        if fit.moved:
            try:
                write_calibration(output, fit.calibration)
            except OSError as error:
                raise EvaluationError(f"{output} cannot be written: {error.strerror}") from error
    if as_json:
        print_json(
            {**_fit_document(fit), "before": before.id, "beganWith": begins, "file": output if fit.moved else None}
        )
        return
    say("begins with calibration {}, {}", before.id, begins)
    _print_fit(fit, before.id, output)
    if domain is None and exported.domains:
        remark("--domain {} begins with the calibration in force there", exported.domains[0])
    if others:
        warn("some of these calls were searched by another calibration ({})", ", ".join(sorted(map(str, others))))


def _first_calibration(
    domain: str | None, band: Band, *, url: str | None, region: str | None
) -> "tuple[Calibration, str]":
    """Return the calibration that a fit begins with, and which it is, in words."""
    from earwitness.cli.client import connect
    from earwitness.engine.calibration import calibration_in_use, parse_calibration
    from earwitness.models.catalogue import ENCODER_MODEL

    if domain is None:
        file = config.load().calibration_file
        which = "the shipped one" if file is None else f"of the setting calibration_file ({file})"
        return calibration_in_use(file, model_id=ENCODER_MODEL, band=band), which
    with connect(url=url, region=region) as service:
        path = f"/domains/{service.segment(domain, what='domain')}/calibrations"
        listed = service.get(path)
        name = "service" if listed["fromService"] else listed["inUse"]["calibrationId"]
        found = parse_calibration(json.dumps(service.get(f"{path}/{name}")), name="the answer of the service")
    own = ", which is the service's own" if listed["fromService"] else ""
    return found, f"in force in domain {domain}{own}"


def read_exports(files: Sequence[Path]) -> ExportedLabels:
    """Return the calls of exports; of a call that is in several, the latest label counts. Raise ManifestInvalid."""
    calls: dict[str, tuple[str, LabelledCall]] = {}
    matches = no_matches = 0
    domains = set[str]()
    for file in files:
        try:
            document: Any = json.loads(file.read_text(encoding="utf-8"))  # `Any`: JSON; read below as one error
            if document["format"] != EXPORT_FORMAT:
                raise ValueError(f"format {document['format']!r}")
            matches, no_matches = matches + int(document["matches"]), no_matches + int(document["noMatches"])
            domains.add(str(document.get("domainId", "")))
            for one in document["calls"]:
                call, at = _call(one), str(one["label"]["updatedAt"])
                if call.task_id not in calls or calls[call.task_id][0] < at:
                    calls[call.task_id] = at, call
        except OSError as error:
            raise ManifestInvalid(f"{file} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ManifestInvalid(f"{file} is no export of labels; `earwitness labels export` writes one") from error
    found = tuple(call for _, call in calls.values())
    return ExportedLabels(calls=found, matches=matches, no_matches=no_matches, domains=tuple(sorted(domains - {""})))


def _call(one: Any) -> LabelledCall:  # `Any`: JSON
    label, calibration = one["label"], one["calibrationId"]
    numbers = [float(one[name]) for name in ("probability", "threshold", "lineMargin", "strangersNamedPercent")]
    call = LabelledCall(
        task_id=str(one["taskId"]),
        outcome=Outcome(one["outcome"]),
        candidates=tuple((str(each["profileId"]), float(each["score"])) for each in one["candidates"]),
        probability=numbers[0],
        threshold=numbers[1],
        line_margin=numbers[2],
        strangers_named_percent=numbers[3],
        gallery_size=int(one["gallerySize"]),
        net_speech_seconds=float(one["netSpeechSeconds"]),
        calibration_id=None if calibration is None else str(calibration),
        spoke=Spoke(label["spoke"]),
        profile_id=None if label["profileId"] is None else str(label["profileId"]),
        picked=Picked(label["picked"]),
    )
    values = [*numbers, call.net_speech_seconds, *(score for _, score in call.candidates)]
    if not all(-1e6 < value < 1e6 for value in values) or (call.outcome is Outcome.MATCH and not call.candidates):
        raise ValueError("a number cannot be")
    return call


def _rows(calls: Sequence[LabelledCall], folder: Path) -> tuple[list[tuple[str, ...]], int, int]:
    """Return the rows of a manifest, how many calls have no recording, and how many no known speaker."""
    rows, missing, unknown = list[tuple[str, ...]](), 0, 0
    for call in calls:
        if call.spoke not in (Spoke.PROFILE, Spoke.NOBODY):
            unknown += 1
            continue
        found = next((path for end in _ENDINGS if (path := folder / f"{call.task_id}{end}").is_file()), None)
        if found is None:
            missing += 1
            continue
        is_known = call.spoke is Spoke.PROFILE
        speaker = (call.profile_id or "") if is_known else f"stranger-{call.task_id}"
        role = "enrol+test" if is_known else "impostor only"
        rows.append((str(found.resolve()), speaker, role, call.outcome.value))
    if not rows:
        raise EvaluationError(f"{folder} holds no recording of a labelled call; save each there as TASK_ID.wav")
    return rows, missing, unknown


def _report(exported: ExportedLabels) -> dict[str, Any]:  # `Any`: JSON
    from earwitness.evaluation.scored_labels import EstimatedRate, Share, label_report

    found = label_report(exported.calls, matches=exported.matches, no_matches=exported.no_matches)

    def share(one: Share) -> dict[str, Any]:
        return {"count": one.count, "of": one.of, "percent": one.percent, "interval": list(one.interval)}

    def rate(one: EstimatedRate | None) -> dict[str, Any] | None:
        return None if one is None else {"percent": one.percent, "interval": list(one.interval)}

    return {
        "matches": found.matches,
        "noMatches": found.no_matches,
        "namesRight": share(found.names_right),
        "missed": share(found.missed),
        "found": rate(found.found),
        "strangersNamed": rate(found.strangers_named),
        "probabilities": [
            {"low": one.low, "high": one.high, "statedPercent": one.stated_percent, "right": share(one.right)}
            for one in found.probabilities
        ],
        "unsure": found.unsure,
        "cautions": list(found.cautions),
    }


def _print_report(found: dict[str, Any]) -> None:  # `Any`: JSON
    rows = [
        ("matches whose name was right", _share_text(found["namesRight"]), _range(found["namesRight"])),
        ("calls without a match of somebody enrolled", _share_text(found["missed"]), _range(found["missed"])),
    ]
    for title, name in (("enrolled callers found, of all calls", "found"), ("strangers named", "strangersNamed")):
        rate = found[name]
        rows.append((title, "unknown" if rate is None else f"{rate['percent']:.3g} %", _range(rate)))
    print_table(("what labels say", "share", "95 % interval"), rows)
    bins = [
        (
            f"{100 * one['low']:g} to {100 * one['high']:g} %",
            f"{one['statedPercent']:.3g} %",
            _share_text(one["right"]),
            _range(one["right"]),
        )
        for one in found["probabilities"]
    ]
    if bins:
        print_table(("stated probability", "mean", "right", "95 % interval"), bins, title="matches by probability")
    if found["unsure"]:
        remark("{} labels say that nobody can tell", found["unsure"])
    for caution in found["cautions"]:
        warn("{}", caution)


def _share_text(one: dict[str, Any]) -> str:  # `Any`: JSON
    return "unknown" if one["percent"] is None else f"{one['count']} of {one['of']}: {one['percent']:.3g} %"


def _range(one: dict[str, Any] | None) -> str:  # `Any`: JSON
    if one is None or one["percent"] is None:
        return ""
    low, high = one["interval"]
    return f"{low:.3g} to {high:.3g} %"


def _fit_document(fit: "LabelFit") -> dict[str, Any]:  # `Any`: JSON
    return {
        "strangers": fit.strangers,
        "higher": fit.higher,
        "interval": list(fit.interval),
        "moved": fit.moved,
        "after": fit.calibration.id,
        "rightBefore": fit.right_before,
        "rightAfter": fit.right_after,
        "wrongBefore": fit.wrong_before,
        "wrongAfter": fit.wrong_after,
    }


def _print_fit(fit: "LabelFit", before: str, output: Path) -> None:
    low, high = fit.interval
    say(
        "{} labelled strangers score {:+.3f} against calibration {} (95 % interval {:+.3f} to {:+.3f})",
        fit.strangers,
        fit.higher,
        before,
        low,
        high,
    )
    if not fit.moved:
        say("the calibration stays as it is: {}", "it is never moved down" if high < 0 else "the interval holds 0")
        return
    rows = [
        ("calibration", before, fit.calibration.id),
        ("right names given", str(fit.right_before), str(fit.right_after)),
        ("wrong names given", str(fit.wrong_before), str(fit.wrong_after)),
    ]
    print_table(("labelled matches", "before", f"moved up by {fit.moved:.3f}"), rows)
    remark(
        "wrote {}; `earwitness calibration install {} --domain ID` shows what it changes, and installs it",
        output,
        output,
    )
