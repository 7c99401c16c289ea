"""Voice profile domains: make, list, delete. The same records as AWS's operations on them."""

from earwitness.access.once import once
from earwitness.rest.tools import Call, Document, Tools, domain_of, paged, time_of
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Unit
from earwitness.voice.band import BAND_TAG, Band

_TAGS_MAX = 50


async def create_domain(tools: Tools, call: Call) -> Document:
    """A new domain with a key of its own."""
    values = call.values
    domain_id, band = f"vpd-{tools.new_id()}", Band(values["band"])
    caller = call.caller

    def create(unit: Unit) -> VoiceProfileDomain:
        arn = caller.arn("chime", f"voice-profile-domain/{domain_id}")
        made = unit.domains.create(
            call.scope,
            domain_id=domain_id,
            arn=arn,
            name=values["name"],
            description=values["description"] or "",
            kms_key_arn=caller.arn("kms", "key/earwitness"),  # AWS's operation asks for one; it is shown, not used
            band=band,
            limit=tools.limits.domains_max,
        )
        unit.tags.set(call.scope, arn, {BAND_TAG: band}, limit=_TAGS_MAX)
        caller.record(unit, arn)
        return made

    def write(unit: Unit) -> VoiceProfileDomain:
        token: str | None = values["clientRequestToken"]
        asked = {name: values[name] for name in ("name", "description", "band")}
        return once(
            unit,
            caller,
            {} if token is None else {"ClientRequestToken": token, **asked},
            reference=domain_id,
            create=lambda: create(unit),
            find=lambda reference: unit.domains.get(call.scope, reference),
        )

    return await tools.run(lambda: _described(tools.store.write(write)))


async def list_domains(tools: Tools, call: Call) -> Document:
    """The domains, oldest first."""

    def work() -> Document:
        found, following = paged(
            tools,
            call,
            lambda after, limit: tools.store.domains.list(call.scope, after=after, limit=limit),
            about="domains",
        )
        return {"domains": [_described(domain) for domain in found], "nextToken": following}

    return await tools.run(work)


async def delete_domain(tools: Tools, call: Call) -> Document:
    """Delete a domain with every voice in it, for good."""

    def work() -> Document:
        domain = domain_of(tools, call)

        def delete(unit: Unit) -> None:
            unit.domains.delete(call.scope, domain.domain_id)
            call.caller.record(unit, domain.arn)

        tools.store.write(delete)
        tools.on_domain_deleted()
        return _described(domain)

    return await tools.run(work)


def _described(domain: VoiceProfileDomain) -> Document:
    return {
        "domainId": domain.domain_id,
        "arn": domain.arn,
        "name": domain.name,
        "description": domain.description,
        "band": domain.band,
        "createdAt": time_of(domain.created_at),
        "updatedAt": time_of(domain.updated_at),
    }
