"""`earwitness domains export` and `check` against a served process, and what a user may get wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from serving import Served
from test_backfill import asked, run

from earwitness.samples import first_call
from earwitness.vault.age import new_identity
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

SECRET, PUBLIC = new_identity()


def test_a_domain_in_a_file(served: Served, tmp_path: Path) -> None:
    domain = asked(served, "domains", "create", "to be exported")["domainId"]
    asked(served, "domains", "enroll", domain, str(first_call("sally")), "--consent", "form 12")
    key, file = tmp_path / "key.txt", tmp_path / "export.tar"
    key.write_text(SECRET, encoding="utf-8")
    done = run(served, "domains", "export", domain, str(file), "--to", PUBLIC)
    assert done.returncode == 0, done
    assert "3 parts, all whole" in done.stdout
    assert "form 12" not in file.read_bytes().decode("latin-1")
    checked = run(served, "domains", "check", str(file), "--key", str(key))
    assert "1 profiles, 1 voiceprints, 0 recordings" in checked.stdout
    plain = run(served, "domains", "export", domain, str(tmp_path / "plain.tar"), "--plain")
    assert plain.returncode == 0, plain
    assert b"form 12" in (tmp_path / "plain.tar").read_bytes()
    (first, second) = [one for one in asked(served, "backfill", "list") if one["domain"]["id"] == domain]
    assert first["export"]["availableUntil"] is second["export"]["availableUntil"] is None  # the service has no copy
    report = run(served, "backfill", "report", first["jobId"])
    assert "voiceprints" in report.stdout


def test_what_a_user_may_get_wrong(served: Served, tmp_path: Path) -> None:
    domain = asked(served, "domains", "create", "to be exported wrongly")["domainId"]
    there = tmp_path / "there.tar"
    there.write_bytes(b"of somebody else")
    key = tmp_path / "key.txt"
    key.write_text(PUBLIC, encoding="utf-8")
    for arguments, code, words in (
        (("export", domain, str(there), "--plain"), 2, "is there already"),
        (("export", domain, str(tmp_path / "none" / "x.tar"), "--plain"), 2, "cannot be written"),
        (("export", domain, str(tmp_path / "x.tar")), 2, "say whom it is for"),
        (("export", domain, str(tmp_path / "x.tar"), "--plain", "--to", PUBLIC), 2, "say whom it is for"),
        (("export", domain, str(tmp_path / "x.tar"), "--to", SECRET), 9, "no public key of age"),
        (("export", "vpd-none", str(tmp_path / "x.tar"), "--plain"), 9, "does not exist"),
        (("check", str(there)), 6, "no export"),
        (("check", str(tmp_path)), 6, "cannot be read"),
        (("check", str(tmp_path / "none.tar")), 6, "cannot be read"),
        (("check", str(there), "--key", str(key)), 6, "0 secret keys"),
    ):
        done = run(served, "domains", *arguments)
        told = " ".join(done.stderr.split())
        assert (done.returncode, words in told, SECRET in told) == (code, True, False), (arguments, done)
    assert exports_in(tmp_path) == ["there.tar"]
    assert there.read_bytes() == b"of somebody else"


def test_a_disk_that_is_full_leaves_nothing_behind(served: Served, tmp_path: Path) -> None:
    domain = asked(served, "domains", "create", "for a full disk")["domainId"]
    file = tmp_path / "export.tar"
    export = [
        sys.executable,
        "-m",
        "earwitness",
        "domains",
        "export",
        domain,
        str(file),
        "--plain",
        "--url",
        served.url,
    ]
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *export],  # no file beyond 2 or 4 KB
        env=served.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True), done
    assert exports_in(tmp_path) == []
    assert run(served, "domains", "export", domain, str(file), "--plain").returncode == 0


def exports_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if ".tar" in one.name)
