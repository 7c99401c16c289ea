"""Tags of both Chime services' resources, told apart by what the ARN names."""

from collections.abc import Callable, Mapping
from typing import Protocol

from earwitness.api.caller import Caller, Handler
from earwitness.api.domains import BAND_TAG
from earwitness.api.quotas import Quotas
from earwitness.api.resource_tags import named_tags
from earwitness.errors import BadRequest, NotFound
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result


class _Readers(Protocol):
    """What a store and a unit have in common: they find resources by ARN."""

    @property
    def configurations(self) -> "_ByArn": ...
    @property
    def pipelines(self) -> "_ByArn": ...
    @property
    def domains(self) -> "_ByArn": ...
    @property
    def profiles(self) -> "_ByArn": ...


class _ByArn(Protocol):
    @property
    def get(self) -> Callable[..., object | None]: ...


class Tags:
    """The three tag operations, which both services have alike."""

    def __init__(self, *, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTagsForResource": self.list}

    def tag(self, caller: Caller, params: Params) -> Result:
        """Add tags, or give those that are there other values."""
        arn: str = params["ResourceARN"]
        tags = named_tags(params)
        _leave_band_alone(tags)

        def work(unit: Unit) -> None:
            _require_resource(unit, caller, arn)
            unit.tags.set(caller.scope, arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)

        self._store.write(work)
        return {}

    def untag(self, caller: Caller, params: Params) -> Result:
        """Remove tags; one that is not there is no error."""
        arn: str = params["ResourceARN"]
        _leave_band_alone(params["TagKeys"])

        def work(unit: Unit) -> None:
            _require_resource(unit, caller, arn)
            unit.tags.remove(caller.scope, arn, params["TagKeys"])
            caller.record(unit, arn)

        self._store.write(work)
        return {}

    def list(self, caller: Caller, params: Params) -> Result:
        """All tags, by key."""
        arn: str = params["ResourceARN"]
        _require_resource(self._store, caller, arn)
        tags = self._store.tags.list(caller.scope, arn)
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _require_resource(readers: _Readers, caller: Caller, arn: str) -> None:
    """NotFound when there is no such resource in the caller's account and Region."""
    kind = arn.partition("/")[0].rpartition(":")[2]
    resources = {
        "media-insights-pipeline-configuration": readers.configurations,
        "media-pipeline": readers.pipelines,
        "voice-profile-domain": readers.domains,
        "voice-profile": readers.profiles,
    }
    resource = resources.get(kind)
    if not arn.startswith("arn:") or resource is None or resource.get(caller.scope, arn) is None:
        raise NotFound("the resource does not exist in this account and Region; look at its ARN")


def _leave_band_alone(keys: "Mapping[str, str] | list[str]") -> None:
    if BAND_TAG in keys:
        raise BadRequest(f"the tag {BAND_TAG} is chosen when a domain is created; make another domain for another band")
