"""A webhook whose address was wrong, on a real service: what waited goes to the address that is right."""

import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from calls import Application
from event_examples import SECRET
from recording_server import Recorded, recording
from serving import Served, start, stop
from typer.testing import CliRunner

import started
from earwitness.cli.main import app as command
from patience import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

PIPELINES = 5


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}/calls"


def settings_of(folder: Path, url: str) -> Path:
    file = folder / "settings.toml"
    lines = [f'webhook_url = "{url}"', f'webhook_secret = "{SECRET}"', 'webhook_private_addresses = "on"']
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def make_events(served: Served) -> list[dict[str, Any]]:
    """Let pipelines begin and end; return what they told, those of each in order."""
    application = Application(served, "hook")
    for number in range(PIPELINES):
        pipeline = application.pipeline(application.stream(str(number)))
        application.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    until(lambda: len(application.events()) == PIPELINES)
    application.close()
    return application.events()


def ids_by_pipeline(events: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for event in events:
        found[event["detail"]["mediaInsightsPipelineArn"]].append(event["id"])
    return found


def received(requests: Iterable[Recorded]) -> dict[str, list[str]]:
    return ids_by_pipeline(json.loads(request.body) for request in requests)


def told(served: Served) -> list[dict[str, Any]]:
    """Lines that the deliverer of an ended service wrote into its log."""
    lines = [json.loads(line) for line in started.all_said(served.process).splitlines() if line.startswith("{")]
    return [line for line in lines if line["room"] == "earwitness.deliver"]


def run(served: Served, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """Return what a command on events answers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, served.environment[name])
    result = CliRunner().invoke(command, ["events", *arguments, "--url", served.url, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_events_go_to_the_address_that_is_set_when_they_are_sent(tmp_path: Path, nobody: str) -> None:
    served = start(tmp_path / "data", settings_file=settings_of(tmp_path, nobody))
    made = ids_by_pipeline(make_events(served))
    stop(served)
    (line,) = told(served)
    assert (line["text"], line["target"]) == ("events are not delivered", "webhook")
    with recording() as right:
        served = start(tmp_path / "data", settings_file=settings_of(tmp_path, f"{right.url}/calls"))
        until(lambda: received(right.requests) == made)
        stop(served)


def test_a_webhook_that_is_not_there_yet_gets_its_events_later(tmp_path: Path) -> None:
    with recording() as hook:
        hook.status = 404
        served = start(tmp_path / "data", settings_file=settings_of(tmp_path, hook.url))
        made = ids_by_pipeline(make_events(served))
        until(lambda: len(hook.requests) >= 3)
        hook.status = 204
        refused = len(hook.requests)
        until(lambda: all(each <= received(hook.requests[refused:])[pipeline] for pipeline, each in made.items()))
        stop(served)
        assert "is not at this address" in told(served)[0]["reason"]


def test_what_is_parked_is_delivered_again_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def states() -> list[str]:
        events = run(served, monkeypatch, "list", "--limit", "100")["events"]
        return [one["state"] for event in events for one in event["deliveries"] if one["target"] == "webhook"]

    with recording() as hook:
        hook.status = 400
        served = start(tmp_path / "data", settings_file=settings_of(tmp_path, hook.url))
        made = ids_by_pipeline(make_events(served))
        until(lambda: states() == ["parked"] * sum(map(len, made.values())))
        elsewhere = "arn:aws:sqs:us-east-1:000000000000:none"
        assert run(served, monkeypatch, "replay", "--parked", "--target", elsewhere) == {"replayed": 0}
        hook.status, refused = 204, len(hook.requests)
        answer = run(served, monkeypatch, "replay", "--parked", "--target", "webhook")
        assert answer == {"replayed": sum(map(len, made.values()))}
        until(lambda: set(states()) == {"delivered"})
        assert received(hook.requests[refused:]) == made
        assert run(served, monkeypatch, "replay", "--parked") == {"replayed": 0}
        stop(served)


@pytest.mark.parametrize("url", ["calls.example.net/events", "https://user:word@calls.example.net/"])
def test_an_address_that_is_none_is_told_at_the_start(tmp_path: Path, url: str) -> None:
    environment = {"EARWITNESS_WEBHOOK_URL": url, "EARWITNESS_WEBHOOK_SECRET": SECRET}
    line = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", "0", "--data", str(tmp_path / "data")]
    with started.process(line, env=os.environ | environment, stderr=subprocess.PIPE, text=True) as refused:
        _, said = refused.communicate()
        assert refused.returncode == 2
        assert "webhook's URL" in said and "answers at" not in said
