"""`earwitness status`, `tasks`, `watch` and `events`: what a running service does and reports of calls."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import (
    line_in_words,
    percent,
    print_decision,
    print_json,
    print_table,
    reader_is_gone,
    remark,
    reporting,
    say,
    warn,
    warn_of_lines,
)
from earwitness.errors import AskingError
from earwitness.voice.decision import Outcome
from earwitness.voice.limits import measured_limits
from earwitness.voice.task_status import TaskStatus

if TYPE_CHECKING:
    from earwitness.cli.client import ServiceClient

WAIT_SECONDS = 20
AGAIN_SECONDS_MAX = 10.0
"""How long to wait at most before a service that went away is asked again."""

WORDS = {
    "runningTasks": "calls listened to, in this process",
    "mediaConnections": "producers and readers connected",
    "recordings": "recordings listened to",
    "waitingRequests": "requests that wait for events",
    "activeTasks": "active speaker search tasks",
    "activePipelines": "active pipelines",
    "configurations": "pipeline configurations",
    "domains": "voice profile domains",
    "streams": "Kinesis video streams",
}
"""What the counters of /status are called in the table."""

_TASK_TITLES = (
    "task",
    "status",
    "outcome",
    "probability",
    "channel",
    "lag",
    "created",
    "profile",
    "voiceprint",
    "pipeline",
)

PipelineOption = Annotated[str | None, typer.Option("--pipeline", metavar="ID", help="Only of this pipeline.")]

events = typer.Typer(help="Events of a running service: list them, deliver them again.", no_args_is_help=True)


@contextmanager
def service_client(url: str | None, region: str | None, *, as_json: bool) -> "Generator[ServiceClient]":
    """Ask a running service; an error becomes a line and an exit code."""
    from earwitness.cli.client import connect

    with reporting(as_json=as_json), connect(url=url, region=region) as service:
        yield service


def status(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show what a running service does now, and how much of its limits your account uses."""
    with service_client(url, region, as_json=as_json) as service:
        found = service.get("/status")
        lines = lines_of_all(service)
    if as_json:
        print_json({**found, "lines": lines})
        return
    lag = found["lagSecondsMax"]
    behind = "" if lag is None else f", the last of them {lag:.1f} s behind its stream"
    say("{} calls of all accounts are listened to{}", found["runningTasks"], behind)
    rows = [(str(WORDS.get(one["name"], one["name"])), str(one["used"]), str(one["most"])) for one in found["use"]]
    print_table([f"account {found['accountId']}", "used", "most"], rows)
    kept = "kept, encrypted" if found["keepsEnrolmentAudio"] else "not kept"
    say("speech behind voiceprints is {} (EARWITNESS_KEEP_ENROLMENT_AUDIO)", kept)
    for domain in lines:
        for line in domain["lines"]:
            say("domain {}, line {}: {}", domain["domainId"], line["codec"], line_in_words(line))
        warn_of_lines(domain)


# `Any`: JSON objects.
def lines_of_all(service: "ServiceClient") -> list[dict[str, Any]]:
    """Return what all domains of the account have learnt of their lines."""
    domains = service.every("/domains", "domains")
    return [service.get(f"/domains/{service.segment(one['domainId'], what='domain')}/lines") for one in domains]


def tasks(
    task: Annotated[str | None, typer.Argument(metavar="TASK_ID", help="Show this one in full.")] = None,
    pipeline: PipelineOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the speaker search tasks of a running service and what they found, newest first."""
    with service_client(url, region, as_json=as_json) as service:
        if task is not None:
            found = service.get(f"/tasks/{service.segment(task, what='task')}")
        else:
            found = list(service.every("/tasks", "tasks", pipelineId=pipeline))
    if as_json:
        print_json(found)
    elif isinstance(found, dict):
        _print_task(found)
    elif found:
        print_table(_TASK_TITLES, [_row(one) for one in found])
    else:
        remark("there are no tasks; StartSpeakerSearchTask begins one")


# `Any`: JSON objects, here and below.
def _row(task: Mapping[str, Any]) -> tuple[str, ...]:
    outcome, probability, profile = _answer(task["identification"])
    voiceprint = task["voiceprint"]
    return (
        task["taskId"],
        task["status"],
        outcome,
        probability,
        str(task["stream"]["channelId"]),
        "" if task["lagSeconds"] is None else f"{task['lagSeconds']:.1f} s",
        task["createdAt"][:19] + "Z",
        profile,
        "" if voiceprint is None else voiceprint["status"].removeprefix("VoiceprintGeneration"),
        task["pipelineId"],
    )


def _answer(decision: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Return outcome, probability and who: of the profile that was named, or that it is nobody enrolled."""
    if decision is None:
        return "", "", ""
    if decision["outcome"] == Outcome.MATCH:
        first = decision["candidates"][0]
        return decision["outcome"], percent(first["probability"]), first["profileId"]
    nobody = decision["nobodyProbability"]
    return decision["outcome"], "" if nobody is None else percent(nobody), ""


def _without_result(task: Mapping[str, Any]) -> str:
    if task["status"] == TaskStatus.FAILED:
        return "no result: the task failed"
    return "no result: too little speech, stopped early, or deleted" if task["endedAt"] else "not searched yet"


def _print_task(task: Mapping[str, Any]) -> None:
    say("[b]{}[/b]: {}, attempt {}", task["taskId"], task["status"], task["attempt"])
    if task["statusMessage"]:
        say("[yellow]{}[/yellow]", task["statusMessage"])
    say("pipeline {}, channel {} of {}", task["pipelineId"], task["stream"]["channelId"], task["stream"]["arn"])
    say("domain {}", task["domain"]["arn"])
    for word in ("created", "started", "ended"):
        if task[f"{word}At"]:
            say("{} {}", word, task[f"{word}At"])
    if task["identification"] is None:
        say(_without_result(task))
    else:
        print_decision(task["identification"])
        say("{:.1f} s of net speech used", task["identification"]["netSpeechSeconds"])
    voiceprint = task["voiceprint"]
    if task["repeatsTaskId"]:
        warn("repeats task {}. {}", task["repeatsTaskId"], measured_limits().of_a_repeat)
    if voiceprint is not None:
        until = voiceprint["canBeEnrolledUntil"]
        say("{}{}", voiceprint["status"], f", can be enrolled until {until}" if until else "")
    if task["profileId"]:
        say("enrolled as [b]{}[/b]", task["profileId"])


def watch(
    pipeline: PipelineOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
) -> None:
    """Print the events of a running service as they come, until Ctrl-C. A service that goes away is waited for."""
    with service_client(url, region, as_json=False) as service:
        for event in following(service, pipeline, sleep=time.sleep):
            if as_json:
                sys.stdout.write(json.dumps(event) + "\n")
                sys.stdout.flush()
            else:
                say("{}", _line_of(event))
            if reader_is_gone():
                break


@events.command("list")
def list_events(
    pipeline: PipelineOption = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only those behind this number.")] = 0,
    newest: Annotated[bool, typer.Option("--newest", help="The newest, instead of those behind a number.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many.")] = 50,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show events in the order of their numbers, and what became of them at each target."""
    if newest and after:
        raise typer.BadParameter("give --after or --newest")
    with service_client(url, region, as_json=as_json) as service:
        if newest:
            answer = _newest_events(service, pipeline=pipeline, limit=limit)
        else:
            answer = service.get("/events", pipelineId=pipeline, after=after, limit=limit)
    if as_json:
        print_json(answer)
        return
    for event in answer["events"]:
        say("{} {}", event["sequence"], _line_of(event))
        say("  [dim]{}[/dim]", event["eventId"])
        for delivery in event["deliveries"]:
            wrong = f" ({delivery['lastError']})" if delivery["lastError"] else ""
            say("  {} {} after {} attempts{}", delivery["target"], delivery["state"], delivery["attempts"], wrong)
    if len(answer["events"]) == limit and not newest:
        remark("there may be more: --after {}", answer["next"])


# `Any`: a JSON object.
def _newest_events(service: "ServiceClient", *, pipeline: str | None, limit: int) -> dict[str, Any]:
    """Return an answer of /events with the newest ones, the oldest of them first.

    Numbers are of all accounts together, so the last ones may be of others: then we look further back.
    """
    last = service.get("/events", pipelineId=pipeline, after="latest")["next"]
    span = limit
    while True:
        after = max(0, last - span)
        answer = service.get("/events", pipelineId=pipeline, after=after, limit=limit)
        if len(answer["events"]) == limit or not after:
            break
        span *= 4
    found = deque(answer["events"], maxlen=limit)
    while len(answer["events"]) == limit:
        answer = service.get("/events", pipelineId=pipeline, after=answer["next"], limit=limit)
        found.extend(answer["events"])
    return {"events": [*found], "next": answer["next"]}


@events.command()
def replay(
    event: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="As `events list` shows it.")] = None,
    parked: Annotated[
        bool, typer.Option("--parked", help="All events that are parked, of the account and Region, instead of one.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", metavar="ARN|webhook|file", help="Only to this one.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliver an event again that was delivered or parked, or all that are parked: the same ids, the same bytes."""
    if parked == (event is not None):
        raise typer.BadParameter("give an EVENT_ID, or --parked for all that are parked")
    with service_client(url, region, as_json=as_json) as service:
        path = "/events/replay" if event is None else f"/events/{service.segment(event, what='event')}/replay"
        answer = service.post(path, target=target)
    if as_json:
        print_json(answer)
    else:
        remark("{} deliveries wait again", answer["replayed"])


def following(
    service: "ServiceClient", pipeline: str | None, *, sleep: Callable[[float], None]
) -> Iterator[Mapping[str, Any]]:
    """Yield events from now on, without an end. A service that went away is asked again where we were.

    Errors before the first answer are raised: then it is the address or the credentials.
    """
    answer = service.get("/events", pipelineId=pipeline, after="latest")
    pause = 1.0
    while True:
        yield from answer["events"]
        try:
            answer = service.get("/events", pipelineId=pipeline, after=answer["next"], wait=WAIT_SECONDS)
            pause = 1.0
        except AskingError as error:
            if not error.retryable:
                raise
            remark("[yellow]the service went away[/yellow]; asking again every few seconds")
            sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS_MAX)
            answer = {**answer, "events": ()}  # what was there has been shown


def _line_of(event: Mapping[str, Any]) -> str:
    """Return an event in a line for people."""
    body: Mapping[str, Any] = event["body"] or {}
    detail: Mapping[str, Any] = body.get("detail", {})
    what = (
        detail.get("detailStatus")
        or detail.get("eventType")
        or detail.get("streamingStatus")
        or body.get("detail-type")
        or event["kind"]
    )
    parts = [f"{event['createdAt'][:19]}Z", event["pipelineId"], str(what)]
    if "channelId" in detail:
        parts.append(f"channel {detail['channelId']}")
    for result in detail.get("speakerSearchDetails", {}).get("results", ()):
        parts.append(f"{result['voiceProfileId']} ({percent(float(result['confidenceScore']))})")
    if "statusMessage" in detail:
        parts.append(str(detail["statusMessage"]))
    return "  ".join(parts)
