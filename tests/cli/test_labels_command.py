"""`earwitness labels`: exports read again, manifests of them, and hostile files."""

import json
from pathlib import Path

import pytest
from label_examples import labelled, write
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.engine.calibration import read_calibration, shipped_calibration

CALIBRATION = shipped_calibration("campplus", "telephone")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_report_of_several_exports_counts_each_call_once_by_its_latest_label(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", [labelled(1, spoke="not", at="2026-01-01"), labelled(2)])
    second = write(tmp_path / "b.json", [labelled(1, at="2026-01-08"), labelled(3, outcome="no match", spoke="nobody")])
    done = run("labels", "report", str(second), str(first), "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["namesRight"]["count"], report["namesRight"]["of"]) == (2, 2)
    assert (report["matches"], report["noMatches"]) == (20, 180)
    shown = run("labels", "report", str(first))
    assert "only calls that named somebody are labelled" in " ".join(shown.stderr.split())


def test_a_manifest_lists_the_recordings_that_are_there(tmp_path: Path) -> None:
    calls = [
        labelled(1),
        labelled(2, outcome="no match", spoke="nobody"),
        labelled(3),
        labelled(4, spoke="unsure"),
        labelled(5, spoke="not"),
    ]
    export = write(tmp_path / "a.json", calls)
    for number in (1, 2):
        (tmp_path / f"task-{number}.wav").write_bytes(b"RIFF")
    target = tmp_path / "calls.csv"
    done = run("labels", "manifest", str(export), "--recordings", str(tmp_path), "--output", str(target), "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["recordings"], told["missing"], told["withoutSpeaker"]) == (2, 1, 2)
    assert target.read_text().splitlines() == [
        "file,speaker_id,role,outcome",
        f"{tmp_path / 'task-1.wav'},vp-1,enrol+test,match",
        f"{tmp_path / 'task-2.wav'},stranger-task-2,impostor only,no match",
    ]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_fit_writes_a_calibration_only_where_strangers_score_higher(tmp_path: Path) -> None:
    many = [labelled(n, outcome="no match", spoke="nobody", score=0.55 + n / 400) for n in range(40)]
    export, target = write(tmp_path / "a.json", [*many, labelled(99)]), tmp_path / "moved.json"
    done = run("labels", "fit", str(export), "--output", str(target), "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["moved"] > 0
    assert (told["before"], told["after"]) == (CALIBRATION.id, read_calibration(target).id)
    assert told["beganWith"] == "the shipped one"
    said = run("labels", "fit", str(export), "--output", str(target))
    assert f"begins with calibration {CALIBRATION.id}, the shipped one" in " ".join(said.stdout.split())
    assert "--domain d begins with the calibration in force there" in " ".join(said.stderr.split())
    few = write(tmp_path / "few.json", [*many[:5], labelled(99)])
    refused = run("labels", "fit", str(few), "--output", str(tmp_path / "none.json"))
    assert refused.exit_code == 7
    assert "label 30 at least" in " ".join(refused.stderr.split())
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": "earwitness labels 9", "matches": 1, "noMatches": 1, "calls": []}',
        b'{"format": "earwitness labels 1", "matches": 1, "noMatches": 1, "calls": [{}]}',
        json.dumps(
            {
                "format": "earwitness labels 1",
                "matches": 1,
                "noMatches": 1,
                "calls": [{**labelled(1), "threshold": float("nan")}],
            }
        ).encode(),
    ],
    ids=["empty", "object", "list", "bytes", "deep", "version", "call", "nan"],
)
def test_a_file_that_is_no_export_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    done = run("labels", "report", str(tmp_path / "x.json"))
    assert (done.exit_code, "is no export of labels" in " ".join(done.stderr.split())) == (7, True), done.stderr
