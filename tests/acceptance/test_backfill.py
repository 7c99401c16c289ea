"""`earwitness backfill` against a served process: a stream's kept media, the report, and what a user may get wrong."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow


def run(served: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = served.environment | {"EARWITNESS_URL": served.url, "EARWITNESS_CONFIG": os.devnull}
    command = [sys.executable, "-m", "earwitness", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def asked(served: Served, *arguments: str) -> Any:
    done = run(served, *arguments, "--json")
    assert done.returncode in (0, 4), done
    return json.loads(done.stdout)


def test_a_streams_kept_media(served: Served) -> None:
    domain = asked(served, "domains", "create", "of a stream")["domainId"]
    begun = datetime.now(UTC) - timedelta(hours=1)
    sent = run(served, "stream", str(first_call("sally")), "--stream", "kept", "--create", "--fast")
    assert sent.returncode == 0, sent
    times = ["--from", f"{begun:%FT%T}", "--to", f"{begun + timedelta(hours=2):%FT%T}"]
    enrol = ["backfill", "enroll", domain, "--stream", "kept", *times, "--consent", "form 12"]
    first, again = asked(served, *enrol), asked(served, *enrol)
    assert again == first
    assert (first["state"], first["done"]) == ("done", 1)
    (profile,) = asked(served, "profiles", "--domain", domain)
    assert len(profile["voiceprints"]) == 1
    found = asked(served, "backfill", "search", domain, "--stream", "kept", *times, "--channel", "0")
    (item,) = asked(served, "backfill", "report", found["jobId"])
    assert item["decision"]["candidates"][0]["profileId"] == profile["profileId"]
    nothing = run(
        served, "backfill", "search", domain, "--stream", "kept", "--from", "2020-01-01", "--to", "2020-01-02"
    )
    assert nothing.returncode == 9
    assert "nothing of this stream is kept" in nothing.stderr


def test_a_report_has_a_row_for_each_recording(served: Served, tmp_path: Path) -> None:
    domain = asked(served, "domains", "create", "of a report")["domainId"]
    (tmp_path / "empty.wav").write_bytes(b"")
    manifest = tmp_path / "calls.csv"
    manifest.write_text(f"file\n{second_call('kal')}\nempty.wav\n", encoding="utf-8")
    done = run(served, "backfill", "search", domain, str(manifest))
    assert done.returncode == 4, done
    (job,) = [one["jobId"] for one in asked(served, "backfill", "list") if one["domain"]["id"] == domain]
    report = run(served, "backfill", "report", job, "--csv", str(tmp_path / "who.csv"))
    assert report.returncode == 0, report
    with (tmp_path / "who.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], row["state"], row["outcome"], row["reason"]) for row in rows] == [
        ("1", "done", "no match", ""),
        ("2", "failed", "", "recording is empty"),
    ]
    lines = run(served, "backfill", "report", job, "--lines").stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    cancelled = asked(served, "backfill", "cancel", job)
    assert cancelled["state"] == "done"


def test_an_input_file_of_voice_id(served: Served, tmp_path: Path) -> None:
    domain = asked(served, "domains", "create", "of Voice ID")["domainId"]
    people = {"sally": first_call("sally"), "kal": first_call("kal")}
    (tmp_path / "bucket" / "calls").mkdir(parents=True)
    for name, recording in people.items():
        (tmp_path / "bucket" / "calls" / name).write_bytes(recording.read_bytes())
    requests = [
        {
            "RequestId": f"request-{name}",
            "SpeakerId": f"customer-{name}",
            "AudioSpecifications": [{"S3Uri": f"s3://bucket/calls/{name}", "ChannelId": 0}],
        }
        for name in people
    ]
    manifest = tmp_path / "input.json"
    document = {"Version": "1.0", "SpeakerEnrollmentRequests": requests, "EnrollmentConfig": {}}
    manifest.write_text(json.dumps(document), encoding="utf-8")
    enrol = ["backfill", "enroll", domain, str(manifest), "--recordings", str(tmp_path / "bucket")]
    refused = run(served, *enrol)
    assert (refused.returncode, "--consent for all" in " ".join(refused.stderr.split())) == (7, True), refused
    done = run(served, *enrol, "--consent", "form 12", "--json")
    assert done.returncode == 0, done
    assert "passed over, as it says nothing here: EnrollmentConfig" in " ".join(done.stderr.split())
    items = asked(served, "backfill", "report", json.loads(done.stdout)["jobId"])
    assert [item["name"] for item in items] == [f"s3://bucket/calls/{name}" for name in people]
    profiles = asked(served, "profiles", "--domain", domain)
    assert {one["profileId"] for one in profiles} == {item["enrolled"]["profileId"] for item in items}
    assert len(profiles) == 2
    assert "customer-" not in json.dumps([items, profiles])


def test_what_a_user_may_get_wrong(served: Served, tmp_path: Path) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text(f"file\n{first_call('kal')}\n", encoding="utf-8")
    voice_id = tmp_path / "input.json"
    voice_id.write_text("{}", encoding="utf-8")
    for arguments, code, words in (
        (("search", "vpd-none", str(manifest)), 9, "domain does not exist"),
        (("search", "vpd-none"), 2, "give a manifest"),
        (("search", "vpd-none", str(manifest), "--stream", "s"), 2, "give a manifest"),
        (("search", "vpd-none", "--stream", "s", "--from", "2026-01-01"), 2, "--from 2026-01-31T08:00:00 --to"),
        (("search", "vpd-none", str(tmp_path / "none.csv")), 7, "cannot be read"),
        (("enroll", "vpd-none", str(manifest)), 7, "do not say where the consent is recorded"),
        (("enroll", "vpd-none", str(manifest), "--recordings", str(tmp_path)), 2, "a CSV file names its own files"),
        (("enroll", "vpd-none", str(voice_id)), 2, "in which folder"),
        (("enroll", "vpd-none", str(voice_id), "--recordings", str(tmp_path)), 7, "Version and SpeakerEnrollmentReq"),
        (("enroll", "vpd-none", "--stream", "s", "--recordings", str(tmp_path)), 2, "give a manifest"),
        (("enroll", "vpd-none", "--stream", "s", "--from", "2026-01-01", "--to", "2026-01-02"), 2, "--consent"),
        (("status", "none"), 9, "no job of this id"),
        (("report", "a/b"), 2, "id without slashes"),
    ):
        done = run(served, "backfill", *arguments)
        assert (done.returncode, words in " ".join(done.stderr.split())) == (code, True), (arguments, done)
