"""Voice profile domains, the same records as AWS's operations on them, and who is enrolled in them.

Every reading of profiles is written to the audit trail.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from earwitness.access.once import once
from earwitness.access.roles import Role
from earwitness.errors import NotFound
from earwitness.rest.calibration_models import (
    CompareCalibration,
    GetCalibration,
    InstallCalibration,
    ListCalibrations,
    UseCalibration,
)
from earwitness.rest.consent_parameters import RecordConsent, RequireConsent
from earwitness.rest.context import RestCall, RestContext, answer_of, paged, there
from earwitness.rest.label_parameters import DrawUnlabelled, GetLabelReport, ListLabels
from earwitness.rest.models import (
    DomainAnswer,
    DomainsAnswer,
    ProfileAnswer,
    ProfilesAnswer,
    ProfileVoiceprintAnswer,
    SpeechQualityAnswer,
)
from earwitness.rest.parameters import (
    CreateDomain,
    CreateExport,
    CreateJob,
    DeleteDomain,
    DeleteProfile,
    EnrolRecording,
    GetLines,
    GetProfile,
    ListDomainProfiles,
    ListDomains,
    ListFindings,
    RemoveVoiceprint,
    ResetLines,
    RevertLine,
    RollBackProfile,
    SearchRecording,
    SwitchLines,
)
from earwitness.rest.retention_models import GetRetention, PutRetention
from earwitness.store.records import ProfileVoiceprint, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.voice.band import BAND_TAG
from earwitness.voice.consent import ConsentRequirement
from earwitness.voice.line import LineHealth

SEE_CONSENT = frozenset({Role.ADMIN.value, Role.OPERATOR.value})
"""Roles that are told the text of a consent reference; it may name a person. Others learn whether there is one."""

_TAGS_MAX = 50
_NO_PROFILE = "the voice profile does not exist, or was deleted; look at its id and the Region"
_QUALITIES = SpeechQualityAnswer.__struct_fields__


def create_domain(context: RestContext, call: RestCall[CreateDomain]) -> DomainAnswer:
    """Make a domain with a key of its own."""
    params, caller = call.params, call.caller
    domain_id = f"vpd-{context.new_id()}"

    def create(unit: Unit) -> VoiceProfileDomain:
        arn = caller.arn("chime", f"voice-profile-domain/{domain_id}")
        made = unit.domains.create(
            call.scope,
            domain_id=domain_id,
            arn=arn,
            name=params.name,
            description=params.description or "",
            kms_key_arn=caller.arn(
                "kms", "key/earwitness"
            ),  # AWS's operation asks for one; used where kms_keys names it
            band=params.band,
            limit=context.limits.domains_max,
        )
        unit.tags.set(call.scope, arn, {BAND_TAG: params.band}, limit=_TAGS_MAX)
        caller.record(unit, arn)
        return made

    def write(unit: Unit) -> VoiceProfileDomain:
        return once(
            unit,
            caller,
            {
                "ClientRequestToken": params.client_request_token,
                "name": params.name,
                "description": params.description,
                "band": params.band,
            },
            reference=domain_id,
            create=lambda: create(unit),
            find=lambda reference: unit.domains.get(call.scope, reference),
        )

    return domain_answers(context, call, [context.store.write(write)])[0]


def list_domains(context: RestContext, call: RestCall[ListDomains]) -> DomainsAnswer:
    """List the domains, oldest first."""
    found, following = paged(
        context,
        call,
        lambda after, limit: context.store.domains.list(call.scope, after=after, limit=limit),
        about="domains",
    )
    return DomainsAnswer(domains=domain_answers(context, call, found), next_token=following)


def delete_domain(context: RestContext, call: RestCall[DeleteDomain]) -> DomainAnswer:
    """Delete a domain with every voice in it, for good."""
    domain = domain_of(context, call)

    def delete(unit: Unit) -> None:
        unit.domains.delete(call.scope, domain.domain_id)
        call.caller.record(unit, domain.arn)

    (answer,) = domain_answers(context, call, [domain])
    context.store.write(delete)
    context.on_domain_deleted()
    return answer


def domain_answers(
    context: RestContext,
    call: RestCall[CreateDomain | ListDomains | DeleteDomain | RequireConsent],
    domains: Sequence[VoiceProfileDomain],
) -> list[DomainAnswer]:
    """Return domains as answers tell of them, with what the monitor says of their lines."""
    said = context.store.lines.health(call.scope, [one.domain_id for one in domains])
    required = context.store.consents.requirements(call.scope, [one.domain_id for one in domains])
    return [
        answer_of(
            DomainAnswer,
            one,
            line_health=said.get(one.domain_id, LineHealth.TOO_FEW),
            consent_required=required.get(one.domain_id, ConsentRequirement.NONE),
        )
        for one in domains
    ]


DomainNamed: TypeAlias = (
    CompareCalibration
    | CreateExport
    | CreateJob
    | DeleteDomain
    | DrawUnlabelled
    | EnrolRecording
    | GetCalibration
    | GetLabelReport
    | GetLines
    | GetRetention
    | InstallCalibration
    | ListCalibrations
    | ListDomainProfiles
    | ListFindings
    | ListLabels
    | RecordConsent
    | RequireConsent
    | PutRetention
    | ResetLines
    | RevertLine
    | SearchRecording
    | SwitchLines
    | UseCalibration
)
"""Parameters that name a domain in the path."""


def domain_of(context: RestContext, call: RestCall[DomainNamed]) -> VoiceProfileDomain:
    """Return the domain that the path names. Raise NotFound when the account has none of that id there."""
    domain = context.store.domains.get(call.scope, call.params.domain_id)
    return there(domain, "the voice profile domain does not exist; look at its id and the Region")


def list_profiles(context: RestContext, call: RestCall[ListDomainProfiles]) -> ProfilesAnswer:
    """List the profiles of a domain with their voiceprints, oldest first."""
    domain = domain_of(context, call)
    found, following = paged(
        context,
        call,
        lambda after, limit: context.store.profiles.list(
            call.scope, domain.domain_id, id_prefix=call.params.id_prefix or "", after=after, limit=limit
        ),
        about=f"{domain.domain_id} {call.params.id_prefix or ''}".rstrip(),
    )
    profiles = [answer_of(ProfileAnswer, one, voiceprints=voiceprints_of(context, call, one)) for one in found]
    context.store.write(lambda unit: call.caller.record(unit, domain.arn))
    return ProfilesAnswer(profiles=profiles, next_token=following)


def get_profile(context: RestContext, call: RestCall[GetProfile]) -> ProfileAnswer:
    """Return one profile; expired ones too."""
    profile = there(context.store.profiles.get(call.scope, call.params.profile_id), _NO_PROFILE)
    context.store.write(lambda unit: call.caller.record(unit, profile.arn))
    return answer_of(ProfileAnswer, profile, voiceprints=voiceprints_of(context, call, profile))


def delete_profile(context: RestContext, call: RestCall[DeleteProfile]) -> ProfileAnswer:
    """Delete a profile with its voiceprints. Of two who delete one, the second is told that it is gone."""
    profile = there(context.store.profiles.get(call.scope, call.params.profile_id), _NO_PROFILE)
    answer = answer_of(ProfileAnswer, profile, voiceprints=voiceprints_of(context, call, profile))

    def delete(unit: Unit) -> None:
        if not unit.profiles.delete(call.scope, profile.profile_id):
            raise NotFound(_NO_PROFILE)
        call.caller.record(unit, profile.arn)

    context.store.write(delete)
    return answer


def remove_voiceprint(context: RestContext, call: RestCall[RemoveVoiceprint]) -> ProfileAnswer:
    """Remove one voiceprint of a profile."""
    return _taken_back(context, call, with_later=False)


def roll_back_profile(context: RestContext, call: RestCall[RollBackProfile]) -> ProfileAnswer:
    """Remove a voiceprint of a profile and all that came after it."""
    return _taken_back(context, call, with_later=True)


def _taken_back(
    context: RestContext, call: RestCall[RemoveVoiceprint | RollBackProfile], *, with_later: bool
) -> ProfileAnswer:
    params = call.params

    def work(unit: Unit) -> VoiceProfile:
        left = unit.profiles.remove_voiceprint(
            call.scope, params.profile_id, params.voiceprint_id, with_later=with_later
        )
        profile = there(left, _NO_PROFILE)
        call.caller.record(unit, profile.arn)
        return profile

    profile = context.store.write(work)
    return answer_of(ProfileAnswer, profile, voiceprints=voiceprints_of(context, call, profile))


# `Any`: numbers, as SpeechQuality.as_document has them.
def measured_answer(measured: Mapping[str, Any]) -> SpeechQualityAnswer:
    """Return what was measured of some speech as answers tell it."""
    return SpeechQualityAnswer(**{name: measured.get(name) for name in _QUALITIES})


def voiceprints_of(
    context: RestContext,
    call: RestCall[
        ListDomainProfiles | EnrolRecording | GetProfile | DeleteProfile | RemoveVoiceprint | RollBackProfile
    ],
    profile: VoiceProfile,
) -> list[ProfileVoiceprintAnswer]:
    """Return the voiceprints of a profile; none once it has expired."""
    tell_consent = call.caller.principal.role in SEE_CONSENT

    def voiceprint_answer(voiceprint: ProfileVoiceprint) -> ProfileVoiceprintAnswer:
        consent = voiceprint.consent_reference
        return answer_of(
            ProfileVoiceprintAnswer,
            voiceprint,
            quality=measured_answer(voiceprint.quality),
            task_id=voiceprint.source_task_id,
            has_consent_reference=consent is not None,
            consent_reference=consent if tell_consent else None,
        )

    return [voiceprint_answer(one) for one in context.store.profile_voiceprints.list(call.scope, profile.profile_id)]
