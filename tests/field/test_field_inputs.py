"""Every file met in the field gives the answer that INDEX.md has for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness.audio.files import open_recording
from earwitness.cli.main import app

pytestmark = pytest.mark.slow

MATCHES = [("B_ffmpeg_pipe_8kbps.mp3", 11.0)]
"""Of the voice ls1688: file, and its seconds."""


def identify(file: Path, known: Path, *options: str) -> Any:
    result = CliRunner().invoke(app, ["identify", str(file), "--gallery", str(known), "--json", *options])
    return json.loads(result.stdout)


def samples_of(file: Path, channel: int | None = None) -> tuple[np.ndarray, int]:
    recording = open_recording(file, channel=channel)
    return np.concatenate(list(recording.blocks())), recording.rate


@pytest.mark.parametrize(("name", "seconds"), MATCHES)
def test_is_heard_whole_and_matched(field_dir: Path, known: Path, name: str, seconds: float) -> None:
    samples, rate = samples_of(field_dir / name)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.2)
    decision = identify(field_dir / name, known)["decision"]
    assert decision["outcome"] == "match"
    assert decision["candidates"][0]["profile_id"] == "ls1688"
