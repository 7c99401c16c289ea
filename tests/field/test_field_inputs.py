"""Every file met in the field gives the answer that INDEX.md has for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from development_speech import RATE, recordings_of, telephone_line
from typer.testing import CliRunner

from earwitness.audio.files import open_recording
from earwitness.cli.main import app
from earwitness.errors import AudioUnreadable

pytestmark = pytest.mark.slow

HEARD = {
    "B_len_zero.wav": 11.0,
    "B_ffmpeg_pipe_rf64.wav": 11.0,
    "B_len_sox_pipe.wav": 11.0,
    "B_len_arecord.wav": 11.0,
    "B_len_placeholder_2e9.wav": 11.0,
    "B_len_minus_header.wav": 11.0,
    "B_len_header_too_short.wav": 11.0,
    "B_ffmpeg_pipe.flac": 11.0,
    "B_ffmpeg_pipe_8kbps.mp3": 11.0,
    "D2_ivr_then_enrolled_caller.gsm.wav": 46.6,
    "D3_customer_channel_leak35dB.adpcm.wav": 48.0,
    "D11_cat.mp3": 32.1,
    "D11_chain.ogg": 24.0,
    "D11_chain.opus": 24.0,
}
"""Seconds of each recording that is read by its header."""

MATCHES = [name for name in HEARD if name.startswith("B_") and not name.endswith(".mp3")]
"""Of the voice ls1688. The MP3 of 8 kbit/s is too poor for a match."""


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
    assert decision["candidates"][0]["profileId"] == "ls1688"


@pytest.mark.parametrize("name", HEARD)
def test_is_heard_to_its_end(field_dir: Path, name: str) -> None:
    recording = open_recording(field_dir / name)
    samples = np.concatenate(list(recording.blocks()))
    assert len(samples) / recording.rate == pytest.approx(HEARD[name], abs=0.1)


@pytest.mark.parametrize("name", MATCHES)
def test_is_matched(field_dir: Path, known: Path, name: str) -> None:
    decision = identify(field_dir / name, known)["decision"]
    assert decision["outcome"] == "match"
    assert decision["candidates"][0]["profileId"] == "ls1688"


def test_a_wav_that_nobody_reads_is_an_error(field_dir: Path) -> None:
    with pytest.raises(AudioUnreadable, match="No 'data' chunk marker"):
        open_recording(field_dir / "B_junk_odd_nopad.wav")


@pytest.mark.parametrize("name", ["B_ffmpeg_pipe_8kbps.mp3", "D11_cat.mp3"])
def test_the_terminal_gets_no_line_of_a_decoder(field_dir: Path, name: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "earwitness", "inspect", field_dir / name], capture_output=True, text=True
    )
    assert said.returncode == 0
    assert said.stderr == ""
