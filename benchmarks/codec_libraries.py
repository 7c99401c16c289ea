"""AMR-WB and G.729, which PyAV decodes but cannot code: by Debian's libvo-amrwbenc0 and libbcg729-0, if they are there.

Neither is part of the product. EARWITNESS_CODEC_LIBRARIES may name a folder that holds them.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from earwitness.voice.embedding import Samples

_MODES = {6.6: 0, 12.65: 2, 23.85: 8}
"""AMR-WB's, by kb/s."""

LIBRARY_LINES = (*(f"amr-wb-{kilobits:g}" for kilobits in _MODES), "g729")

Coder = Callable[[Samples], Samples]
"""(samples at the codec's rate) → what comes out of the decoder, at the same rate."""


def coders() -> dict[str, tuple[int, Coder]]:
    """Return rate and coder of each line that can be had on this machine."""
    found: dict[str, tuple[int, Coder]] = {}
    if (library := _library("vo-amrwbenc", 0)) is not None:
        for kilobits, mode in _MODES.items():
            found[f"amr-wb-{kilobits:g}"] = 16_000, _amr_wb(library, mode)
    if (library := _library("bcg729", 0)) is not None:
        found["g729"] = 8_000, _g729(library)
    return found


def _library(name: str, version: int) -> ctypes.CDLL | None:
    folder = os.environ.get("EARWITNESS_CODEC_LIBRARIES")
    path = str(Path(folder) / f"lib{name}.so.{version}") if folder else find_library(name)
    return ctypes.CDLL(path) if path and (not folder or Path(path).is_file()) else None


def _frames(samples: Samples, length: int) -> Iterator[NDArray[np.int16]]:
    padded = np.clip(np.pad(samples, (0, -len(samples) % length)), -1, 1)
    for start in range(0, len(padded), length):
        yield np.ascontiguousarray(np.round(padded[start : start + length] * 32_767).astype(np.int16))


def _decoded(packets: list[bytes], decoder: str, rate: int) -> Samples:
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = rate, "mono"
    parts = [frame.to_ndarray().reshape(-1) for packet in packets for frame in context.decode(av.Packet(packet))]
    samples = np.concatenate(parts)
    return (samples / 32_768 if samples.dtype == np.int16 else samples).astype(np.float32)


def _amr_wb(library: ctypes.CDLL, mode: int) -> Coder:
    library.E_IF_init.restype = ctypes.c_void_p

    def code(samples: Samples) -> Samples:
        state, packets = ctypes.c_void_p(library.E_IF_init()), list[bytes]()
        out = ctypes.create_string_buffer(500)
        for frame in _frames(samples, 320):
            length = library.E_IF_encode(state, mode, frame.ctypes.data_as(ctypes.c_void_p), out, 0)
            packets.append(out.raw[:length])
        library.E_IF_exit(state)
        return _decoded(packets, "amrwb", 16_000)

    return code


def _g729(library: ctypes.CDLL) -> Coder:
    library.initBcg729EncoderChannel.restype = ctypes.c_void_p

    def code(samples: Samples) -> Samples:
        state, packets = ctypes.c_void_p(library.initBcg729EncoderChannel(0)), list[bytes]()
        out, length = ctypes.create_string_buffer(10), ctypes.c_uint8()
        for frame in _frames(samples, 80):
            library.bcg729Encoder(state, frame.ctypes.data_as(ctypes.c_void_p), out, ctypes.byref(length))
            packets.append(out.raw[: length.value])
        library.closeBcg729EncoderChannel(state)
        return _decoded(packets, "g729", 8_000)

    return code
