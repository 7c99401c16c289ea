"""From recordings of one person to voiceprints, with an account of what became of every recording."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.quality import distinct_seconds
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.gallery import Gallery
from earwitness.errors import EarwitnessError, NotEnoughSpeech, SeveralVoices, SpeechTooPoor
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SPEECH_SECONDS_MAX, Embedding, Voiceprint
from earwitness.voice.speech import NetSpeech, enrolment_fault


@dataclass(frozen=True, kw_only=True)
class UsableRecording:
    """A recording that was listened to and is good enough to enrol."""

    file: Path
    content_id: str
    """The same for the same content; voiceprints are named after it."""

    speech: NetSpeech


@dataclass(frozen=True, kw_only=True)
class RefusedRecording:
    """A recording that cannot be enrolled, whatever the others are."""

    file: Path
    net_speech_seconds: float
    reason: str
    error: EarwitnessError | None
    """None when it is only a repetition of another one."""


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """What became of a recording that was given for an enrolment."""

    file: Path
    net_speech_seconds: float
    """Net speech that was found, at most 20 s; 0 when the recording could not be listened to."""

    voiceprint_id: str | None
    """The voiceprint that holds its speech; None when it was left out."""

    left_out: str | None
    """Why it is in no voiceprint, and what to do; None when it is in one."""


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """The voiceprints of one person and what became of each recording, in the order given."""

    voiceprints: tuple[Voiceprint, ...]
    files: tuple[FileUse, ...]

    @property
    def left_out(self) -> tuple[FileUse, ...]:
        """The recordings that are in no voiceprint."""
        return tuple(use for use in self.files if use.left_out is not None)


@dataclass(frozen=True, kw_only=True)
class NotEnrolled:
    """A recording of a folder of people that is in no voiceprint."""

    profile_id: str
    file: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class KnownVoices:
    """A folder of people as a gallery, and the recordings that are not in it."""

    gallery: Gallery
    left_out: tuple[NotEnrolled, ...]


def enrolment_embedding(
    encoder: SpeakerEncoder,
    pieces: Sequence[NetSpeech],
    *,
    seconds_min: float = ENROL_SECONDS_MIN,
    force: bool = False,
) -> Embedding:
    """The embedding of all the pieces together, if it may be enrolled: every voiceprint is made here.

    Raises SpeechTooPoor when a piece is bad audio or when the speech repeats itself, SeveralVoices when it is of more
    than one voice (unless `force`), NotEnoughSpeech below `seconds_min`, and what `SpeakerEncoder.hear` raises.
    """
    samples = np.concatenate([piece.samples for piece in pieces]) if pieces else np.zeros(0, np.float32)
    for piece in pieces:
        if len(piece.samples) and (fault := enrolment_fault(piece)):
            raise SpeechTooPoor(fault)
    heard = encoder.hear(samples, seconds_min=seconds_min)
    if heard.several_voices and not force:
        raise SeveralVoices(
            "the speech is of more than one voice; enrol from recordings, or a channel, of this person alone"
        )
    if (distinct := distinct_seconds(samples)) < ENROL_SECONDS_MIN:
        raise SpeechTooPoor(
            f"the speech repeats itself: only {distinct:.1f} of {heard.embedding.net_speech_seconds:.1f} s are new, "
            f"{ENROL_SECONDS_MIN:.0f} s are needed; enrol from speech that is no loop, and from each recording once"
        )
    return heard.embedding


def voiceprint_id(pieces: Sequence[UsableRecording]) -> str:
    """The id of the voiceprint of these pieces: the same recordings in the same order give the same id."""
    if len(pieces) == 1 and pieces[0].speech.seconds >= ENROL_SECONDS_MIN:
        return pieces[0].content_id
    together = "+".join(piece.content_id for piece in pieces)
    return hashlib.sha256(together.encode()).hexdigest()[:12]


def joined_pieces(pieces: Sequence[UsableRecording]) -> tuple[list[list[UsableRecording]], list[UsableRecording]]:
    """Return the pieces of each voiceprint, and the pieces that fit into none.

    A piece with 10 s of speech is a voiceprint by itself. Shorter ones are joined in the order given, to voiceprints of
    10 to 20 s: an encoder hears no more than 20 s, so nothing that is joined goes unheard.
    """
    groups = [[piece] for piece in pieces if piece.speech.seconds >= ENROL_SECONDS_MIN]
    short: list[list[UsableRecording]] = [[]]
    for piece in pieces:
        if piece.speech.seconds >= ENROL_SECONDS_MIN:
            continue
        if _seconds(short[-1]) >= ENROL_SECONDS_MIN:
            short.append([])
        short[-1].append(piece)
    if len(short) > 1 and _seconds(short[-1]) < ENROL_SECONDS_MIN:
        rest = short.pop()
        while rest and _seconds(short[-1]) + rest[0].speech.seconds <= SPEECH_SECONDS_MAX:
            short[-1].append(rest.pop(0))
        return groups + short, rest
    if _seconds(short[-1]) < ENROL_SECONDS_MIN:
        return groups, short[-1]
    return groups + short, []


def without_repetitions(
    heard: Iterable[UsableRecording | RefusedRecording],
) -> list[UsableRecording | RefusedRecording]:
    """The same list, with a Refused for each recording whose content came before: it says nothing new."""
    first: dict[str, Path] = {}
    kept: list[UsableRecording | RefusedRecording] = []
    for one in heard:
        if isinstance(one, UsableRecording) and (earlier := first.setdefault(one.content_id, one.file)) is not one.file:
            reason = f"the same recording as {earlier.name}"
            kept.append(
                RefusedRecording(file=one.file, net_speech_seconds=one.speech.seconds, reason=reason, error=None)
            )
        else:
            kept.append(one)
    return kept


def account(
    heard: Sequence[UsableRecording | RefusedRecording], groups: Sequence[Sequence[UsableRecording]]
) -> tuple[FileUse, ...]:
    """What became of each recording, in the order given; `groups` are the pieces of each voiceprint."""
    holder = {id(piece): voiceprint_id(group) for group in groups for piece in group}
    return tuple(_use(one, holder.get(id(one))) for one in heard)


def nothing_enrolled(heard: Sequence[UsableRecording | RefusedRecording]) -> EarwitnessError:
    """The error when no voiceprint could be made: one reason for all recordings, or the reason of each."""
    refused = [one for one in heard if isinstance(one, RefusedRecording)]
    have = sum(one.speech.seconds for one in heard if isinstance(one, UsableRecording))
    errors = [one.error for one in refused if one.error is not None]
    if not errors:
        return NotEnoughSpeech(have_seconds=have, need_seconds=ENROL_SECONDS_MIN)
    if len(heard) == 1:
        return errors[0]
    each = "; ".join(f"{use.file.name}: {use.left_out}" for use in account(heard, []))
    return SpeechTooPoor(f"none of the {len(heard)} recordings can be enrolled: {each}")


def _use(one: UsableRecording | RefusedRecording, held: str | None) -> FileUse:
    if isinstance(one, RefusedRecording):
        seconds, reason = one.net_speech_seconds, one.reason.removeprefix(f"{one.file.name}: ")
    else:
        seconds, reason = one.speech.seconds, None if held else _too_short(one.speech.seconds)
    return FileUse(file=one.file, net_speech_seconds=seconds, voiceprint_id=held, left_out=reason)


def _too_short(seconds: float) -> str:
    return (
        f"{_tenths(seconds)} s of speech; a voiceprint needs {ENROL_SECONDS_MIN:.0f} s, and with the other short "
        "recordings it does not come to that; enrol it together with more of them"
    )


def _seconds(pieces: Sequence[UsableRecording]) -> float:
    return sum(piece.speech.seconds for piece in pieces)


def _tenths(seconds: float) -> str:
    """Rounded down: 9.96 must not read as the 10.0 that would be enough."""
    return f"{int(10 * seconds) / 10:.1f}"
