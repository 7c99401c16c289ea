"""Voice activity: canonical samples to speech segments, as a stream.

Silero VAD's sequence model gives each frame of 32 ms a probability, for any number of frames a call and with its
state carried from call to call; the probabilities do not depend on how the frames were grouped. Of four detectors
tried it was the only one to call hold music, ringback and DTMF what they are (docs/decisions).
"""

import numpy as np
from numpy.typing import NDArray

from earwitness.models.sessions import ModelSession
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import SpeechSegment

FRAME_SAMPLES = 512
"""32 ms at 16 kHz, the model's frame."""

_CONTEXT_SAMPLES = 64
"""The model sees the end of the frame before."""

_STATE_SIZE = 128
_FRAMES_PER_CALL_MAX = 512
"""16 s a call: memory stays small when a long block arrives at once."""

SPEECH_ON, SPEECH_OFF = 0.5, 0.35
"""Probabilities at which speech begins and ends."""

LEAKAGE = 0.2
"""At most this is what a frame of leakage has: it is no speech, and no background either."""

_RUN_FRAMES_MIN = 4
"""Speech shorter than 128 ms is a click or a cough."""

_PADDING_SAMPLES = 1024
"""64 ms kept on both sides of a run: consonants are quiet."""

LOOK_BACK_SAMPLES = _RUN_FRAMES_MIN * FRAME_SAMPLES + _PADDING_SAMPLES
"""How far before the last judged frame a newly found segment may begin."""


class VoiceActivity:
    """Feed canonical samples, take one probability per complete frame. The session is shared, the state is not."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session
        self._context: Samples = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._rest: Samples = np.zeros(0, np.float32)
        self._h = np.zeros((1, 1, _STATE_SIZE), np.float32)
        self._c = np.zeros((1, 1, _STATE_SIZE), np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Return the probabilities of the frames completed, shape (frames,)."""
        samples = np.concatenate([self._rest, samples])
        frame_count = len(samples) // FRAME_SAMPLES
        self._rest = samples[frame_count * FRAME_SAMPLES :]
        frames = samples[: frame_count * FRAME_SAMPLES].reshape(frame_count, FRAME_SAMPLES)
        found = [
            self._judge(frames[first : first + _FRAMES_PER_CALL_MAX])
            for first in range(0, frame_count, _FRAMES_PER_CALL_MAX)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _judge(self, frames: NDArray[np.float32]) -> Samples:
        contexts = np.vstack([self._context[None], frames[:-1, -_CONTEXT_SAMPLES:]])
        self._context = frames[-1, -_CONTEXT_SAMPLES:]
        padded = np.hstack([contexts, frames])  # (frames, 64 + 512)
        probabilities, h, c = self._session.run(input=padded, h=self._h, c=self._c)
        self._h, self._c = h.reshape(self._h.shape), c.reshape(self._c.shape)
        return probabilities.reshape(-1)


class SpeechDetector:
    """Feed probabilities, take the stretches of speech they add. Pure: no audio, no model.

    A stretch is handed out as soon as it is certain, so a long utterance comes in several; they follow each other
    without gap or overlap, and joined they are the same for every grouping of the frames.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._run_start: int | None = None  # frame at which the current run began
        self._given = 0  # sample up to which speech was handed out or ruled out

    def feed(self, probabilities: Samples) -> list[SpeechSegment]:
        """Return new speech in these frames, as sample positions from the start of the stream."""
        found: list[SpeechSegment] = []
        for probability in probabilities.tolist():
            frame = self._frames
            self._frames += 1
            if self._run_start is None:
                if probability >= SPEECH_ON:
                    self._run_start = frame
            elif probability < SPEECH_OFF:
                if frame - self._run_start >= _RUN_FRAMES_MIN:
                    self._give(found, self._run_start, frame * FRAME_SAMPLES + _PADDING_SAMPLES)
                self._run_start = None
        if self._run_start is not None and self._frames - self._run_start >= _RUN_FRAMES_MIN:
            self._give(found, self._run_start, self._frames * FRAME_SAMPLES)
        return found

    def _give(self, found: list[SpeechSegment], run_start: int, end: int) -> None:
        start = max(self._given, run_start * FRAME_SAMPLES - _PADDING_SAMPLES, 0)
        if end > start:
            found.append(SpeechSegment(start, end))
            self._given = end


def join(segments: list[SpeechSegment]) -> tuple[SpeechSegment, ...]:
    """Make segments that touch one."""
    joined: list[SpeechSegment] = []
    for segment in segments:
        if joined and joined[-1].end >= segment.start:
            joined[-1] = SpeechSegment(joined[-1].start, segment.end)
        else:
            joined.append(segment)
    return tuple(joined)
