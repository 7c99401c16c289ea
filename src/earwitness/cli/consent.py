"""`earwitness consent`: what people agreed to, in a running service."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from earwitness.cli.backfill import LOOK_SECONDS, patiently
from earwitness.cli.calls import service_client
from earwitness.cli.domains import DomainArgument
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, print_table, progress_of, remark, say
from earwitness.errors import ConfigurationError
from earwitness.voice.consent import ConsentRequirement
from earwitness.voice.withdrawal import WithdrawalState

SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT", help="What you call the person: a reference, not a name. With - it is read from the input."
    ),
]

consent = typer.Typer(
    help="What people agreed to: record it, require it in a domain, tell what is held of a person, delete it all.",
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


@consent.command("report")
def report(
    subject: SubjectArgument, url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Show everything that is held of a person, in all domains of the Region. For admins; it is audited."""
    with service_client(url, region, as_json=as_json) as service:
        held = service.tell("/consents/report", {"subject": subject_of(subject)})
    if as_json:
        print_json(held)
        return
    if held["withdrawnAt"]:
        remark("withdrew on {}", held["withdrawnAt"][:10])
    rows = [(what, place, when[:19].replace("T", " "), more) for what, place, when, more in _held_rows(held)]
    if rows:
        print_table(("what", "id", "since", "details"), rows, folds={"id", "details"})
    if held["votes"]:
        say("{} votes", held["votes"])
    if not rows:
        remark("nothing is held of this person")


@consent.command("withdraw")
def withdraw(
    subject: SubjectArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until results and media are gone too.")
    ] = False,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete everything that is held of a person, for good, and refuse the person until a newer consent is recorded."""
    named = {"subject": subject_of(subject)}
    with service_client(url, region, as_json=as_json) as service:
        if not yes:
            _confirm(service.tell("/consents/report", named))
        with progress_of() as show:
            found = patiently(lambda: service.tell("/consents/withdraw", named))
            path = f"/withdrawals/{service.segment(found['withdrawalId'], what='withdrawal')}"
            while found["state"] != WithdrawalState.DONE and not no_wait:
                done = sum(one["isDone"] for one in found["media"])
                show("looking through results and media", done, len(found["media"]) + 1)
                time.sleep(LOOK_SECONDS)
                found = patiently(lambda: service.get(path))
    if as_json:
        print_json(found)
        return
    deleted = [f"{one['count']} {one['what']}" for one in found["deleted"]]
    fragments = sum(one["fragments"] for one in found["media"])
    if fragments:
        deleted.append(f"{fragments} fragments of media, with all their channels")
    say("[green]withdrawn[/green]: {}", ", ".join(deleted) if deleted else "nothing was held")
    for one in found["remains"]:
        remark("remains: {}", one)
    if found["state"] != WithdrawalState.DONE:
        remark("results and media are still looked through; it goes on by itself")
    say("{}", found["withdrawalId"])
    remark("`earwitness certificate get {}` certifies it", found["withdrawalId"])


# `Any`: JSON objects, here and below.
def _confirm(held: dict[str, Any]) -> None:
    """Ask the person at the terminal; without a terminal nobody can be asked, so --yes is needed."""
    counts = {"consents": 0, "profiles": 0, "tasks": 0, "items": 0}
    told = ", ".join(f"{len(held[name])} {name if name != 'items' else 'items of jobs'}" for name in counts)
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{told} are held of this person, and withdrawing is for good; say --yes to do it")
    if not typer.confirm(f"Delete {told} and everything else of this person, for good?", err=True):
        raise typer.Exit(Exit.NO)


def _held_rows(held: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for one in held["consents"]:
        text = f"text {one['textVersion']}, {one['medium']}, {one['evidence']}, {one['purpose']}"
        yield "consent", one["consentId"], one["givenAt"] or one["createdAt"], text
    for one in held["profiles"]:
        audio = sum(each["hasAudio"] for each in one["voiceprints"])
        yield (
            "profile",
            one["profileId"],
            one["createdAt"],
            f"{len(one['voiceprints'])} voiceprints, {audio} with speech, until {one['expiresAt'][:10]}",
        )
    for one in held["tasks"]:
        yield "task", one["taskId"], one["createdAt"], _task_details(one)
    for one in held["namedIn"]:
        yield "named in", one["taskId"], one["createdAt"], _task_details(one)
    for one in held["items"]:
        yield "item of a job", f"{one['jobId']} {one['number']}", one["createdAt"], one["name"] or ""
    for one in held["labels"]:
        yield "label", one["taskId"], one["createdAt"], " ".join(filter(None, (one["spoke"], one["profileId"])))


def _task_details(task: dict[str, Any]) -> str:
    kinds = {"hasResult": "result", "hasVoiceprint": "voiceprint", "hasFingerprint": "fingerprint"}
    has = [name for key, name in {**kinds, "isRepeat": "told to be a repeat"}.items() if task[key]]
    return f"{task['status']}{''.join(f', {one}' for one in has)}, channel {task['channelId']} of {task['streamArn']}"


def subject_of(argument: str) -> str:
    """Return the subject of an argument, or of the input for -, so that it need not stand in the list of processes."""
    subject = sys.stdin.readline().rstrip("\r\n") if argument == "-" else argument
    if not subject:
        raise ConfigurationError("the subject is empty; give what your consents call the person")
    return subject
