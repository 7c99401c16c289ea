"""Embed net speech with earwitness: `INPUT.npz OUTPUT.npz`, on one thread, as `resemblyzer_worker` does.

The input holds waveforms (float32, 16 kHz, telephone band), the output `embeddings`, `raw` (the same before channel
compensation), both of shape (n, 192), and `seconds` each took, shape (n,).
"""

import sys
from time import perf_counter

import numpy as np

from benchmarks.engine import engine_for
from earwitness.voice.band import Band
from earwitness.voice.embedding import Vector


def main(arrived: str, embedded: str) -> None:
    """Embed all waveforms of a file."""
    engine = engine_for(Band.TELEPHONE)
    encoder, compensation = engine.encoder, engine.space.compensation
    with np.load(arrived) as archive:
        speech = [archive[name] for name in archive.files]
    encoder.embed(speech[0])  # what is loaded at first use does not count
    raws: list[Vector] = []
    vectors: list[Vector] = []
    seconds: list[float] = []
    for samples in speech:
        started = perf_counter()
        raw = encoder.embed(samples).vector
        vectors.append(compensation.apply(raw[None])[0])
        seconds.append(perf_counter() - started)
        raws.append(raw)
    np.savez(embedded, embeddings=np.array(vectors), raw=np.array(raws), seconds=np.array(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
