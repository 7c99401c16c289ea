"""Hear recordings under conditions: the product's own way from audio to embedding, on all cores.

A recording is simulated first and then goes through everything a call goes through: canonical band, voice activity, net
speech, encoder. What comes back is the raw embedding, so that a compensation can still be fitted.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.net_speech import gather
from earwitness.engine.compensation import Vectors
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.errors import NotEnoughSpeech
from earwitness.evaluation.conditions import CHANNELS
from earwitness.evaluation.manifest import JoinedRecording, Utterance
from earwitness.evaluation.recordings import read_joined, read_utterance, seed_for
from earwitness.models.sessions import ModelSession
from earwitness.progress import Progress
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import NetSpeech

_BABBLE_POOL = 24

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSpeech:
    """What the encoder made of one recording under one condition."""

    recording: JoinedRecording
    #: Shape (dimension,), raw, of unit length; None when there was too little speech.
    raw: NDArray[np.float32] | None
    net_seconds: float


def raw_vectors(heard: Sequence[PreparedSpeech], *, dimension: int) -> Vectors:
    """Return raw embeddings, shape (recordings, dimension); NaN where there was too little speech."""
    unheard = np.full(dimension, np.nan, np.float32)
    rows = [unheard if one.raw is None else one.raw for one in heard]
    return np.array(rows, np.float32).reshape(-1, dimension)


@dataclass(frozen=True, kw_only=True)
class SpeechPreparer:
    """Everything needed to hear: the models, and how many recordings at once."""

    vad: ModelSession
    encoder: SpeakerEncoder
    workers: int
    seed: int

    def net_seconds(self, utterances: Sequence[Utterance], progress: Progress) -> dict[Utterance, float]:
        """Return the net speech of each utterance as recorded."""

        def measure(utterance: Utterance) -> float:
            speech = read_utterance(utterance)
            return gather([speech], vad=self.vad, band=Band.WIDEBAND, rate=CANONICAL_RATE, target_seconds=None).seconds

        return dict(zip(utterances, self._map(measure, utterances, "net speech", progress), strict=True))

    def hear(
        self,
        recordings: Sequence[JoinedRecording],
        *,
        channel: str,
        net_seconds: Sequence[float],
        seconds_min: float,
        others: Sequence[JoinedRecording],
        doing: str,
        progress: Progress,
    ) -> list[tuple[PreparedSpeech, ...]]:
        """Return each recording under a channel of `conditions.CHANNELS`, up to each of `net_seconds` of net speech.

        The shorter ones are the starts of the longest, which arrives once. Of less than `seconds_min` there is no
        embedding. `others` are recordings to make babble of; those of the same speaker are passed over.
        """
        arriving = self._arriving(channel, others, net_seconds=max(net_seconds))

        def start_of(recording: JoinedRecording, samples: Samples) -> PreparedSpeech:
            try:
                heard = self.encoder.embed(samples, seconds_min=seconds_min)
            except NotEnoughSpeech as error:
                return PreparedSpeech(recording=recording, raw=None, net_seconds=error.have_seconds)
            return PreparedSpeech(recording=recording, raw=heard.vector, net_seconds=heard.net_speech_seconds)

        def prepare(recording: JoinedRecording) -> tuple[PreparedSpeech, ...]:
            samples = arriving(recording).samples
            return tuple(start_of(recording, samples[: round(each * CANONICAL_RATE)]) for each in net_seconds)

        return self._map(prepare, recordings, doing, progress)

    def net_speech(
        self,
        recordings: Sequence[JoinedRecording],
        *,
        channel: str,
        net_seconds: float,
        others: Sequence[JoinedRecording],
        doing: str,
        progress: Progress,
    ) -> list[NetSpeech]:
        """Return what `hear` would embed."""
        return self._map(self._arriving(channel, others, net_seconds=net_seconds), recordings, doing, progress)

    def _arriving(
        self, channel: str, others: Sequence[JoinedRecording], *, net_seconds: float
    ) -> Callable[[JoinedRecording], NetSpeech]:
        """Return a function from a recording to its net speech as it arrives by a channel."""
        pool = _BabblePool(others, self.seed) if channel == "noise10" else None

        def arrive(recording: JoinedRecording) -> NetSpeech:
            random = np.random.default_rng(seed_for(self.seed, channel, recording.name))
            babble = pool.without(recording.speaker_id) if pool else []
            arrived, rate = CHANNELS[channel](read_joined(recording), random, babble)
            return gather([arrived], vad=self.vad, band=self.encoder.band, rate=rate, target_seconds=net_seconds)

        return arrive

    def _map(
        self, work: Callable[[_ItemT], _ResultT], items: Sequence[_ItemT], doing: str, progress: Progress
    ) -> list[_ResultT]:
        """Return `work` of all items in order, done on the pool."""
        done: list[_ResultT] = []
        with ThreadPoolExecutor(self.workers) as pool:
            for result in pool.map(work, items):
                done.append(result)
                progress(doing, len(done), len(items))
        return done


class _BabblePool:
    """Speech of some talkers, read once."""

    def __init__(self, recordings: Sequence[JoinedRecording], seed: int) -> None:
        order: list[int] = np.random.default_rng(seed).permutation(len(recordings))[:_BABBLE_POOL].tolist()
        self._recordings = [recordings[index] for index in order]
        self._speech: dict[str, Samples] = {}
        self._lock = threading.Lock()

    def without(self, speaker_id: str) -> list[Samples]:
        """Return the speech of every talker in the pool but this one."""
        with self._lock:
            for recording in self._recordings:
                if recording.name not in self._speech:
                    self._speech[recording.name] = read_joined(recording)
        return [self._speech[recording.name] for recording in self._recordings if recording.speaker_id != speaker_id]
