"""`earwitness domains` and `earwitness profiles --domain`: voices in a domain of a running service."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import BandOption, ChannelOption, JsonOption, RegionOption, SubjectOption, UrlOption
from earwitness.cli.output import (
    Exit,
    exit_of,
    print_decision,
    print_json,
    print_table,
    progress_of,
    remark,
    say,
    warn,
)
from earwitness.errors import ConfigurationError
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
    with service_client(url, region, as_json=as_json) as service:
        asked = {"description": description, "band": band.value, "clientRequestToken": request_token}
        made = service.post("/domains", name=name, **asked)
    if as_json:
        print_json(made)
        return
    say("{}", made["domainId"])
    remark("{}", made["arn"])


@domains.command("list")
def list_domains(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show the domains of the account in the Region, oldest first."""
    with service_client(url, region, as_json=as_json) as service:
        found = list(service.every("/domains", "domains"))
    if as_json:
        print_json(found)
    elif not found:
        remark("there are no domains; `earwitness domains create NAME` makes one")
    else:
        rows = [
            (one["domainId"], one["name"], one["band"], one["createdAt"][:10], one["description"], one["arn"])
            for one in found
        ]
        titles = ("domain", "name", "band", "created", "description", "arn")
        print_table(titles, rows, folds={"name", "description"})


@domains.command("doctor")
def examine_domain(
    domain: DomainArgument,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with a domain's voiceprints: people enrolled twice, copies, poor ones. Nothing changes."""
    with service_client(url, region, as_json=as_json) as service:
        found = list(service.every(f"/domains/{service.segment(domain, what='domain')}/findings", "findings"))
    told: dict[object, dict[str, Any]] = {}
    for one in found:  # of two profiles it is told from each side
        pair = {one["profileId"], one["otherProfileId"]} - {None}
        told.setdefault((one["kind"], frozenset(pair)) if len(pair) == 2 else len(told), one)
    if as_json:
        print_json(list(told.values()))
    elif not told:
        remark("nothing is wrong with the voiceprints of {}", domain)
    else:
        rows = [
            (
                one["kind"],
                one["profileId"],
                one["otherProfileId"] or "",
                "" if one["score"] is None else f"{one['score']:.2f}",
                one["advice"],
            )
            for one in told.values()
        ]
        print_table(("finding", "profile", "and", "score", "what to do"), rows, folds={"what to do"})


@domains.command("delete")
def delete_domain(
    domain: DomainArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a domain with every voice in it, for good: its key is destroyed."""
    with service_client(url, region, as_json=as_json) as service:
        path = f"/domains/{service.segment(domain, what='domain')}"
        if not yes:
            enrolled = sum(1 for _ in service.every(f"{path}/profiles", "profiles"))
            _confirm(domain, enrolled)
        gone = service.delete(path)
    if as_json:
        print_json(gone)
    else:
        remark("deleted {} ({})", gone["domainId"], gone["name"])


def _confirm(domain: str, enrolled: int) -> None:
    """Ask the person at the terminal; without a terminal nobody can be asked, so --yes is needed."""
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
    subject: SubjectOption = None,
    channel: ChannelOption = None,
    request_token: RequestToken = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol the voice in a recording: a new profile of a domain, or a further voiceprint of one."""
    asked = {"consent": consent, "profileId": profile, "channel": channel, "clientRequestToken": request_token}
    asked["subject"] = subject
    made = _send(domain, "profiles", file, url=url, region=region, as_json=as_json, asked=asked)
    if as_json:
        print_json(made)
        return
    seconds = ", ".join(f"{one['netSpeechSeconds']:.1f} s" for one in made["voiceprints"])
    say("[green]enrolled[/green] [b]{}[/b]: voiceprints of {} of net speech", made["profileId"], seconds)
    say("expires {}", made["expiresAt"][:10])
    for other in made["sameVoiceAs"]:
        warn(
            "the voice sounds like {}, a profile of the domain; if they are one person, delete one of them, and give "
            "`--profile` next time",
            other,
        )


@domains.command("search")
def search_recording(
    domain: DomainArgument,
    file: RecordingArgument,
    channel: ChannelOption = None,
    subject: SubjectOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who of a domain speaks in a recording, if anyone. Exit code 0: a match, 1: none, 3: too little
    speech, 10: a match with a probability under 50 %, or several voices, with an answer for each.
    """
    asked = {"channel": channel, "subject": subject}
    decision = _send(domain, "search", file, url=url, region=region, as_json=as_json, asked=asked)
    if as_json:
        print_json(decision)
    else:
        print_decision(decision)
        say("{:.1f} s of net speech used", decision["netSpeechSeconds"])
    raise typer.Exit(exit_of(decision))


# `Any`: values of a query, and a JSON object.
def _send(
    domain: str, what: str, file: Path, *, url: str | None, region: str | None, as_json: bool, asked: dict[str, Any]
) -> dict[str, Any]:
    with service_client(url, region, as_json=as_json) as service, progress_of(sizes=True) as show:
        path = f"/domains/{service.segment(domain, what='domain')}/{what}"
        return service.send(path, file, sent=show, **asked)


def list_domain(domain: str, *, url: str | None, region: str | None, as_json: bool) -> None:
    """Print the profiles of a domain with their voiceprints."""
    with service_client(url, region, as_json=as_json) as service:
        found = list(service.every(f"/domains/{service.segment(domain, what='domain')}/profiles", "profiles"))
    if as_json:
        print_json(found)
    elif not found:
        remark("nobody is enrolled in {}", domain)
    else:
        titles = ("profile", "voiceprints", "net speech", "expires", "consent", "created")
        print_table(titles, [_row(profile) for profile in found], folds={"consent"})


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
