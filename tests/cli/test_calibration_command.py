"""`earwitness calibration show`: what a calibration rests on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.engine.calibration import (
    Calibration,
    DurationFit,
    FalseMatchCurve,
    shipped_calibration,
    write_calibration,
)

CURVE = FalseMatchCurve(((0.1, 0.5), (0.3, 0.1), (0.5, 0.01), (0.6, 5 / 4950)))


def show(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["calibration", "show", *(str(argument) for argument in arguments)])


def written(path: Path, *, sexes: dict[str, int] | None) -> Path:
    calibration = Calibration(
        encoder_id="e",
        made_from="calls.csv",
        persons=100,
        person_pairs=4950,
        trials=39_600,
        sexes=sexes,
        unknown_line_margin=0.06,
        fits=tuple(
            DurationFit(net_seconds=seconds, slope=28.0, offset=-14.0, false_match=CURVE) for seconds in (3.0, 10.0)
        ),
    )
    write_calibration(path, calibration)
    return path


def test_the_shipped_ones_can_be_shown() -> None:
    for band in ("telephone", "wideband"):
        shown = show("--band", band)
        assert shown.exit_code == 0, shown.output
        assert shown.stdout.startswith("shipped with earwitness, for campplus")
        shipped = shipped_calibration("campplus", band)
        document = json.loads(show("--band", band, "--json").stdout)
        assert (document["file"], document["encoderId"]) == (None, shipped.encoder_id)
        assert (document["persons"], document["trials"]) == (shipped.persons, shipped.trials)
        assert [each["netSeconds"] for each in document["durations"]] == [3.0, 5.0, 10.0]


def test_a_file_is_shown_with_the_persons_needed(tmp_path: Path) -> None:
    path = written(tmp_path / "ours.json", sexes={"f": 40, "m": 60})
    shown = show(path)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{path}, for e"
    assert "made from     calls.csv" in lines
    assert "persons       100 (40 women, 60 men)" in lines
    assert "pairs         4,950 of persons; 39,600 of recordings" in lines
    assert "measured      with 10 s of speech down to 0.1 % of pairs" in lines
    assert "unknown line  thresholds are 0.06 higher until a line is learnt" in lines
    assert "10\t0.600\t0.600\t101 needed" in lines
    assert lines[-1].startswith("10,000\t0.")
    assert lines[-1].endswith("\t3,163 needed")
    assert "warning" not in shown.stderr


def test_measured_thresholds_need_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "ours.json", sexes=None)
    monkeypatch.setenv("EARWITNESS_STRANGERS_NAMED_PERCENT", "5")
    monkeypatch.setenv("EARWITNESS_CALIBRATION_FILE", str(path))
    document = json.loads(show("--json").stdout)
    assert document["file"] == str(path)
    assert document["sexes"] is None
    first, second, *_ = document["durations"][0]["thresholds"]
    assert (first["gallerySize"], first["extrapolated"], first["personsNeeded"]) == (10, False, None)
    assert (second["gallerySize"], second["extrapolated"], second["personsNeeded"]) == (30, False, None)
    assert "30\t0.580\t0.580\tmeasured" in show().stdout


def test_one_sex_alone_is_told(tmp_path: Path) -> None:
    shown = show(written(tmp_path / "ours.json", sexes={"f": 100}))
    assert "persons       100 (100 women)" in shown.stdout
    assert "warning: everybody in it is of one sex" in shown.stderr


def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("[]")
    for file in (path, tmp_path / "none.json"):
        shown = show(file, "--json")
        assert shown.exit_code == 2
        error = json.loads(shown.stdout)["error"]
        assert error["type"] == "ConfigurationError"
        assert "make one with `earwitness evaluate LIST --fit-calibration FILE`" in error["message"]


@pytest.mark.slow
@pytest.mark.usefixtures("model_cache")
def test_doctor_sees_a_calibration_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was fitted for a compensation of another version; any command that searches refuses it."""
    shipped = shipped_calibration("campplus", "telephone")
    path = tmp_path / "ours.json"
    monkeypatch.setenv("EARWITNESS_CALIBRATION_FILE", str(path))
    for encoder_id, fits in ((shipped.encoder_id, True), ("e", False)):
        write_calibration(path, replace(shipped, encoder_id=encoder_id))
        check = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["calibration"]
        assert check["ok"] is fits
        assert check["found"].startswith(f"{path}: {encoder_id} from {shipped.persons} people")
        assert ("fit it again" in check["found"]) is not fits
