"""Tell the voices of a passage apart, and leakage from speech."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.engine.calibration import Calibration
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.errors import NotEnoughSpeech
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.embedding import SPEECH_SECONDS_MAX, Embedding, Samples

LEAKAGE_DB = 20.0
"""A voice so far below the loudest one of its channel is another party's, heard through the line or the room. Echo
cancellers leave 20 to 40 dB; two people at one telephone differ by less."""

_LEVEL_SAMPLES = CANONICAL_RATE // 2
_LEVEL_MIN = 1e-6


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One voice of a recording."""

    embedding: Embedding
    seconds: float
    """Net speech of it that was heard."""

    level_dbfs: float
    """Level of that speech in the canonical band: the median of half seconds, so that a loud word does not hide it."""


def voices_of(encoder: SpeakerEncoder, samples: Samples) -> tuple[Voice, ...]:
    """The voices in net speech, of which at most 20 s are heard; nearly always one.

    The encoder runs once more for each voice, and only when there are several. Raises what `SpeakerEncoder.hear` does.
    """
    heard = encoder.hear(samples)
    if not heard.several_voices:
        return (_voice(heard.embedding, heard.samples),)
    found: list[Voice] = []
    for part in heard.voices():
        try:
            found.append(_voice(encoder.embed(part), part))
        except NotEnoughSpeech:
            continue  # a few words, too few to search with
    return tuple(found) or (_voice(heard.embedding, heard.samples),)


def without_leakage(voices: Sequence[Voice]) -> tuple[list[Voice], float]:
    """The voices that are not leakage, and the seconds of speech that are."""
    loudest = max(voice.level_dbfs for voice in voices)
    kept = [voice for voice in voices if voice.level_dbfs > loudest - LEAKAGE_DB]
    return kept, sum(voice.seconds for voice in voices) - sum(voice.seconds for voice in kept)


def joined(voices: Sequence[Voice], calibration: Calibration) -> list[Voice]:
    """The same voices, with those of several passages that sound like one person made one; the longest first."""
    groups: list[Voice] = []
    for voice in voices:
        same = (number for number, known in enumerate(groups) if _are_one(known, voice, calibration))
        if (number := next(same, None)) is None:
            groups.append(voice)
        else:
            groups[number] = _together(groups[number], voice)
    return sorted(groups, key=lambda voice: -voice.seconds)


def _voice(embedding: Embedding, samples: Samples) -> Voice:
    return Voice(embedding=embedding, seconds=embedding.net_speech_seconds, level_dbfs=_level_dbfs(samples))


def _level_dbfs(samples: Samples) -> float:
    pieces = samples[: len(samples) // _LEVEL_SAMPLES * _LEVEL_SAMPLES].reshape(-1, _LEVEL_SAMPLES)
    rms = float(np.median(np.sqrt(np.mean(pieces**2, axis=1))))
    return 20.0 * float(np.log10(max(rms, _LEVEL_MIN)))


def _are_one(first: Voice, second: Voice, calibration: Calibration) -> bool:
    """Whether they are likelier of one person than of two."""
    seconds = min(first.embedding.net_speech_seconds, second.embedding.net_speech_seconds)
    return calibration.llr(float(first.embedding.vector @ second.embedding.vector), net_seconds=seconds) > 0.0


def _together(first: Voice, second: Voice) -> Voice:
    seconds = first.seconds + second.seconds
    mean = (first.seconds * first.embedding.vector + second.seconds * second.embedding.vector) / seconds
    return Voice(
        embedding=Embedding(
            vector=(mean / np.linalg.norm(mean)).astype(np.float32),
            encoder_id=first.embedding.encoder_id,
            net_speech_seconds=min(seconds, SPEECH_SECONDS_MAX),
        ),
        seconds=seconds,
        level_dbfs=max(first.level_dbfs, second.level_dbfs),
    )
