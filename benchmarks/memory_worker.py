"""Resident memory while a thousand embeddings are made, for `memory`: a process that has done nothing else before.
Prints the numbers as JSON."""

import json
from pathlib import Path

import numpy as np
from scipy import signal

from benchmarks.benchmark import Numbers
from benchmarks.engine import engine_for
from earwitness.cli.output import progress_of
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

_EMBEDDINGS, _SETTLED_AFTER = 1_000, 50
_WINDOW = 50
"""Resident memory goes up and down with the length just embedded; medians over as many as this are compared."""

_SECONDS_MIN, _SECONDS_MAX = 3.0, 25.0
_NOISE_SECONDS = 60.0
_SYLLABLES_HZ = 4.0


def main() -> None:
    """Embed stretches of random length and place, and print resident memory in MiB."""
    encoder = engine_for(Band.TELEPHONE).encoder
    resident = _embed_all(encoder, np.random.default_rng(0))
    later = resident[_SETTLED_AFTER:]
    settled, last = float(np.median(later[:_WINDOW])), float(np.median(later[-_WINDOW:]))
    middle = float(np.median(resident[_EMBEDDINGS // 2 :][:_WINDOW]))
    numbers: Numbers = {
        "settled_mib": settled,
        "middle_mib": middle,
        "last_mib": last,
        "highest_first_mib": max(resident[:_SETTLED_AFTER]),
        "highest_mib": max(later),
        "growth_percent": 100.0 * (last / settled - 1.0),
    }
    print(json.dumps(numbers))


def _embed_all(encoder: SpeakerEncoder, random: np.random.Generator) -> list[float]:
    """Resident memory after each embedding, in MiB."""
    noise = _speech_like(random)
    resident: list[float] = []
    with progress_of() as show:
        for done in range(1, _EMBEDDINGS + 1):
            length = round(random.uniform(_SECONDS_MIN, _SECONDS_MAX) * CANONICAL_RATE)
            start = int(random.integers(0, len(noise) - length))
            encoder.embed(noise[start : start + length])
            resident.append(_resident_mib())
            show("embeddings", done, _EMBEDDINGS)
    return resident


def _speech_like(random: np.random.Generator) -> Samples:
    """Noise in the telephone band that rises and falls like syllables."""
    samples = round(_NOISE_SECONDS * CANONICAL_RATE)
    band = signal.butter(2, [300.0, 3400.0], "bandpass", fs=CANONICAL_RATE, output="sos")
    noise = signal.sosfilt(band, random.standard_normal(samples))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * _SYLLABLES_HZ * np.arange(samples) / CANONICAL_RATE)
    return (0.1 * noise * syllables).astype(np.float32)


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say how much memory is resident")


if __name__ == "__main__":
    main()
