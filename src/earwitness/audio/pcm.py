"""Raw PCM bytes to samples: s16le and G.711, interleaved channels, chunks that end anywhere."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.recording import choose_channel, columns
from earwitness.voice.embedding import Samples


class Encoding(StrEnum):
    """How a raw stream's samples are written."""

    S16LE = "s16le"
    MULAW = "mulaw"
    ALAW = "alaw"

    @property
    def sample_bytes(self) -> int:
        return 2 if self is Encoding.S16LE else 1


def _mulaw_table() -> Samples:
    """ITU-T G.711 µ-law: sign, three exponent bits, four mantissa bits, all inverted; bias 33 at 14 bits."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 1) + 33) << ((code >> 4) & 7)) - 33
    return (np.where(code & 0x80, -magnitude, magnitude) / 8192.0).astype(np.float32)


def _alaw_table() -> Samples:
    """ITU-T G.711 A-law: every second bit inverted; the first two segments are linear; 13 bits."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, ((code & 0x0F) << 1) + 1
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 32) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) / 4096.0).astype(np.float32)


_G711 = {Encoding.MULAW: _mulaw_table(), Encoding.ALAW: _alaw_table()}


def decode(encoding: Encoding, data: bytes | memoryview) -> Samples:
    """Convert whole samples to float32 in -1..1."""
    if encoding is Encoding.S16LE:
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768.0)
    codes: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
    return _G711[encoding][codes]


def encode_mulaw(samples: NDArray[np.int16]) -> bytes:
    """Return 16-bit samples as G.711 µ-law: of each the nearest code."""
    levels = np.rint(_G711[Encoding.MULAW] * 32_768).astype(np.int32)
    codes = np.argsort(levels, kind="stable")
    between = (levels[codes][1:] + levels[codes][:-1]) / 2
    return codes[np.searchsorted(between, samples)].astype(np.uint8).tobytes()


class PcmDecoder:
    """Feed bytes, take one channel's samples; a sample or frame cut in two waits for its other half."""

    def __init__(
        self, encoding: Encoding, *, channels: int = 1, channel: int | None = None, reference: bool = False
    ) -> None:
        """`reference`: of two channels give the other one beside the chosen one, as audio/leakage.py does."""
        self._encoding = encoding
        self._channels = channels
        self._columns = columns(channels, choose_channel(channels, channel), reference=reference)
        self._rest = b""

    def feed(self, data: bytes) -> Samples:
        """Return the samples completed by `data`; possibly none. Shape (n,), or (n, 2) with the reference."""
        data = self._rest + data
        frame_bytes = self._encoding.sample_bytes * self._channels
        whole = len(data) - len(data) % frame_bytes
        self._rest = data[whole:]
        return decode(self._encoding, memoryview(data)[:whole]).reshape(-1, self._channels)[:, self._columns]

    @property
    def rest_bytes(self) -> int:
        """Bytes of an unfinished frame; more than none at the end means the stream was cut."""
        return len(self._rest)
