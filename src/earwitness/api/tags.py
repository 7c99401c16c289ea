"""Tags of the resources of both Chime services. The router has chosen the service by the ARN; both do the same."""

from typing import TypeAlias

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext, named_tags, require
from earwitness.errors import BadRequest
from earwitness.store.connector_records import VoiceConnector
from earwitness.store.records import Configuration, Pipeline, Scope, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.voice.band import BAND_TAG
from earwitness.voice.consent import REQUIRED_TAG
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_Tagged: TypeAlias = Configuration | Pipeline | VoiceProfileDomain | VoiceProfile | VoiceConnector

_REQUIRED = (
    f"{REQUIRED_TAG} is given when a domain is made; afterwards an admin changes what it requires, with `earwitness "
    "consent require`"
)


def tag_resource(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Add tags to a resource, or give them other values."""
    tags = named_tags(params)

    def tag(unit: Unit) -> _Tagged:
        resource = _resource(unit, caller.scope, params["ResourceARN"])
        if isinstance(resource, VoiceProfileDomain) and tags.get(BAND_TAG, resource.band) != resource.band:
            raise BadRequest(f"the band of a domain is chosen when it is created; leave {BAND_TAG} out")
        if REQUIRED_TAG in tags:
            raise BadRequest(_REQUIRED)
        context.set_tags(unit, caller, resource.arn, tags)
        return resource

    context.write(caller, tag)
    return {}


def untag_resource(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Remove tags from a resource; those it does not have are no error."""
    keys: list[str] = params["TagKeys"]

    def untag(unit: Unit) -> _Tagged:
        resource = _resource(unit, caller.scope, params["ResourceARN"])
        if isinstance(resource, VoiceProfileDomain) and BAND_TAG in keys:
            raise BadRequest(f"{BAND_TAG} tells the band of the domain, which does not change; leave it out")
        if REQUIRED_TAG in keys:
            raise BadRequest(_REQUIRED)
        unit.tags.remove(caller.scope, resource.arn, keys)
        return resource

    context.write(caller, untag)
    return {}


def list_tags(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List the tags of a resource by key."""
    resource = _resource(context.store, caller.scope, params["ResourceARN"])
    tags = context.store.tags.list(caller.scope, resource.arn)
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _resource(records: Store | Unit, scope: Scope, arn: str) -> _Tagged:
    """Return the record of a resource that can have tags. Raise NotFound for any other ARN."""
    return require(
        _find(records, scope, arn), "the resource does not exist in this account and Region; look at its ARN"
    )


def _find(records: Store | Unit, scope: Scope, arn: str) -> _Tagged | None:
    match arn.partition("/")[0].rpartition(":")[2]:
        case "media-insights-pipeline-configuration":
            return records.configurations.get(scope, arn)
        case "media-pipeline":
            return records.pipelines.get(scope, arn)
        case "voice-profile-domain":
            return records.domains.get(scope, arn)
        case "voice-profile":
            return records.profiles.get(scope, arn)
        case "vc":
            return records.connectors.get(scope, arn)
        case _:
            return None
