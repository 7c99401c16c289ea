"""A loop is told from speech that goes on."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from earwitness.audio.net_speech import gather
from earwitness.audio.quality import distinct_seconds
from earwitness.models.sessions import ModelSession
from earwitness.samples import first_call
from earwitness.voice.band import Band

RATE = 8_000


def net(samples: np.ndarray, vad: ModelSession) -> np.ndarray:
    return gather([samples], vad=vad, band=Band.TELEPHONE, rate=RATE, target_seconds=20).samples


def through(samples: np.ndarray, container: str, subtype: str) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


@pytest.mark.parametrize("name", ["sally", "kal", "fiona", "angus"])
def test_a_call_is_all_different(vad: ModelSession, name: str) -> None:
    samples, _ = soundfile.read(first_call(name), dtype="float32")
    speech = net(samples, vad)
    assert distinct_seconds(speech) == len(speech) / 16_000


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("WAV", "ULAW"), ("WAV", "GSM610"), ("MP3", "MPEG_LAYER_III")]
)
@pytest.mark.parametrize("seconds", [2.0, 3.0, 4.7])
def test_a_loop_is_as_long_as_what_it_repeats(
    vad: ModelSession, call: np.ndarray, container: str, subtype: str, seconds: float
) -> None:
    loop = np.tile(call[10_000 : 10_000 + int(seconds * RATE)], 8)[: 18 * RATE]
    speech = net(through(loop, container, subtype), vad)
    assert len(speech) / 16_000 > 10
    assert distinct_seconds(speech) < seconds + 2


def test_what_is_shorter_than_a_comparison(vad: ModelSession) -> None:
    for count in (0, 1, 16_000, 31_000):
        assert distinct_seconds(np.ones(count, np.float32)) == count / 16_000


@pytest.mark.slow
def test_no_speaker_repeats_themselves(vad: ModelSession, speech_dir: Path) -> None:
    """Not one of 100 false alarms on running speech."""
    found: dict[str, list[Path]] = {}
    with (speech_dir / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        for row in csv.DictReader(manifest):
            found.setdefault(row["speaker_id"], []).append(speech_dir / row["file"])
    for files in list(found.values())[::4]:
        pieces = [soundfile.read(file, dtype="float32", always_2d=True) for file in files[:10]]
        line = np.concatenate([soxr.resample(samples[:, 0], rate, RATE) for samples, rate in pieces])
        speech = net(line, vad)
        assert distinct_seconds(speech) == len(speech) / 16_000
