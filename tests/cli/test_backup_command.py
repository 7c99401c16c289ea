"""`earwitness backup` and `restore` as commands: refusals say what to do, and a kill leaves nothing that counts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import started
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


def _environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("EARWITNESS_", "AWS_"))}
    return own | more


def _run(*arguments: str | Path, code: int = 0, **more: str) -> Any:
    """The JSON that a command prints; of a refused one the message."""
    command = [sys.executable, "-m", "earwitness", *map(str, arguments), "--json"]
    done = subprocess.run(command, env=_environment(**more), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == code, done.stderr
    printed = json.loads(done.stdout)
    return printed["error"]["message"] if code else printed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    _run("keys", "create", "--data", folder)
    return folder


@pytest.fixture
def place(data: Path, tmp_path: Path) -> Path:
    _run("backup", tmp_path / "place", "--plain", "--data", data)
    return tmp_path / "place"


def _new(tmp_path: Path, data: Path) -> Path:
    """An empty data folder with the master key."""
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(data / "master.key", new)
    return new


def test_a_backup_goes_there_and_back(place: Path, data: Path, tmp_path: Path) -> None:
    (listed,) = _run("backup", "list", place)
    assert _run("backup", "verify", place)["backupId"] == listed["backupId"]
    new = _new(tmp_path, data)
    assert _run("restore", place, "--data", new)["backupId"] == listed["backupId"]
    assert _run("keys", "list", "--data", new) == _run("keys", "list", "--data", data)
    assert sorted(path.name for path in new.iterdir() if path.is_file()) == ["master.key", "records.db"]


def test_a_backup_and_a_restore_are_in_the_audit_trail(place: Path, data: Path, tmp_path: Path) -> None:
    (listed,) = _run("backup", "list", place)
    new = _new(tmp_path, data)
    _run("restore", place, "--data", new)
    resource = f"backup/{listed['backupId']}"
    begun = {"keyId": "earwitness backup", "operation": "BeginBackup", "resourceArn": resource, "outcome": "done"}
    assert begun.items() <= _newest_entry(data).items()
    back = {"keyId": "earwitness restore", "operation": "RestoreBackup", "resourceArn": resource, "outcome": "done"}
    assert back.items() <= _newest_entry(new).items()


def _newest_entry(data: Path) -> Any:
    return _run("audit", "query", "--limit", "1", "--data", data)["entries"][0]


def test_a_backup_loads_nothing_that_hears(data: Path, tmp_path: Path) -> None:
    """Its start must not take longer than what it does: checked without a clock."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from earwitness.cli.main import app\n"
        "from earwitness.vault.age import new_identity\n"
        "done = CliRunner().invoke(app, ['backup', sys.argv[1], '--data', sys.argv[2], '--to', new_identity()[1]])\n"
        "assert done.exit_code == 0, done.output\n"
        "heavy = {'numpy', 'onnxruntime', 'soxr', 'boto3', 'prometheus_client'} & sys.modules.keys()\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "place"), str(data)]
    process = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, process.stderr


def test_refusals_say_what_to_do(place: Path, data: Path, tmp_path: Path) -> None:
    assert "--to" in _run("backup", tmp_path / "p", "--data", data, code=2)
    assert "--to" in _run("backup", tmp_path / "p", "--plain", "--with-master-key", "--data", data, code=2)
    assert "public key of age" in _run("backup", tmp_path / "p", "--to", "age1nonsense", "--data", data, code=2)
    assert "overwrites nothing" in _run("restore", place, "--data", data, code=8)
    assert "no master key" in _run("restore", place, "--data", tmp_path / "empty", code=8)
    assert "no whole backup" in _run("restore", tmp_path / "nothing", "--data", tmp_path / "empty", code=8)
    assert "is not at" in _run("restore", place, "--id", "20260101T000000Z-00000000", "--data", tmp_path / "e", code=8)
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    _run("keys", "create", "--data", tmp_path / "others")
    shutil.copy(tmp_path / "others" / "master.key", wrong)
    _run("restore", place, "--data", wrong, code=8)
    assert [path.name for path in wrong.iterdir()] == ["master.key"]


def test_the_master_key_goes_along_if_asked(data: Path, tmp_path: Path) -> None:
    from earwitness.vault.age import new_identity

    secret, public = new_identity()
    (tmp_path / "key.txt").write_text(f"{secret}\n", encoding="ascii")
    place = tmp_path / "place"
    _run("backup", place, "--to", public, "--with-master-key", "--data", data)
    _run("restore", place, "--key", tmp_path / "key.txt", "--data", tmp_path / "new")
    assert (tmp_path / "new" / "master.key").read_bytes() == (data / "master.key").read_bytes()
    assert (tmp_path / "new" / "master.key").stat().st_mode & 0o777 == 0o600


def test_prune_deletes_what_is_older_than_it_may_be(place: Path, data: Path) -> None:
    (listed,) = _run("backup", "list", place)
    assert _run("backup", "prune", place, "--data", data)["deleted"] == []
    old = place / "backups" / "20200101T000000Z-aaaaaaaa"
    old.mkdir()
    (old / "records-000001.tar-part").write_bytes(b"cut short long ago")
    assert _run("backup", "prune", place, "--dry-run", "--data", data)["due"] == [old.name]
    assert _run("backup", "prune", place, "--data", data)["deleted"] == [old.name]
    assert not old.exists()
    assert [one["backupId"] for one in _run("backup", "list", place)] == [listed["backupId"]]


def test_a_restore_that_is_killed_is_begun_anew_by_the_same_command(place: Path, data: Path, tmp_path: Path) -> None:
    new = _new(tmp_path, data)
    command = [sys.executable, "-m", "earwitness", "restore", str(place), "--data", str(new)]
    for file in ("restore.partial", "restore.partial/records.db"):
        process = started.start(command, env=_environment(), stderr=subprocess.DEVNULL)
        until(lambda file=file, process=process: (new / file).exists() or process.poll() is not None)
        process.kill()
        process.wait()
        started.end(process)
    if not (new / "records.db").exists():
        _run("restore", place, "--data", new)
    assert _run("keys", "list", "--data", new) == _run("keys", "list", "--data", data)
    assert not (new / "restore.partial").exists()


def test_a_restore_that_was_killed_while_it_moved_is_undone(place: Path, data: Path, tmp_path: Path) -> None:
    """Media lie in their place, the records do not: nothing but the same command gets out of that."""
    new = _new(tmp_path, data)
    (new / "media" / ("a" * 64)).mkdir(parents=True)
    assert "media" in _run("restore", place, "--data", new, code=8)
    (new / "restore.partial").mkdir()
    (new / "restore.partial" / "moving.json").write_text('["media"]', encoding="ascii")
    _run("restore", place, "--data", new)
    assert not (new / "media" / ("a" * 64)).exists()


def test_two_backups_at_once_are_two(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    command = [sys.executable, "-m", "earwitness", "backup", str(place), "--plain", "--data", str(data)]
    both = [started.start(command, env=_environment(), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(PATIENCE_SECONDS) for process in both] == [0, 0]
    for process in both:
        started.end(process)
    assert [one["damage"] for one in _run("backup", "list", place)] == [None, None]
    assert _run("backup", "verify", place)["deletionsSince"] == 0
