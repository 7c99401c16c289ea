"""Voice profile domains."""

from collections.abc import Callable, Mapping

from earwitness.access.caller import Caller, Handler
from earwitness.access.once import once
from earwitness.access.paging import Pages
from earwitness.api.resource_tags import named_tags
from earwitness.config.settings import Quotas
from earwitness.errors import BadRequest, NotFound
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.voice.band import BAND_TAG, Band
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result


class Domains:
    """The five operations on voice profile domains."""

    def __init__(
        self, *, store: Store, pages: Pages, quotas: Quotas, new_id: Callable[[], str], on_deleted: Callable[[], None]
    ) -> None:
        """`on_deleted` tells running tasks to look whether it was their domain."""
        self._on_deleted = on_deleted
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateVoiceProfileDomain": self.create,
            "GetVoiceProfileDomain": self.get,
            "UpdateVoiceProfileDomain": self.update,
            "DeleteVoiceProfileDomain": self.delete,
            "ListVoiceProfileDomains": self.list,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a domain with a key of its own."""
        tags = named_tags(params)
        band = _band(tags)
        kms_key_arn: str = params["ServerSideEncryptionConfiguration"]["KmsKeyArn"]
        if ":alias/" in kms_key_arn:
            raise BadRequest("KmsKeyArn is of an alias, which AWS does not take here; give the ARN of the key itself")
        domain_id = f"vpd-{self._new_id()}"

        def create(unit: Unit) -> VoiceProfileDomain:
            arn = caller.arn("chime", f"voice-profile-domain/{domain_id}")
            created = unit.domains.create(
                caller.scope,
                domain_id=domain_id,
                arn=arn,
                name=params["Name"],
                description=params.get("Description", ""),
                kms_key_arn=kms_key_arn,
                band=band,
                limit=self._quotas.domains,
            )
            unit.tags.set(caller.scope, arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)
            return created

        def work(unit: Unit) -> VoiceProfileDomain:
            return once(
                unit,
                caller,
                params,
                reference=domain_id,
                create=lambda: create(unit),
                find=lambda made: unit.domains.get(caller.scope, made),
            )

        return {"VoiceProfileDomain": _described(self._store.write(work))}

    def get(self, caller: Caller, params: Params) -> Result:
        """Describe a domain."""
        domain = _there(self._store.domains.get(caller.scope, params["VoiceProfileDomainId"]))
        return {"VoiceProfileDomain": _described(domain)}

    def update(self, caller: Caller, params: Params) -> Result:
        """Give a domain another name or description."""

        def work(unit: Unit) -> VoiceProfileDomain:
            domain_id = params["VoiceProfileDomainId"]
            updated = unit.domains.update(
                caller.scope, domain_id, name=params.get("Name"), description=params.get("Description")
            )
            domain = _there(updated)
            caller.record(unit, domain.arn)
            return domain

        return {"VoiceProfileDomain": _described(self._store.write(work))}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a domain with everything in it, for good."""

        def work(unit: Unit) -> None:
            domain = _there(unit.domains.get(caller.scope, params["VoiceProfileDomainId"]))
            unit.domains.delete(caller.scope, domain.domain_id)
            caller.record(unit, domain.arn)

        self._store.write(work)
        self._on_deleted()
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """The oldest first."""
        domains, following = self._pages.read(
            caller, params, lambda after, limit: self._store.domains.list(caller.scope, after=after, limit=limit)
        )
        return {"VoiceProfileDomains": [_summary(domain) for domain in domains], **following}


def _band(tags: Mapping[str, str]) -> Band:
    try:
        return Band(tags.get(BAND_TAG, Band.TELEPHONE))
    except ValueError:
        raise BadRequest(f"the tag {BAND_TAG} must be {' or '.join(Band)}") from None


def _there(domain: VoiceProfileDomain | None) -> VoiceProfileDomain:
    if domain is None:
        raise NotFound("the voice profile domain does not exist; look at its id")
    return domain


def _summary(domain: VoiceProfileDomain) -> dict[str, object]:
    return {
        "VoiceProfileDomainId": domain.domain_id,
        "VoiceProfileDomainArn": domain.arn,
        "Name": domain.name,
        "Description": domain.description,
        "CreatedTimestamp": domain.created_at,
        "UpdatedTimestamp": domain.updated_at,
    }


def _described(domain: VoiceProfileDomain) -> dict[str, object]:
    return {**_summary(domain), "ServerSideEncryptionConfiguration": {"KmsKeyArn": domain.kms_key_arn}}
