"""What is done with a recording instead of a call: a domain is searched with it, or the voice in it is enrolled; and
with the speech that is kept of an enrolment, which the present encoder hears again.

For requests that wait for the answer, and for jobs. What belongs here: listening in turns, and the writing of what came
of it. What must never: HTTP, and where a recording comes from.
"""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from earwitness.access.caller import arn_of
from earwitness.engine.turns import Turns
from earwitness.errors import AudioTooLong, NotFound, Unavailable
from earwitness.store.columns import JsonObject
from earwitness.store.records import NewVoiceprint, PageKey, Scope, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.lines import LineName
from earwitness.voice.band import Band
from earwitness.voice.consent import CarriedConsent, ConsentTerms, ConsentUse
from earwitness.voice.decision import Decision
from earwitness.voice.line import Codec
from earwitness.voice.retention import PROFILE_KEPT
from earwitness.voice.score_curves import ScoreCurves

if TYPE_CHECKING:  # with numpy, which a start need not wait for
    from earwitness.audio.recording import Recording
    from earwitness.engine.engine import Engine
    from earwitness.tasks.calibrations import SearchBasis
    from earwitness.tasks.examination import Examination
    from earwitness.tasks.look_back import HeardElsewhere
    from earwitness.tasks.voting import LineNews, Lines, Searched
    from earwitness.voice.embedding import Embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingLimits:
    """What one recording may take, and what it may make."""

    #: Of a recording. A megabyte of compressed silence holds ten hours.
    decoded_seconds_max: float = 3_600.0
    #: Voice profiles that one domain may hold; None for no limit.
    profiles_per_domain_max: int | None = 20_000
    #: How long a profile lasts unless it is enrolled again: three years, as at AWS (va-data-retention).
    profile_kept: timedelta = PROFILE_KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardVoice:
    """The voice in a recording, to be enrolled."""

    profile_id: str
    voiceprint_id: str
    voiceprint: NewVoiceprint
    #: Other profiles that it sounds like, closest first; some may be deleted by the time it is written.
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSearch:
    """Who speaks in a recording, and how good its audio is."""

    decision: Decision
    #: Of the first 20 s of speech, as SpeechQuality.as_document has it.
    quality: JsonObject


StillWanted = Callable[[], None]
"""Called while a recording is listened to. What it raises, when nobody wants the answer any more, ends the work."""


@contextmanager
def recording_file() -> "Generator[tuple[IO[bytes], Path]]":
    """Open a private file, and give the path under which it can be opened as long as this lasts.

    The file has no name of its own: the operating system takes it back when the process ends, however that happens.
    Raise Unavailable when the temporary folder cannot hold it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="earwitness-") as folder, tempfile.TemporaryFile() as file:
            path = Path(folder) / "recording"
            path.symlink_to(f"/dev/fd/{file.fileno()}")
            yield file, path
    except OSError as error:
        raise Unavailable(
            f"the recording cannot be kept while it is listened to ({error.strerror or error}); make room in the "
            "service's temporary folder, and try again"
        ) from error


class RecordingWork:
    """Searches and enrolments with recordings. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        *,
        engine_of: "Callable[[Band], Engine]",
        lines: "Callable[[], Lines]",
        turns: Turns,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        limits: RecordingLimits,
        keep_audio: bool,
    ) -> None:
        """`engine_of` opens the models of a band when it is first called. `keep_audio`: of what is enrolled, sealed."""
        self._store = store
        self._engine_of = engine_of
        self._lines = lines
        self._turns = turns
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self.keep_audio = keep_audio

    def encoder_id(self, band: Band) -> str:
        """Return which encoder makes voiceprints of a band here. Raise ModelError."""
        return self._engine_of(band).encoder.encoder_id

    def search_basis(self, scope: Scope, domain: VoiceProfileDomain) -> "SearchBasis":
        """Return what thresholds of a domain depend on, beside its calibration. Raise ModelError."""
        from earwitness.tasks.calibrations import SearchBasis

        engine = self._engine_of(Band(domain.band))
        made_by = self._store.lines.encoders(scope, domain.domain_id)
        return SearchBasis(
            own=engine.calibration,
            strangers_named_percent=engine.strangers_named_percent,
            voiceprints=sum(count for encoder_id, count in made_by.items() if engine.space.takes(encoder_id)),
        )

    def score_curves(self, scope: Scope, domain: VoiceProfileDomain, *, net_seconds: float) -> ScoreCurves:
        """Return how scores lie with so much speech, by the calibration of a domain. Raise ModelError."""
        from earwitness.engine.score_curves import score_curves
        from earwitness.tasks.calibrations import calibration_of

        installed = self._store.calibrations.current(scope, domain.domain_id)
        own = self._engine_of(Band(domain.band)).calibration
        return score_curves(calibration_of(installed, own), net_seconds=net_seconds)

    def search(
        self,
        scope: Scope,
        domain: VoiceProfileDomain,
        path: Path,
        *,
        channel: int | None,
        subject: str | None = None,
        wanted: StillWanted,
        write: Callable[[Unit, Decision], None],
    ) -> RecordingSearch:
        """Return who of a domain speaks in a recording, if anyone; `write` adds to the unit that writes what the search
        says of its line. `subject` is whose voice it is said to be. Raise AudioError, SpeechError, NotFound when the
        domain is deleted, ConsentMissing when it needs a consent that is not there, and what `wanted` raises.
        """
        carried = carried_by(subject)

        def consented(unit: Unit) -> bytes | None:
            return unit.consents.take(scope, domain.domain_id, carried, use=ConsentUse.SEARCH)

        digest = self._store.write(consented)
        from earwitness.engine.engine import open_named

        engine = self._engine_of(Band(domain.band))
        recording = open_named(path, channel=channel)
        line = LineName(scope, domain.domain_id, recording.codec)
        # Again when somebody was deleted meanwhile: nobody is found once that was answered.
        while True:
            searched, quality = self._searched(line, engine, recording, digest, wanted)

            def written(unit: Unit, searched: "Searched" = searched) -> "LineNews | None":
                consented(unit)  # it may have been withdrawn meanwhile
                return self._write_search(unit, searched, write)

            news = self._store.write(written)
            if news is not None:
                news.tell()
                return RecordingSearch(decision=searched.decision, quality=quality)

    def hear(
        self,
        scope: Scope,
        domain: VoiceProfileDomain,
        path: Path,
        *,
        channel: int | None,
        profile_id: str,
        subject: str | None = None,
        wanted: StillWanted,
    ) -> HeardVoice:
        """Return the voice in a recording, to be enrolled as a voiceprint of a profile. `subject` is whose it is.

        Raise AudioError, SpeechError, NotFound when the domain is deleted, ConsentMissing when it needs a consent that
        is not there, and what `wanted` raises.
        """
        carried = carried_by(subject)
        self._store.write(lambda unit: unit.consents.take(scope, domain.domain_id, carried, use=ConsentUse.ENROLMENT))
        from earwitness.engine.engine import open_named
        from earwitness.engine.enrol import enrolment_embedding
        from earwitness.voice.embedding import Voiceprint

        engine = self._engine_of(Band(domain.band))
        voiceprint_id = self._new_id()
        with self._turn(scope, wanted) as decoded:
            codec = open_named(path, channel=channel).codec
            speech = engine.listen(path, channel=channel, decoded=decoded)
            embedding = enrolment_embedding(engine.encoder, [speech])
        made = Voiceprint(profile_id=profile_id, voiceprint_id=voiceprint_id, embedding=embedding)
        gallery = self._lines().gallery(LineName(scope, domain.domain_id, codec), engine)
        return HeardVoice(
            profile_id=profile_id,
            voiceprint_id=voiceprint_id,
            voiceprint=NewVoiceprint(
                encoder_id=embedding.encoder_id,
                vector=embedding.vector.astype("<f4").tobytes(),
                net_speech_seconds=embedding.net_speech_seconds,
                quality={**speech.quality.as_document()},
                audio=speech.as_pcm() if self.keep_audio else None,
            ),
            alike=tuple(engine.same_voice_as([made], gallery)),
        )

    def examine(
        self, scope: Scope, domain: VoiceProfileDomain, *, after: PageKey | None, limit: int, wanted: StillWanted
    ) -> "Examination":
        """Return what is wrong with some voiceprints of a domain, each compared with all others as on a line that is
        not known. Raise NotFound when the domain is deleted, and what `wanted` raises."""
        from earwitness.tasks.examination import examine

        engine = self._engine_of(Band(domain.band))
        with self._turn(scope, wanted):
            gallery = self._lines().gallery(LineName(scope, domain.domain_id, Codec.UNKNOWN), engine)
            return examine(self._store, scope, domain, engine=engine, gallery=gallery, after=after, limit=limit)

    def look_back(
        self,
        scope: Scope,
        domain: VoiceProfileDomain,
        probes: "Sequence[Embedding]",
        *,
        without: str | None,
        wanted: StillWanted,
    ) -> "HeardElsewhere":
        """Return in which calls of a domain, of those that are kept, a voice was heard; `without` is its own task.

        The line of these calls is not known, so thresholds are those of an unknown line. Raise NotFound when the domain
        is deleted, and what `wanted` raises.
        """
        from earwitness.tasks.look_back import VOICES_MAX, look_back

        engine = self._engine_of(Band(domain.band))
        with self._turn(scope, wanted):
            space = self._lines().gallery(LineName(scope, domain.domain_id, Codec.UNKNOWN), engine).space
            at = self._clock()
            kept = self._store.task_voiceprints.kept(scope, domain.domain_id, at=at, limit=VOICES_MAX)
            others = [one for one in kept if one.task_id != without]
            return look_back(space, probes, others, strangers_named_percent=engine.strangers_named_percent)

    def embed_again(
        self, scope: Scope, domain: VoiceProfileDomain, audio: bytes, quality: JsonObject, *, wanted: StillWanted
    ) -> NewVoiceprint:
        """Return the voiceprint that the present encoder makes of the kept speech of an enrolment.

        `quality` is what was measured of it then. Raise SpeechError when it may not be enrolled by the present rules,
        and what `wanted` raises.
        """
        from earwitness.engine.enrol import enrolment_embedding
        from earwitness.voice.speech import kept_speech

        engine = self._engine_of(Band(domain.band))
        with self._turn(scope, wanted):
            embedding = enrolment_embedding(engine.encoder, [kept_speech(audio, quality, band=engine.band)])
        return NewVoiceprint(
            encoder_id=embedding.encoder_id,
            vector=embedding.vector.astype("<f4").tobytes(),
            net_speech_seconds=embedding.net_speech_seconds,
            quality=quality,
            audio=audio,
        )

    def enrol(
        self,
        unit: Unit,
        scope: Scope,
        domain: VoiceProfileDomain,
        heard: HeardVoice,
        *,
        makes_profile: bool,
        consent_reference: str,
        subject: str | None = None,
    ) -> VoiceProfile:
        """Write a voice that was heard, and return its profile: a new one, or with `makes_profile` False one that must
        be there. Raise NotFound when it is not, or the domain is deleted; LimitExceeded when the domain is full; and
        ConsentMissing as `hear` does, again. Nothing of the unit has locked the domain before.
        """
        carried = carried_by(subject)
        digest = unit.consents.take(scope, domain.domain_id, carried, use=ConsentUse.ENROLMENT)
        expires_at = unit.now + self._limits.profile_kept
        if makes_profile:
            unit.profiles.create(
                scope,
                profile_id=heard.profile_id,
                domain_id=domain.domain_id,
                arn=arn_of(scope, "chime", f"voice-profile/{heard.profile_id}"),
                expires_at=expires_at,
                subject_digest=digest,
                limit=self._limits.profiles_per_domain_max,
            )
        else:
            present = unit.profiles.get(scope, heard.profile_id)
            if present is None or present.domain_id != domain.domain_id:
                raise NotFound("the domain has no voice profile of this id; leave profileId out to make one")
        profile = unit.profiles.add_voiceprint(
            scope,
            heard.profile_id,
            voiceprint_id=heard.voiceprint_id,
            voiceprint=heard.voiceprint,
            expires_at=expires_at,
            consent_reference=consent_reference,
            subject_digest=digest,
        )
        if profile is None:
            raise NotFound("the voice profile was deleted meanwhile; leave profileId out to make another")
        return profile

    def _searched(
        self, line: LineName, engine: "Engine", recording: "Recording", digest: bytes | None, wanted: StillWanted
    ) -> "tuple[Searched, JsonObject]":
        from earwitness.engine.engine import identify_recording

        lines = self._lines()
        gallery = lines.gallery(line, engine)
        with self._turn(line.scope, wanted) as decoded:
            found = identify_recording(engine, gallery, recording, decoded=decoded)
            now = self._clock()
            searched = lines.searched(
                line,
                found.voices,
                found.speech,
                gallery,
                found.decision,
                task_id=None,
                subject_digest=digest,
                at=now,
            )
            return searched, {**found.quality.as_document()}

    def _write_search(
        self, unit: Unit, searched: "Searched", write: Callable[[Unit, Decision], None]
    ) -> "LineNews | None":
        news = self._lines().write(unit, searched)
        if news is not None:
            write(unit, searched.decision)
        return news

    @contextmanager
    def _turn(self, scope: Scope, wanted: StillWanted) -> Generator[Callable[[float], None]]:
        """Take a turn to compute with a recording, and give a function to call with how many seconds of it are decoded.

        Between two blocks it raises what `wanted` does, and AudioTooLong when as much was decoded as may be.
        """
        with self._turns.recording(scope.account_id) as let_others_go_first:

            def decoded(seconds: float) -> None:
                wanted()
                if seconds > self._limits.decoded_seconds_max:
                    raise _too_long(self._limits.decoded_seconds_max)
                let_others_go_first()

            wanted()
            yield decoded


def carried_by(subject: str | None) -> CarriedConsent:
    """Return what a request that may name the subject of a recorded consent carries."""
    return CarriedConsent(terms=ConsentTerms(subject=subject))


def _too_long(seconds: float) -> AudioTooLong:
    return AudioTooLong(
        f"there is too little speech in the first {seconds / 60:g} min, and more of a recording is not decoded; cut "
        "out the part with the speech, 20 s of it are enough"
    )
