"""How a poll of a task can fail: each exception of boto3 for GetSpeakerSearchTask, and the quotas."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import Application
from serving import Served, start, stop

pytestmark = pytest.mark.slow

TASK = "00000000-0000-4000-8000-000000000000"
STATUSES = {
    "BadRequest": 400,
    "Forbidden": 403,
    "UnauthorizedClient": 401,
    "ThrottledClient": 429,
    "NotFound": 404,
    "ServiceUnavailable": 503,
    "ServiceFailure": 500,
}


@pytest.mark.parametrize("error", STATUSES)
def test_each_exception_of_a_poll(tmp_path: Path, error: str) -> None:
    served = start(tmp_path, "--fail", f"GetSpeakerSearchTask={error}")
    app = Application(served, "polls")
    try:
        with pytest.raises(getattr(app.pipelines.exceptions, f"{error}Exception")) as refused:
            app.task(TASK, TASK)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == STATUSES[error]
        app.stream("line")  # nothing else fails
    finally:
        app.close()
        stop(served)


def made_key(served: Served, role: str) -> tuple[str, str]:
    """A key of a role, made by the command an operator uses, beside the running service."""
    command = [
        sys.executable,
        "-m",
        "earwitness",
        "keys",
        "create",
        "--role",
        role,
        "--data",
        str(served.data),
        "--json",
    ]
    made = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ).stdout)
    return made["id"], made["secret"]


def test_unprovoked_refusals(served: Served) -> None:
    app = Application(served, "unprovoked")
    exceptions = app.pipelines.exceptions
    key, secret = made_key(served, "producer")
    producer = Application(served, "producer", access_key=key, secret=secret)
    wrong = Application(served, "wrong", access_key=key, secret="not this")  # noqa: S106
    unknown = Application(served, "unknown", access_key="EARWNOBODY", secret=secret)
    try:
        with pytest.raises(exceptions.NotFoundException):
            app.task(TASK, TASK)
        with pytest.raises(producer.pipelines.exceptions.ForbiddenException):
            producer.task(TASK, TASK)
        for stranger in (wrong, unknown):
            with pytest.raises(stranger.pipelines.exceptions.UnauthorizedClientException):
                stranger.task(TASK, TASK)
    finally:
        for one in (app, producer, wrong, unknown):
            one.close()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A service with a quota of one of each."""
    settings = tmp_path / "small.toml"
    settings.write_text('quotas = "active_tasks=1,profiles_per_domain=1"\n', encoding="utf-8")
    served = start(tmp_path / "data", settings_file=settings)
    yield served
    stop(served)


def test_quotas(small: Served) -> None:
    from earwitness.samples import first_call

    app = Application(small, "quotas")
    stream, domain = app.stream("line"), app.domain("callers")
    first, _ = app.call(first_call("kal"), stream=stream, domain=domain)
    second, _ = app.call(first_call("sally"), stream=stream, domain=domain)
    app.voice.create_voice_profile(SpeakerSearchTaskId=first)
    with pytest.raises(app.voice.exceptions.ResourceLimitExceededException):
        app.voice.create_voice_profile(SpeakerSearchTaskId=second)
    pipeline = app.pipeline(stream)
    app.start(pipeline, domain)
    with pytest.raises(app.pipelines.exceptions.ResourceLimitExceededException):
        app.start(app.pipeline(app.stream("other")), domain)
    app.close()
