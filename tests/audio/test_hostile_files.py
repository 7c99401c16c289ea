"""Paths that are no files, and files that are no recordings: an error at once, never a hang."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.pcm import Encoding
from earwitness.errors import AudioError, AudioUnreadable

RAW = RawFormat(encoding=Encoding.S16LE, rate=8_000)


@pytest.mark.parametrize("raw", [None, RAW])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, raw: RawFormat | None) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("/dev/zero")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    for name in ("pipe.wav", "link.wav", "loop.wav", "gone.wav", "/dev/zero", "/dev/null", "."):
        with pytest.raises(AudioUnreadable):
            open_recording(tmp_path / name, raw=raw)


def test_a_link_to_a_recording_is_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", np.zeros(800), 8_000)
    (tmp_path / "link.wav").symlink_to("call.wav")
    assert sum(len(block) for block in open_recording(tmp_path / "link.wav").blocks()) == 800


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, call: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"call.{suffix}"
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1) as file:
        for _ in range(8):
            file.write(call)
    blocks = open_recording(path).blocks()
    next(blocks)
    os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(AudioError, match=path.name):
        list(blocks)
    path.unlink()
    with pytest.raises(AudioUnreadable):
        open_recording(path)


def test_a_header_that_states_a_thousand_channels_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.zeros((20_000, 1_000), np.int16), 192_000)
    assert max(len(block) for block in open_recording(path, channel=999).blocks()) * 1_000 <= 1 << 20


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.slow
def test_damage_is_our_error_or_some_audio(tmp_path: Path, call: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"call.{suffix}"
    soundfile.write(path, call[:40_000], 8_000)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole[: int(random.integers(1, len(whole) + 1))])
        for at in random.integers(0, min(len(damaged), 400 if random.random() < 0.5 else len(damaged)), 4):
            damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert sum(len(block) for block in open_recording(path, channel=0).blocks()) < 100 * len(whole)
        except AudioError as error:
            assert path.name in str(error) or "channel" in str(error)
