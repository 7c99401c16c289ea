"""How good the audio of speech is, and when it is too poor to enrol. Numbers alone; the speech is in `speech`."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from earwitness.voice.band import Band

_ENROL_LEVEL_DBFS_MIN = -50.0
_ENROL_SNR_DB_MIN = 3.0
_ENROL_CLIPPED_PERCENT_MAX = 2.0
_ENROL_BANDWIDTH_HZ_MIN = {Band.TELEPHONE: 2_000.0, Band.WIDEBAND: 4_500.0}

OF_SEVERAL_VOICES = "the speech is of more than one voice; enrol from recordings, or a channel, of this person alone"
"""Why speech is not enrolled whose voices the encoder tells apart."""


@dataclass(frozen=True, kw_only=True)
class SpeechQuality:
    """How good the audio is, measured on the channel as it arrived, before the canonical band."""

    speech_level_dbfs: float
    """RMS level of the speech, dB relative to full scale; -inf when there is none."""

    peak_dbfs: float
    """Highest sample of the whole channel, dB relative to full scale."""

    clipped_percent: float
    """Share of samples that lie in runs at the channel's own ceiling."""

    snr_db: float | None
    """Speech against the pauses; None when there were too few pauses to tell."""

    bandwidth_hz: float
    """Frequency above which the speech holds less than a millionth of its strongest part."""

    def as_document(self) -> dict[str, float | None]:
        """Return the numbers as JSON can hold them: an infinite level, of digital silence, becomes None."""
        numbers: dict[str, float | None] = asdict(self)
        return {name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()}


# `Any`: it comes from the records, as JSON.
def quality_of(document: Mapping[str, Any]) -> SpeechQuality:
    """Return what `SpeechQuality.as_document` says was measured. Raise KeyError when the document lacks a number."""

    def level(name: str) -> float:
        value = document[name]
        return -math.inf if value is None else value

    return SpeechQuality(
        speech_level_dbfs=level("speech_level_dbfs"),
        peak_dbfs=level("peak_dbfs"),
        clipped_percent=document["clipped_percent"] or 0.0,
        snr_db=document["snr_db"],
        bandwidth_hz=document["bandwidth_hz"] or 0.0,
    )


def quality_fault(quality: SpeechQuality, band: Band) -> str | None:
    """Return why speech of this quality would spoil a profile, and what to do; None when it is good enough."""
    if quality.speech_level_dbfs < _ENROL_LEVEL_DBFS_MIN:
        return (
            f"the speech is too quiet to enrol ({quality.speech_level_dbfs:.0f} dBFS, at least "
            f"{_ENROL_LEVEL_DBFS_MIN:.0f} needed); record it louder"
        )
    if quality.clipped_percent > _ENROL_CLIPPED_PERCENT_MAX:
        return (
            f"{quality.clipped_percent:.0f} % of the audio is clipped (at most {_ENROL_CLIPPED_PERCENT_MAX:.0f} % may "
            f"be enrolled); record it with less gain"
        )
    if quality.snr_db is not None and quality.snr_db < _ENROL_SNR_DB_MIN:
        return (
            f"the noise is as loud as the speech ({quality.snr_db:.0f} dB between them, at least "
            f"{_ENROL_SNR_DB_MIN:.0f} needed); enrol from a quieter recording"
        )
    if quality.bandwidth_hz < (least := _ENROL_BANDWIDTH_HZ_MIN[band]):
        return (
            f"the audio reaches only {quality.bandwidth_hz:.0f} Hz and a {band} gallery needs {least:.0f}; "
            f"enrol from a better recording, or use a telephone gallery for telephone calls"
        )
    return None
