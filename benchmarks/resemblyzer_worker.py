"""Embed net speech with Resemblyzer, in its own environment: `INPUT.npz OUTPUT.npz`, on one thread.

The input holds waveforms (float32, 16 kHz), the output `embeddings`, shape (n, 256), and the `seconds` each took, shape
(n,). Imports nothing of earwitness: that is not installed where this runs.
"""

import sys
import types
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

# Its voice activity detector is not used, but imported with the rest, and needs a C compiler.
sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")

import torch  # noqa: E402
from resemblyzer import VoiceEncoder, normalize_volume  # noqa: E402
from resemblyzer.hparams import audio_norm_target_dBFS  # noqa: E402


def main(arrived: str, embedded: str) -> None:
    """Embed all waveforms of a file."""
    torch.set_num_threads(1)
    encoder = VoiceEncoder("cpu", verbose=False)
    with np.load(arrived) as archive:
        speech = [archive[name] for name in archive.files]
    _embed(encoder, speech[0])  # what is loaded at first use does not count
    vectors: list[NDArray[np.float32]] = []
    seconds: list[float] = []
    for samples in speech:
        started = perf_counter()
        vectors.append(_embed(encoder, samples))
        seconds.append(perf_counter() - started)
    np.savez(embedded, embeddings=np.array(vectors), seconds=np.array(seconds))


def _embed(encoder: VoiceEncoder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As its own documentation does, less the detection of speech. The level counts: its mel is not logarithmic."""
    return encoder.embed_utterance(normalize_volume(samples, audio_norm_target_dBFS, increase_only=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
