"""Enrolment: from recordings of one person, or a folder of people, to voiceprints; and what became of every recording.

Of a folder, hidden files (`.DS_Store`, macOS's `._call.wav`) and documents are passed over. Every recording is given,
those of a kind that is not read too: whoever opens one reports it by name.
"""

import hashlib
import mimetypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.files import RawFormat
from earwitness.audio.quality import distinct_seconds
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.engine import Engine
from earwitness.engine.gallery import Gallery
from earwitness.engine.gallery_file import profile_name
from earwitness.errors import (
    AudioError,
    AudioUnreadable,
    EarwitnessError,
    GalleryUnreadable,
    NoSpeech,
    NotEnoughSpeech,
    SeveralVoices,
    SpeechError,
    SpeechTooPoor,
)
from earwitness.progress import Progress, not_shown
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.embedding import ENROL_SECONDS_MIN, Embedding, Voiceprint
from earwitness.voice.speech import NetSpeech, enrolment_fault
from earwitness.voice.speech_quality import OF_SEVERAL_VOICES

_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64", ".gsm", ".mkv", ".mka"}
    | {".m4a", ".mp4", ".3gp", ".aac", ".amr", ".awb", ".wma", ".webm", ".weba", ".wv"}
    | {".ape", ".vox", ".dss", ".ds2", ".dvf", ".msv", ".raw", ".pcm", ".ulaw", ".alaw", ".g722", ".g729"}
)
"""Read, read with the extra `formats`, and not read."""


@dataclass(frozen=True, kw_only=True)
class UsableRecording:
    """A recording that was listened to and is good enough to enrol."""

    file: Path
    #: The same for the same content; voiceprints are named after it.
    content_id: str
    speech: NetSpeech


@dataclass(frozen=True, kw_only=True)
class RefusedRecording:
    """A recording that cannot be enrolled, whatever the others are."""

    file: Path
    net_speech_seconds: float
    reason: str
    #: None when it is only a repetition of another one.
    error: EarwitnessError | None


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """What became of a recording that was given for an enrolment."""

    file: Path
    #: Net speech that was found, at most 20 s; 0 when the recording could not be listened to.
    net_speech_seconds: float
    #: The voiceprint that holds its speech; None when it was left out.
    voiceprint_id: str | None
    #: Why it is in no voiceprint, and what to do; None when it is in one.
    left_out: str | None


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """The voiceprints of one person and what became of each recording, in the order given."""

    voiceprints: tuple[Voiceprint, ...]
    files: tuple[FileUse, ...]


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


def voiceprints_of(
    engine: Engine,
    profile_id: str,
    files: Sequence[Path],
    *,
    channel: int | None = None,
    raw: RawFormat | None = None,
    force: bool = False,
    progress: Progress = not_shown,
) -> Enrolment:
    """Return voiceprints of one person, joined as `joined_pieces` says, and what became of every file.

    A voiceprint's id comes from the content, so the same recording enrolled twice stays one. Raise the error of the
    recording (or one that names all of them) when nothing can be enrolled.
    """
    heard: list[UsableRecording | RefusedRecording] = []
    for done, file in enumerate(files, start=1):
        progress("listening", done, len(files))
        heard.append(_listened_to(engine, file, channel=channel, raw=raw))
    heard = _without_repetitions(heard)
    groups, _ = joined_pieces([one for one in heard if isinstance(one, UsableRecording)])
    if not groups:
        raise _nothing_enrolled(heard)
    made = (_voiceprint(engine.encoder, group, profile_id=profile_id, force=force) for group in groups)
    return Enrolment(voiceprints=tuple(made), files=account(heard, groups))


def gallery_of(engine: Engine, known: Path, *, probes: Sequence[Path], progress: Progress = not_shown) -> KnownVoices:
    """Return a gallery of the people in a folder (one folder or file each), and what had to be left out.

    Recordings that are searched for are not enrolled, should they lie in there.
    """
    people = people_in(known)
    gallery = engine.gallery()
    searched = {probe.resolve() for probe in probes}
    left_out: list[NotEnrolled] = []
    for done, (name, files) in enumerate(people.items(), start=1):
        reasons = {file: "it is a recording that is searched for" for file in files if file.resolve() in searched}
        others = [file for file in files if file not in reasons]
        try:
            enrolment = voiceprints_of(engine, name, others)
            gallery.add_all(enrolment.voiceprints)
            reasons |= {use.file: use.left_out for use in enrolment.files if use.left_out}
        except (SpeechError, AudioError) as error:
            reasons |= dict.fromkeys(others, str(error))
        left_out += [NotEnrolled(profile_id=name, file=file, reason=reason) for file, reason in reasons.items()]
        progress("enrolling the known", done, len(people))
    if not len(gallery):
        first = "; ".join(f"{one.file.name}: {one.reason}" for one in left_out[:3])
        raise GalleryUnreadable(f"nobody in {known} has a recording that can be enrolled ({first})")
    return KnownVoices(gallery=gallery, left_out=tuple(left_out))


def enrolment_embedding(
    encoder: SpeakerEncoder,
    pieces: Sequence[NetSpeech],
    *,
    seconds_min: float = ENROL_SECONDS_MIN,
    force: bool = False,
) -> Embedding:
    """Return the embedding of all the pieces together, if it may be enrolled: every voiceprint is made here.

    Raise SpeechTooPoor when a piece is bad audio or when the speech repeats itself, SeveralVoices when it is of more
    than one voice (unless `force`), NotEnoughSpeech below `seconds_min`, and what `SpeakerEncoder.hear` raises.
    """
    samples = np.concatenate([piece.samples for piece in pieces]) if pieces else np.zeros(0, np.float32)
    for piece in pieces:
        if len(piece.samples) and (fault := enrolment_fault(piece)):
            raise SpeechTooPoor(fault)
    heard = encoder.hear(samples, seconds_min=seconds_min)
    if heard.several_voices and not force:
        raise SeveralVoices(OF_SEVERAL_VOICES)
    if (distinct := distinct_seconds(samples)) < ENROL_SECONDS_MIN:
        raise SpeechTooPoor(
            f"the speech repeats itself: only {distinct:.1f} of {heard.embedding.net_speech_seconds:.1f} s are new, "
            f"{ENROL_SECONDS_MIN:.0f} s are needed; enrol from speech that is no loop, and from each recording once"
        )
    return heard.embedding


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


def account(
    heard: Sequence[UsableRecording | RefusedRecording], groups: Sequence[Sequence[UsableRecording]]
) -> tuple[FileUse, ...]:
    """Return what became of each recording, in the order given; `groups` are the pieces of each voiceprint."""
    holder = {id(piece): _voiceprint_id(group) for group in groups for piece in group}
    return tuple(_use(one, holder.get(id(one))) for one in heard)


def recordings_in(folder: Path) -> list[Path]:
    """Return the recordings in a folder and below it, in order. Raise AudioUnreadable when there are none."""
    found = _below(folder)
    if not found:
        raise AudioUnreadable(f"{folder} holds no recordings")
    return found


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Return person → recordings: a sub-folder is a person, and so is a file; named after it, in order.

    Raise GalleryUnreadable when the folder cannot be read or holds no recording.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise GalleryUnreadable(f"the folder {folder} cannot be read: {error.strerror}") from error
    people: dict[str, list[Path]] = {}
    for entry in entries:
        if files := _below(entry) if entry.is_dir() else [entry] if _is_recording(entry) else []:
            name = profile_name(entry.name if entry.is_dir() else entry.stem)
            people.setdefault(name, []).extend(files)
    if not people:
        raise GalleryUnreadable(f"{folder} holds no recordings; it needs one folder or audio file per person")
    return people


def _listened_to(
    engine: Engine, file: Path, *, channel: int | None, raw: RawFormat | None
) -> UsableRecording | RefusedRecording:
    """Return a recording that is good enough to be enrolled, or why it is not."""
    seconds = 0.0
    try:
        speech = engine.listen(file, channel=channel, raw=raw)
        seconds = speech.seconds
        if not len(speech.samples):
            raise NoSpeech(need_seconds=ENROL_SECONDS_MIN)
        if fault := enrolment_fault(speech):
            raise SpeechTooPoor(fault)
    except (SpeechError, AudioError) as error:
        return RefusedRecording(file=file, net_speech_seconds=seconds, reason=str(error), error=error)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(str(channel).encode())
    return UsableRecording(file=file, content_id=digest.hexdigest()[:12], speech=speech)


def _voiceprint(
    encoder: SpeakerEncoder, group: Sequence[UsableRecording], *, profile_id: str, force: bool
) -> Voiceprint:
    """Return the voiceprint of one or more recordings. SeveralVoices names them."""
    try:
        embedding = enrolment_embedding(encoder, [piece.speech for piece in group], force=force)
    except SeveralVoices as error:
        raise SeveralVoices(f"{', '.join(piece.file.name for piece in group)}: {error}") from error
    return Voiceprint(profile_id=profile_id, voiceprint_id=_voiceprint_id(group), embedding=embedding)


def _voiceprint_id(pieces: Sequence[UsableRecording]) -> str:
    """Return the id of the voiceprint of these pieces: the same recordings in the same order give the same id."""
    if len(pieces) == 1 and pieces[0].speech.seconds >= ENROL_SECONDS_MIN:
        return pieces[0].content_id
    together = "+".join(piece.content_id for piece in pieces)
    return hashlib.sha256(together.encode()).hexdigest()[:12]


def _without_repetitions(
    heard: Iterable[UsableRecording | RefusedRecording],
) -> list[UsableRecording | RefusedRecording]:
    """Return the same list, with a refusal for each recording whose content came before: it says nothing new."""
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


def _nothing_enrolled(heard: Sequence[UsableRecording | RefusedRecording]) -> EarwitnessError:
    """Return the error when no voiceprint could be made: one reason for all recordings, or the reason of each."""
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
    """Round down: 9.96 must not read as the 10.0 that would be enough."""
    return f"{int(10 * seconds) / 10:.1f}"


def _below(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if _is_recording(file) and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _is_recording(file: Path) -> bool:
    """Judge by the name; the content is seen when the file is opened."""
    kind, _ = mimetypes.guess_type(file.name)
    return file.suffix.lower() in _SUFFIXES or (kind or "").startswith(("audio/", "video/"))
