"""Voice profiles. Reading one is written to the audit trail: it says that somebody's voice is known."""

from collections.abc import Mapping

from earwitness.api.caller import Caller, Handler
from earwitness.api.paging import Pages
from earwitness.errors import NotFound
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result


class Profiles:
    """The operations on voice profiles."""

    def __init__(self, *, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "GetVoiceProfile": self.get,
            "DeleteVoiceProfile": self.delete,
            "ListVoiceProfiles": self.list,
        }

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a profile; expired ones too."""

        def work(unit: Unit) -> VoiceProfile:
            profile = _there(unit.profiles.get(caller.scope, params["VoiceProfileId"]))
            caller.record(unit, profile.arn)
            return profile

        return {"VoiceProfile": described(self._store.write(work))}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a profile with its voiceprints, for good."""

        def work(unit: Unit) -> None:
            profile = _there(unit.profiles.get(caller.scope, params["VoiceProfileId"]))
            unit.profiles.delete(caller.scope, profile.profile_id)
            caller.record(unit, profile.arn)

        self._store.write(work)
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """The profiles of a domain, the oldest first."""
        domain_id: str = params["VoiceProfileDomainId"]
        domain = self._store.domains.get(caller.scope, domain_id)
        if domain is None:
            raise NotFound("the voice profile domain does not exist; look at its id")
        found, following = self._pages.read(
            caller,
            params,
            lambda after, limit: self._store.profiles.list(caller.scope, domain_id, after=after, limit=limit),
            about=domain_id,
        )
        self._store.write(lambda unit: caller.record(unit, domain.arn))
        return {"VoiceProfiles": [described(profile) for profile in found], **following}


def described(profile: VoiceProfile) -> dict[str, object]:
    """A profile as the wire shows it."""
    return {
        "VoiceProfileId": profile.profile_id,
        "VoiceProfileArn": profile.arn,
        "VoiceProfileDomainId": profile.domain_id,
        "CreatedTimestamp": profile.created_at,
        "UpdatedTimestamp": profile.updated_at,
        "ExpirationTimestamp": profile.expires_at,
    }


def _there(profile: VoiceProfile | None) -> VoiceProfile:
    if profile is None:
        raise NotFound("the voice profile does not exist; look at its id")
    return profile
