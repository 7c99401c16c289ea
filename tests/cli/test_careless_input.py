"""What people do without thinking: the same voice twice, a loop, a name in another form, a reader that goes away."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from earwitness.cli.main import app
from earwitness.samples import first_call, second_call

pytestmark = pytest.mark.slow


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).split())


def test_the_same_voice_under_a_second_name_is_a_warning() -> None:
    assert json.loads(run("enroll", "sally", first_call("sally"), "--json").stdout)["sameVoiceAs"] == []
    assert json.loads(run("enroll", "kal", first_call("kal"), "--json").stdout)["sameVoiceAs"] == []
    again = run("enroll", "sally s.", second_call("sally"))
    assert again.exit_code == 0
    assert "warning: sally s. sounds like sally, who is enrolled too" in said(again)
    document = json.loads(run("enroll", "sally s.", second_call("sally"), "--json").stdout)
    assert document["sameVoiceAs"] == ["sally"]


def test_a_loop_is_not_enrolled(tmp_path: Path, call: np.ndarray) -> None:
    loop = tmp_path / "loop.wav"
    soundfile.write(loop, np.tile(call[10_000 : 10_000 + 3 * 8_000], 6), 8_000)
    result = run("enroll", "sally", loop)
    assert result.exit_code == 3
    assert "the speech repeats itself: only" in said(result)
    assert run("identify", second_call("sally"), "--gallery", tmp_path / "gallery.json").exit_code == 6


def test_names_are_trimmed_and_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë Ünal")
    assert run("enroll", f"  {decomposed} ", first_call("kal")).exit_code == 0
    assert json.loads(run("enroll", "Zoë Ünal", first_call("kal"), "--json").stdout)["profilesEnrolled"] == 1
    assert run("forget", decomposed).exit_code == 0


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(("name", "code"), [("sally", 0), ("marvin", 1)])
def test_a_reader_that_goes_away_does_not_change_the_exit_code(name: str, code: int, options: list[str]) -> None:
    assert run("enroll", "sally", first_call("sally")).exit_code == 0
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "earwitness", "identify", str(second_call(name)), *options]
    try:
        result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    told = [line for line in result.stderr.splitlines() if not line.startswith("A name is no proof of who it is")]
    assert (result.returncode, told) == (code, [])
