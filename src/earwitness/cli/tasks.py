"""`earwitness tasks`: what calls came to, in full."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.answers import print_decision
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import note, percent, print_json, reporting, say
from earwitness.cli.table import print_table
from earwitness.voice.decision import Outcome

if TYPE_CHECKING:
    from earwitness.cli.asking import Asking

PipelineOption = Annotated[str | None, typer.Option("--pipeline", metavar="ID", help="Only of this pipeline.")]

_COLUMNS = (
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


def register(app: typer.Typer) -> None:
    app.command()(tasks)


def tasks(
    task: Annotated[str | None, typer.Argument(metavar="TASK_ID", help="Show this one in full.")] = None,
    pipeline: PipelineOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the speaker search tasks of a running service and what they found, newest first."""
    from earwitness.cli.asking import asking, segment

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        if task is not None:
            _show_one(service.get(f"/tasks/{segment(task, what='task')}"), as_json=as_json)
        else:
            _show_all(list(every(service, "/tasks", "tasks", pipelineId=pipeline)), as_json=as_json)


# `Any`: JSON objects, here and below.
def every(service: "Asking", path: str, member: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The items of all pages of a list."""
    following = None
    while True:
        page = service.get(path, nextToken=following, limit=100, **query)
        yield from page[member]
        following = page["nextToken"]
        if following is None:
            return


def _show_all(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if not found:
        say("there are no tasks; StartSpeakerSearchTask begins one", to=note)
        return
    print_table(_COLUMNS, [_row(task) for task in found])


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
    """Outcome, probability and who: of the profile that was named, or that it is nobody enrolled."""
    if decision is None:
        return "", "", ""
    if decision["outcome"] == Outcome.MATCH:
        first = decision["candidates"][0]
        return decision["outcome"], percent(first["probability"]), first["profileId"]
    nobody = decision["nobodyProbability"]
    return decision["outcome"], "" if nobody is None else percent(nobody), ""


def _show_one(task: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(task)
        return
    say("[b]{}[/b]: {}, attempt {}", task["taskId"], task["status"], task["attempt"])
    if task["statusMessage"]:
        say("[yellow]{}[/yellow]", task["statusMessage"])
    say("pipeline {}, channel {} of {}", task["pipelineId"], task["stream"]["channelId"], task["stream"]["arn"])
    say("domain {}", task["domain"]["arn"])
    for word in ("created", "started", "ended"):
        if task[f"{word}At"]:
            say("{} {}", word, task[f"{word}At"])
    if task["identification"] is None:
        say("not searched yet")
    else:
        print_decision(task["identification"])
        say("{:.1f} s of net speech used", task["identification"]["netSpeechSeconds"])
    voiceprint = task["voiceprint"]
    if voiceprint is not None:
        until = voiceprint["canBeEnrolledUntil"]
        say("{}{}", voiceprint["status"], f", can be enrolled until {until}" if until else "")
    if task["profileId"]:
        say("enrolled as [b]{}[/b]", task["profileId"])
