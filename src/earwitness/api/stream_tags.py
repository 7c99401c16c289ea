"""Tags of streams: by name or ARN as for streams, or by ARN alone.

In AWS the operations on resources are for signaling channels, of which there are none here; some producers tag streams
with them, so they take streams.
"""

from collections.abc import Callable, Mapping

from earwitness.access.caller import Caller, Handler
from earwitness.api.resource_tags import named_tags
from earwitness.api.stream_names import found, stream_of
from earwitness.config.settings import Quotas
from earwitness.errors import BadRequest
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store, Unit
from earwitness.store.streams import StreamReader
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_Find = Callable[[StreamReader, Caller, Params], KinesisStream]


class StreamTags:
    """The six operations on tags of streams."""

    def __init__(self, *, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "TagStream": lambda caller, params: self._tag(caller, params, stream_of),
            "UntagStream": lambda caller, params: self._untag(caller, params, stream_of),
            "ListTagsForStream": lambda caller, params: self._list(caller, params, stream_of),
            "TagResource": lambda caller, params: self._tag(caller, params, _by_arn),
            "UntagResource": lambda caller, params: self._untag(caller, params, _by_arn),
            "ListTagsForResource": lambda caller, params: self._list(caller, params, _by_arn),
        }

    def _tag(self, caller: Caller, params: Params, find: _Find) -> Result:
        tags = named_tags(params)

        def work(unit: Unit) -> None:
            stream = find(unit.streams, caller, params)
            unit.tags.set(caller.scope, stream.arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def _untag(self, caller: Caller, params: Params, find: _Find) -> Result:
        keys: list[str] = params["TagKeyList"]

        def work(unit: Unit) -> None:
            stream = find(unit.streams, caller, params)
            unit.tags.remove(caller.scope, stream.arn, keys)
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def _list(self, caller: Caller, params: Params, find: _Find) -> Result:
        if params.get("NextToken"):
            raise BadRequest("the tags of a stream come in one page; leave NextToken out")
        stream = find(self._store.streams, caller, params)
        return {"Tags": self._store.tags.list(caller.scope, stream.arn)}


def _by_arn(streams: StreamReader, caller: Caller, params: Params) -> KinesisStream:
    return found(streams.get(caller.scope, params["ResourceARN"]))
