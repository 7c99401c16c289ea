"""`earwitness consent`: what people agreed to, in a running service."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.domains import DomainArgument
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, remark, say
from earwitness.errors import ConfigurationError
from earwitness.voice.consent import ConsentRequirement

SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT", help="What you call the person: a reference, not a name. With - it is read from the input."
    ),
]

consent = typer.Typer(
    help="What people agreed to: record it, and say what needs it in a domain.",
    no_args_is_help=True,
)


@consent.command("require")
def require(
    domain: DomainArgument,
    what: Annotated[ConsentRequirement, typer.Argument(help="What is refused without a recorded consent.")],
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what needs a recorded consent in a domain: nothing, whatever enrols a voice, or searches too."""
    with service_client(url, region, as_json=as_json) as service:
        changed = service.put(f"/domains/{service.segment(domain, what='domain')}/consent", required=what.value)
    if as_json:
        print_json(changed)
    elif what is ConsentRequirement.NONE:
        say("nothing needs a consent in [b]{}[/b]", domain)
    else:
        needs = "enrolment needs" if what is ConsentRequirement.ENROLMENT else "search and enrolment need"
        say("{} a consent in [b]{}[/b]", needs, domain)


@consent.command("record")
def record(
    domain: DomainArgument,
    subject: SubjectArgument,
    text_version: Annotated[str, typer.Option("--text", metavar="VERSION", help="Which text was agreed to.")],
    medium: Annotated[str, typer.Option("--medium", metavar="TEXT", help="How it came: phone, web, paper.")],
    evidence: Annotated[
        str, typer.Option("--evidence", metavar="TEXT", help="Where it can be seen: a document's number or address.")
    ],
    purpose: Annotated[str, typer.Option("--purpose", metavar="TEXT", help="What the voice may be used for.")],
    given_at: Annotated[
        datetime | None, typer.Option("--given-at", help="When it was given, in UTC; default: now.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="ID", help="A profile of the domain that is this person's.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that a person consented, in a domain. One that says the same is recorded once."""
    when = datetime.now(UTC) if given_at is None else given_at.replace(tzinfo=UTC)
    terms: dict[str, Any] = {  # `Any`: a JSON object
        "subject": subject_of(subject),
        "textVersion": text_version,
        "givenAt": when.isoformat(),
        "medium": medium,
        "evidence": evidence,
        "purpose": purpose,
        "profileId": profile,
    }
    with service_client(url, region, as_json=as_json) as service:
        kept = service.tell(f"/domains/{service.segment(domain, what='domain')}/consents", terms)
    if as_json:
        print_json(kept)
        return
    say("{}", kept["consentId"])
    remark("recorded; a tag earwitness:consent:id of a pipeline may name it")


def subject_of(argument: str) -> str:
    """Return the subject of an argument, or of the input for -, so that it need not stand in the list of processes."""
    subject = sys.stdin.readline().rstrip("\r\n") if argument == "-" else argument
    if not subject:
        raise ConfigurationError("the subject is empty; give what your consents call the person")
    return subject
