"""Recordings instead of calls: search a domain with one, enrol the voice in one."""

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from earwitness.access.once import once
from earwitness.rest.context import RestCall, RestContext, answer_of, paged
from earwitness.rest.domains import domain_of, measured_answer, voiceprints_of
from earwitness.rest.models import EnrolledProfileAnswer, FindingAnswer, FindingsAnswer
from earwitness.rest.parameters import EnrolRecording, ListFindings, SearchRecording
from earwitness.rest.recording_models import RecordingSearchAnswer
from earwitness.rest.tasks import decision_answer
from earwitness.store.records import Page, PageKey, VoiceProfile
from earwitness.store.store import Unit
from earwitness.tasks.recordings import StillWanted

if TYPE_CHECKING:  # with numpy, which a start need not wait for
    from earwitness.tasks.examination import Examination, Finding


def search_domain(context: RestContext, call: RestCall[SearchRecording]) -> RecordingSearchAnswer:
    """Say who of a domain speaks in a recording, if anyone."""
    domain = domain_of(context, call)
    found = context.recordings.search(
        call.scope,
        domain,
        call.recording,
        channel=call.params.channel,
        subject=call.params.subject,
        wanted=_wanted(call),
        write=lambda unit, _: call.caller.record(unit, domain.arn),
    )
    return answer_of(
        RecordingSearchAnswer, decision_answer(asdict(found.decision)), quality=measured_answer(found.quality)
    )


def list_findings(context: RestContext, call: RestCall[ListFindings]) -> FindingsAnswer:
    """Look at voiceprints of a domain, a page of them; nothing is changed."""
    domain = domain_of(context, call)
    examined: list[Examination] = []

    def read(after: PageKey | None, limit: int) -> "Page[Finding]":
        found = context.recordings.examine(call.scope, domain, after=after, limit=limit, wanted=_wanted(call))
        examined.append(found)
        return Page(items=found.findings, next_key=found.next_key)

    findings, following = paged(context, call, read, about=domain.domain_id)
    context.store.write(lambda unit: call.caller.record(unit, domain.arn))
    return FindingsAnswer(
        findings=[answer_of(FindingAnswer, one) for one in findings],
        looked_at=examined[0].looked_at,
        former_voiceprints=examined[0].former,
        next_token=following,
    )


def enrol_recording(context: RestContext, call: RestCall[EnrolRecording]) -> EnrolledProfileAnswer:
    """Make a profile of the voice in a recording, or add a voiceprint to a profile."""
    params, domain = call.params, domain_of(context, call)
    content = _content(call)
    profile_id = params.profile_id or f"vp-{context.new_id()}"
    heard = context.recordings.hear(
        call.scope,
        domain,
        call.recording,
        channel=params.channel,
        profile_id=profile_id,
        subject=params.subject,
        wanted=_wanted(call),
    )

    def enrol(unit: Unit) -> VoiceProfile:
        makes_profile = params.profile_id is None
        profile = context.recordings.enrol(
            unit,
            call.scope,
            domain,
            heard,
            makes_profile=makes_profile,
            consent_reference=params.consent,
            subject=params.subject,
        )
        call.caller.record(unit, profile.arn)
        return profile

    def write(unit: Unit) -> VoiceProfile:
        return once(
            unit,
            call.caller,
            content,
            reference=profile_id,
            create=lambda: enrol(unit),
            find=lambda reference: unit.profiles.get(call.scope, reference),
            within=domain.domain_id,
        )

    profile = context.store.write(write)
    # Without those who were deleted meanwhile: nobody is found once that was answered.
    left = context.store.profile_voiceprints.enrolled(call.scope, heard.alike)
    return answer_of(
        EnrolledProfileAnswer,
        profile,
        voiceprints=voiceprints_of(context, call, profile),
        # a repeated request finds what it made before
        same_voice_as=[one for one in heard.alike if one in left and one != profile.profile_id],
    )


def _wanted(call: RestCall[SearchRecording | EnrolRecording | ListFindings]) -> StillWanted:
    """Return what raises ClientDisconnect when nobody waits for the answer any more."""

    def wanted() -> None:
        if call.abandoned.is_set():
            raise ClientDisconnect

    return wanted


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
        "subject": params.subject,
    }
