"""`earwitness domains` and `earwitness profiles --domain`: voices in a domain of a running service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.answers import EXIT_OF, print_decision
from earwitness.cli.options import Channel, Json, RegionOption, UrlOption
from earwitness.cli.output import note, print_json, progress_of, reporting, say
from earwitness.cli.table import Column, print_table
from earwitness.cli.tasks import every
from earwitness.voice.decision import Outcome

DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="The id of a voice profile domain.")]
RecordingArgument = Annotated[Path, typer.Argument(metavar="FILE", help="WAV, FLAC, MP3, OGG, GSM in WAV; to 50 MB.")]

domains = typer.Typer(
    help="Recordings and the domains of a running service: enrol a voice, search for one.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(domains, name="domains")


@domains.command("enroll")
def enroll_recording(
    domain: DomainArgument,
    file: RecordingArgument,
    consent: Annotated[
        str, typer.Option("--consent", metavar="TEXT", help="Where the consent of the voice's owner is recorded.")
    ],
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="ID", help="Add a voiceprint to this one; default: make one."),
    ] = None,
    channel: Channel = None,
    request_token: Annotated[
        str | None,
        typer.Option(
            "--request-token", metavar="TEXT", help="Given again within 24 hours, it makes nothing a second time."
        ),
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Enrol the voice in a recording: a new profile of a domain, or a further voiceprint of one."""
    with reporting(as_json=as_json):
        asked = {"consent": consent, "profileId": profile, "channel": channel, "clientRequestToken": request_token}
        made = _send(domain, "profiles", file, url=url, region=region, asked=asked)
    if as_json:
        print_json(made)
        return
    seconds = ", ".join(f"{one['netSpeechSeconds']:.1f} s" for one in made["voiceprints"])
    say("[green]enrolled[/green] [b]{}[/b]: voiceprints of {} of net speech", made["profileId"], seconds)
    say("expires {}", made["expiresAt"][:10])


@domains.command("search")
def search_recording(
    domain: DomainArgument,
    file: RecordingArgument,
    channel: Channel = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Say who of a domain speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little speech."""
    with reporting(as_json=as_json):
        decision = _send(domain, "search", file, url=url, region=region, asked={"channel": channel})
    if as_json:
        print_json(decision)
    else:
        print_decision(decision)
        say("{:.1f} s of net speech used", decision["netSpeechSeconds"])
    raise typer.Exit(EXIT_OF[Outcome(decision["outcome"])])


# `Any`: values of a query, and a JSON object.
def _send(
    domain: str, what: str, file: Path, *, url: str | None, region: str | None, asked: dict[str, Any]
) -> dict[str, Any]:
    from earwitness.cli.asking import asking, segment

    path = f"/domains/{segment(domain, what='domain')}/{what}"
    with asking(url=url, region=region) as service, progress_of(sizes=True) as show:
        return service.send(path, file, sent=lambda done, total: show("sending", done, total), **asked)


def list_domain(domain: str, *, url: str | None, region: str | None, as_json: bool) -> None:
    """Print the profiles of a domain with their voiceprints."""
    from earwitness.cli.asking import asking, segment

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        path = f"/domains/{segment(domain, what='domain')}/profiles"
        found = list(every(service, path, "profiles"))
    if as_json:
        print_json(found)
        return
    if not found:
        say("nobody is enrolled in {}", domain, to=note)
        return
    columns = ["profile", "voiceprints", "net speech", "expires", Column("consent", folds=True), "created"]
    print_table(columns, [_row(profile) for profile in found])


def _row(profile: dict[str, Any]) -> tuple[str, ...]:
    prints = profile["voiceprints"]
    consents = [one["consentReference"] or ("yes" if one["hasConsentReference"] else "none given") for one in prints]
    return (
        profile["profileId"],
        str(len(prints)) if prints else "expired",
        ", ".join(f"{one['netSpeechSeconds']:.1f} s" for one in prints),
        profile["expiresAt"][:10],
        ", ".join(dict.fromkeys(consents)),
        profile["createdAt"][:10],
    )
