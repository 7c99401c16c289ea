"""Calls to measure with, made of the sample calls that come with earwitness."""

from pathlib import Path

import numpy as np
import soundfile

from earwitness.audio.canonical import to_canonical
from earwitness.audio.files import open_recording
from earwitness.samples import KNOWN, first_call
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples


def write_call(path: Path, *, rate: int, seconds: float) -> None:
    """One 16-bit WAV at 8 or 16 kHz, sample calls one after the other."""
    samples, own_rate = _joined()
    if rate == CANONICAL_RATE:
        samples = to_canonical(samples, band=Band.WIDEBAND, rate=own_rate)
    elif rate != own_rate:
        raise ValueError(f"the sample calls can be written at {own_rate} or {CANONICAL_RATE} Hz, not {rate}")
    length = round(seconds * rate)
    if len(samples) < length:
        raise ValueError(f"the sample calls are shorter than {seconds} s")
    soundfile.write(path, samples[:length], rate, subtype="PCM_16")


def _joined() -> tuple[Samples, int]:
    calls = [open_recording(first_call(name)) for name in KNOWN]
    (rate,) = {call.rate for call in calls}
    return np.concatenate([block for call in calls for block in call.blocks()]), rate
