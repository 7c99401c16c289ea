"""The voice engine: recordings in, answers out. What commands and calls in progress have in common."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.net_speech import gather
from earwitness.encoder.encoder import SpeakerEncoder
from earwitness.errors import AudioError, GalleryUnreadable, NotEnoughSpeech, SpeechError, SpeechTooPoor
from earwitness.gallery.calibration import Calibration
from earwitness.gallery.decide import POSTERIOR_HITS, decide, not_enough_speech
from earwitness.gallery.gallery import Gallery
from earwitness.models.sessions import Session
from earwitness.voice.band import Band
from earwitness.voice.decision import Decision
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SPEECH_SECONDS_MAX, Embedding, Voiceprint
from earwitness.voice.speech import NetSpeech, enrolment_fault

_AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".gsm", ".mkv", ".mka"}
)

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


def _quiet(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Recordings in, answers out; safe to use from several threads."""

    vad: Session
    encoder: SpeakerEncoder
    calibration: Calibration
    prior_known: float
    strangers_named_percent: float

    @property
    def band(self) -> Band:
        return self.encoder.band

    def listen(
        self,
        path: Path,
        *,
        channel: int | None = None,
        raw: RawFormat | None = None,
        target_seconds: float | None = SPEECH_SECONDS_MAX,
    ) -> NetSpeech:
        """The net speech of one channel of a recording, up to the target. Errors name the file."""
        try:
            recording = open_recording(path, channel=channel, raw=raw)
            return gather(
                recording.blocks(), vad=self.vad, band=self.band, rate=recording.rate, target_seconds=target_seconds
            )
        except AudioError as error:
            if path.name in str(error):
                raise
            raise type(error)(f"{path.name}: {error}") from error

    def identify(self, speech: NetSpeech, gallery: Gallery) -> Decision:
        """Who of the gallery speaks, if anyone."""
        try:
            probe = self.encoder.embed(speech.samples)
        except NotEnoughSpeech as error:
            return not_enough_speech(error.have_seconds)
        return self.search(probe, gallery)

    def search(self, probe: Embedding, gallery: Gallery) -> Decision:
        """Who of the gallery has this voice, if anyone."""
        return decide(
            gallery.search(probe, count=POSTERIOR_HITS),
            calibration=self.calibration,
            gallery_size=len(gallery),
            profiles=gallery.profile_count,
            net_seconds=probe.net_speech_seconds,
            prior_known=self.prior_known,
            strangers_named_percent=self.strangers_named_percent,
        )

    def enrol(self, pieces: Sequence[NetSpeech], *, profile_id: str, voiceprint_id: str) -> Voiceprint:
        """One voiceprint of all the pieces together, after the quality of each was judged; SpeechTooPoor says what is
        wrong.
        """
        samples = np.concatenate([piece.samples for piece in pieces]) if pieces else np.zeros(0, np.float32)
        for piece in pieces:
            if len(piece.samples) and (fault := enrolment_fault(piece)):
                raise SpeechTooPoor(fault)
        embedding = self.encoder.embed(samples, seconds_min=ENROL_SECONDS_MIN)
        return Voiceprint(profile_id=profile_id, voiceprint_id=voiceprint_id, embedding=embedding)

    def voiceprints(
        self,
        profile_id: str,
        files: Sequence[Path],
        *,
        channel: int | None = None,
        raw: RawFormat | None = None,
        progress: Progress = _quiet,
    ) -> list[Voiceprint]:
        """Voiceprints of one person: one per recording that is long enough, one of all shorter recordings together.

        A voiceprint's id comes from the content, so the same recording enrolled twice stays one.
        """
        made: list[Voiceprint] = []
        short: list[tuple[str, NetSpeech]] = []
        seen: set[str] = set()
        for done, file in enumerate(files, start=1):
            progress(done, len(files))
            speech = self.listen(file, channel=channel, raw=raw)
            if (name := _content_id(file, channel)) in seen:
                continue
            seen.add(name)
            if speech.seconds >= ENROL_SECONDS_MIN:
                made.append(self.enrol([speech], profile_id=profile_id, voiceprint_id=name))
            elif sum(piece.seconds for _, piece in short) < SPEECH_SECONDS_MAX:
                short.append((name, speech))
        joined = sum(piece.seconds for _, piece in short)
        if joined >= ENROL_SECONDS_MIN or not made:
            together = "+".join(name for name, _ in short)
            pieces = [piece for _, piece in short]
            made.append(self.enrol(pieces, profile_id=profile_id, voiceprint_id=_short_hash(together.encode())))
        return made

    def gallery_of(self, known: Path, *, probe: Path, progress: Progress = _quiet) -> tuple[Gallery, dict[str, str]]:
        """A gallery of the people in a folder (one folder or file each), and why some had to be left out.

        The recording that is searched for is not enrolled, should it lie in there.
        """
        people = people_in(known)
        gallery = self.empty_gallery()
        left_out: dict[str, str] = {}
        for done, (name, files) in enumerate(people.items(), start=1):
            others = [file for file in files if not same_file(file, probe)]
            if not others:
                left_out[name] = "their only recording is the one that is searched for"
                continue
            try:
                gallery.add_all(self.voiceprints(name, others))
            except (SpeechError, AudioError) as error:
                left_out[name] = str(error)
            progress(done, len(people))
        if not len(gallery):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
            raise GalleryUnreadable(f"nobody in {known} has a recording that can be enrolled ({reasons})")
        return gallery, left_out

    def verify(self, first: NetSpeech, second: NetSpeech) -> Decision:
        """Whether two recordings are of one person: a search among one, with the shorter side's certainty."""
        probe, reference = (self.encoder.embed(speech.samples) for speech in (second, first))
        seconds = min(probe.net_speech_seconds, reference.net_speech_seconds)
        gallery = self.empty_gallery()
        gallery.add(Voiceprint(profile_id="first", voiceprint_id="first", embedding=reference))
        shorter = Embedding(vector=probe.vector, encoder_id=probe.encoder_id, net_speech_seconds=seconds)
        return self.search(shorter, gallery)

    def empty_gallery(self) -> Gallery:
        """A gallery for this engine's embeddings."""
        return Gallery(self.encoder.encoder_id, self.encoder.dimension)


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Person → recordings: a sub-folder is a person, and so is a file; named after it, in order."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise GalleryUnreadable(f"the folder {folder} cannot be read: {error.strerror}") from error
    people: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            files = sorted(file for file in entry.rglob("*") if file.suffix.lower() in _AUDIO_SUFFIXES)
        else:
            files = [entry] if entry.suffix.lower() in _AUDIO_SUFFIXES else []
        if files:
            people.setdefault(entry.stem if entry.is_file() else entry.name, []).extend(files)
    if not people:
        raise GalleryUnreadable(f"{folder} holds no recordings; it needs one folder or audio file per person")
    return people


def same_file(first: Path, second: Path) -> bool:
    """Whether both name one file."""
    return first.resolve() == second.resolve()


def _content_id(file: Path, channel: int | None) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(str(channel).encode())
    return digest.hexdigest()[:12]


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
