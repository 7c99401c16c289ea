"""From utterances to enrolment and test recordings: per speaker shuffled, joined, never shared between the two.

An utterance serves one recording only. Every recording is made a little longer than asked, by the net speech of its
clean utterances, so that noise which hides some speech from the detector does not leave too little.
"""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from earwitness.audio.canonical import to_canonical
from earwitness.audio.files import open_recording
from earwitness.errors import AudioError, ChannelNotChosen, ManifestInvalid
from earwitness.evaluation.manifest import JoinedRecording, Recordings, TrialRole, Utterance
from earwitness.voice.band import Band
from earwitness.voice.embedding import Samples

_SURPLUS = 1.08
TESTS_PER_SPEAKER_MAX = 4


def seed_for(*parts: object) -> int:
    """Return a seed that depends on these parts and on nothing else, on every machine."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def join_utterances(
    utterances: list[Utterance],
    net_seconds: Callable[[Utterance], float],
    *,
    enrol_seconds: float,
    test_seconds: float,
    seed: int,
) -> Recordings:
    """Divide each speaker's utterances, shuffled; who has no test that way is enrolled from the longest utterances.

    Speakers with too little speech for an enrolment and a test are left out.
    """
    by_speaker: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker_id].append(utterance)
    enrolments: list[JoinedRecording] = []
    tests: list[JoinedRecording] = []
    strangers: list[JoinedRecording] = []
    lengths = [test_seconds] * TESTS_PER_SPEAKER_MAX
    for speaker_id in sorted(by_speaker):
        spoken = by_speaker[speaker_id]
        order: list[int] = np.random.default_rng(seed_for(seed, speaker_id)).permutation(len(spoken)).tolist()
        shuffled = [spoken[index] for index in order if spoken[index].role is not TrialRole.OTHER]
        if any(utterance.role is TrialRole.IMPOSTOR for utterance in shuffled):
            strangers += _cut(shuffled, net_seconds, lengths)
            continue
        wanted = [enrol_seconds, *lengths]
        cut = _cut(shuffled, net_seconds, wanted)
        if len(cut) < 2:  # two recordings of 15 and 30 s: the shorter would be lost in the enrolment
            cut = _cut(sorted(shuffled, key=net_seconds, reverse=True), net_seconds, wanted)
        if len(cut) > 1:
            enrolments.append(cut[0])
            tests += cut[1:]
    return Recordings(enrolments=tuple(enrolments), tests=tuple(tests), strangers=tuple(strangers))


def _cut(
    spoken: list[Utterance], net_seconds: Callable[[Utterance], float], wanted: list[float]
) -> list[JoinedRecording]:
    """Return as many recordings of the wanted net lengths, in order, as one speaker's utterances allow."""
    cut: list[JoinedRecording] = []
    taken: list[Utterance] = []
    seconds = 0.0
    for number, utterance in enumerate(spoken, start=1):
        taken.append(utterance)
        seconds += net_seconds(utterance)
        surplus = 1.0 if number == len(spoken) else _SURPLUS  # what is left at the end serves without a surplus
        if seconds >= wanted[len(cut)] * surplus:
            name = f"{utterance.speaker_id}/{len(cut)}"
            cut.append(JoinedRecording(name=name, speaker_id=utterance.speaker_id, utterances=tuple(taken)))
            taken, seconds = [], 0.0
            if len(cut) == len(wanted):
                break
    return cut


def read_joined(recording: JoinedRecording) -> Samples:
    """Return the utterances one after the other, at 16 kHz."""
    return np.concatenate([read_utterance(utterance) for utterance in recording.utterances])


def read_utterance(utterance: Utterance) -> Samples:
    """Return one utterance at 16 kHz."""
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


def copies(utterances: Iterable[Utterance]) -> list[tuple[Utterance, Utterance]]:
    """Return each utterance whose samples, at 16 bits, were there before, behind the first one of them.

    Names and containers do not matter. A copy that is enrolled and tested makes rates look better than they are; one
    under two ids makes them look worse. A recording that cannot be read is no copy: whoever listens to it says what is
    wrong.
    """
    first: dict[bytes, Utterance] = {}
    found: list[tuple[Utterance, Utterance]] = []
    for utterance in utterances:
        content = _content(utterance)
        if content is not None and (earlier := first.setdefault(content, utterance)) is not utterance:
            found.append((earlier, utterance))
    return found


def _content(utterance: Utterance) -> bytes | None:
    digest, count = hashlib.sha256(), 0
    try:
        for block in open_recording(utterance.path, channel=utterance.channel).blocks():
            digest.update(np.round(block * 32_768).astype("<i4").tobytes())
            count += len(block)
    except AudioError:
        return None
    return digest.digest() if count else None
