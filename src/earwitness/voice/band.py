"""The canonical band: what part of the spectrum a gallery's audio is reduced to before anything hears it."""

from enum import StrEnum


class Band(StrEnum):
    """One band per gallery; enrolment and probe always go through the same one.

    Mixing them is the costliest mistake in this field: a wideband voiceprint against telephone speech drops the
    same-speaker cosine from 0.92 to 0.51 (docs/accuracy.md).
    """

    TELEPHONE = "telephone"
    """300 to 3400 Hz at 8 kHz, brought back to 16 kHz for the encoder."""

    WIDEBAND = "wideband"
    """Everything up to 8 kHz, at 16 kHz."""


CANONICAL_RATE = 16_000
"""Hz; the rate of all audio after `audio.canonical`, in either band."""

BAND_TAG = "earwitness:band"
"""The tag that chooses a domain's band when it is created; `telephone` without it."""
