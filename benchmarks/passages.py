"""Passages of one voice, and of two that take turns, made of people's speech and heard as a call is heard."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.timing import Progress
from earwitness.audio.net_speech import gather
from earwitness.engine.engine import Engine
from earwitness.evaluation.conditions import CHANNELS
from earwitness.evaluation.manifest import TrialRole, Utterance, adults, read_manifest
from earwitness.evaluation.recordings import read_utterance, seed_for
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.embedding import Samples
from earwitness.voice.speech import NetSpeech

_PASSAGE_SECONDS_MIN = 23.0
"""Net speech as recorded that a passage of 20 s is made of: a channel hides some of it from the detector."""

_PASSAGE_SECONDS_MAX = 28.0
_RMS = 0.05
_BABBLE_TALKERS = 6

Speakers = Mapping[str, "Speaker"]
"""By id."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Speaker:
    """One person and their net speech as recorded, everybody's at one level."""

    id: str
    sex: str
    speech: Samples

    @property
    def seconds(self) -> float:
        return len(self.speech) / CANONICAL_RATE

    @property
    def half(self) -> int:
        """0 or 1: thresholds are fitted on the people of one half and tried on those of the other."""
        return seed_for("half", self.id) % 2


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What is to be said, and by whom."""

    speakers: tuple[str, ...]
    """One id, or two that take turns."""

    seconds: float
    turn_seconds: float
    half: int
    same_sex: bool = True


def read_speakers(folders: Iterable[Path], vad: ModelSession, progress: Progress) -> dict[str, Speaker]:
    """The adults of these manifests who have enough net speech; which of it is taken is the same every time."""
    spoken: dict[str, list[Utterance]] = {}
    for folder in folders:
        for utterance in adults(read_manifest(folder / "manifest.csv")):
            if utterance.role is not TrialRole.OTHER:
                spoken.setdefault(utterance.speaker_id, []).append(utterance)
    speakers: dict[str, Speaker] = {}
    for done, (speaker_id, utterances) in enumerate(sorted(spoken.items()), start=1):
        order = np.random.default_rng(seed_for("order", speaker_id)).permutation(len(utterances)).tolist()
        blocks = (read_utterance(utterances[index]) for index in order)
        found = gather(blocks, vad=vad, band=Band.WIDEBAND, rate=CANONICAL_RATE, target_seconds=_PASSAGE_SECONDS_MAX)
        if found.seconds >= _PASSAGE_SECONDS_MIN:
            speech = found.samples * np.float32(_RMS / np.sqrt(np.mean(found.samples**2)))
            speakers[speaker_id] = Speaker(id=speaker_id, sex=utterances[0].sex, speech=speech)
        progress(done, len(spoken))
    return speakers


def of_one_voice(speakers: Speakers) -> list[Passage]:
    """One passage of each speaker."""
    return [
        Passage(speakers=(each.id,), seconds=each.seconds, turn_seconds=each.seconds, half=each.half)
        for each in speakers.values()
    ]


def of_two_voices(speakers: Speakers, *, turn_seconds: float) -> list[Passage]:
    """One passage begun by each speaker; every other one with a partner of the same sex."""
    random = np.random.default_rng(seed_for("pairs"))  # the same pairs for every length of turns
    passages: list[Passage] = []
    pairs: set[frozenset[str]] = set()
    for number, first in enumerate(speakers.values()):
        same_sex = number % 2 == 0
        partners = [
            each
            for each in speakers.values()
            if each.half == first.half
            and (each.sex == first.sex) == same_sex
            and len(pair := {first.id, each.id}) == 2
            and frozenset(pair) not in pairs
        ]
        second = partners[int(random.integers(len(partners)))]
        pairs.add(frozenset((first.id, second.id)))
        passages.append(
            Passage(
                speakers=(first.id, second.id),
                seconds=_PASSAGE_SECONDS_MAX,
                turn_seconds=turn_seconds,
                half=first.half,
                same_sex=same_sex,
            )
        )
    return passages


def hear_passage(passage: Passage, speakers: Speakers, *, condition: str, engine: Engine) -> NetSpeech:
    """Through a channel of `conditions.CHANNELS`, and then what the product makes of it: at most 20 s of net speech."""
    random = np.random.default_rng(seed_for(condition, *passage.speakers, passage.turn_seconds))
    others = [speaker.speech for speaker in speakers.values() if speaker.id not in passage.speakers]
    chosen = [others[index] for index in random.choice(len(others), _BABBLE_TALKERS, replace=False).tolist()]
    said = _say(passage, [speakers[each].speech for each in passage.speakers])
    arrived, rate = CHANNELS[condition](said, random, chosen)
    return gather([arrived], vad=engine.vad, band=engine.band, rate=rate, target_seconds=SPEECH_SECONDS_MAX)


def _say(passage: Passage, speech: Sequence[Samples]) -> Samples:
    """The turns one after the other, each going on where the speaker's last turn ended."""
    turn, length = (round(seconds * CANONICAL_RATE) for seconds in (passage.turn_seconds, passage.seconds))
    turns: list[Samples] = []
    for number in range(-(-length // turn)):
        own_turn, who = divmod(number, len(speech))
        turns.append(speech[who][own_turn * turn : (own_turn + 1) * turn])
    return np.concatenate(turns)[:length]


def recorded(folder: Path, engine: Engine) -> Iterator[tuple[Passage, NetSpeech]]:
    """Each caller of a manifest as recorded: one voice, up to 20 s of net speech."""
    spoken: dict[str, list[Utterance]] = {}
    for utterance in read_manifest(folder / "manifest.csv"):
        spoken.setdefault(utterance.speaker_id, []).append(utterance)
    for speaker_id, utterances in spoken.items():
        blocks = (read_utterance(utterance) for utterance in utterances)
        speech = gather(
            blocks, vad=engine.vad, band=engine.band, rate=CANONICAL_RATE, target_seconds=SPEECH_SECONDS_MAX
        )
        passage = Passage(
            speakers=(speaker_id,),
            seconds=speech.seconds,
            turn_seconds=speech.seconds,
            half=seed_for("half", speaker_id) % 2,
        )
        yield passage, speech
