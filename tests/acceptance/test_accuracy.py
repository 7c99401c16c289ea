"""The accuracy the README promises, on real recordings, through the command a user runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earwitness.cli.main import app

pytestmark = pytest.mark.slow


def test_adults_on_the_telephone(speech_dir: Path) -> None:
    arguments = ["evaluate", str(speech_dir / "manifest.csv"), "--speakers", "adults", "--json", "-"]
    for condition in ("telephone", "gsm"):
        arguments += ["--condition", condition]
    for rule in (
        "telephone:eer_percent<=0.2",
        "gsm:eer_percent<=0.5",
        "telephone:found_percent>=97",
        "gsm:found_percent>=80",
        "cllr<=0.05",
    ):
        arguments += ["--require", rule]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)["conditions"]["telephone"]
    assert measured["speakers"] >= 50
    assert measured["targets"] >= 50


def test_the_demo_on_real_voices(speech_dir: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--speech", str(speech_dir)])
    assert result.exit_code == 0, result.output
