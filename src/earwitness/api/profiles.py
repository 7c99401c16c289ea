"""Voice profiles. Reading one is written to the audit trail: it shows that somebody's voice is known."""

from functools import partial

from earwitness.access.caller import Caller
from earwitness.api import domains
from earwitness.api.context import ApiContext, require
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Unit
from earwitness.voice.retention import PROFILE_KEPT
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_MISSING = "the voice profile does not exist in this account and Region; look at its id"


def create_profile(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Enrol the voice that a task heard, in the domain that the task searched, for three years or as it says."""
    profile_id = f"vp-{context.new_id()}"

    def create(unit: Unit) -> VoiceProfile:
        return unit.profiles.create_from_task(
            caller.scope,
            task_id=params["SpeakerSearchTaskId"],
            profile_id=profile_id,
            arn=caller.arn("chime", f"voice-profile/{profile_id}"),
            voiceprint_id=context.new_id(),
            expires_at=unit.now + PROFILE_KEPT,
            limit=context.quotas.profiles_per_domain,
        )

    return _answer(context.write(caller, create))


def update_profile(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Replace the voiceprint by one that a task of the same domain heard, for as long anew."""

    def update(unit: Unit) -> VoiceProfile:
        updated = unit.profiles.update_from_task(
            caller.scope,
            params["VoiceProfileId"],
            task_id=params["SpeakerSearchTaskId"],
            voiceprint_id=context.new_id(),
            expires_at=unit.now + PROFILE_KEPT,
        )
        return require(updated, _MISSING)

    return _answer(context.write(caller, update))


def get_profile(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a profile; expired ones too."""
    return _answer(context.write(caller, lambda unit: _profile(unit, caller, params)))


def delete_profile(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Delete a profile with its voiceprints, for good."""

    def delete(unit: Unit) -> VoiceProfile:
        profile = _profile(unit, caller, params)
        unit.profiles.delete(caller.scope, profile.profile_id)
        return profile

    context.write(caller, delete)
    return {}


def list_profiles(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List the profiles of a domain, the oldest first."""
    domain_id: str = params["VoiceProfileDomainId"]
    domain = require(context.store.domains.get(caller.scope, domain_id), domains.MISSING)
    read = partial(context.store.profiles.list, caller.scope, domain_id)
    page = context.list_page(caller, params, "VoiceProfiles", read, _described, about=domain_id)
    context.write(caller, lambda _unit: domain)
    return page


def _profile(unit: Unit, caller: Caller, params: Params) -> VoiceProfile:
    return require(unit.profiles.get(caller.scope, params["VoiceProfileId"]), _MISSING)


def _answer(profile: VoiceProfile) -> Result:
    return {"VoiceProfile": _described(profile)}


def _described(profile: VoiceProfile) -> dict[str, object]:
    return {
        "VoiceProfileId": profile.profile_id,
        "VoiceProfileArn": profile.arn,
        "VoiceProfileDomainId": profile.domain_id,
        "CreatedTimestamp": profile.created_at,
        "UpdatedTimestamp": profile.updated_at,
        "ExpirationTimestamp": profile.expires_at,
    }
