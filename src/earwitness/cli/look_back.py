"""`earwitness look-back`: where else a voice was heard, among the calls whose voiceprints a service keeps."""

from typing import Annotated

import typer

from earwitness.cli.calls import service_client
from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import Exit, print_json, print_table, remark
from earwitness.errors import ConfigurationError


def look_back(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="The speaker search task that heard it.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="ID", help="The voice of this profile, in place of a task's.")
    ] = None,
    url: UrlOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in which other calls a voice was heard, as long as their voiceprints are kept.

    Exit code 0: in one at least, 1: in none.
    """
    with service_client(url, region, as_json=as_json) as service:
        if (task is None) == (profile is None):
            raise ConfigurationError("give a task, or --profile with a voice profile, and not both")
        if task is not None:
            path = f"/tasks/{service.segment(task, what='task')}/look-back"
        else:
            path = f"/profiles/{service.segment(profile or '', what='profile')}/look-back"
        found = service.post(path)
    matches = sum(one["isMatch"] for one in found["calls"])
    if as_json:
        print_json(found)
        raise typer.Exit(Exit.OK if matches else Exit.NO)
    rows = [
        (
            "yes" if one["isMatch"] else "no",
            one["taskId"],
            one["heardAt"][:19].replace("T", " "),
            f"{one['score']:.2f}",
            f"{one['likelihoodRatio']:.2g}",
            f"{one['strangersExpected']:.2g}",
        )
        for one in found["calls"]
    ]
    if rows:
        titles = ("match", "task", "heard (UTC)", "score", "times likelier one person", "such calls of strangers")
        print_table(titles, rows)
    threshold = found["threshold"]
    remark(
        "{} of {} calls are a match; a stranger's voice finds one in at most {:g} % of look-backs{}",
        matches,
        found["lookedAt"],
        threshold["strangersNamedPercent"],
        ", extrapolated" if threshold["extrapolated"] else "",
    )
    if found["ofOtherEncoder"]:
        remark("{} calls were not compared: another encoder made their voiceprints", found["ofOtherEncoder"])
    if found["kept"] > found["lookedAt"] + found["ofOtherEncoder"] + 1:
        remark("only the latest {} of {} calls were compared", found["lookedAt"], found["kept"])
    raise typer.Exit(Exit.OK if matches else Exit.NO)
