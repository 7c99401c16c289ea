"""A service whose audit trail goes to a bucket: it is checked from there, and a bucket that is away is told."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from running import Process, domain_input
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from moto_server import moto
from patience import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

ADDRESS = "s3://trail/of/ours"
_GAUGE = "earwitness_audit_told_timestamp_seconds"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto() as url:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("EARWITNESS_AUDIT_DIR", ADDRESS)
        monkeypatch.setenv("EARWITNESS_AUDIT_ENDPOINT_URL", url)
        monkeypatch.setenv("EARWITNESS_METRICS_ADDRESS", "127.0.0.1:0")
        yield url


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def verified(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    result = run("audit", "verify", *arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def _metrics(served: Process) -> str:
    until(lambda: "metrics are answered" in served.said)
    (line,) = (line for line in served.lines if "metrics are answered" in line)
    port = re.findall(r"port\D+(\d+)", line)[-1]
    return httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_what_a_service_writes_is_checked_from_the_bucket(endpoint: str, tmp_path: Path) -> None:
    s3: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    s3.create_bucket(Bucket="trail")
    made = json.loads(run("keys", "create", "--json").stdout)
    public = run("audit", "key").stdout.strip()
    with Process(tmp_path / "data") as served:
        client = served.client(made)
        for _ in range(3):
            client.create_voice_profile_domain(**domain_input())
        client.close()
        assert f"\n{_GAUGE}" in _metrics(served)
    whole = verified()
    assert (whole["whole"], whole["afterCheckpoints"]) == (True, 0), whole  # the stop wrote the last one
    assert whole["checkpoints"] >= 2
    assert verified("--checkpoint", ADDRESS, "--key", public)["checkpoints"] == whole["checkpoints"]
    names = [one["Key"] for one in s3.list_objects_v2(Bucket="trail")["Contents"]]
    newest = max(name for name in names if "/minutes/" in name)
    offline = verified("--offline", "--key", public, "--checkpoint", f"s3://trail/{newest}")
    assert (offline["checkpoints"], offline["whole"]) == (1, True)
    assert run("audit", "verify", f"{ADDRESS}/elsewhere").exit_code == 2
    with closing(sqlite3.connect(tmp_path / "data" / "records.db")) as database, database:
        database.execute("DELETE FROM audit_entries WHERE number > (SELECT max(number) - 2 FROM audit_entries)")
    found = verified("--checkpoint", f"s3://trail/{newest}", exit_code=1)["problems"]
    assert [problem["number"] for problem in found] == [whole["entries"] - 1]
    s3.delete_object(Bucket="trail", Key=newest)
    s3.put_object(Bucket="trail", Key=newest, Body=b"{}")
    assert any("cannot be believed" in one["says"] for one in verified(exit_code=1)["problems"])


def test_a_bucket_that_is_away_is_told_and_holds_up_nothing(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses: there is no such bucket, until somebody makes it."""
    made = json.loads(run("keys", "create", "--json").stdout)
    with Process(tmp_path / "data") as served:
        until(lambda: "regular work failed" in served.said)
        client = served.client(made)
        for _ in range(3):
            client.create_voice_profile_domain(**domain_input())
        client.close()
        assert f"\n{_GAUGE}" in _metrics(served)
        until(lambda: httpx.get(f"{served.url}/ready").status_code == 200)
    told = [line for line in served.lines if "s3://trail/of/ours answers NoSuchBucket (404)" in line]
    assert "regular work failed and is tried again" in told[0]
    assert "the last checkpoint of the audit trail is not written" in told[-1]
    assert served.process.returncode == 0
    monkeypatch.setenv("EARWITNESS_AUDIT_ENDPOINT_URL", "http://127.0.0.1:1")
    refused = run("audit", "verify")
    assert (refused.exit_code, "cannot be reached" in " ".join(refused.stderr.split())) == (8, True), refused.output
    monkeypatch.setenv("EARWITNESS_AUDIT_DIR", "ftp://trail")
    refused = run("serve", "--port", "0", "--data", tmp_path / "data")
    assert (refused.exit_code, "s3://BUCKET/PREFIX" in " ".join(refused.stderr.split())) == (2, True), refused.output
