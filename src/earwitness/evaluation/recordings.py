"""From utterances to enrolment and test recordings: per speaker shuffled, joined, never shared between the two.

An utterance serves one recording only. Every recording is made a little longer than asked, by the net speech of its
clean utterances, so that noise which hides some speech from the detector does not leave too little.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.canonical import to_canonical
from earwitness.audio.files import open_recording
from earwitness.errors import AudioError, ChannelNotChosen, ManifestInvalid
from earwitness.evaluation.manifest import TrialRole, Utterance
from earwitness.voice.band import Band
from earwitness.voice.embedding import Samples

_SURPLUS = 1.08
TESTS_PER_SPEAKER_MAX = 4


@dataclass(frozen=True, kw_only=True)
class JoinedRecording:
    """Utterances of one speaker to be heard one after the other."""

    name: str
    speaker_id: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """What is enrolled, what is searched for, and by whom nobody is enrolled."""

    enrolments: tuple[JoinedRecording, ...]
    """One per enrollable speaker."""

    tests: tuple[JoinedRecording, ...]
    """Of enrolled speakers."""

    strangers: tuple[JoinedRecording, ...]
    """Of speakers that may not be enrolled."""


def seed_for(*parts: object) -> int:
    """A seed that depends on these parts and on nothing else, on every machine."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def join_utterances(
    utterances: list[Utterance],
    net_seconds: Callable[[Utterance], float],
    *,
    enrol_seconds: float,
    test_seconds: float,
    seed: int,
) -> Recordings:
    """Divide each speaker's utterances; speakers with too little speech for an enrolment and a test are left out."""
    by_speaker: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker_id].append(utterance)
    enrolments: list[JoinedRecording] = []
    tests: list[JoinedRecording] = []
    strangers: list[JoinedRecording] = []
    for speaker_id in sorted(by_speaker):
        spoken = by_speaker[speaker_id]
        order: NDArray[np.int64] = np.random.default_rng(seed_for(seed, speaker_id)).permutation(len(spoken))
        shuffled = [spoken[int(index)] for index in order]
        rest = [utterance for utterance in shuffled if utterance.role is not TrialRole.OTHER]
        if any(utterance.role is TrialRole.IMPOSTOR for utterance in rest):
            strangers += _cut(rest, net_seconds, [test_seconds] * TESTS_PER_SPEAKER_MAX, speaker_id)
            continue
        cut = _cut(rest, net_seconds, [enrol_seconds, *[test_seconds] * TESTS_PER_SPEAKER_MAX], speaker_id)
        if len(cut) > 1:
            enrolments.append(cut[0])
            tests += cut[1:]
    return Recordings(enrolments=tuple(enrolments), tests=tuple(tests), strangers=tuple(strangers))


def _cut(
    spoken: list[Utterance], net_seconds: Callable[[Utterance], float], wanted: list[float], speaker_id: str
) -> list[JoinedRecording]:
    """As many recordings of the wanted net lengths, in order, as the utterances allow."""
    cut: list[JoinedRecording] = []
    taken: list[Utterance] = []
    seconds = 0.0

    def finish() -> None:
        name = f"{speaker_id}/{len(cut)}"
        cut.append(JoinedRecording(name=name, speaker_id=speaker_id, utterances=tuple(taken)))

    for utterance in spoken:
        taken.append(utterance)
        seconds += net_seconds(utterance)
        if seconds >= wanted[len(cut)] * _SURPLUS:
            finish()
            taken, seconds = [], 0.0
            if len(cut) == len(wanted):
                return cut
    if seconds >= wanted[len(cut)]:
        finish()
    return cut


def read_joined(recording: JoinedRecording) -> Samples:
    """The utterances one after the other, at 16 kHz."""
    return np.concatenate([read_utterance(utterance) for utterance in recording.utterances])


def read_utterance(utterance: Utterance) -> Samples:
    """One utterance at 16 kHz."""
    try:
        file = open_recording(utterance.path, channel=utterance.channel)
        blocks = [np.zeros(0, np.float32), *file.blocks()]
        return to_canonical(np.concatenate(blocks), band=Band.WIDEBAND, rate=file.rate)
    except ChannelNotChosen as error:
        raise ManifestInvalid(
            f"{utterance.path.name} has several channels; name the speaker's own in a column `channel`"
        ) from error
    except AudioError as error:
        raise ManifestInvalid(f"{utterance.path.name} cannot be used: {error}") from error
