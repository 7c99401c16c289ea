"""`earwitness retention`: how long a running service keeps what it holds of voices, and whether it was deleted then."""

from typing import Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, print_table, say, warn

_Domain = Annotated[str, typer.Option("--domain", metavar="ID", help="The voice profile domain.")]

retention = typer.Typer(
    help="How long a running service keeps what it holds of voices: show it, tell a domain, see what was deleted.",
    no_args_is_help=True,
)

_WORDS = {
    "voiceprintHours": ("voiceprints of calls, after the call", "hours"),
    "resultsHours": ("results and events, after the call", "hours"),
    "profileDays": ("voiceprints of profiles, after enrolment", "days"),
    "audioDays": ("speech behind voiceprints", "days"),
    "lastContactDays": ("profiles without contact", "days"),
}
_NOTHING = {"audioDays": "as long as the voiceprint", "lastContactDays": "not looked for"}


@retention.command("show")
def show_retention(
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="ID", help="A domain's schedule, instead of the published page.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the schedule that the service publishes at /retention, or that of a domain."""
    with service_client(url, region, as_json=as_json) as service:
        if domain is not None:
            _print(service.get(f"/domains/{service.segment(domain, what='domain')}/retention"), as_json=as_json)
            return
        found = service.published("/retention.json")
    if as_json:
        print_json(found)
        return
    _print_rows("what this service keeps", found["service"])
    for one in found["domains"]:
        _print_rows(one["name"], one["rows"])
    _print_rows("what else", found["others"])


@retention.command("set")
def set_retention(
    domain: _Domain,
    voiceprint_hours: Annotated[
        int | None, typer.Option(help="Voiceprints of calls, after the call: 1 to 24; with --look-back to 168.")
    ] = None,
    results_hours: Annotated[int | None, typer.Option(help="Results and events, after the call: 1 to 168.")] = None,
    profile_days: Annotated[
        int | None, typer.Option(help="Voiceprints of profiles, after the last enrolment: 1 to 1095.")
    ] = None,
    audio_days: Annotated[
        int | None, typer.Option(help="Speech behind voiceprints, where it is kept: 0 to 1095.")
    ] = None,
    last_contact_days: Annotated[
        int | None, typer.Option(help="Profiles that nobody was found to be: 1 to 1095.")
    ] = None,
    look_back: Annotated[
        bool | None, typer.Option(help="Keep voiceprints of calls beyond 24 hours, to look for a voice in them.")
    ] = None,
    published_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the published page calls the domain.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a domain how long to keep what it holds. What is left out stays; shorter holds for what is there already."""
    given = {
        "voiceprintHours": voiceprint_hours,
        "resultsHours": results_hours,
        "profileDays": profile_days,
        "audioDays": audio_days,
        "lastContactDays": last_contact_days,
        "lookBack": look_back,
        "publishedName": published_name,
    }
    with service_client(url, region, as_json=as_json) as service:
        path = f"/domains/{service.segment(domain, what='domain')}/retention"
        before = service.get(path)
        wanted = {name: before[name] for name in before["told"]} | {
            name: value for name, value in given.items() if value is not None
        }
        if wanted.get("publishedName") == "":  # as it is without one
            del wanted["publishedName"]
        if "lookBack" in wanted:
            wanted["lookBack"] = str(wanted["lookBack"]).lower()
        found = service.put(path, **wanted)
    _print(found, as_json=as_json)


@retention.command("reset")
def reset_retention(
    domain: _Domain, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Let a domain keep what comes as long as the service does by itself."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.put(f"/domains/{service.segment(domain, what='domain')}/retention")
    _print(found, as_json=as_json)


@retention.command("status")
def retention_status(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Runs to show.")] = 10,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show whether what is past its time was deleted, and when. Exit code 10: something is overdue, or nothing runs."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get("/retention/runs", limit=limit)
    if as_json:
        print_json(found)
    else:
        _print_runs(found)
    if found["state"] in ("overdue", "late"):
        raise typer.Exit(Exit.LOOK)


# `Any`: JSON objects, here and below.
def _print_runs(found: dict[str, Any]) -> None:
    say("expiry: [b]{}[/b]", found["state"])
    rows = [
        (
            run["startedAt"][:19] + "Z",
            _counts(run["due"]),
            _counts(run["deleted"]),
            _counts(run["overdue"]),
            run["nodeId"] or "",
        )
        for run in found["runs"]
    ]
    if rows:
        print_table(("run", "due", "deleted", "overdue", "node"), rows)
    if found["advice"]:
        warn("{}", found["advice"])


def _amount(number: int, unit: str) -> str:
    return f"{number} {unit if number != 1 else unit.removesuffix('s')}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    print_table((title, "how long"), [(row["what"], row["kept"]) for row in rows])


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (
            words,
            _NOTHING.get(name, "") if found[name] is None else _amount(found[name], unit),
            "told" if name in found["told"] else "by itself",
        )
        for name, (words, unit) in _WORDS.items()
    ]
    print_table((found["domainId"], "kept", ""), rows)
    if found["lookBack"]:
        say("voiceprints of calls are kept to look for a voice in them; the published page tells it")
    if found["updatedAt"]:
        say("told by {} on {}", found["keyId"], found["updatedAt"][:19] + "Z")
