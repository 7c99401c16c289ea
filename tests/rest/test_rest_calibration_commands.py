"""Commands for calibrations of a domain, against a served application: installed, taken back, exported, fitted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from calibration_examples import SHIPPED, document, long, moved
from label_examples import labelled, write
from rest_examples import Rest, label, token
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.engine.calibration import read_calibration, write_calibration
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX

pytestmark = pytest.mark.slow


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).split())


def test_a_calibration_is_installed_and_taken_back(rest: Rest, url: str, tmp_path: Path) -> None:
    of, higher = ("--domain", "vpd-1"), moved(0.05)
    file = tmp_path / "ours.json"
    file.write_bytes(document(higher))
    shown = run("calibration", "list", *of)
    assert shown.exit_code == 0, said(shown)
    assert f"rest on calibration {SHIPPED.id}, the service's own, of {SHIPPED.persons:,} persons" in said(shown)
    tried = run("calibration", "install", str(file), *of, "--dry-run")
    assert tried.exit_code == 0, said(tried)
    assert f"calibration {SHIPPED.id} {higher.id}" in said(tried)
    assert "no call of the domain is labelled" in said(tried)
    assert "nothing was changed" in said(tried)
    assert json.loads(run("calibration", "list", *of, "--json").stdout)["version"] == 0
    installed = run("calibration", "install", str(file), *of)
    assert installed.exit_code == 0, said(installed)
    assert "threshold with 3 s" in said(installed)
    assert "`earwitness calibration use service --domain vpd-1` goes back" in said(installed)
    assert f"rest on calibration {higher.id}, of" in said(run("calibration", "list", *of))
    assert "in use already" in said(run("calibration", "install", str(file), *of))
    back = json.loads(run("calibration", "use", "service", *of, "--json").stdout)
    assert (back["version"], back["isInstalled"]) == (2, True)
    first, last = back["before"]["thresholds"][0]["score"], back["after"]["thresholds"][0]["score"]
    assert first - last == pytest.approx(0.05)
    rest.store.write(lambda unit: label(unit, task_id="done"))
    again = run("calibration", "use", higher.id, *of)
    assert "in use since version 3" in said(again)
    assert "with a match 1 1 of 1: 100 % (2.5 to 100)" in said(again)
    assert "only calls that named somebody are labelled" in said(again)
    told = json.loads(run("calibration", "use", "service", *of, "--dry-run", "--json").stdout)
    assert (told["labels"]["matches"]["calls"], told["isInstalled"]) == (1, False)
    assert [one["number"] for one in json.loads(run("calibration", "list", *of, "--json").stdout)["versions"]] == [
        3,
        2,
        1,
    ]


def test_a_calibration_that_a_domain_had_is_exported_and_installed_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, higher = ("--domain", "vpd-1"), moved(0.05)
    file, again = tmp_path / "ours.json", tmp_path / "again.json"
    write_calibration(file, higher)
    run("calibration", "install", str(file), *of)
    run("calibration", "use", "service", *of)
    monkeypatch.setenv("EARWITNESS_TOKEN", token("reader"))
    written = json.loads(run("calibration", "export", higher.id, *of, "--output", str(again), "--json").stdout)
    assert written == {"file": str(again), "calibrationId": higher.id, "encoderId": higher.encoder_id}
    assert again.read_bytes() == file.read_bytes()
    assert run("calibration", "show", str(again)).exit_code == 0
    monkeypatch.setenv("EARWITNESS_TOKEN", token("admin"))
    assert "in use since version 3" in said(run("calibration", "install", str(again), *of))
    own = run("calibration", "export", "service", *of, "--output", str(again))
    assert f"wrote calibration {SHIPPED.id} into" in said(own)
    missing = run("calibration", "export", "deadbeef", *of, "--output", str(tmp_path / "none.json"))
    assert (missing.exit_code, (tmp_path / "none.json").exists()) == (9, False)
    nowhere = run("calibration", "export", higher.id, *of, "--output", str(tmp_path / "no" / "folder.json"))
    assert nowhere.exit_code == 2


def test_the_way_back_does_not_depend_on_the_comparison(url: str, rest: Rest, tmp_path: Path) -> None:
    """The service's own calibration may be a file that is longer than what a request takes."""
    of = ("--domain", "vpd-1")
    file = tmp_path / "ours.json"
    own = long(DOCUMENT_BYTES_MAX // (19 * len(SHIPPED.fits)) * 2)
    rest.engine = replace(rest.engine, space=replace(rest.engine.space, calibration=own))
    write_calibration(file, moved(0.05))
    assert run("calibration", "install", str(file), *of).exit_code == 0
    tried = run("calibration", "use", "service", *of, "--dry-run")
    assert (tried.exit_code, "nothing was changed" in said(tried)) == (0, True), said(tried)
    back = run("calibration", "use", "service", *of)
    assert back.exit_code == 0, said(back)
    assert "labelled calls cannot be compared: " in said(back)
    assert f"calibration {moved(0.05).id} {own.id}" in said(back)
    assert f"in use since version 2; `earwitness calibration use {moved(0.05).id} --domain vpd-1`" in said(back)
    assert json.loads(run("calibration", "list", *of, "--json").stdout)["fromService"]
    told = json.loads(run("calibration", "use", "service", *of, "--json").stdout)
    assert (told["version"], told["after"]["calibrationId"], told["labels"]) == (2, own.id, None)


def test_calibrations_that_are_not_installed(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, file = ("--domain", "vpd-1"), tmp_path / "ours.json"
    missing = run("calibration", "install", str(file), *of)
    assert (missing.exit_code, "cannot be read" in said(missing)) == (2, True)
    file.write_text("not JSON")
    assert "is not a calibration" in said(run("calibration", "install", str(file), *of))
    file.write_bytes(document(SHIPPED, encoder_id="another/telephone/00000000"))
    other = run("calibration", "install", str(file), *of)
    assert other.exit_code != 0
    assert "another/telephone/00000000" in said(other)
    assert "calibration list" in said(run("calibration", "use", "deadbeef", *of))
    assert run("calibration", "use", "service").exit_code == 2
    monkeypatch.setenv("EARWITNESS_TOKEN", token("operator"))
    file.write_bytes(document(moved(0.05)))
    assert run("calibration", "install", str(file), *of).exit_code != 0
    assert json.loads(run("calibration", "list", *of, "--json").stdout)["version"] == 0


def exported_labels(path: Path, *, domain_id: str = "vpd-1") -> Path:
    """Forty strangers who score higher than the shipped calibration expects, and a match."""
    strangers = [labelled(n, outcome="no match", spoke="nobody", score=0.55 + n / 400) for n in range(40)]
    return write(path, [*strangers, labelled(99)], domain_id=domain_id)


def test_a_fit_begins_with_what_is_in_force_in_the_domain(url: str, tmp_path: Path) -> None:
    of, higher = ("--domain", "vpd-1"), moved(0.05)
    ours, fitted, labels = tmp_path / "ours.json", tmp_path / "fitted.json", exported_labels(tmp_path / "labels.json")
    fit = ("labels", "fit", str(labels), "--output", str(fitted))
    first = json.loads(run(*fit, *of, "--json").stdout)
    assert (first["before"], first["beganWith"]) == (SHIPPED.id, "in force in domain vpd-1, which is the service's own")
    write_calibration(ours, higher)
    assert run("calibration", "install", str(ours), *of).exit_code == 0
    shown = run(*fit, *of)
    assert f"begins with calibration {higher.id}, in force in domain vpd-1" in said(shown)
    again = json.loads(run(*fit, *of, "--json").stdout)
    assert again["before"] == higher.id
    assert again["moved"] == pytest.approx(first["moved"] - 0.05, abs=0.002)
    assert read_calibration(fitted).made_from.startswith("our calls; moved up by")
    assert json.loads(run(*fit, "--json").stdout)["before"] == SHIPPED.id
    assert run(*fit, "--domain", "vpd-none").exit_code == 9


def test_a_fit_for_a_domain_takes_no_labels_of_another(url: str, tmp_path: Path) -> None:
    ours, theirs = (exported_labels(tmp_path / f"{one}.json", domain_id=one) for one in ("vpd-1", "vpd-2"))
    target = tmp_path / "fitted.json"
    for files in ((theirs,), (ours, theirs)):
        refused = run("labels", "fit", *map(str, files), "--domain", "vpd-1", "--output", str(target))
        assert refused.exit_code == 2, said(refused)
        assert "labels of domain vpd-2 in these files; give exports of vpd-1" in said(refused)
        assert not target.exists()
