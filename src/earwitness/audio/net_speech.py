"""Gather net speech: one channel's samples in, its speech without the silence out.

The gatherer is the whole way from a channel to what an encoder hears. Chunks may have any size; what is gathered, the
segments and the quality are the same for every chunking.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from earwitness.audio.canonical import Canonical, CanonicalBand
from earwitness.audio.leakage import LeakageDetector, with_reference
from earwitness.audio.quality import QualityMeter, frame_bounds
from earwitness.audio.vad import (
    FRAME_SAMPLES,
    LEAKAGE,
    LOOK_BACK_SAMPLES,
    SPEECH_OFF,
    SpeechDetector,
    VoiceActivity,
    join,
)
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import NetSpeech, SpeechSegment

_BLOCK_SECONDS_MAX = 4
"""A longer chunk is worked on in parts, so that a whole file fed at once stops early and stays small in memory."""

_KEPT_SECONDS = 8
"""What is kept of a channel while all of it is gathered: a piece ends at most so long before what was fed last."""

_LOOK_BACK_FRAMES = LOOK_BACK_SAMPLES // FRAME_SAMPLES


class _Window:
    """The most recent samples of a stream, addressed by their position in the whole of it."""

    def __init__(self, empty: Samples) -> None:
        """`empty` holds no sample, and as many channels as those that will come."""
        self._samples = empty
        self._start = 0

    @property
    def end(self) -> int:
        return self._start + len(self._samples)

    def append(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def take(self, start: int, end: int) -> Samples:
        return self._samples[max(start - self._start, 0) : max(end - self._start, 0)]

    def forget_before(self, position: int) -> None:
        if (drop := min(position, self.end) - self._start) > 0:
            self._samples = self._samples[drop:]
            self._start += drop


class NetSpeechGatherer:
    """Feed one channel at `rate`; it gathers until `target_seconds` of net speech, or all there is when None.

    Without `keep_samples` the speech is found and measured but not kept, so hours of it cost no memory. With
    `silence_frames` it ends at the first frame of 32 ms that completes so many in a row without speech; where that is
    depends on the samples alone, and what follows is not listened to.
    """

    def __init__(
        self,
        vad: ModelSession,
        *,
        band: Band,
        rate: int,
        target_seconds: float | None,
        keep_samples: bool = True,
        silence_frames: int | None = None,
    ) -> None:
        self._keep_samples = keep_samples
        self._band = band
        self._rate = rate
        self._target = None if target_seconds is None else round(target_seconds * CANONICAL_RATE)
        self._converter = CanonicalBand(band, rate)
        self._activity = VoiceActivity(vad)
        self._leakage = LeakageDetector()
        self._detector = SpeechDetector()
        #: What the quality is measured with.
        self.meter = QualityMeter(rate)
        self._arrived, self._canonical = _Window(np.zeros((0, 2), np.float32)), _Window(np.zeros(0, np.float32))
        self._measured = 0  # frames whose quality was taken
        self._unmeasured: Samples = np.zeros(0, np.float32)  # probabilities of the judged frames after those
        self._waiting: list[SpeechSegment] = []  # found, but their last samples have not arrived
        self._segments: list[SpeechSegment] = []
        self._speech: list[Samples] = []
        #: Samples of net speech so far, at 16 kHz.
        self.gathered = 0
        self._silence_frames = silence_frames
        self._silent = 0  # frames without speech, up to the last judged one
        #: True once there were `silence_frames` without speech: the last sample that counts is `judged`.
        self.ended = False

    @property
    def judged(self) -> int:
        """Samples of the channel, at its own rate, of which it is decided whether they are speech."""
        return int(frame_bounds(self._judged_frames, 0, self._rate)[0])

    @property
    def _judged_frames(self) -> int:
        return self._measured + len(self._unmeasured)

    @property
    def seconds(self) -> float:
        """Net speech gathered so far."""
        return self.gathered / CANONICAL_RATE

    @property
    def complete(self) -> bool:
        """True once the target is reached; what is fed after that is not looked at."""
        return self._target is not None and self.gathered >= self._target

    @property
    def segments(self) -> tuple[SpeechSegment, ...]:
        """The speech that was gathered so far."""
        return join(self._segments)

    def feed(self, samples: Samples) -> None:
        """Take the next samples of the channel: shape (n,), or (n, 2) with its reference."""
        block = _BLOCK_SECONDS_MAX * self._rate
        for first in range(0, len(samples), block):
            if self.complete:
                return
            part = with_reference(samples[first : first + block])
            self._arrived.append(part)
            if not self.ended:
                self._listen(self._converter.feed(part[:, 0]))

    def unheard(self) -> Samples:
        """Return what was fed and lies behind the end, with its reference."""
        return self._arrived.take(self.judged, self._arrived.end)

    def end_here(self) -> None:
        """End at the last sample that was fed: a former hearing, which had more, found the silence complete there.

        The resampler looks ahead by less than two frames, so the last ones may be judged otherwise than they were then.
        They are too few to be speech, and lie behind what is measured.
        """
        if self.complete or self.ended:
            return
        frames = round(self._arrived.end * CANONICAL_RATE / (self._rate * FRAME_SAMPLES))
        self._listen(self._converter.finish())
        self._collect(until=self._canonical.end)
        self._measure(until=frames - _LOOK_BACK_FRAMES)
        self.ended = True

    def finish(self) -> NetSpeech:
        """Return what was gathered when the channel has ended."""
        if not self.complete and not self.ended:
            self._listen(self._converter.finish())
            self._collect(until=self._canonical.end)
            self._measure(until=self._end_frame() if self.complete else self._judged_frames)
        return self.speech()

    def speech(self) -> NetSpeech:
        """Return what was gathered so far."""
        samples = np.concatenate(self._speech) if self._speech else np.zeros(0, np.float32)
        return NetSpeech(
            samples=samples,
            band=self._band,
            segments=self.segments,
            quality=self.meter.read(),
            seconds=self.seconds,
            heard_seconds=self._measured * FRAME_SAMPLES / CANONICAL_RATE,
        )

    def _listen(self, canonical: Canonical) -> None:
        self._canonical.append(canonical.signal)
        probabilities = self._until_silence(self._activity.feed(canonical.unfiltered))
        probabilities = self._without_leakage(probabilities)
        self._waiting += self._detector.feed(probabilities)
        self._unmeasured = np.concatenate([self._unmeasured, probabilities])
        judged = self._judged_frames
        self._collect(until=judged * FRAME_SAMPLES)
        # A stretch may be found to have begun, and to complete the target, a few frames back. Measuring stays behind
        # by that much, so that it ends at the same frame for every chunking.
        self._measure(until=self._end_frame() if self.complete else judged - _LOOK_BACK_FRAMES)
        needed_from = judged * FRAME_SAMPLES - LOOK_BACK_SAMPLES
        self._canonical.forget_before(min([needed_from, *(segment.start for segment in self._waiting)]))

    def _until_silence(self, probabilities: Samples) -> Samples:
        """Return the frames up to the one that ends it; all of them when none does."""
        if self._silence_frames is None:
            return probabilities
        for index, quiet in enumerate((probabilities < SPEECH_OFF).tolist(), start=1):
            self._silent = self._silent + 1 if quiet else 0
            if self._silent == self._silence_frames:
                self.ended = True
                return probabilities[:index]
        return probabilities

    def _without_leakage(self, probabilities: Samples) -> Samples:
        """Lower the probabilities of frames that are far below the reference.

        Leakage is no silence: where silence ends a stretch does not depend on the reference.
        """
        bounds = frame_bounds(self._judged_frames, len(probabilities), self._rate)
        pair = self._arrived.take(int(bounds[0]), int(bounds[-1]))
        leaks = self._leakage.feed(pair, bounds[:-1] - bounds[0])
        return np.where(leaks, np.minimum(probabilities, np.float32(LEAKAGE)), probabilities)

    def _end_frame(self) -> int:
        """Return the frame in which the last gathered sample lies, plus one."""
        return -(-self._segments[-1].end // FRAME_SAMPLES)

    def _measure(self, *, until: int) -> None:
        until = min(until, self._measured + len(self._unmeasured))  # an unfinished last frame was never judged
        if (count := until - self._measured) <= 0:
            return
        bounds = frame_bounds(self._measured, count, self._rate)
        start, end = int(bounds[0]), int(bounds[-1])
        self.meter.feed(self._arrived.take(start, end)[:, 0], bounds[:-1] - start, self._unmeasured[:count])
        self._unmeasured = self._unmeasured[count:]
        self._arrived.forget_before(end)
        self._measured = until

    def _collect(self, *, until: int) -> None:
        """Take the found speech up to a position; what lies beyond waits, or never comes."""
        while self._waiting and not self.complete:
            segment = self._waiting.pop(0)
            end = min(segment.end, until)
            if self._target is not None:
                end = min(end, segment.start + self._target - self.gathered)
            if end > segment.start:
                self._segments.append(SpeechSegment(segment.start, end))
                self.gathered += end - segment.start
                if self._keep_samples:
                    self._speech.append(self._canonical.take(segment.start, end))
            if end < segment.end:
                self._waiting.insert(0, SpeechSegment(max(end, segment.start), segment.end))
                return


def gather(
    blocks: Iterable[Samples], *, vad: ModelSession, band: Band, rate: int, target_seconds: float | None
) -> NetSpeech:
    """Return the net speech of a channel that comes in blocks, with its reference where it has one.

    Stops reading once the target is reached.
    """
    return next(gather_all(blocks, vad=vad, band=band, rate=rate, target_seconds=target_seconds))


def gather_all(
    blocks: Iterable[Samples], *, vad: ModelSession, band: Band, rate: int, target_seconds: float | None
) -> Iterator[NetSpeech]:
    """Give all net speech of a channel, so much at a time; the last is what is left, which may be nothing.

    Each piece is heard as if the channel began with it, so the first is what `gather` gives.
    """
    gatherer = NetSpeechGatherer(vad, band=band, rate=rate, target_seconds=target_seconds)
    fed = np.zeros((0, 2), np.float32)  # the last samples that were fed, as far back as the end of a piece may lie
    start = 0  # of the piece, counted in samples of the channel
    end = 0  # of what was fed
    for block in blocks:
        waiting = with_reference(block)
        while len(waiting):
            gatherer.feed(waiting)
            end += len(waiting)
            fed = np.concatenate([fed, waiting])[-_KEPT_SECONDS * rate - len(waiting) :]
            waiting = waiting[:0]
            if gatherer.complete:
                speech = gatherer.speech()
                yield speech
                start += min(round(speech.heard_seconds * rate), end - start)
                waiting = fed[len(fed) - (end - start) :] if end > start else fed[:0]
                fed, end = fed[:0], start
                gatherer = NetSpeechGatherer(vad, band=band, rate=rate, target_seconds=target_seconds)
    yield gatherer.finish()
