"""Any sample rate to the canonical 16 kHz signal of a band, as a stream.

Telephone: down to 8 kHz, a Butterworth band pass of 300 to 3400 Hz, up to 16 kHz. Wideband: to 16 kHz.
"""

from dataclasses import dataclass

import numpy as np
import soxr
from scipy import signal

from earwitness.errors import AudioNotFinite, RateUnsupported
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

RATE_MIN, RATE_MAX = 8_000, 48_000
"""Hz. Below the first, the telephone band itself is cut; above the second nothing is added."""

TELEPHONE_RATE = 8_000
TELEPHONE_FILTER = signal.butter(4, [300.0, 3400.0], "bandpass", fs=TELEPHONE_RATE, output="sos")


@dataclass(frozen=True)
class Canonical:
    """A stretch of one channel at 16 kHz, twice, sample for sample at the same time."""

    signal: Samples
    """In the canonical band: what an encoder hears. Shape (n,)."""

    unfiltered: Samples
    """Without the band pass: what voice activity is judged on. A voice whose low notes were cut off is easily missed (a
    low-pitched speaker of digits kept 0.3 of 5.8 s). Shape (n,)."""


class CanonicalBand:
    """Feed one channel's samples at `rate`, take the canonical signal; equal for every chunking.

    soxr delays its output by some milliseconds, so `finish` must be called for the last of them.
    """

    def __init__(self, band: Band, rate: int) -> None:
        if not RATE_MIN <= rate <= RATE_MAX:
            raise RateUnsupported(f"a sample rate of {rate} Hz is not supported; it must be 8,000 to 48,000 Hz")
        inner = TELEPHONE_RATE if band is Band.TELEPHONE else CANONICAL_RATE
        self._in = None if rate == inner else soxr.ResampleStream(rate, inner, 1, dtype="float32")
        self._telephone = _TelephoneBand() if band is Band.TELEPHONE else None

    def feed(self, samples: Samples) -> Canonical:
        """Return what is ready of the canonical signal. Raises AudioNotFinite on NaN or infinity."""
        if not np.isfinite(samples).all():
            raise AudioNotFinite(
                "the audio holds samples that are not numbers (NaN or infinite); export it again as 16-bit PCM"
            )
        return self._pass(np.ascontiguousarray(samples, np.float32), last=False)

    def finish(self) -> Canonical:
        """Return the rest of the canonical signal; nothing may be fed after it."""
        return self._pass(np.zeros(0, np.float32), last=True)

    def _pass(self, samples: Samples, *, last: bool) -> Canonical:
        if self._in is not None:
            samples = self._in.resample_chunk(samples, last=last)
        if self._telephone is None:
            return Canonical(samples, samples)
        return self._telephone.pass_on(samples, last=last)


class _TelephoneBand:
    """8 kHz to 16 kHz, with and without the band pass."""

    def __init__(self) -> None:
        self._state = np.zeros((len(TELEPHONE_FILTER), 2))
        self._up_signal, self._up_unfiltered = (
            soxr.ResampleStream(TELEPHONE_RATE, CANONICAL_RATE, 1, dtype="float32") for _ in range(2)
        )

    def pass_on(self, samples: Samples, *, last: bool) -> Canonical:
        filtered = samples
        if len(samples):
            narrow, self._state = signal.sosfilt(TELEPHONE_FILTER, samples, zi=self._state)
            filtered = narrow.astype(np.float32)
        return Canonical(
            self._up_signal.resample_chunk(filtered, last=last),
            self._up_unfiltered.resample_chunk(samples, last=last),
        )


def resampled(samples: Samples, *, rate: int, to: int) -> Samples:
    """Return a whole channel at another rate."""
    return samples if rate == to else soxr.resample(samples, rate, to)


def to_canonical(samples: Samples, *, band: Band, rate: int) -> Samples:
    """Convert a whole channel at once."""
    converter = CanonicalBand(band, rate)
    return np.concatenate([converter.feed(samples).signal, converter.finish().signal])
