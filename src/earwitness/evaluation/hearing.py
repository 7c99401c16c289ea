"""Hear recordings under conditions: the product's own way from audio to embedding, on all cores.

A recording is simulated first and then goes through everything a call goes through: canonical band, voice activity, net
speech, encoder. What comes back is the raw embedding, so that a compensation can still be fitted.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.net_speech import gather
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.errors import NotEnoughSpeech
from earwitness.evaluation.conditions import CHANNELS
from earwitness.evaluation.manifest import Utterance
from earwitness.evaluation.recordings import JoinedRecording, read_joined, read_utterance, seed_for
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

_BABBLE_POOL = 24

Progress = Callable[[int, int], None]
"""Called with how many pieces of work are done and how many there are."""

Item = TypeVar("Item")
WorkResult = TypeVar("WorkResult")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSpeech:
    """What the encoder made of one recording under one condition."""

    recording: JoinedRecording
    raw: NDArray[np.float32] | None
    """Shape (dimension,), before compensation; None when there was too little speech."""

    net_seconds: float


@dataclass(frozen=True, kw_only=True)
class SpeechPreparer:
    """Everything needed to hear: the models, and how many recordings at once."""

    vad: ModelSession
    encoder: SpeakerEncoder
    workers: int
    seed: int

    def net_seconds(self, utterances: Sequence[Utterance], progress: Progress) -> dict[Utterance, float]:
        """Net speech of each utterance as recorded."""

        def measure(utterance: Utterance) -> float:
            speech = read_utterance(utterance)
            found = gather([speech], vad=self.vad, band=Band.WIDEBAND, rate=CANONICAL_RATE, target_seconds=None)
            return found.seconds

        return dict(zip(utterances, self._map(measure, utterances, progress), strict=True))

    def hear(
        self,
        recordings: Sequence[JoinedRecording],
        *,
        channel: str,
        net_seconds: float,
        seconds_min: float,
        others: Sequence[JoinedRecording],
        progress: Progress,
    ) -> list[PreparedSpeech]:
        """Each recording under a channel of `conditions.CHANNELS`, up to `net_seconds` of net speech, at least
        `seconds_min`.

        `others` are recordings to make babble of; those of the same speaker are passed over.
        """
        pool = _BabblePool(others, self.seed) if channel == "noise10" else None

        def one(recording: JoinedRecording) -> PreparedSpeech:
            random = np.random.default_rng(seed_for(self.seed, channel, recording.name))
            babble = pool.without(recording.speaker_id) if pool else []
            arrived, rate = CHANNELS[channel](read_joined(recording), random, babble)
            speech = gather([arrived], vad=self.vad, band=self.encoder.band, rate=rate, target_seconds=net_seconds)
            try:
                raw, heard = self.encoder.embed_raw(speech.samples, seconds_min=seconds_min)
            except NotEnoughSpeech as error:
                return PreparedSpeech(recording=recording, raw=None, net_seconds=error.have_seconds)
            return PreparedSpeech(recording=recording, raw=raw, net_seconds=heard)

        return self._map(one, recordings, progress)

    def _map(self, work: Callable[[Item], WorkResult], items: Iterable[Item], progress: Progress) -> list[WorkResult]:
        """`work` over all items in order, on the pool."""
        waiting = list(items)
        done: list[WorkResult] = []
        with ThreadPoolExecutor(self.workers) as pool:
            for result in pool.map(work, waiting):
                done.append(result)
                progress(len(done), len(waiting))
        return done


class _BabblePool:
    """Speech of some talkers, read once."""

    def __init__(self, recordings: Sequence[JoinedRecording], seed: int) -> None:
        order: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(recordings))[:_BABBLE_POOL]
        self._recordings = [recordings[int(index)] for index in order]
        self._speech: dict[str, Samples] = {}
        self._lock = threading.Lock()

    def without(self, speaker_id: str) -> list[Samples]:
        """The speech of every talker in the pool but this one."""
        with self._lock:
            for recording in self._recordings:
                if recording.name not in self._speech:
                    self._speech[recording.name] = read_joined(recording)
        return [self._speech[recording.name] for recording in self._recordings if recording.speaker_id != speaker_id]
