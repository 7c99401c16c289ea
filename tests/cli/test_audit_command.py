"""`earwitness audit` on the records of a service."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from earwitness import config
from earwitness.app import now, open_records
from earwitness.audit.folder import AuditFolder
from earwitness.audit.keeping import AuditKeeping
from earwitness.cli.main import app
from earwitness.store.records import Scope
from earwitness.vault.signing import PublicKey

pytestmark = pytest.mark.slow

MINE = Scope(account_id="000000000000", region="us-east-1")


@pytest.fixture(autouse=True)
def _records() -> None:
    """An installation: a key makes it. It has twelve entries and a checkpoint."""
    assert CliRunner().invoke(app, ["keys", "create"]).exit_code == 0
    with closing(open_records(config.load())) as store:
        for number in range(12):
            store.write(
                lambda unit, number=number: unit.audit.append(
                    MINE,
                    key_id="AKIA",
                    operation=f"Operation{number}",
                    resource_arn="",
                    outcome="done",
                    request_id="",
                )
            )
        AuditKeeping(store, AuditFolder(config.load().data_dir / "audit"), keeps_expired=False).checkpoint(now())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["audit", *(str(argument) for argument in arguments)])


def document(*arguments: object, exit_code: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_the_public_key_is_the_same_in_every_form() -> None:
    text = run("key").stdout
    told = document("key")
    public = PublicKey.from_text(text)
    assert (told["publicKey"], told["keyId"], told["pem"]) == (text.strip(), public.key_id, public.pem)
    assert run("key", "--pem").stdout == public.pem


def test_entries_are_shown_newest_first_page_by_page() -> None:
    first = document("query", "--key", "AKIA", "--limit", 5)
    second = document("query", "--key", "AKIA", "--limit", 50, "--before", first["before"])
    names = [entry["operation"] for entry in first["entries"] + second["entries"]]
    assert (names, second["before"]) == ([f"Operation{number}" for number in range(11, -1, -1)], None)
    assert [one["operation"] for one in document("query", "--operation", "Operation3")["entries"]] == ["Operation3"]
    assert document("query", "--account", "111122223333")["entries"] == []
    assert document("query", "--until", "2020-01-01")["entries"] == []
    assert document("query", "--since", "2020-01-01T10:00:00Z", "--limit", 1)["entries"]
    assert "Operation11" in run("query").stdout
    assert run("query", "--limit", 0).exit_code == run("query", "--since", "yesterday").exit_code == 2


def test_the_records_are_checked_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    whole = document("verify")
    assert (whole["whole"], whole["checkpoints"], whole["problems"]) == (True, 1, [])
    saved = tmp_path / "saved.jsonl"
    (kept,) = AuditFolder(config.load().data_dir / "audit").checkpoint_files()
    saved.write_bytes(kept.read_bytes())
    with closing(open_records(config.load())) as store, store._database.engine.connect() as connection:
        connection.exec_driver_sql(f"DELETE FROM audit_entries WHERE number > {whole['entries'] - 10}")  # noqa: S608
    kept.unlink()
    assert document("verify")["whole"] is True  # whoever cuts both off leaves nothing to notice it by
    found = document("verify", "--checkpoint", saved, exit_code=1)
    assert found["problems"][0]["number"] == whole["entries"] - 9
    assert "missing at the end" in run("verify", "--checkpoint", saved).stdout


def test_an_export_is_checked_without_records_and_master_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, public = tmp_path / "entries.jsonl", run("key").stdout.strip()
    (tmp_path / "key").write_text(public)
    assert document("export", file)["entries"] >= 12
    monkeypatch.setenv("EARWITNESS_DATA_DIR", str(tmp_path / "nothing"))
    assert run("verify").exit_code == 8
    assert document("verify", file, "--offline", "--key", public)["whole"] is True
    assert document("verify", file, "--offline", "--key", tmp_path / "key")["whole"] is True
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4] + lines[5:]))
    assert document("verify", tmp_path, "--offline", "--key", public, exit_code=1)["problems"][0]["number"] == 5
    assert run("verify", file, "--offline").exit_code == 2
    assert run("verify", tmp_path / "elsewhere", "--offline", "--key", public).exit_code == 2
    assert run("verify", file, "--offline", "--key", "ed25519:AAAA").exit_code == 8
