"""Recordings instead of calls: search a domain with one, enrol the voice in one."""

import hashlib
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from earwitness.access.once import once
from earwitness.errors import AudioTooLong, NotFound
from earwitness.rest.profiles import described
from earwitness.rest.tools import Call, Document, Tools, domain_of
from earwitness.store.records import VoiceProfile, VoiceProfileDomain
from earwitness.store.search_records import NewVoiceprint
from earwitness.store.store import Unit
from earwitness.voice.band import Band
from earwitness.voice.decision import decision_document

if TYPE_CHECKING:
    from earwitness.voice.speech import NetSpeech


async def search_domain(tools: Tools, call: Call) -> Document:
    """Who of a domain speaks in a recording, if anyone."""

    def work() -> Document:
        from earwitness.engine.identify import identify_recording  # with numpy, as tools.py says

        domain = domain_of(tools, call)
        engine = tools.engine_of(Band(domain.band))
        encoder = engine.encoder
        gallery = tools.galleries().get(
            call.scope, domain.domain_id, encoder_id=encoder.encoder_id, dimension=encoder.dimension
        )
        with _turn(tools, call) as decoded:
            found = identify_recording(
                engine, gallery, _recording(call), channel=call.values["channel"], decoded=decoded
            )
        tools.store.write(lambda unit: call.caller.record(unit, domain.arn))
        return decision_document(asdict(found.decision))

    return await tools.run(work)


async def enrol_recording(tools: Tools, call: Call) -> Document:
    """A new profile of the voice in a recording, or a further voiceprint of a profile."""

    def work() -> Document:
        domain = domain_of(tools, call)
        engine = tools.engine_of(Band(domain.band))
        voiceprint_id, content = tools.new_id(), _content(call)
        profile_id: str = call.values["profileId"] or f"vp-{tools.new_id()}"
        with _turn(tools, call) as decoded:
            speech = engine.listen(_recording(call), channel=call.values["channel"], decoded=decoded)
            made = engine.enrol([speech], profile_id=profile_id, voiceprint_id=voiceprint_id)
        embedding, encoder = made.embedding, engine.encoder
        gallery = tools.galleries().get(
            call.scope, domain.domain_id, encoder_id=encoder.encoder_id, dimension=encoder.dimension
        )
        alike = engine.same_voice_as([made], gallery)
        voiceprint = NewVoiceprint(
            encoder_id=embedding.encoder_id,
            vector=embedding.vector.astype("<f4").tobytes(),
            net_speech_seconds=embedding.net_speech_seconds,
            quality=finite(asdict(speech.quality)),
            audio=_audio(speech) if tools.keep_audio else None,
        )

        def write(unit: Unit) -> VoiceProfile:
            return once(
                unit,
                call.caller,
                content,
                reference=profile_id,
                create=lambda: _enrolled(tools, call, unit, domain, profile_id, voiceprint_id, voiceprint),
                find=lambda reference: unit.profiles.get(call.scope, reference),
                within=domain.domain_id,
            )

        profile = tools.store.write(write)
        others = [one for one in alike if one != profile.profile_id]  # a repeated request finds what it made before
        return {**described(tools, call, profile), "sameVoiceAs": others}

    return await tools.run(work)


@contextmanager
def _turn(tools: Tools, call: Call) -> Generator[Callable[[float], None]]:
    """A turn to compute with the recording, and what is to be told how many seconds of it are decoded.

    Raise ClientDisconnect, between two blocks, when nobody waits for the answer any more; AudioTooLong when as much
    was decoded as may be.
    """
    with tools.turns.recording(call.scope.account_id) as let_others_go_first:

        def decoded(seconds: float) -> None:
            if call.abandoned.is_set():
                raise ClientDisconnect
            if seconds > tools.limits.decoded_seconds_max:
                raise _too_long(tools.limits.decoded_seconds_max)
            let_others_go_first()

        if call.abandoned.is_set():
            raise ClientDisconnect
        yield decoded


def _too_long(seconds: float) -> AudioTooLong:
    return AudioTooLong(
        f"there is too little speech in the first {seconds / 60:g} min, and more of a recording is not decoded; cut "
        "out the part with the speech, 20 s of it are enough"
    )


def _recording(call: Call) -> Path:
    if call.recording is None:
        raise RuntimeError("a route that takes a recording was called without one")
    return call.recording


def _content(call: Call) -> Document:
    """What a request asks for, by which its repetition is told from another request with the same token."""
    token: str | None = call.values["clientRequestToken"]
    if token is None:
        return {}
    with _recording(call).open("rb") as recording:
        digest = hashlib.file_digest(recording, "sha256").hexdigest()
    asked = {name: call.values[name] for name in ("channel", "consent", "profileId")}
    return {"ClientRequestToken": token, "recording": digest, **asked}


def _audio(speech: "NetSpeech") -> bytes:
    from earwitness.tasks.conclude import as_pcm  # with numpy, as tools.py says

    return as_pcm(speech)


def _enrolled(
    tools: Tools,
    call: Call,
    unit: Unit,
    domain: VoiceProfileDomain,
    profile_id: str,
    voiceprint_id: str,
    voiceprint: NewVoiceprint,
) -> VoiceProfile:
    expires_at = unit.now + tools.limits.profile_kept
    if call.values["profileId"] is None:
        unit.profiles.create(
            call.scope,
            profile_id=profile_id,
            domain_id=domain.domain_id,
            arn=call.caller.arn("chime", f"voice-profile/{profile_id}"),
            expires_at=expires_at,
            limit=tools.limits.profiles_per_domain_max,
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
        consent_reference=call.values["consent"],
    )
    if profile is None:
        raise NotFound("the voice profile was deleted meanwhile; leave profileId out to make another")
    call.caller.record(unit, profile.arn)
    return profile


def finite(document: Mapping[str, float | None]) -> dict[str, float | None]:
    """Numbers as JSON can hold them: an infinite level, of digital silence, becomes None."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in document.items()}
