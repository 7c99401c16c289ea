"""`earwitness calibration list`, `install`, `use` and `export`: what a domain of a running service is searched by."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, print_table, remark, say, warn, write_privately
from earwitness.errors import ServiceRefused

if TYPE_CHECKING:
    from earwitness.cli.client import ServiceClient

_SERVICE = "service"

_NOT_COMPARED = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
"""How the service refuses to compare one that is too long, or of another voice encoder."""

CalibratedDomainOption = Annotated[str, typer.Option("--domain", metavar="ID", help="The domain of a running service.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what it would change, and change nothing.")]


def list_calibrations(
    domain: CalibratedDomainOption, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Show what the searches of a domain rest on, and what they rested on before."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get(_path(service, domain))
    if as_json:
        print_json(found)
    else:
        _print(found)


def install_calibration(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `labels fit` and `evaluate` write it.")],
    domain: CalibratedDomainOption,
    dry_run: DryRunOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the searches of a domain rest on a calibration from now on; other domains keep theirs.

    The thresholds before and after are shown first. `calibration use` goes back.
    """
    from earwitness.engine.calibration import calibration_text, read_calibration

    with service_client(url, region, as_json=as_json) as service:
        document = json.loads(calibration_text(read_calibration(file)))
        path = _path(service, domain)
        compared = service.tell(f"{path}/compare", document)
        if not as_json:
            _print_comparison(compared)
        installed = None if dry_run else service.tell(path, document, version=compared["version"])
    _print_end(compared, installed, as_json=as_json)


def use_calibration(
    calibration_id: Annotated[
        str, typer.Argument(metavar="ID", help=f"As `calibration list` has it; `{_SERVICE}` for the service's own.")
    ],
    domain: CalibratedDomainOption,
    dry_run: DryRunOption = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to a calibration that a domain had before, or to the service's own."""
    with service_client(url, region, as_json=as_json) as service:
        path = _path(service, domain)
        compared = _compared(service, path, calibration_id)
        if not as_json:
            _print_comparison(compared)
        wanted = {"calibrationId": calibration_id, "version": compared["version"]}
        installed = None if dry_run else service.post(f"{path}/use", **wanted)
    _print_end(compared, installed, as_json=as_json)


def export_calibration(
    calibration_id: Annotated[
        str, typer.Argument(metavar="ID", help=f"As `calibration list` has it; `{_SERVICE}` for the service's own.")
    ],
    domain: CalibratedDomainOption,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The file to write.")],
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a calibration that a domain has or had into a file, as `calibration install` and `show` take it."""
    from earwitness.engine.calibration import calibration_text, parse_calibration

    with service_client(url, region, as_json=as_json) as service:
        found = service.get(f"{_path(service, domain)}/{service.segment(calibration_id, what='calibration')}")
        calibration = parse_calibration(json.dumps(found), name="the answer of the service")
        write_privately(output, calibration_text(calibration))
    if as_json:
        print_json({"file": output, "calibrationId": calibration.id, "encoderId": calibration.encoder_id})
    else:
        remark("wrote calibration {} into {}; `calibration install` takes it in any domain", calibration.id, output)


def _path(service: "ServiceClient", domain: str) -> str:
    return f"/domains/{service.segment(domain, what='domain')}/calibrations"


# `Any`: JSON objects, here and below.
def _compared(service: "ServiceClient", path: str, calibration_id: str) -> dict[str, Any]:
    """Return what going back to a calibration would change; without labels where comparing it is refused.

    A calibration may be too long to be sent, and whoever goes back needs no comparison.
    """
    document = service.get(f"{path}/{service.segment(calibration_id, what='calibration')}")
    try:
        return service.tell(f"{path}/compare", document)
    except ServiceRefused as error:
        if error.status not in _NOT_COMPARED:
            raise
        warn("labelled calls cannot be compared: {}", error)
    listed = service.get(path)
    held = [one["calibration"] for one in listed["versions"] if one["calibration"] is not None]
    former = next((one for one in held if one["calibrationId"] == calibration_id), None)
    return {
        **listed,
        "before": listed["inUse"],
        "after": listed["service"] if calibration_id == _SERVICE else former,
        "labels": None,
        "isCompared": False,
    }


def _print(found: dict[str, Any]) -> None:
    used = found["inUse"]
    say(
        "searches of {} rest on calibration [b]{}[/b]{}, of {:,} persons",
        found["domainId"],
        used["calibrationId"],
        ", the service's own" if found["fromService"] else "",
        used["persons"],
    )
    rows = [(f"{one['netSeconds']:g} s", _score(one), _measured(one)) for one in used["thresholds"]]
    print_table(("speech", "threshold", "persons"), rows, title=_title(found))
    if found["versions"]:
        rows = [_version_row(one) for one in found["versions"]]
        print_table(("version", "calibration", "made from", "since", "by"), rows)
    if found["advice"]:
        warn("{}", found["advice"])


def _version_row(version: dict[str, Any]) -> tuple[str, ...]:
    held: dict[str, Any] | None = version["calibration"]
    made_from = "" if held is None else str(held["madeFrom"])
    return (
        str(version["number"]),
        _SERVICE if held is None else str(held["calibrationId"]),
        "another encoder's" if version["ofOtherEncoder"] else made_from,
        str(version["createdAt"])[:19] + "Z",
        str(version["keyId"]),
    )


def _print_comparison(compared: dict[str, Any]) -> None:
    before, after = compared["before"], compared["after"]
    thresholds: list[dict[float, dict[str, Any]]] = [
        {one["netSeconds"]: one for one in side["thresholds"]} for side in (before, after)
    ]
    rows = [("calibration", before["calibrationId"], after["calibrationId"])]
    rows.append(("persons", f"{before['persons']:,}", f"{after['persons']:,}"))
    for seconds in sorted({*thresholds[0], *thresholds[1]}):
        found = [side.get(seconds) for side in thresholds]
        first, second = ("" if one is None else f"{_score(one)} {_measured(one)}" for one in found)
        rows.append((f"threshold with {seconds:g} s", first, second))
    print_table((_title(compared), "before", "after"), rows)
    labels = compared["labels"]
    if labels is None:
        if compared.get("isCompared", True):
            remark("no call of the domain is labelled, so nobody knows which names would be right")
        return
    groups = (("with a match", labels["matches"]), ("without a match", labels["noMatches"]))
    rows = [
        (kind, f"{one['calls']:,}", _right(one["before"]), _right(one["after"]), _changed(one)) for kind, one in groups
    ]
    print_table(("calls then", "labelled", "right before (95 %)", "right after (95 %)", "changed"), rows)
    for caution in labels["cautions"]:
        warn("{}", caution)


def _right(share: dict[str, Any]) -> str:
    if share["percent"] is None:
        return "unknown"
    low, high = share["interval"]
    return f"{share['count']:,} of {share['of']:,}: {share['percent']:.3g} % ({low:.3g} to {high:.3g})"


def _changed(one: dict[str, Any]) -> str:
    return f"{one['putRight']:,} put right, {one['putWrong']:,} put wrong"


def _title(found: dict[str, Any]) -> str:
    return f"{found['voiceprints']:,} voiceprints, {found['strangersNamedPercent']:g} % of strangers"


def _score(threshold: dict[str, Any]) -> str:
    return f"{threshold['score']:.3f}"


def _measured(threshold: dict[str, Any]) -> str:
    return f"{threshold['personsNeeded']:,} needed" if threshold["personsNeeded"] else "measured"


def _print_end(compared: dict[str, Any], installed: dict[str, Any] | None, *, as_json: bool) -> None:
    if as_json:
        known = ("domainId", "voiceprints", "strangersNamedPercent", "before", "after", "labels")
        version = compared["version"] if installed is None else installed["version"]
        print_json(
            {**{name: compared[name] for name in known}, "version": version, "isInstalled": installed is not None}
        )
    elif installed is None:
        remark("nothing was changed")
    elif installed["version"] == compared["version"]:
        remark("it is in use already")
    else:
        remark(
            "in use since version {}; `earwitness calibration use {} --domain {}` goes back",
            installed["version"],
            _SERVICE if compared["fromService"] else compared["before"]["calibrationId"],
            compared["domainId"],
        )
