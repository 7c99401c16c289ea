"""The voices of a domain: who is enrolled, by what voiceprints. Every reading is written to the audit trail."""

from earwitness.access.roles import Role
from earwitness.rest.tools import Call, Document, Tools, domain_of, paged, time_of
from earwitness.store.records import VoiceProfile
from earwitness.store.search_records import ProfileVoiceprint

SEE_CONSENT = frozenset({Role.ADMIN.value, Role.OPERATOR.value})
"""Roles that are told the text of a consent reference; it may name a person. Others learn whether there is one."""


async def list_profiles(tools: Tools, call: Call) -> Document:
    """The profiles of a domain with their voiceprints, oldest first."""

    def work() -> Document:
        domain = domain_of(tools, call)
        found, following = paged(
            tools,
            call,
            lambda after, limit: tools.store.profiles.list(call.scope, domain.domain_id, after=after, limit=limit),
            about=domain.domain_id,
        )
        profiles = [described(tools, call, profile) for profile in found]
        tools.store.write(lambda unit: call.caller.record(unit, domain.arn))
        return {"profiles": profiles, "nextToken": following}

    return await tools.run(work)


def described(tools: Tools, call: Call, profile: VoiceProfile) -> Document:
    """A profile as JSON; without voiceprints once it has expired."""
    told = call.caller.principal.role in SEE_CONSENT
    voiceprints = tools.store.profile_voiceprints.list(call.scope, profile.profile_id)
    return {
        "profileId": profile.profile_id,
        "arn": profile.arn,
        "domainId": profile.domain_id,
        "createdAt": time_of(profile.created_at),
        "updatedAt": time_of(profile.updated_at),
        "expiresAt": time_of(profile.expires_at),
        "voiceprints": [_voiceprint(voiceprint, told=told) for voiceprint in voiceprints],
    }


def _voiceprint(voiceprint: ProfileVoiceprint, *, told: bool) -> Document:
    return {
        "voiceprintId": voiceprint.voiceprint_id,
        "encoderId": voiceprint.encoder_id,
        "netSpeechSeconds": voiceprint.net_speech_seconds,
        "taskId": voiceprint.source_task_id,
        "hasConsentReference": voiceprint.consent_reference is not None,
        "consentReference": voiceprint.consent_reference if told else None,
        "createdAt": time_of(voiceprint.created_at),
        "expiresAt": time_of(voiceprint.expires_at),
    }
