"""`earwitness domains` and `earwitness profiles --domain`: voices in a domain of a running service."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.answers import exit_of, print_decision
from earwitness.cli.options import BandOption, ChannelOption, JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, note, print_json, progress_of, reporting, say
from earwitness.cli.table import TableColumn, print_table
from earwitness.cli.tasks import every
from earwitness.voice.band import Band

DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="The id of a voice profile domain.")]
RecordingArgument = Annotated[Path, typer.Argument(metavar="FILE", help="WAV, FLAC, MP3, OGG, GSM in WAV; to 50 MB.")]
RequestToken = Annotated[
    str | None,
    typer.Option(
        "--request-token", metavar="TEXT", help="Given again within 24 hours, it makes nothing a second time."
    ),
]

domains = typer.Typer(
    help="The domains of a running service: make, list and delete them, enrol a recording, search with one.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    app.add_typer(domains, name="domains")


@domains.command("create")
def create_domain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it, for people.")],
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    band: BandOption = Band.TELEPHONE,
    request_token: RequestToken = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a domain: a set of voices that are searched together, with an encryption key of its own."""
    from earwitness.cli.asking import asking

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        asked = {"description": description, "band": band.value, "clientRequestToken": request_token}
        made = service.post("/domains", name=name, **asked)
    if as_json:
        print_json(made)
        return
    say("{}", made["domainId"])
    say("{}", made["arn"], to=note)


@domains.command("list")
def list_domains(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show the domains of the account in the Region, oldest first."""
    from earwitness.cli.asking import asking

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        found = list(every(service, "/domains", "domains"))
    if as_json:
        print_json(found)
    elif not found:
        say("there are no domains; `earwitness domains create NAME` makes one", to=note)
    else:
        columns = [
            "domain",
            TableColumn("name", folds=True),
            "band",
            "created",
            TableColumn("description", folds=True),
            "arn",
        ]
        print_table(columns, [_domain_row(domain) for domain in found])


def _domain_row(domain: dict[str, Any]) -> tuple[str, ...]:
    made = domain["createdAt"][:10]
    return domain["domainId"], domain["name"], domain["band"], made, domain["description"], domain["arn"]


@domains.command("delete")
def delete_domain(
    domain: DomainArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a domain with every voice in it, for good: its key is destroyed."""
    from earwitness.cli.asking import asking, segment

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        path = f"/domains/{segment(domain, what='domain')}"
        if not yes:
            enrolled = sum(1 for _ in every(service, f"{path}/profiles", "profiles"))
            _confirm(domain, enrolled)
        gone = service.delete(path)
    if as_json:
        print_json(gone)
    else:
        say("deleted {} ({})", gone["domainId"], gone["name"], to=note)


def _confirm(domain: str, enrolled: int) -> None:
    """Ask whoever sits there; without a terminal nobody can be asked, so --yes is needed."""
    from earwitness.errors import ConfigurationError

    people = f"{enrolled} profile{'' if enrolled == 1 else 's'}"
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{domain} holds {people}, and deleting is for good; say --yes to do it")
    if not typer.confirm(f"Delete {domain} with {people}, for good?", err=True):
        raise typer.Exit(Exit.NO)


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
    channel: ChannelOption = None,
    request_token: RequestToken = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
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
    for other in made["sameVoiceAs"]:
        say(
            "[yellow]warning:[/yellow] the voice sounds like {}, a profile of the domain; if they are one person, "
            "delete one of them, and give `--profile` next time",
            other,
            to=note,
        )


@domains.command("search")
def search_recording(
    domain: DomainArgument,
    file: RecordingArgument,
    channel: ChannelOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who of a domain speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little
    speech, 10: a match with a probability under 50 %, or several voices, with an answer for each.
    """
    with reporting(as_json=as_json):
        decision = _send(domain, "search", file, url=url, region=region, asked={"channel": channel})
    if as_json:
        print_json(decision)
    else:
        print_decision(decision)
        say("{:.1f} s of net speech used", decision["netSpeechSeconds"])
    raise typer.Exit(exit_of(decision))


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
    columns = ["profile", "voiceprints", "net speech", "expires", TableColumn("consent", folds=True), "created"]
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
