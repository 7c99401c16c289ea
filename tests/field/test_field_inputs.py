"""Every file met in the field gives the answer that INDEX.md has for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from development_speech import RATE, recordings_of, telephone_line
from typer.testing import CliRunner

from earwitness.cli.main import app

pytestmark = pytest.mark.slow


def identify(file: Path, known: Path, *options: str) -> Any:
    result = CliRunner().invoke(app, ["identify", str(file), "--gallery", str(known), "--json", *options])
    return json.loads(result.stdout)


def test_the_gallery_knows_the_voice(known: Path, speech_dir: Path, tmp_path: Path) -> None:
    """What is wrong with a file below is the file: its voice, clean, is matched."""
    (files,) = recordings_of(speech_dir, ("ls1688",)).values()
    line = telephone_line(files[len(files) // 2 :])[: 11 * RATE]
    soundfile.write(tmp_path / "clean.wav", line, RATE)
    decision = identify(tmp_path / "clean.wav", known)["decision"]
    assert decision["outcome"] == "match"
    assert decision["candidates"][0]["profile_id"] == "ls1688"
