"""The service is killed in a call and started again: with the call's media still there, and without."""

import shutil
from pathlib import Path

import httpx
import pytest
from calls import Application, pcm
from serving import kill, start, stop

from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("retention_hours", "lost"),
    [(1, False), (0, False), (1, True), (0, True)],
    ids=["kept", "in the live window", "lost", "lost from the live window"],
)
def test_a_task_says_that_it_lost_what_came_before_the_kill(tmp_path: Path, retention_hours: int, lost: bool) -> None:
    """It searches once, makes its voiceprint, and ends. Where the media folder is lost, the stream counts anew."""
    served = start(tmp_path / "data")
    app = Application(served, "killed")
    made = app.kinesis.create_stream(StreamName="line", DataRetentionInHours=retention_hours)
    stream, port = str(made["StreamARN"]), int(served.url.rsplit(":", 1)[1])
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, app.domain("callers"))
    app.send(pcm(first_call("sally"), seconds=6), stream, rate=8_000)
    until(lambda: app.status(pipeline, task) == "InProgress")
    kill(served)
    if lost:
        shutil.rmtree(tmp_path / "data" / "media")
    served = start(tmp_path / "data", port=port)
    try:
        app.send(first_call("sally"), stream)
        until(lambda: app.status(pipeline, task) == "Stopped")
        until(lambda: len(app.results(task)) == 2)
        assert [one["detailStatus"] for one in app.results(task)] == [
            "IdentificationNoMatchesFound",
            "VoiceprintGenerationSuccess",
        ]
        shown = httpx.get(
            f"{served.url}/earwitness/v1/tasks/{task}",
            params={"region": "us-east-1"},
            headers={"authorization": "Bearer test"},
            timeout=PATIENCE_SECONDS,
        ).json()
        assert shown["attempt"] == 2
        assert ("no longer had" in (shown["statusMessage"] or "")) is lost
        assert shown["identification"]["netSpeechSeconds"] == pytest.approx(10.0, abs=1.0)
    finally:
        app.close()
        stop(served)
