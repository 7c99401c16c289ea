"""Recordings instead of calls: search a domain with one, enrol the voice in one."""

import hashlib
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from starlette.requests import ClientDisconnect

from earwitness.access.once import once
from earwitness.errors import AudioTooLong, NotFound, Unavailable
from earwitness.rest.context import RestCall, RestContext, answer_of
from earwitness.rest.domains import domain_of, voiceprints_of
from earwitness.rest.models import DecisionAnswer, EnrolledProfileAnswer
from earwitness.rest.parameters import EnrolRecording, SearchRecording
from earwitness.rest.tasks import decision_answer
from earwitness.store.records import NewVoiceprint, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.tasks.lines import LineName
from earwitness.voice.band import Band

if TYPE_CHECKING:  # with numpy, as context.py says
    from earwitness.audio.recording import Recording
    from earwitness.engine.engine import Engine
    from earwitness.tasks.voting import LineNews, Searched


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


def search_domain(context: RestContext, call: RestCall[SearchRecording]) -> DecisionAnswer:
    """Say who of a domain speaks in a recording, if anyone."""
    from earwitness.engine.engine import open_named

    domain = domain_of(context, call)
    engine = context.engine_of(Band(domain.band))
    recording = open_named(call.recording, channel=call.params.channel)
    # Again when somebody was deleted meanwhile: nobody is found once that was answered.
    while True:
        searched = _searched(context, call, domain, engine, recording)
        news = context.store.write(lambda unit, searched=searched: _write(context, call, unit, domain, searched))
        if news is not None:
            news.tell()
            return decision_answer(asdict(searched.decision))


def _searched(
    context: RestContext,
    call: RestCall[SearchRecording],
    domain: VoiceProfileDomain,
    engine: "Engine",
    recording: "Recording",
) -> "Searched":
    from earwitness.engine.engine import identify_recording

    lines, line = context.lines(), LineName(call.scope, domain.domain_id, recording.codec)
    gallery = lines.gallery(line, engine)
    with _turn(context, call) as decoded:
        found = identify_recording(engine, gallery, recording, decoded=decoded)
        now = context.clock()
        return lines.searched(line, found.voices, found.speech, gallery, found.decision, task_id=None, at=now)


def _write(
    context: RestContext,
    call: RestCall[SearchRecording],
    unit: Unit,
    domain: VoiceProfileDomain,
    searched: "Searched",
) -> "LineNews | None":
    news = context.lines().write(unit, searched)
    if news is not None:
        call.caller.record(unit, domain.arn)
    return news


def enrol_recording(context: RestContext, call: RestCall[EnrolRecording]) -> EnrolledProfileAnswer:
    """Make a profile of the voice in a recording, or add a voiceprint to a profile."""
    from earwitness.engine.engine import open_named
    from earwitness.engine.enrol import enrolment_embedding
    from earwitness.voice.embedding import Voiceprint

    domain = domain_of(context, call)
    engine = context.engine_of(Band(domain.band))
    voiceprint_id, content = context.new_id(), _content(call)
    profile_id = call.params.profile_id or f"vp-{context.new_id()}"
    with _turn(context, call) as decoded:
        codec = open_named(call.recording, channel=call.params.channel).codec
        speech = engine.listen(call.recording, channel=call.params.channel, decoded=decoded)
        embedding = enrolment_embedding(engine.encoder, [speech])
    made = Voiceprint(profile_id=profile_id, voiceprint_id=voiceprint_id, embedding=embedding)
    gallery = context.lines().gallery(LineName(call.scope, domain.domain_id, codec), engine)
    alike = engine.same_voice_as([made], gallery)
    voiceprint = NewVoiceprint(
        encoder_id=embedding.encoder_id,
        vector=embedding.vector.astype("<f4").tobytes(),
        net_speech_seconds=embedding.net_speech_seconds,
        quality={**speech.quality.as_document()},
        audio=speech.as_pcm() if context.keep_audio else None,
    )

    def write(unit: Unit) -> VoiceProfile:
        return once(
            unit,
            call.caller,
            content,
            reference=profile_id,
            create=lambda: _enrolled(context, call, unit, domain, profile_id, voiceprint_id, voiceprint),
            find=lambda reference: unit.profiles.get(call.scope, reference),
            within=domain.domain_id,
        )

    profile = context.store.write(write)
    # Without those who were deleted meanwhile: nobody is found once that was answered.
    left = context.store.profile_voiceprints.enrolled(call.scope, alike)
    return answer_of(
        EnrolledProfileAnswer,
        profile,
        voiceprints=voiceprints_of(context, call, profile),
        # a repeated request finds what it made before
        same_voice_as=[one for one in alike if one in left and one != profile.profile_id],
    )


@contextmanager
def _turn(context: RestContext, call: RestCall[SearchRecording | EnrolRecording]) -> Generator[Callable[[float], None]]:
    """Take a turn to compute with the recording, and give a function to call with how many seconds of it are decoded.

    It raises ClientDisconnect, between two blocks, when nobody waits for the answer any more; AudioTooLong when as much
    was decoded as may be.
    """
    with context.turns.recording(call.scope.account_id) as let_others_go_first:

        def decoded(seconds: float) -> None:
            if call.abandoned.is_set():
                raise ClientDisconnect
            if seconds > context.limits.decoded_seconds_max:
                raise _too_long(context.limits.decoded_seconds_max)
            let_others_go_first()

        if call.abandoned.is_set():
            raise ClientDisconnect
        yield decoded


def _too_long(seconds: float) -> AudioTooLong:
    return AudioTooLong(
        f"there is too little speech in the first {seconds / 60:g} min, and more of a recording is not decoded; cut "
        "out the part with the speech, 20 s of it are enough"
    )


def _content(call: RestCall[EnrolRecording]) -> dict[str, str | int | None]:
    """Return what a request asks for; a repetition of it asks for the same."""
    params = call.params
    if params.client_request_token is None:
        return {}
    with call.recording.open("rb") as recording:
        digest = hashlib.file_digest(recording, "sha256").hexdigest()
    return {
        "ClientRequestToken": params.client_request_token,
        "recording": digest,
        "channel": params.channel,
        "consent": params.consent,
        "profileId": params.profile_id,
    }


def _enrolled(
    context: RestContext,
    call: RestCall[EnrolRecording],
    unit: Unit,
    domain: VoiceProfileDomain,
    profile_id: str,
    voiceprint_id: str,
    voiceprint: NewVoiceprint,
) -> VoiceProfile:
    expires_at = unit.now + context.limits.profile_kept
    if call.params.profile_id is None:
        unit.profiles.create(
            call.scope,
            profile_id=profile_id,
            domain_id=domain.domain_id,
            arn=call.caller.arn("chime", f"voice-profile/{profile_id}"),
            expires_at=expires_at,
            limit=context.limits.profiles_per_domain_max,
        )
    else:
        present = unit.profiles.get(call.scope, profile_id)
        if present is None or present.domain_id != domain.domain_id:
            raise NotFound("the domain has no voice profile of this id; leave profileId out to make one")
    profile = unit.profiles.add_voiceprint(
        call.scope,
        profile_id,
        voiceprint_id=voiceprint_id,
        voiceprint=voiceprint,
        expires_at=expires_at,
        consent_reference=call.params.consent,
    )
    if profile is None:
        raise NotFound("the voice profile was deleted meanwhile; leave profileId out to make another")
    call.caller.record(unit, profile.arn)
    return profile
