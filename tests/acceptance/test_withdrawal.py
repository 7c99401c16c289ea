"""A consent is withdrawn: a real service, real calls, and the bytes of everything that it keeps."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from calls import Application, kept_fragments, pcm
from serving import Served

from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow

SUBJECT = "customer 4711"
METADATA = {
    "earwitness:consent:subject": SUBJECT,
    "earwitness:consent:text-version": "2026-01",
    "earwitness:consent:given-at": "2025-12-31T08:00:00Z",
    "earwitness:consent:medium": "phone",
    "earwitness:consent:evidence": "call 17",
    "earwitness:consent:purpose": "to know callers",
    "customerName": "Ada Lovelace",
}


@pytest.fixture
def app(served: Served, request: pytest.FixtureRequest) -> Iterator[Application]:
    application = Application(served, re.sub(r"\W", "-", request.node.name)[:60])
    yield application
    application.close()


def _earwitness(served: Served, *arguments: str) -> Any:
    environment = served.environment | {"EARWITNESS_URL": served.url, "EARWITNESS_TOKEN": "test"}
    command = [sys.executable, "-m", "earwitness", *arguments, "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def _task(served: Served, task: str) -> dict[str, Any]:
    address = f"{served.url}/earwitness/v1/tasks/{task}"
    return httpx.get(address, headers={"Authorization": "Bearer test"}, params={"region": "us-east-1"}).json()


def test_nothing_of_a_subject_is_left_after_its_withdrawal(served: Served, app: Application) -> None:
    stream, other, domain = app.stream("line"), app.stream("other"), app.domain("callers")
    task, _ = app.call(first_call("sally"), stream=stream, domain=domain, MediaInsightsRuntimeMetadata=METADATA)
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]
    # Another call, of which nobody says whose it is, names her.
    unnamed, (named, _) = app.call(second_call("sally"), stream=other, domain=domain)
    assert named["speakerSearchDetails"]["results"][0]["voiceProfileId"] == profile

    held = _earwitness(served, "consent", "report", SUBJECT)
    assert [one["profileId"] for one in held["profiles"]] == [profile]
    assert [one["taskId"] for one in held["tasks"]] == [task]
    assert [one["taskId"] for one in held["namedIn"]] == [unnamed]
    assert held["consents"][0]["evidence"] == "call 17"
    media = _sealed_media(served.data)
    assert len(kept_fragments(app, stream)[0]) > 0

    done = _earwitness(served, "consent", "withdraw", SUBJECT, "--yes")
    assert done["state"] == "done"
    counts = {one["what"]: one["count"] for one in done["deleted"]}
    assert (counts["profiles"], counts["tasks"], counts["consents"], counts["results"]) == (1, 1, 1, 1)
    assert sum(one["fragments"] for one in done["media"]) > 0
    assert done["deletionIds"]

    assert kept_fragments(app, stream)[0] == []
    assert len(kept_fragments(app, other)[0]) > 0  # nobody said that it is hers
    with pytest.raises(ClientError, match="NotFound"):
        app.voice.get_voice_profile(VoiceProfileId=profile)
    assert _task(served, unnamed)["identification"] is None
    empty = _earwitness(served, "consent", "report", SUBJECT)
    assert not any(empty[what] for what in ("consents", "profiles", "tasks", "namedIn", "items", "votes", "labels"))

    kept = b"".join(file.read_bytes() for file in _kept_files(served.data))
    for text in (SUBJECT, "4711", "Ada Lovelace", "call 17"):
        assert text.encode() not in kept
    assert sum(part in kept for part in media) < len(media)  # the other call's are there

    pipeline = app.pipeline(stream, MediaInsightsRuntimeMetadata=METADATA)
    with pytest.raises(ClientError, match="ForbiddenException"):
        app.start(pipeline, domain)


def test_a_withdrawal_during_a_call_ends_the_task_with_a_clear_word(served: Served, app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    subject = {"earwitness:consent:subject": "customer 5"}
    pipeline = app.pipeline(stream, MediaInsightsRuntimeMetadata=subject)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("sally"), seconds=8.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    began = _earwitness(served, "consent", "withdraw", "customer 5", "--yes", "--no-wait")
    assert began["media"][0]["untilAt"] is None
    until(lambda: app.status(pipeline, task) == "Failed")
    assert "withdrawn the consent" in _task(served, task)["statusMessage"]
    until(lambda: kept_fragments(app, stream)[0] == [])
    app.send(pcm(second_call("sally"), seconds=4.0), stream)  # the caller goes on talking
    until(lambda: kept_fragments(app, stream)[0] == [])
    app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    address = f"{served.url}/earwitness/v1/withdrawals/{began['withdrawalId']}"

    def state() -> str:
        headers, params = {"Authorization": "Bearer test"}, {"region": "us-east-1"}
        return str(httpx.get(address, headers=headers, params=params).json()["state"])

    until(lambda: state() == "done")


def _kept_files(data: Path) -> list[Path]:
    """Everything but what was delivered to a receiver, which is the receiver's."""
    return [file for file in data.rglob("*") if file.is_file() and file.name != "events.jsonl"]


def _sealed_media(data: Path) -> set[bytes]:
    """The beginnings of the sealed bodies of all fragments that are kept."""
    found: set[bytes] = set()
    for file in data.rglob("*"):
        if file.is_file():
            found |= {part[52:116] for part in file.read_bytes().split(b"EWF1")[1:] if len(part) > 116}
    return found
