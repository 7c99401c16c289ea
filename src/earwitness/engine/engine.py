"""The voice engine: recordings in, answers out. What commands and calls in progress have in common."""

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.net_speech import gather, gather_all
from earwitness.audio.recording import Recording
from earwitness.engine.calibration import Calibration
from earwitness.engine.decide import POSTERIOR_HITS, decide, not_enough_speech, several_voices
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.enrol import (
    Enrolment,
    KnownVoices,
    NotEnrolled,
    RefusedRecording,
    UsableRecording,
    account,
    enrolment_embedding,
    joined_pieces,
    nothing_enrolled,
    voiceprint_id,
    without_repetitions,
)
from earwitness.engine.folders import people_in
from earwitness.engine.gallery import Gallery
from earwitness.engine.tell_apart import Voice, joined, voices_of, without_leakage
from earwitness.errors import (
    AudioError,
    GalleryUnreadable,
    NoSpeech,
    NotEnoughSpeech,
    SeveralVoices,
    SpeechError,
    SpeechTooPoor,
)
from earwitness.models.sessions import ModelSession
from earwitness.voice.band import Band
from earwitness.voice.decision import Candidate, Decision
from earwitness.voice.embedding import ENROL_SECONDS_MIN, SPEECH_SECONDS_MAX, Embedding, Samples, Voiceprint
from earwitness.voice.speech import NetSpeech, enrolment_fault

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


def _quiet(_done: int, _total: int) -> None:
    return None


Decoded = Callable[[float], None]
"""Called after each block of a recording with the seconds decoded so far. What it raises ends the listening."""


def unwatched(_seconds: float) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Recordings in, answers out; safe to use from several threads."""

    vad: ModelSession
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
        decoded: Decoded = unwatched,
    ) -> NetSpeech:
        """The net speech of one channel of a recording, up to the target. Errors name the file."""
        with _naming(path):
            recording = open_recording(path, channel=channel, raw=raw)
            return gather(
                _watched(recording, decoded),
                vad=self.vad,
                band=self.band,
                rate=recording.rate,
                target_seconds=target_seconds,
            )

    def passages(
        self,
        path: Path,
        *,
        channel: int | None = None,
        raw: RawFormat | None = None,
        decoded: Decoded = unwatched,
    ) -> Iterator[NetSpeech]:
        """All net speech of one channel of a recording, 20 s at a time; at least one. Errors name the file."""
        with _naming(path):
            recording = open_recording(path, channel=channel, raw=raw)
            yield from gather_all(
                _watched(recording, decoded),
                vad=self.vad,
                band=self.band,
                rate=recording.rate,
                target_seconds=SPEECH_SECONDS_MAX,
            )

    def identify(self, speech: NetSpeech, gallery: Gallery) -> Decision:
        """Who of the gallery speaks, if anyone."""
        try:
            return self.search_voices(voices_of(self.encoder, speech.samples), gallery)
        except NotEnoughSpeech as error:
            return not_enough_speech(error.have_seconds)

    def search_voices(self, voices: Sequence[Voice], gallery: Gallery) -> Decision:
        """Who of the gallery has the voice, or each of the voices; `voices` holds at least one.

        Leakage is left out. With several voices each search may name a stranger, so they share the stated share.
        """
        kept, leakage_seconds = without_leakage(voices)
        kept = joined(kept, self.calibration)
        found = [self.search(voice.embedding, gallery, searches=len(kept)) for voice in kept]
        decision = found[0] if len(found) == 1 else several_voices(found)
        return replace(decision, leakage_seconds=leakage_seconds)

    def search(self, probe: Embedding, gallery: Gallery, *, searches: int = 1) -> Decision:
        """Who of the gallery has this voice, if anyone; one of so many searches of a recording."""
        return decide(
            gallery.search(probe, count=POSTERIOR_HITS),
            calibration=self.calibration,
            gallery_size=len(gallery),
            profiles=gallery.profile_count,
            net_seconds=probe.net_speech_seconds,
            prior_known=self.prior_known,
            strangers_named_percent=self.strangers_named_percent / searches,
        )

    def enrol(
        self, pieces: Sequence[NetSpeech], *, profile_id: str, voiceprint_id: str, force: bool = False
    ) -> Voiceprint:
        """One voiceprint of all the pieces together; what `enrolment_embedding` refuses is raised."""
        embedding = enrolment_embedding(self.encoder, pieces, force=force)
        return Voiceprint(profile_id=profile_id, voiceprint_id=voiceprint_id, embedding=embedding)

    def voiceprints(
        self,
        profile_id: str,
        files: Sequence[Path],
        *,
        channel: int | None = None,
        raw: RawFormat | None = None,
        force: bool = False,
        progress: Progress = _quiet,
    ) -> Enrolment:
        """Voiceprints of one person, joined as `joined_pieces` says, and what became of every file.

        A voiceprint's id comes from the content, so the same recording enrolled twice stays one. Raises the error of
        the recording (or one that names all of them) when nothing can be enrolled.
        """
        heard: list[UsableRecording | RefusedRecording] = []
        for done, file in enumerate(files, start=1):
            progress(done, len(files))
            heard.append(self._enrollable(file, channel=channel, raw=raw))
        heard = without_repetitions(heard)
        groups, _ = joined_pieces([one for one in heard if isinstance(one, UsableRecording)])
        if not groups:
            raise nothing_enrolled(heard)
        made = (self._voiceprint(group, profile_id=profile_id, force=force) for group in groups)
        return Enrolment(voiceprints=tuple(made), files=account(heard, groups))

    def _voiceprint(self, group: Sequence[UsableRecording], *, profile_id: str, force: bool) -> Voiceprint:
        """Of one or more recordings; SeveralVoices names them."""
        pieces = [piece.speech for piece in group]
        try:
            return self.enrol(pieces, profile_id=profile_id, voiceprint_id=voiceprint_id(group), force=force)
        except SeveralVoices as error:
            raise SeveralVoices(f"{', '.join(piece.file.name for piece in group)}: {error}") from error

    def _enrollable(
        self, file: Path, *, channel: int | None, raw: RawFormat | None
    ) -> UsableRecording | RefusedRecording:
        """A recording that is listened to, and is good enough to be enrolled; or why not."""
        seconds = 0.0
        try:
            speech = self.listen(file, channel=channel, raw=raw)
            seconds = speech.seconds
            if not len(speech.samples):
                raise NoSpeech(need_seconds=ENROL_SECONDS_MIN)
            if fault := enrolment_fault(speech):
                raise SpeechTooPoor(fault)
        except (SpeechError, AudioError) as error:
            return RefusedRecording(file=file, net_speech_seconds=seconds, reason=str(error), error=error)
        return UsableRecording(file=file, content_id=_content_id(file, channel), speech=speech)

    def gallery_of(self, known: Path, *, probes: Sequence[Path], progress: Progress = _quiet) -> KnownVoices:
        """A gallery of the people in a folder (one folder or file each), and what had to be left out.

        Recordings that are searched for are not enrolled, should they lie in there.
        """
        people = people_in(known)
        gallery = self.empty_gallery()
        searched = {probe.resolve() for probe in probes}
        left_out: list[NotEnrolled] = []
        for done, (name, files) in enumerate(people.items(), start=1):
            reasons = {file: "it is a recording that is searched for" for file in files if file.resolve() in searched}
            others = [file for file in files if file not in reasons]
            try:
                enrolment = self.voiceprints(name, others)
                gallery.add_all(enrolment.voiceprints)
                reasons |= {use.file: use.left_out for use in enrolment.files if use.left_out}
            except (SpeechError, AudioError) as error:
                reasons |= dict.fromkeys(others, str(error))
            left_out += [NotEnrolled(profile_id=name, file=file, reason=reason) for file, reason in reasons.items()]
            progress(done, len(people))
        if not len(gallery):
            first = "; ".join(f"{one.file.name}: {one.reason}" for one in left_out[:3])
            raise GalleryUnreadable(f"nobody in {known} has a recording that can be enrolled ({first})")
        return KnownVoices(gallery=gallery, left_out=tuple(left_out))

    def verify(self, first: NetSpeech, second: NetSpeech) -> Decision:
        """Whether two recordings are of one person: a search among one, with the shorter side's certainty.

        SeveralVoices when one of them is not of one voice.
        """
        heard = [self.encoder.hear(speech.samples) for speech in (second, first)]
        for which, one in zip(("second", "first"), heard, strict=True):
            if one.several_voices:
                raise SeveralVoices(f"the {which} recording is of more than one voice; cut out the one that is meant")
        probe, reference = (one.embedding for one in heard)
        seconds = min(probe.net_speech_seconds, reference.net_speech_seconds)
        gallery = self.empty_gallery()
        gallery.add(Voiceprint(profile_id="first", voiceprint_id="first", embedding=reference))
        shorter = Embedding(vector=probe.vector, encoder_id=probe.encoder_id, net_speech_seconds=seconds)
        return self.search(shorter, gallery)

    def same_voice_as(self, made: Sequence[Voiceprint], gallery: Gallery) -> list[str]:
        """Other profiles of the gallery that a search for these voiceprints would name, closest first.

        The gallery may hold the voiceprints themselves: profiles of theirs are not returned.
        """
        alike: list[Candidate] = []
        for voiceprint in made:
            decision = self.search(voiceprint.embedding, gallery)
            if decision.threshold is not None:
                alike += [one for one in decision.candidates if one.score >= decision.threshold.score]
        closest_first = dict.fromkeys(one.profile_id for one in sorted(alike, key=lambda one: -one.score))
        return [profile_id for profile_id in closest_first if profile_id not in {one.profile_id for one in made}]

    def empty_gallery(self) -> Gallery:
        """A gallery for this engine's embeddings."""
        return Gallery(self.encoder.encoder_id, self.encoder.dimension)


def _watched(recording: Recording, decoded: Decoded) -> Iterator[Samples]:
    samples = 0
    for block in recording.blocks(reference=True):
        samples += len(block)
        decoded(samples / recording.rate)
        yield block


@contextlib.contextmanager
def _naming(path: Path) -> Generator[None]:
    """An error of the audio names the file."""
    try:
        yield
    except AudioError as error:
        if path.name in str(error):
            raise
        raise type(error)(f"{path.name}: {error}") from error


def _content_id(file: Path, channel: int | None) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(str(channel).encode())
    return digest.hexdigest()[:12]
