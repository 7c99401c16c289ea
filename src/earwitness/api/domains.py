"""Voice profile domains."""

from collections.abc import Mapping
from functools import partial

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, named_tags, require
from earwitness.errors import BadRequest
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.voice.band import BAND_TAG, Band
from earwitness.voice.consent import ConsentRequirement, requirement_of
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

MISSING = "the voice profile domain does not exist in this account and Region; look at its id"


def create_domain(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Make a domain with a key of its own."""
    tags = named_tags(params)
    band, required = _band(tags), requirement_of(tags)
    kms_key_arn: str = params["ServerSideEncryptionConfiguration"]["KmsKeyArn"]
    if ":alias/" in kms_key_arn:
        raise BadRequest("KmsKeyArn is of an alias, which AWS does not take here; give the ARN of the key itself")
    domain_id = f"vpd-{context.new_id()}"

    def create(unit: Unit) -> VoiceProfileDomain:
        made = unit.domains.create(
            caller.scope,
            domain_id=domain_id,
            arn=caller.arn("chime", f"voice-profile-domain/{domain_id}"),
            name=params["Name"],
            description=params.get("Description", ""),
            kms_key_arn=kms_key_arn,
            band=band,
            limit=context.quotas.domains,
        )
        if required is not ConsentRequirement.NONE:
            unit.consents.require_by(caller.scope, domain_id, required)
        return made

    domain = context.create(
        caller,
        params,
        reference=domain_id,
        create=create,
        find=lambda unit, made: unit.domains.get(caller.scope, made),
    )
    return _answer(domain)


def get_domain(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a domain."""
    return _answer(require(context.store.domains.get(caller.scope, params["VoiceProfileDomainId"]), MISSING))


def update_domain(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Give a domain another name or description."""

    def update(unit: Unit) -> VoiceProfileDomain:
        domain_id, name, description = params["VoiceProfileDomainId"], params.get("Name"), params.get("Description")
        return require(unit.domains.update(caller.scope, domain_id, name=name, description=description), MISSING)

    return _answer(context.write(caller, update))


def delete_domain(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Delete a domain with everything in it, for good."""

    def delete(unit: Unit) -> VoiceProfileDomain:
        domain = require(unit.domains.get(caller.scope, params["VoiceProfileDomainId"]), MISSING)
        unit.domains.delete(caller.scope, domain.domain_id)
        return domain

    context.write(caller, delete)
    context.work.all_changed()  # running tasks look whether it was their domain
    return {}


def list_domains(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List domains, the oldest first."""
    read = partial(context.store.domains.list, caller.scope)
    return context.list_page(caller, params, "VoiceProfileDomains", read, _summary)


def _band(tags: Mapping[str, str]) -> Band:
    try:
        return Band(tags.get(BAND_TAG, Band.TELEPHONE))
    except ValueError:
        raise BadRequest(f"the tag {BAND_TAG} must be {' or '.join(Band)}") from None


def _summary(domain: VoiceProfileDomain) -> dict[str, object]:
    return {
        "VoiceProfileDomainId": domain.domain_id,
        "VoiceProfileDomainArn": domain.arn,
        "Name": domain.name,
        "Description": domain.description,
        "CreatedTimestamp": domain.created_at,
        "UpdatedTimestamp": domain.updated_at,
    }


def _answer(domain: VoiceProfileDomain) -> Result:
    encryption = {"KmsKeyArn": domain.kms_key_arn}
    return {"VoiceProfileDomain": {**_summary(domain), "ServerSideEncryptionConfiguration": encryption}}
