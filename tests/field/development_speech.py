"""Speakers of the development speech, as a telephone line carries them."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8_000


def recordings_of(speech: Path, speakers: tuple[str, ...]) -> dict[str, list[Path]]:
    """Each speaker's recordings, in the manifest's order."""
    found: dict[str, list[Path]] = {speaker: [] for speaker in speakers}
    with (speech / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        for row in csv.DictReader(manifest):
            if row["speaker_id"] in found:
                found[row["speaker_id"]].append(speech / row["file"])
    return found


def telephone_line(files: list[Path]) -> np.ndarray:
    """Recordings one after another at 8 kHz, as float32."""
    pieces = []
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        pieces.append(soxr.resample(samples[:, 0], rate, RATE))
    return np.concatenate(pieces)
