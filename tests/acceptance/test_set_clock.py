"""The wall clock of a running service is set by an hour, a day, a year, both ways: calls end as they would."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import httpx
import pytest
from calls import Application, Paced
from serving import Served, start, stop

import started
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until
from wall_clock import WallClock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

JUMPS = [timedelta(hours=1), timedelta(days=1), timedelta(days=365)]
PACE_SECONDS = 0.06
"""Between two seconds of audio, so that the clock is set in the middle."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The service's clock, by which its clients sign too."""
    made, now = WallClock(tmp_path / "clock"), botocore.auth.get_current_datetime

    def told(*arguments: Any, **options: Any) -> Any:
        return now(*arguments, **options) + timedelta(seconds=made.ahead_seconds)

    monkeypatch.setattr("botocore.auth.get_current_datetime", told)
    return made


@pytest.fixture
def served(tmp_path: Path, clock: WallClock) -> Iterator[Served]:
    served = start(tmp_path / "data", environment=clock.environment)
    yield served
    started.end(served.process)


def one_call(app: Application, name: str, domain: str, clock: WallClock, *, by: timedelta = timedelta()) -> Any:
    """What a call came to during which the clock was set: its statuses, and what its events tell."""
    # What comes while the clock is a year ahead is not too old for the stream.
    stream = app.kinesis.create_stream(StreamName=f"clock-{name}", DataRetentionInHours=87_600)["StreamARN"]
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    statuses, fragments = [app.status(pipeline, task)], list[AckType]()

    def note(ack: Ack) -> None:
        fragments.append(ack.type)
        if fragments.count(AckType.PERSISTED) == 10 and ack.type is AckType.PERSISTED:
            clock.jump(round(by.total_seconds()))
            statuses.append(app.status(pipeline, task))

    app.send(Paced(first_call("kal"), PACE_SECONDS), stream, on_ack=note)
    app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    until(lambda: app.pipeline_status(pipeline) == "Stopped" and len(app.results(task)) == 2)
    assert AckType.ERROR not in fragments
    order = ["NotStarted", "Initializing", "InProgress", "Stopped"]
    assert [order.index(status) for status in statuses] == sorted(order.index(status) for status in statuses)
    told = {event["detailStatus"]: event.get("speakerSearchDetails") for event in app.results(task)}
    return fragments.count(AckType.PERSISTED), told


def test_calls_end_as_they_would_whatever_the_clock_says(served: Served, clock: WallClock) -> None:
    app = Application(served, "clock")
    domain = app.domain("callers")
    task, _ = app.call(first_call("kal"), stream=app.stream("enrolment"), domain=domain)
    app.voice.create_voice_profile(SpeakerSearchTaskId=task)
    calm = one_call(app, "calm", domain, clock)
    assert "IdentificationSuccessful" in calm[1]
    for number, by in enumerate([sign * jump for jump in JUMPS for sign in (1, -1)]):
        assert one_call(app, f"during-{number}", domain, clock, by=by) == calm
        assert one_call(app, f"after-{number}", domain, clock) == calm  # the clock was set at rest
    assert httpx.get(f"{served.url}/ready", timeout=PATIENCE_SECONDS).json() == {"status": "ready"}
    app.close()
    stop(served)
    lines = [json.loads(line) for line in started.all_said(served.process).splitlines() if line.startswith("{")]
    told = [timedelta(seconds=round(line["seconds"])) for line in lines]
    assert {line["text"] for line in lines} == {"the clock was set, or the machine slept"}
    assert told == [sign * jump for jump in JUMPS for sign in (1, -1)]
