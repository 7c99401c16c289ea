"""Settings of streams that AWS's SDKs read when they start: what earwitness does not do, it says it does not do."""

from collections.abc import Callable, Mapping

from earwitness.access.caller import Caller, Handler
from earwitness.api.stream_names import named, stream_of
from earwitness.api.streams import STORAGE_TIER
from earwitness.errors import NotFound, NotServed
from earwitness.store.records import KinesisStream
from earwitness.store.store import Store
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_Describe = Callable[[KinesisStream], Result]


class StreamSettings:
    """The operations on images, notifications, storage and connected resources of a stream."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "DescribeImageGenerationConfiguration": self._answer(_not_configured),
            "DescribeNotificationConfiguration": self._answer(_not_configured),
            "DescribeMappedResourceConfiguration": self._answer(_not_mapped),
            "DescribeStreamStorageConfiguration": self._answer(_storage),
            "DescribeMediaStorageConfiguration": self.describe_media_storage,
            "UpdateImageGenerationConfiguration": self._refuse("ImageGenerationConfiguration", "makes no images"),
            "UpdateNotificationConfiguration": self._refuse("NotificationConfiguration", "sends no notifications"),
        }

    def describe_media_storage(self, caller: Caller, params: Params) -> Result:
        """Whether a signaling channel stores its media in a stream: there are none here, so none does."""
        name_or_arn = named(params, name="ChannelName", arn="ChannelARN")
        if name_or_arn.startswith("arn:") and not name_or_arn.startswith(caller.arn("kinesisvideo", "channel/")):
            raise NotFound("the signaling channel does not exist in this account and Region; look at its ARN")
        return {"MediaStorageConfiguration": {"Status": "DISABLED"}}

    def _answer(self, describe: _Describe) -> Handler:
        """A handler that tells the same of every stream that is there."""

        def handler(caller: Caller, params: Params) -> Result:
            return describe(stream_of(self._store.streams, caller, params))

        return handler

    def _refuse(self, member: str, reason: str) -> Handler:
        """A handler that takes a setting only if it asks for nothing."""

        def handler(caller: Caller, params: Params) -> Result:
            stream_of(self._store.streams, caller, params)
            if (params.get(member) or {}).get("Status") == "ENABLED":
                raise NotServed(f"earwitness {reason}; leave {member} out, or give it Status DISABLED")
            return {}

        return handler


def _not_configured(_stream: KinesisStream) -> Result:
    return {}


def _not_mapped(_stream: KinesisStream) -> Result:
    return {"MappedResourceConfigurationList": []}


def _storage(stream: KinesisStream) -> Result:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStorageConfiguration": {"DefaultStorageTier": STORAGE_TIER},
    }
