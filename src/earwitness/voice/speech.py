"""SpeechSegment and NetSpeech: the speech found in one channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples
from earwitness.voice.speech_quality import SpeechQuality, quality_fault, quality_of


@dataclass(frozen=True, order=True)
class SpeechSegment:
    """A stretch of speech, as sample positions at 16 kHz in the channel's own time: start inclusive, end not."""

    start: int
    end: int

    @property
    def start_seconds(self) -> float:
        return self.start / CANONICAL_RATE

    @property
    def end_seconds(self) -> float:
        return self.end / CANONICAL_RATE


@dataclass(frozen=True, kw_only=True)
class NetSpeech:
    """Speech gathered from one channel, silence removed, in a canonical band."""

    samples: Samples
    """Shape (n,), 16 kHz; at most the gatherer's target. Empty when only the measurement was asked for."""

    seconds: float
    """Net speech gathered."""

    band: Band
    segments: tuple[SpeechSegment, ...]
    quality: SpeechQuality
    heard_seconds: float
    """Length of the channel that was listened to, speech and silence."""

    def as_pcm(self) -> bytes:
        """Return the speech as 16-bit samples at 16 kHz, which is what a new encoder will need."""
        return np.clip(np.rint(self.samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()


# `Any`: it comes from the records, as JSON.
def kept_speech(pcm: bytes, quality: Mapping[str, Any], *, band: Band) -> NetSpeech:
    """Return the speech that `NetSpeech.as_pcm` made, with what `SpeechQuality.as_document` says was measured of it.

    Where in a channel it lay is not known any more. Raise KeyError when the document lacks a number.
    """

    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32_768.0)
    seconds = len(samples) / CANONICAL_RATE
    measured = quality_of(quality)
    return NetSpeech(samples=samples, seconds=seconds, band=band, segments=(), quality=measured, heard_seconds=seconds)


def enrolment_fault(speech: NetSpeech) -> str | None:
    """Return why this speech would spoil a profile and what to do, or None when it is good enough.

    Poor audio may be searched with, where it costs one answer; enrolled, it would cost every later one.
    """
    return quality_fault(speech.quality, speech.band)
