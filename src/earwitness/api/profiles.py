"""Voice profiles. Reading one is written to the audit trail: it says that somebody's voice is known."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from earwitness.access.caller import Caller, Handler
from earwitness.access.paging import Pages
from earwitness.config.settings import Quotas
from earwitness.errors import NotFound
from earwitness.store.records import VoiceProfile
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

KEPT = timedelta(days=3 * 365)
"""How long a voiceprint may be used before its owner must be enrolled again (va-data-retention)."""


class Profiles:
    """The operations on voice profiles."""

    def __init__(self, *, store: Store, pages: Pages, quotas: Quotas, new_id: Callable[[], str]) -> None:
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateVoiceProfile": self.create,
            "GetVoiceProfile": self.get,
            "UpdateVoiceProfile": self.update,
            "DeleteVoiceProfile": self.delete,
            "ListVoiceProfiles": self.list,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Enrol the voice that a task heard, for three years, in the domain that the task searched."""
        profile_id = f"vp-{self._new_id()}"

        def work(unit: Unit) -> VoiceProfile:
            profile = unit.profiles.create_from_task(
                caller.scope,
                task_id=params["SpeakerSearchTaskId"],
                profile_id=profile_id,
                arn=caller.arn("chime", f"voice-profile/{profile_id}"),
                voiceprint_id=self._new_id(),
                expires_at=unit.now + KEPT,
                limit=self._quotas.profiles_per_domain,
            )
            caller.record(unit, profile.arn)
            return profile

        return {"VoiceProfile": described(self._store.write(work))}

    def update(self, caller: Caller, params: Params) -> Result:
        """Replace the voiceprint by one that a task of the same domain heard, for three years from now."""

        def work(unit: Unit) -> VoiceProfile:
            updated = unit.profiles.update_from_task(
                caller.scope,
                params["VoiceProfileId"],
                task_id=params["SpeakerSearchTaskId"],
                voiceprint_id=self._new_id(),
                expires_at=unit.now + KEPT,
            )
            profile = _there(updated)
            caller.record(unit, profile.arn)
            return profile

        return {"VoiceProfile": described(self._store.write(work))}

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
