"""`earwitness line` on gallery files, and `identify` that learns the line of many recordings."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.engine.file_line import FileLine
from earwitness.engine.gallery_file import GalleryFile, read_gallery, write_gallery
from earwitness.engine.space import Line
from earwitness.samples import first_call
from earwitness.voice.band import Band

RATE = 8_000


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A gallery file whose line was learnt from 20 voices."""
    path = tmp_path / "gallery.json"
    line = Line(mean=np.array([0.1, 0.2], np.float32), voices=20, version=1)
    learnt = FileLine().learnt(line, at=datetime(2026, 11, 26, 9, 30, tzinfo=UTC))
    write_gallery(path, replace(GalleryFile(band=Band.TELEPHONE, encoder_id="e"), line=learnt))
    return path


def test_the_line_of_a_gallery_is_shown_without_its_mean(gallery: Path) -> None:
    shown = as_json("line", "show", "--gallery", gallery)
    assert shown == {
        "gallery": str(gallery),
        "learning": "on",
        "state": "learning",
        "voices": 20,
        "version": 1,
        "versions": [
            {"number": 1, "why": "learnt", "voices": 20, "revertedTo": None, "createdAt": "2026-11-26T09:30:00Z"}
        ],
    }
    assert "version 1 of 20 voices" in run("line", "show", "--gallery", gallery).stdout


def test_it_is_switched_reset_and_reverted(gallery: Path) -> None:
    assert as_json("line", "off", "--gallery", gallery)["learning"] == "off"
    assert as_json("line", "on", "--gallery", gallery)["learning"] == "on"
    reset = as_json("line", "reset", "--gallery", gallery)
    assert (reset["state"], reset["voices"], reset["version"]) == ("unknown", 0, 2)
    reverted = as_json("line", "revert", "1", "--gallery", gallery)
    assert (reverted["state"], reverted["voices"], reverted["version"]) == ("learning", 20, 3)
    assert reverted["versions"][0]["revertedTo"] == 1
    assert "reverted to 1" in run("line", "show", "--gallery", gallery).stdout
    wrong = run("line", "revert", "9", "--gallery", gallery)
    assert wrong.exit_code == 2
    assert "no version 9" in wrong.output


@pytest.mark.parametrize(
    "options", [("--codec", "pcm"), ("--url", "http://127.0.0.1:1"), ("--region", "eu-west-1")], ids=lambda one: one[0]
)
def test_options_of_domains_do_not_go_with_a_gallery(gallery: Path, options: tuple[str, str]) -> None:
    assert run("line", "reset", "--gallery", gallery, *options).exit_code == 2
    assert run("line", "show", "--gallery", gallery, "--domain", "vpd-1").exit_code == 2


def test_a_gallery_that_learnt_nothing_says_how_it_would(tmp_path: Path) -> None:
    path = tmp_path / "gallery.json"
    write_gallery(path, GalleryFile(band=Band.TELEPHONE, encoder_id="e"))
    shown = run("line", "show", "--gallery", path)
    assert "line unknown" in shown.stdout
    assert "10 or more recordings" in shown.stdout
    off = run("line", "off", "--gallery", path).stdout
    assert "10 or more recordings" not in off
    assert "earwitness line on" in off
    assert run("line", "show", "--gallery", tmp_path / "none.json").exit_code == 6


@pytest.fixture(scope="module")
def calls(speech_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of 12 people, 8 s each; and music, which is nobody's voice."""
    folder = tmp_path_factory.mktemp("calls")
    spoken: dict[str, np.ndarray] = {}
    with (speech_dir / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        for row in csv.DictReader(manifest):
            name, known = row["speaker_id"], spoken.get(row["speaker_id"], np.zeros(0, np.float32))
            is_adult = not row["age"] or int(row["age"]) >= 18
            if is_adult and len(known) < 10 * RATE and (name in spoken or len(spoken) < 14):
                samples, rate = soundfile.read(speech_dir / row["file"], dtype="float32", always_2d=True)
                spoken[name] = np.concatenate([known, soxr.resample(samples[:, 0], rate, RATE)])
    for name in [name for name, samples in spoken.items() if len(samples) >= 10 * RATE][:12]:
        soundfile.write(folder / f"{name}.wav", spoken[name][: 10 * RATE], RATE, subtype="PCM_16")
    time = np.arange(30 * RATE) / RATE
    music = np.sum([np.sin(2 * np.pi * 220 * 2 ** (step / 12) * time) for step in (0, 4, 7)], axis=0) * 0.1
    soundfile.write(folder / "music.wav", music, RATE, subtype="PCM_16")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("model_cache")
def test_identify_learns_the_line_of_ten_voices_and_keeps_its_mean_alone(calls: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery.json"
    for name in ("sally", "kal"):
        assert run("enroll", name, first_call(name), "--gallery", gallery).exit_code == 0
    voices = sorted(path for path in calls.glob("*.wav") if path.stem != "music")
    assert len(voices) >= 11

    few = json.loads(run("identify", *voices[:5], "--gallery", gallery, "--json").stdout)
    assert (few["line"]["state"], few["line"]["learntNow"]) == ("unknown", False)
    assert few["recordings"][0]["decision"]["line"] == {"state": "unknown", "voices": 0, "version": 0}
    assert read_gallery(gallery).line.versions == ()

    many = json.loads(run("identify", calls, voices[0], "--gallery", gallery, "--json").stdout)
    line = many["line"]
    assert (line["state"], line["version"], line["learntNow"]) == ("learning", 1, True)
    assert 10 <= line["voices"] <= len(voices)  # the music is none, and one who calls twice is one
    decisions = [one["decision"] for one in many["recordings"] if one["decision"]["threshold"] is not None]
    assert {decision["line"]["version"] for decision in decisions} == {1}
    kept = json.loads(gallery.read_text())
    assert len(kept["voiceprints"]) == 2
    assert [(one["why"], one["voices"]) for one in kept["line"]["versions"]] == [("learnt", line["voices"])]

    later = json.loads(run("identify", voices[0], "--gallery", gallery, "--json").stdout)
    assert later["decision"]["line"] == {"state": "learning", "voices": line["voices"], "version": 1}
    assert later["decision"]["galleryVersion"] == 2
    again = json.loads(run("identify", calls, "--gallery", gallery, "--json").stdout)["line"]
    assert (again["version"], again["learntNow"]) == (1, False)
    assert run("line", "off", "--gallery", gallery).exit_code == 0
    assert run("line", "reset", "--gallery", gallery).exit_code == 0
    off = json.loads(run("identify", calls, "--gallery", gallery, "--json").stdout)["line"]
    assert (off["state"], off["version"]) == ("unknown", 2)
