"""The service is killed in the middle of a job, again and again; every recording has one result in the end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import Served, kill, start, stop

import started
from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

CALLERS = ("sally", "kal", "marvin", "angus", "fiona", "russell")
CRASHES = 2
"""A recording that is in the service's hands at three of them is given up, which is another test."""


def command(served: Served, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "earwitness", *arguments, "--url", served.url, "--json"]


def asked(served: Served, *arguments: str) -> Any:
    """What a command answers; it may be that some recordings have no result."""
    done = subprocess.run(
        command(served, *arguments),
        env=served.environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode in (0, 4), done
    return json.loads(done.stdout)


def progress(served: Served, job: str, *, beyond: int) -> int:
    """How many recordings are done, once these are more than `beyond`."""
    done = 0

    def further() -> bool:
        nonlocal done
        done = asked(served, "backfill", "status", job)["done"]
        return done > beyond

    until(further)
    return done


def manifest(folder: Path) -> Path:
    rows = ["file,speaker_id,consent"]
    rows += [f"{call(name)},{name},form of {name}" for name in CALLERS for call in (first_call, second_call)]
    (folder / "nonsense.wav").write_bytes(b"no audio")
    path = folder / "callers.csv"
    path.write_text("\n".join([*rows, "nonsense.wav,nobody,none"]), encoding="utf-8")
    return path


def test_a_killed_service_goes_on_and_each_recording_has_one_result(tmp_path: Path) -> None:
    served = start(tmp_path / "data")
    port = int(served.url.rsplit(":", 1)[1])
    domain = asked(served, "domains", "create", "callers")["domainId"]
    backfill = ["backfill", "enroll", domain, str(manifest(tmp_path))]
    sending = started.start(command(served, *backfill), env=served.environment, stdout=subprocess.PIPE, text=True)
    until(lambda: asked(served, "backfill", "list"))
    (job,) = (one["jobId"] for one in asked(served, "backfill", "list"))
    done = 0
    for crash in range(CRASHES):
        done = progress(served, job, beyond=done)
        kill(served)
        if crash == 1:  # and its client with it
            sending.kill()
            sending.wait()
        served = start(served.data, port=port)
    ended = asked(served, *backfill)
    assert (ended["jobId"], ended["state"], ended["done"], ended["failed"]) == (job, "done", 12, 1)
    items = asked(served, "backfill", "report", job)
    assert [one["number"] for one in items] == list(range(1, 14))
    enrolled = [one["enrolled"] for one in items[:-1]]
    profiles = asked(served, "profiles", "--domain", domain)
    kept = {one["profileId"]: [each["voiceprintId"] for each in one["voiceprints"]] for one in profiles}
    assert sorted(len(one) for one in kept.values()) == [2] * len(CALLERS)
    assert sorted(each for one in kept.values() for each in one) == sorted(one["voiceprintId"] for one in enrolled)
    stop(served)
