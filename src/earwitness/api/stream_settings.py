"""What SDKs ask of a stream when they start: settings of features that are not served, told truthfully as "off"."""

from collections.abc import Callable, Mapping
from typing import Any

from earwitness.api.caller import Caller, Handler
from earwitness.api.quotas import Quotas
from earwitness.api.resource_tags import named_tags
from earwitness.api.streams import named_stream, require_stream
from earwitness.errors import BadRequest
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result


class StreamSettings:
    """Settings objects and the newer tag operations of Kinesis Video Streams."""

    def __init__(self, *, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "DescribeImageGenerationConfiguration": self.nothing_set,
            "UpdateImageGenerationConfiguration": self.only_off("ImageGenerationConfiguration"),
            "DescribeNotificationConfiguration": self.nothing_set,
            "UpdateNotificationConfiguration": self.only_off("NotificationConfiguration"),
            "DescribeMappedResourceConfiguration": self.mapped_resources,
            "DescribeStreamStorageConfiguration": self.storage,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.tags,
        }

    def nothing_set(self, caller: Caller, params: Params) -> Result:
        """The stream is there, and the feature is off."""
        self._stream(caller, params)
        return {}

    def mapped_resources(self, caller: Caller, params: Params) -> Result:
        """No signaling channel is mapped to the stream: there are none."""
        self._stream(caller, params)
        return {"MappedResourceConfigurationList": []}

    def storage(self, caller: Caller, params: Params) -> Result:
        """There is one tier here, and it is as quick as the hot one."""
        stream = self._stream(caller, params)
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStorageConfiguration": {"DefaultStorageTier": "HOT"},
        }

    def only_off(self, member: str) -> Handler:
        """An update that may switch a feature off, which it is."""

        def update(caller: Caller, params: Params) -> Result:
            self._stream(caller, params)
            wanted: Mapping[str, Any] = params.get(member) or {}  # `Any`: parsed parameters
            if wanted.get("Status", "DISABLED") != "DISABLED":
                raise BadRequest(f"{member}: this feature is not served; docs/parity.md lists what is")
            return {}

        return update

    def tag(self, caller: Caller, params: Params) -> Result:
        """Add tags to a stream by its ARN."""

        def work(unit: Unit) -> None:
            stream = self._tagged(caller, params, unit.streams.get)
            unit.tags.set(caller.scope, stream.arn, named_tags(params), limit=self._quotas.tags_per_resource)
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def untag(self, caller: Caller, params: Params) -> Result:
        """Remove tags from a stream by its ARN."""

        def work(unit: Unit) -> None:
            stream = self._tagged(caller, params, unit.streams.get)
            unit.tags.remove(caller.scope, stream.arn, params["TagKeyList"])
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def tags(self, caller: Caller, params: Params) -> Result:
        """All tags of a stream by its ARN."""
        stream = self._tagged(caller, params, self._store.streams.get)
        return {"Tags": self._store.tags.list(caller.scope, stream.arn)}

    def _stream(self, caller: Caller, params: Params) -> KinesisStream:
        return require_stream(self._store.streams.get(caller.scope, named_stream(params)))

    def _tagged(self, caller: Caller, params: Params, get: Callable[..., KinesisStream | None]) -> KinesisStream:
        return require_stream(get(caller.scope, params["ResourceARN"]))
