"""Any sample rate to the canonical 16 kHz signal of a band, as a stream.

Telephone: down to 8 kHz, a Butterworth band pass of 300 to 3400 Hz, up to 16 kHz. Wideband: to 16 kHz.
"""

import numpy as np
import soxr
from scipy import signal

from earwitness.errors import AudioNotFinite, RateUnsupported
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

RATE_MIN, RATE_MAX = 8_000, 48_000
"""Hz. Below the first, the telephone band itself is cut; above the second nothing is added."""

_TELEPHONE_RATE = 8_000
_TELEPHONE_FILTER = signal.butter(4, [300.0, 3400.0], "bandpass", fs=_TELEPHONE_RATE, output="sos")


class CanonicalBand:
    """Feed one channel's samples at `rate`, take the canonical signal; equal for every chunking.

    soxr delays its output by some milliseconds, so `finish` must be called for the last of them.
    """

    def __init__(self, band: Band, rate: int) -> None:
        if not RATE_MIN <= rate <= RATE_MAX:
            raise RateUnsupported(f"a sample rate of {rate} Hz is not supported; it must be 8,000 to 48,000 Hz")
        self._filter_state = None
        inner = CANONICAL_RATE
        self._up = None
        if band is Band.TELEPHONE:
            inner = _TELEPHONE_RATE
            self._filter_state = np.zeros((len(_TELEPHONE_FILTER), 2))
            self._up = soxr.ResampleStream(inner, CANONICAL_RATE, 1, dtype="float32")
        self._in = None if rate == inner else soxr.ResampleStream(rate, inner, 1, dtype="float32")

    def feed(self, samples: Samples) -> Samples:
        """The part of the canonical signal that is ready. AudioNotFinite on NaN or infinity."""
        if not np.isfinite(samples).all():
            raise AudioNotFinite(
                "the audio holds samples that are not numbers (NaN or infinite); export it again as 16-bit PCM"
            )
        return self._pass(np.ascontiguousarray(samples, np.float32), last=False)

    def finish(self) -> Samples:
        """The rest of the canonical signal; nothing may be fed after it."""
        return self._pass(np.zeros(0, np.float32), last=True)

    def _pass(self, samples: Samples, *, last: bool) -> Samples:
        if self._in is not None:
            samples = self._in.resample_chunk(samples, last=last)
        if self._filter_state is None or self._up is None:
            return samples
        if len(samples):
            filtered, self._filter_state = signal.sosfilt(_TELEPHONE_FILTER, samples, zi=self._filter_state)
            samples = filtered.astype(np.float32)
        return self._up.resample_chunk(samples, last=last)


def to_canonical(samples: Samples, *, band: Band, rate: int) -> Samples:
    """A whole channel at once."""
    converter = CanonicalBand(band, rate)
    return np.concatenate([converter.feed(samples), converter.finish()])
