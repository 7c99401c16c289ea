"""`earwitness tasks`: what calls came to, in full."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.options import Json, RegionOption, UrlOption
from earwitness.cli.output import note, out, percent, print_json, reporting, say, visible

if TYPE_CHECKING:
    from earwitness.cli.asking import Asking

PipelineOption = Annotated[str | None, typer.Option("--pipeline", metavar="ID", help="Only of this pipeline.")]

_NAMED_MAX = 3


def register(app: typer.Typer) -> None:
    app.command()(tasks)


def tasks(
    task: Annotated[str | None, typer.Argument(metavar="TASK_ID", help="Show this one in full.")] = None,
    pipeline: PipelineOption = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: Json = False,
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
    from rich.markup import escape
    from rich.table import Column, Table

    if as_json:
        print_json(found)
        return
    if not found:
        say("there are no tasks; StartSpeakerSearchTask begins one", to=note)
        return
    task_column = Column("task", min_width=36)  # an id that is cut short is no use
    table = Table(
        task_column, Column("pipeline", overflow="fold"), "status", "created", "channel", "lag", "outcome", "voiceprint"
    )
    for task in found:
        row = (
            task["taskId"],
            task["pipelineId"],
            task["status"],
            task["createdAt"][:19] + "Z",
            str(task["stream"]["channelId"]),
            "" if task["lagSeconds"] is None else f"{task['lagSeconds']:.1f} s",
            _outcome(task["identification"]),
            "" if task["voiceprint"] is None else task["voiceprint"]["status"].removeprefix("VoiceprintGeneration"),
        )
        table.add_row(*(escape(visible(text)) for text in row))
    out.print(table)


def _outcome(decision: Mapping[str, Any] | None) -> str:
    if decision is None:
        return ""
    if decision["outcome"] != "match":
        return str(decision["outcome"])
    first = decision["candidates"][0]
    return f"{first['profileId']} ({percent(first['probability'])})"


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
    show_decision(task["identification"])
    voiceprint = task["voiceprint"]
    if voiceprint is not None:
        until = voiceprint["canBeEnrolledUntil"]
        say("{}{}", voiceprint["status"], f", can be enrolled until {until}" if until else "")
    if task["profileId"]:
        say("enrolled as [b]{}[/b]", task["profileId"])


def show_decision(decision: Mapping[str, Any] | None) -> None:
    """Print the result of a search, as the service tells it."""
    if decision is None:
        say("not searched yet")
        return
    template = (
        "[green]{}[/green] with {:.1f} s" if decision["outcome"] == "match" else "[yellow]{}[/yellow] with {:.1f} s"
    )
    say(template + " of speech", decision["outcome"], decision["netSpeechSeconds"])
    if decision["ambiguous"]:
        say("[yellow]ambiguous[/yellow]: the second fits nearly as well")
    for candidate in decision["candidates"][:_NAMED_MAX]:
        chance = percent(candidate["probability"])
        say("  {}: probability {}, score {:.2f}", candidate["profileId"], chance, candidate["score"])
    threshold = decision["threshold"]
    if threshold is not None:
        say("  nobody of them: {}", percent(decision["nobodyProbability"]))
        say(
            "threshold {:.2f}: at most {:g} % of strangers are named among {} voiceprints",
            threshold["score"],
            threshold["strangersNamedPercent"],
            threshold["gallerySize"],
        )
