"""`earwitness status`: what a running service does, and how much of what it may have the account uses."""

import typer

from earwitness.cli.options import JsonOption, RegionOption, UrlOption
from earwitness.cli.output import print_json, reporting, say
from earwitness.cli.table import print_table

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


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(url: UrlOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show what a running service does now, and how much of its limits your account uses."""
    from earwitness.cli.asking import asking

    with reporting(as_json=as_json), asking(url=url, region=region) as service:
        told = service.get("/status")
        if as_json:
            print_json(told)
            return
        lag = told["lagSecondsMax"]
        behind = "" if lag is None else f", the last of them {lag:.1f} s behind its stream"
        say("{} calls of all accounts are listened to{}", told["runningTasks"], behind)
        rows = [(str(WORDS.get(one["name"], one["name"])), str(one["used"]), str(one["most"])) for one in told["use"]]
        print_table(["account {}".format(told["accountId"]), "used", "most"], rows)
        kept = "kept, encrypted" if told["keepsEnrolmentAudio"] else "not kept"
        say("speech behind voiceprints is {} (EARWITNESS_KEEP_ENROLMENT_AUDIO)", kept)
