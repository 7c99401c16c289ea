"""Tags of the resources of both Chime services."""

from collections.abc import Mapping
from typing import Protocol

from earwitness.access.caller import Caller, Handler
from earwitness.api.resource_tags import named_tags
from earwitness.config.settings import Quotas
from earwitness.errors import BadRequest, NotFound
from earwitness.store.configurations import ConfigurationReader
from earwitness.store.domains import DomainReader
from earwitness.store.pipelines import PipelineReader
from earwitness.store.profiles import ProfileReader
from earwitness.store.records import Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.voice.band import BAND_TAG
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result


class _Records(Protocol):
    """Where resources are looked up: the store, or a unit of it."""

    @property
    def configurations(self) -> ConfigurationReader: ...

    @property
    def pipelines(self) -> PipelineReader: ...

    @property
    def domains(self) -> DomainReader: ...

    @property
    def profiles(self) -> ProfileReader: ...


class Tags:
    """The three operations on tags. The router has chosen the service by the ARN; they are the same in both."""

    def __init__(self, *, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """By operation, of either service."""
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTagsForResource": self.list}

    def tag(self, caller: Caller, params: Params) -> Result:
        """Add tags to a resource, or give them other values."""
        arn: str = params["ResourceARN"]
        tags = named_tags(params)

        def work(unit: Unit) -> None:
            resource = _there(unit, caller.scope, arn)
            if isinstance(resource, VoiceProfileDomain) and tags.get(BAND_TAG, resource.band) != resource.band:
                raise BadRequest(f"the band of a domain is chosen when it is created; leave {BAND_TAG} out")
            unit.tags.set(caller.scope, arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)

        self._store.write(work)
        return {}

    def untag(self, caller: Caller, params: Params) -> Result:
        """Remove tags from a resource; those it does not have are no error."""
        arn: str = params["ResourceARN"]
        keys: list[str] = params["TagKeys"]

        def work(unit: Unit) -> None:
            resource = _there(unit, caller.scope, arn)
            if isinstance(resource, VoiceProfileDomain) and BAND_TAG in keys:
                raise BadRequest(f"{BAND_TAG} tells the band of the domain, which does not change; leave it out")
            unit.tags.remove(caller.scope, arn, keys)
            caller.record(unit, arn)

        self._store.write(work)
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """The tags of a resource, by key."""
        arn: str = params["ResourceARN"]
        _there(self._store, caller.scope, arn)
        tags = self._store.tags.list(caller.scope, arn)
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _there(records: _Records, scope: Scope, arn: str) -> object:
    """The record of a resource that carries tags; NotFound for any other ARN."""
    found = _found(records, scope, arn)
    if found is None:
        raise NotFound("the resource does not exist; look at its ARN")
    return found


def _found(records: _Records, scope: Scope, arn: str) -> object | None:
    match arn.partition("/")[0].rpartition(":")[2]:
        case "media-insights-pipeline-configuration":
            return records.configurations.get(scope, arn)
        case "media-pipeline":
            return records.pipelines.get(scope, arn)
        case "voice-profile-domain":
            return records.domains.get(scope, arn)
        case "voice-profile":
            return records.profiles.get(scope, arn)
        case _:
            return None
