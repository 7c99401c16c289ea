"""`earwitness watch` and `earwitness events`: what a running service tells of calls, as it comes or afterwards."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import note, percent, print_json, reporting, say
from earwitness.cli.pipes import reader_is_gone
from earwitness.cli.tasks import PipelineOption
from earwitness.errors import AskingError

if TYPE_CHECKING:
    from earwitness.cli.asking import Asking

WAIT_SECONDS = 20
AGAIN_SECONDS_MAX = 10.0
"""How long to wait at most before a service that went away is asked again."""

events = typer.Typer(help="Events of a running service: list them, deliver them again.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(watch)
    app.add_typer(events, name="events")


def watch(
    pipeline: PipelineOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
) -> None:
    """Print the events of a running service as they come, until Ctrl-C. A service that goes away is waited for."""
    from earwitness.cli.asking import asking

    with reporting(as_json=False), asking(url=url, region=region) as service:
        for event in following(service, pipeline, sleep=time.sleep):
            if as_json:
                sys.stdout.write(json.dumps(event) + "\n")
                sys.stdout.flush()
            else:
                say("{}", line_of(event))
            if reader_is_gone():
                break


@events.command("list")
def list_events(
    pipeline: PipelineOption = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only those behind this number.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many.")] = 50,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show events in the order of their numbers, and what became of them at each target."""
    from earwitness.cli.asking import asking

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        answer = service.get("/events", pipelineId=pipeline, after=after, limit=limit)
    if as_json:
        print_json(answer)
        return
    for event in answer["events"]:
        say("{} {}", event["sequence"], line_of(event))
        say("  [dim]{}[/dim]", event["eventId"])
        for delivery in event["deliveries"]:
            wrong = f" ({delivery['lastError']})" if delivery["lastError"] else ""
            say("  {} {} after {} attempts{}", delivery["target"], delivery["state"], delivery["attempts"], wrong)
    if len(answer["events"]) == limit:
        say("there may be more: --after {}", answer["next"], to=note)


@events.command()
def replay(
    event: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As `events list` shows it.")],
    target: Annotated[str | None, typer.Option("--target", metavar="ARN|URL|FILE", help="Only to this one.")] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliver an event again that was delivered or parked: the same id, the same bytes."""
    from earwitness.cli.asking import asking, segment

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        answer = service.post(f"/events/{segment(event, what='event')}/replay", target=target)
    if as_json:
        print_json(answer)
    else:
        say("{} deliveries wait again", answer["replayed"], to=note)


# `Any`: JSON objects, here and below.
def following(
    service: "Asking", pipeline: str | None, *, sleep: Callable[[float], None]
) -> Iterator[Mapping[str, Any]]:
    """Events from now on, without an end. A service that went away is asked again where we were.

    Errors before the first answer are raised: then it is the address or the credentials.
    """
    after: int | str = "latest"
    pause = 1.0
    answer = service.get("/events", pipelineId=pipeline, after=after)
    while True:
        yield from answer["events"]
        after = answer["next"]
        while True:
            try:
                answer = service.get("/events", pipelineId=pipeline, after=after, wait=WAIT_SECONDS)
            except AskingError as error:
                if not error.retryable:
                    raise
                say("[yellow]the service went away[/yellow]; asking again every few seconds", to=note)
                sleep(pause)
                pause = min(2 * pause, AGAIN_SECONDS_MAX)
                continue
            pause = 1.0
            break


def line_of(event: Mapping[str, Any]) -> str:
    """An event in a line for people."""
    body: Mapping[str, Any] = event["body"] or {}
    detail: Mapping[str, Any] = body.get("detail", {})
    what = detail.get("detailStatus") or detail.get("eventType") or body.get("detail-type") or event["kind"]
    parts = [f"{event['createdAt'][:19]}Z", event["pipelineId"], str(what)]
    if "channelId" in detail:
        parts.append(f"channel {detail['channelId']}")
    for result in detail.get("speakerSearchDetails", {}).get("results", ()):
        parts.append(f"{result['voiceProfileId']} ({percent(float(result['confidenceScore']))})")
    if "statusMessage" in detail:
        parts.append(str(detail["statusMessage"]))
    return "  ".join(parts)
