"""The voice engine: recordings in, answers out. What commands and calls in progress have in common.

Belongs here: listening, telling voices apart, searching and verifying. Enrolment is in enrol.py, numbers in decide.py.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import threadpoolctl

from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.net_speech import gather, gather_all
from earwitness.audio.recording import Recording
from earwitness.config.settings import EngineSettings
from earwitness.engine.calibration import Calibration, calibration_in_use
from earwitness.engine.compensation import shipped_compensation, window_compensation
from earwitness.engine.decide import POSTERIOR_HITS, decide, not_enough_speech, several_voices
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.gallery import Gallery
from earwitness.engine.gallery_file import GalleryFile
from earwitness.engine.space import UNKNOWN_LINE, Line, Space
from earwitness.errors import AudioError, AudioTooLong, NotEnoughSpeech, SeveralVoices
from earwitness.models.cache import ModelCache
from earwitness.models.catalogue import ENCODER_MODEL, VAD_MODEL
from earwitness.models.sessions import ModelSession, open_session
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.decision import Basis, Candidate, Decision, Outcome
from earwitness.voice.durations import SPEECH_SECONDS_MAX
from earwitness.voice.embedding import Embedding, Samples, Voiceprint
from earwitness.voice.speech import NetSpeech
from earwitness.voice.speech_quality import SpeechQuality

LEAKAGE_DB = 20.0
"""A voice so far below the loudest one of its channel is another party's, heard through the line or the room. Echo
cancellers leave 20 to 40 dB; two people at one telephone differ by less."""

_LEVEL_SAMPLES = CANONICAL_RATE // 2
_LEVEL_MIN = 1e-6

_SEARCHED_SECONDS_MAX = 60.0
"""Net speech that is searched through when nobody is found, unless the whole recording is asked for."""

_FAINT_DBFS = -45.0
"""Telephone networks aim at -26 dBFS; speech so much quieter is judged only when all was heard: it may be leakage."""

Decoded = Callable[[float], None]
"""Called after each block of a recording with the seconds decoded so far. An exception it raises ends the listening."""


def unwatched(_seconds: float) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One voice of a recording."""

    embedding: Embedding
    #: Net speech of this voice.
    seconds: float
    #: Level of that speech in the canonical band: the median of half seconds, so that a loud word does not hide it.
    level_dbfs: float


@dataclass(frozen=True, kw_only=True)
class Identified:
    """The answer for a recording."""

    decision: Decision
    #: The first 20 s of speech.
    speech: NetSpeech
    #: Heard in it, nearly always one; none where it is too short.
    voices: tuple[Voice, ...]
    #: Heard in all that was listened to, one after the other.
    all_voices: tuple[Voice, ...]
    #: Length of the recording that was listened to, speech and silence.
    heard_seconds: float
    #: Whether that is all of it.
    to_the_end: bool

    @property
    def quality(self) -> SpeechQuality:
        """Of the first 20 s of speech."""
        return self.speech.quality


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The models and numbers that answer; safe to use from several threads."""

    vad: ModelSession
    encoder: SpeakerEncoder
    #: Where voices are compared unless a line is known.
    space: Space
    prior_known: float
    strangers_named_percent: float

    @property
    def band(self) -> Band:
        return self.encoder.band

    @property
    def calibration(self) -> Calibration:
        return self.space.calibration

    def listen(
        self, path: Path, *, channel: int | None = None, raw: RawFormat | None = None, decoded: Decoded = unwatched
    ) -> NetSpeech:
        """Return the first 20 s of net speech of one channel of a recording. Errors name the file."""
        recording = open_named(path, channel=channel, raw=raw)
        with _naming(path):
            return gather(
                _watched(recording, decoded),
                vad=self.vad,
                band=self.band,
                rate=recording.rate,
                target_seconds=SPEECH_SECONDS_MAX,
            )

    def passages(self, recording: Recording, *, decoded: Decoded) -> Iterator[NetSpeech]:
        """Yield all net speech of a recording, 20 s at a time; at least one passage. Errors name the file."""
        with _naming(recording.path):
            yield from gather_all(
                _watched(recording, decoded),
                vad=self.vad,
                band=self.band,
                rate=recording.rate,
                target_seconds=SPEECH_SECONDS_MAX,
            )

    def identify(self, speech: NetSpeech, gallery: Gallery) -> Decision:
        """Return who of the gallery speaks, if anyone."""
        try:
            return self.search_voices(voices_of(self.encoder, speech.samples), gallery)
        except NotEnoughSpeech as error:
            return replace(not_enough_speech(error.have_seconds), basis=_basis(gallery))

    def search_voices(self, voices: Sequence[Voice], gallery: Gallery) -> Decision:
        """Return who of the gallery has the voice, or each of the voices; `voices` holds at least one.

        Leakage is left out. With several voices each search may name a stranger, so they share the stated share.
        """
        kept, leakage_seconds = _without_leakage(voices)
        kept = _joined(kept, gallery.space)
        found = [self.search(voice.embedding, gallery, searches=len(kept)) for voice in kept]
        decision = found[0] if len(found) == 1 else several_voices(found)
        return replace(decision, leakage_seconds=leakage_seconds, basis=_basis(gallery))

    def search(self, probe: Embedding, gallery: Gallery, *, searches: int = 1) -> Decision:
        """Return who of the gallery has this voice, if anyone. `searches` are made with one recording."""

        def threshold_of(space: Space) -> float:
            return space.calibration.threshold(
                gallery_size=len(gallery),
                strangers_named_percent=self.strangers_named_percent / searches,
                net_seconds=probe.net_speech_seconds,
                line_unknown=space.line.unknown,
            ).score

        decision = decide(
            gallery.search(probe, count=POSTERIOR_HITS, threshold_of=threshold_of),
            calibration=gallery.space.calibration,
            gallery_size=len(gallery),
            profiles=gallery.profile_count,
            net_seconds=probe.net_speech_seconds,
            prior_known=self.prior_known,
            strangers_named_percent=self.strangers_named_percent / searches,
            line_unknown=gallery.space.line.unknown,
        )
        return replace(decision, basis=_basis(gallery))

    def verify(self, first: NetSpeech, second: NetSpeech) -> Decision:
        """Return whether two recordings are of one person: a search among one, as sure as the shorter side allows.

        Raise SeveralVoices when one of them is not of one voice.
        """
        probe, reference = (self.encoder.hear(speech.samples) for speech in (second, first))
        for which, encoded in (("second", probe), ("first", reference)):
            if encoded.several_voices:
                raise SeveralVoices(f"the {which} recording is of more than one voice; cut out the one that is meant")
        seconds = min(probe.embedding.net_speech_seconds, reference.embedding.net_speech_seconds)
        gallery = self.gallery([Voiceprint(profile_id="first", voiceprint_id="first", embedding=reference.embedding)])
        return self.search(replace(probe.embedding, net_speech_seconds=seconds), gallery)

    def same_voice_as(self, made: Sequence[Voiceprint], gallery: Gallery) -> list[str]:
        """Return other profiles of the gallery that a search for these voiceprints would name, closest first.

        The gallery may hold the voiceprints themselves: their profiles are not returned.
        """
        alike: list[Candidate] = []
        for voiceprint in made:
            decision = self.search(voiceprint.embedding, gallery)
            if decision.threshold is not None:
                alike += [one for one in decision.candidates if one.score >= decision.threshold.score]
        closest_first = dict.fromkeys(one.profile_id for one in sorted(alike, key=lambda one: -one.score))
        return [profile_id for profile_id in closest_first if profile_id not in {one.profile_id for one in made}]

    def gallery(
        self, voiceprints: Sequence[Voiceprint] = (), *, line: Line = UNKNOWN_LINE, version: int | None = None
    ) -> Gallery:
        """Return a gallery of this engine's embeddings that holds these, on a line."""
        made = Gallery(self.space.on(line), version=version)
        made.add_all(voiceprints)
        return made

    def gallery_of(self, stored: GalleryFile) -> Gallery:
        """Return the gallery of a file; raise GalleryOfAnotherModel when another encoder made it, or another band."""
        stored.require(self.encoder.encoder_id)
        return self.gallery(stored.voiceprints, line=stored.line.current, version=stored.version)


def build_engine(settings: EngineSettings, band: Band) -> Engine:
    """Return the engine of a band. Raise ModelMissing when its models were not pulled."""
    # One native thread a call, for NumPy's products too: a second gains nothing on a filter bank or a search, and spins
    # on a core that the next inference wants.
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    cache = ModelCache(settings.models_dir)
    compensation = shipped_compensation(ENCODER_MODEL, band)
    encoder = SpeakerEncoder(open_session(cache, ENCODER_MODEL), band=band, compensation=window_compensation(band))
    calibration = calibration_in_use(settings.calibration_file, model_id=ENCODER_MODEL, band=band)
    space = Space(encoder_id=encoder.encoder_id, shipped=compensation, calibration=calibration)
    return Engine(
        vad=open_session(cache, VAD_MODEL),
        encoder=encoder,
        space=space.require_calibration(),
        prior_known=settings.prior_known,
        strangers_named_percent=settings.strangers_named_percent,
    )


def identify_recording(
    engine: Engine, gallery: Gallery, recording: Recording, *, whole: bool = False, decoded: Decoded = unwatched
) -> Identified:
    """Return who of the gallery speaks in a recording, if anyone. Raise AudioError when it cannot be used.

    The first 20 s of speech are searched with. An announcement before the caller, or another party's leakage, can fill
    them, so the search goes on when they name nobody for sure. It ends after a minute of speech, or with `whole` at
    the end of the recording.
    """
    voices: list[Voice] = []
    heard: list[NetSpeech] = []
    first: tuple[Voice, ...] = ()
    cut_off = False
    try:
        for speech in engine.passages(recording, decoded=decoded):
            heard.append(speech)
            try:
                found = voices_of(engine.encoder, speech.samples)
            except NotEnoughSpeech:
                continue  # the last seconds, or all there is
            voices += found
            first = first or found
            if not whole and _enough(engine, gallery, voices, sum(passage.seconds for passage in heard)):
                break
    except AudioTooLong:
        if not voices:
            raise
        cut_off = True  # there is enough for an answer; only the search for a surer one ends here
    seconds = sum(passage.seconds for passage in heard)
    nothing = replace(not_enough_speech(seconds), basis=_basis(gallery))
    return Identified(
        decision=engine.search_voices(voices, gallery) if voices else nothing,
        speech=heard[0],
        voices=first,
        all_voices=tuple(voices),
        heard_seconds=sum(passage.heard_seconds for passage in heard),
        to_the_end=not cut_off and (whole or heard[-1].seconds < SPEECH_SECONDS_MAX),
    )


def search_again(engine: Engine, gallery: Gallery, found: Identified) -> Identified:
    """Return the answer for a recording from another gallery, without listening to it again."""
    if not found.all_voices:
        return replace(found, decision=replace(found.decision, basis=_basis(gallery)))
    return replace(found, decision=engine.search_voices(found.all_voices, gallery))


def _basis(gallery: Gallery) -> Basis:
    line = gallery.space.line
    return Basis(
        line_state=line.state,
        line_voices=line.voices,
        line_version=line.version,
        calibration_id=gallery.space.calibration.id,
        gallery_version=gallery.version,
    )


def _enough(engine: Engine, gallery: Gallery, voices: list[Voice], seconds: float) -> bool:
    """Return whether the last voice is as loud as a talker's and is somebody's for sure, or the search is too long."""
    if seconds >= _SEARCHED_SECONDS_MAX:
        return True
    if max(voice.level_dbfs for voice in voices) < _FAINT_DBFS:
        return False
    decision = engine.search_voices(voices[-1:], gallery)
    return decision.outcome is Outcome.MATCH and not decision.weak


def voices_of(encoder: SpeakerEncoder, samples: Samples) -> tuple[Voice, ...]:
    """Return the voices in net speech, of which at most 20 s are heard; nearly always one.

    The encoder runs once more for each voice, and only when there are several. Raise what `SpeakerEncoder.hear` does.
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


def _voice(embedding: Embedding, samples: Samples) -> Voice:
    pieces = samples[: len(samples) // _LEVEL_SAMPLES * _LEVEL_SAMPLES].reshape(-1, _LEVEL_SAMPLES)
    rms = float(np.median(np.sqrt(np.mean(pieces**2, axis=1))))
    level_dbfs = 20.0 * float(np.log10(max(rms, _LEVEL_MIN)))
    return Voice(embedding=embedding, seconds=embedding.net_speech_seconds, level_dbfs=level_dbfs)


def _without_leakage(voices: Sequence[Voice]) -> tuple[list[Voice], float]:
    """Return the voices that are not leakage, and the seconds of speech that are."""
    loudest = max(voice.level_dbfs for voice in voices)
    kept = [voice for voice in voices if voice.level_dbfs > loudest - LEAKAGE_DB]
    return kept, sum(voice.seconds for voice in voices) - sum(voice.seconds for voice in kept)


def _joined(voices: Sequence[Voice], space: Space) -> list[Voice]:
    """Return the same voices, those that sound like one person made one; the longest first."""
    groups: list[Voice] = []
    for voice in voices:
        same = (number for number, known in enumerate(groups) if _are_one(known, voice, space))
        if (number := next(same, None)) is None:
            groups.append(voice)
        else:
            groups[number] = _together(groups[number], voice)
    return sorted(groups, key=lambda voice: -voice.seconds)


def _are_one(first: Voice, second: Voice, space: Space) -> bool:
    """Return whether they are likelier of one person than of two."""
    return space.llr(first.embedding, second.embedding) > 0.0


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


def open_named(path: Path, *, channel: int | None = None, raw: RawFormat | None = None) -> Recording:
    """Open a recording as `open_recording` does; an error names the file."""
    with _naming(path):
        return open_recording(path, channel=channel, raw=raw)


def _watched(recording: Recording, decoded: Decoded) -> Iterator[Samples]:
    samples = 0
    for block in recording.blocks(reference=True):
        samples += len(block)
        decoded(samples / recording.rate)
        yield block


@contextlib.contextmanager
def _naming(path: Path) -> Generator[None]:
    """Let an error of the audio name the file."""
    try:
        yield
    except AudioError as error:
        if path.name in str(error):
            raise
        raise type(error)(f"{path.name}: {error}") from error
