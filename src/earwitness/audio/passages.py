"""Gather the net speech of a long call passage by passage.

A passage ends when nobody has spoken for a while, and nothing but its speech outlives it: filters, resamplers and the
detector begin anew. So a passage that is heard again, without what came before it, gives the same speech to the bit,
and whoever knows where the passages with speech lie need not hear the others again.

What belongs here: where passages end, and their sum. What must never: where they lie in a stream.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.net_speech import NetSpeechGatherer
from earwitness.audio.quality import QualityMeter
from earwitness.audio.vad import FRAME_SAMPLES, join
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import NetSpeech, SpeechSegment

PASSAGE_SILENCE_SECONDS = 4.0
"""Silence that ends a passage. Longer than people pause in a sentence, so that speech is rarely cut from what the
detector knew of it; shorter than what the other party of a call says, so that most turns are passages.

Without such a silence a passage goes on, and all of it is heard again after a crash. It needs no other end: a search is
over after 20 s of speech, and an hour that stays below, with a snatch of sound every three seconds, takes 8 s of a
core. An end by force would cut words in two, and change the answers of calls that nothing ever interrupts."""

_SILENCE_FRAMES = round(PASSAGE_SILENCE_SECONDS * CANONICAL_RATE / FRAME_SAMPLES)
_BLOCK_SECONDS_MAX = 4
"""A longer chunk is worked on in parts: what lies behind the end of a passage is fed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageEnd:
    """The end of a passage, and the beginning of the next."""

    position: int
    """Sample of the channel, at its own rate, counted from the first that was fed."""

    spoken: bool
    """Whether there was speech in the passage."""


class PassageGatherer:
    """Feed one channel at `rate`; it gathers until `target_seconds` of net speech. Equal for every chunking."""

    def __init__(self, vad: ModelSession, *, band: Band, rate: int, target_seconds: float) -> None:
        self._vad = vad
        self._band = band
        self._rate = rate
        self._target = round(target_seconds * CANONICAL_RATE)
        self._start = 0  # of the current passage, as PassageEnd.position
        #: Samples that were fed.
        self.position = 0
        self._ends: list[PassageEnd] = []
        self._earlier: list[NetSpeech] = []
        self._earlier_starts: list[int] = []
        self._gathered = 0  # in earlier passages
        self._meter = QualityMeter(rate)
        self._gatherer = self._new_gatherer()

    @property
    def settled(self) -> int:
        """Up to here it is decided where passages end."""
        return self._start + self._gatherer.judged

    @property
    def seconds(self) -> float:
        """Net speech gathered so far."""
        return (self._gathered + self._gatherer.gathered) / CANONICAL_RATE

    @property
    def complete(self) -> bool:
        """True once the target is reached; what is fed after that is not looked at."""
        return self._gatherer.complete

    @property
    def segments(self) -> tuple[SpeechSegment, ...]:
        """The speech that was gathered so far."""
        found = [*zip(self._earlier_starts, (piece.segments for piece in self._earlier), strict=True)]
        found.append((self._start, self._gatherer.segments))
        shifted = [(start * CANONICAL_RATE // self._rate, segments) for start, segments in found]
        return join(
            [
                SpeechSegment(segment.start + shift, segment.end + shift)
                for shift, segments in shifted
                for segment in segments
            ]
        )

    def feed(self, samples: Samples) -> None:
        """Take the next samples of the channel. AudioNotFinite on NaN or infinity."""
        self.position += len(samples)
        block = _BLOCK_SECONDS_MAX * self._rate
        for first in range(0, len(samples), block):
            if self.complete:
                return
            part = samples[first : first + block]
            while len(part) and not self.complete:
                self._gatherer.feed(part)
                part = part[:0]
                if self._gatherer.ended and not self.complete:
                    part = self._gatherer.unheard()
                    self._go_on(self.settled)

    def end_passage(self) -> None:
        """End the passage with the last sample that was fed: a former hearing found its end there."""
        if self._start < self.position and not self.complete:
            self._gatherer.end_here()
            self._go_on(self.position)

    def finish(self) -> None:
        """Count what had waited for more: the channel has ended."""
        self._gatherer.finish()

    def take_ends(self) -> list[PassageEnd]:
        """Return the passages that ended since the last call."""
        ends, self._ends = self._ends, []
        return ends

    def speech(self) -> NetSpeech:
        """Return what was gathered so far. Its quality is that of the passages with speech."""
        current, meter = self._gatherer.speech(), QualityMeter(self._rate)
        meter.add(self._meter)
        pieces = self._earlier
        if self._gatherer.gathered:
            pieces = [*pieces, current]
            meter.add(self._gatherer.meter)
        return NetSpeech(
            samples=np.concatenate([piece.samples for piece in pieces]) if pieces else np.zeros(0, np.float32),
            band=self._band,
            segments=self.segments,
            quality=meter.read(),
            seconds=self.seconds,
            heard_seconds=self._start / self._rate + current.heard_seconds,
        )

    def _go_on(self, position: int) -> None:
        """Keep the speech of the passage, and begin the next one here."""
        ended = self._gatherer
        self._ends.append(PassageEnd(position=position, spoken=bool(ended.gathered)))
        if ended.gathered:
            self._earlier.append(ended.speech())
            self._earlier_starts.append(self._start)
            self._gathered += ended.gathered
            self._meter.add(ended.meter)
        self._start = position
        self._gatherer = self._new_gatherer()

    def _new_gatherer(self) -> NetSpeechGatherer:
        return NetSpeechGatherer(
            self._vad,
            band=self._band,
            rate=self._rate,
            target_seconds=(self._target - self._gathered) / CANONICAL_RATE,
            silence_frames=_SILENCE_FRAMES,
        )
