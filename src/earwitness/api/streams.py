"""Kinesis video streams, as resources; their media lies elsewhere and is told of what happens to them here."""

from collections.abc import Callable, Mapping

from earwitness.access.caller import Caller, Handler, arn_of
from earwitness.access.paging import Pages
from earwitness.api.resource_tags import named_tags
from earwitness.api.stream_names import found, named, stream_of
from earwitness.config.settings import Quotas
from earwitness.errors import BadRequest, NotServed
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result
from earwitness.wire.timestamps import EPOCH, MILLISECOND

RETENTION_HOURS_MAX = 87_600
"""Ten years, as in AWS."""

STREAMS_PER_PAGE = 10_000
"""What a list holds when the caller does not say, and the most that AWS allows."""

STORAGE_TIER = "HOT"
"""There is one kind of storage here, readable at once; so WARM, which is cheaper and slower in AWS, is refused."""

MEDIA_APIS = frozenset(("PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"))
"""The media operations that an endpoint is told for."""

_VERSION_LENGTH = 20  # as the versions that AWS gives out

StreamHook = Callable[[Scope, KinesisStream], None]
"""Told of a stream after the change is durable. What it does must survive being told twice, or never."""


class Streams:
    """The seven operations on streams as such."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        quotas: Quotas,
        new_id: Callable[[], str],
        public_url: str = "",
        on_deleted: StreamHook,
        on_retention_changed: StreamHook,
    ) -> None:
        """`public_url` is where clients reach the media operations; empty for where each request came to."""
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_id = new_id
        self._public_url = public_url.rstrip("/")  # clients append a path
        self._on_deleted = on_deleted
        self._on_retention_changed = on_retention_changed

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateStream": self.create,
            "DescribeStream": self.describe,
            "ListStreams": self.list,
            "DeleteStream": self.delete,
            "UpdateStream": self.update,
            "UpdateDataRetention": self.update_retention,
            "GetDataEndpoint": self.get_endpoint,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a stream, ready to be written."""
        hours = _allowed_hours(params.get("DataRetentionInHours") or 0)
        storage: Mapping[str, str] = params.get("StreamStorageConfiguration") or {}
        if storage.get("DefaultStorageTier", STORAGE_TIER) != STORAGE_TIER:
            raise BadRequest(f"there is one storage tier here, {STORAGE_TIER}; leave StreamStorageConfiguration out")
        tags = named_tags(params)
        name: str = params["StreamName"]

        def work(unit: Unit) -> KinesisStream:
            created_ms = (unit.now - EPOCH) // MILLISECOND
            created = unit.streams.create(
                caller.scope,
                name=name,
                arn=caller.arn("kinesisvideo", f"stream/{name}/{created_ms}"),
                version=self._new_version(),
                retention_hours=hours,
                status="ACTIVE",
                device_name=params.get("DeviceName"),
                media_type=params.get("MediaType"),
                kms_key_id=params.get("KmsKeyId"),
                limit=self._quotas.streams,
            )
            unit.tags.set(caller.scope, created.arn, tags, limit=self._quotas.tags_per_resource)
            caller.record(unit, created.arn)
            return created

        return {"StreamARN": self._store.write(work).arn}

    def describe(self, caller: Caller, params: Params) -> Result:
        """Describe a stream."""
        stream = stream_of(self._store.streams, caller, params)
        return {"StreamInfo": _described(caller.scope, stream)}

    def list(self, caller: Caller, params: Params) -> Result:
        """By name, those whose name begins as asked."""
        condition: Mapping[str, str] | None = params.get("StreamNameCondition")
        prefix = (condition or {}).get("ComparisonValue") or ""
        if condition is not None and not prefix:
            raise BadRequest("StreamNameCondition has no ComparisonValue; give how the names begin, or leave it out")
        streams, following = self._pages.read(
            caller,
            params,
            lambda after, limit: self._store.streams.list(caller.scope, name_prefix=prefix, after=after, limit=limit),
            about=prefix,
            default_length=STREAMS_PER_PAGE,
        )
        return {"StreamInfoList": [_described(caller.scope, stream) for stream in streams], **following}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a stream; its media cannot be read any more at once."""

        def work(unit: Unit) -> KinesisStream:
            stream = found(unit.streams.get(caller.scope, params["StreamARN"]))
            unit.streams.delete(caller.scope, stream.arn, expected_version=params.get("CurrentVersion"))
            caller.record(unit, stream.arn)
            return stream

        self._on_deleted(caller.scope, self._store.write(work))
        return {}

    def update(self, caller: Caller, params: Params) -> Result:
        """Give a stream another device name or media type."""

        def work(unit: Unit) -> None:
            updated = unit.streams.update(
                caller.scope,
                named(params),
                expected_version=params["CurrentVersion"],
                new_version=self._new_version(),
                device_name=params.get("DeviceName"),
                media_type=params.get("MediaType"),
            )
            caller.record(unit, found(updated).arn)

        self._store.write(work)
        return {}

    def update_retention(self, caller: Caller, params: Params) -> Result:
        """Keep the media of a stream longer, or less long."""
        change: int = params["DataRetentionChangeInHours"]
        longer = params["Operation"] == "INCREASE_DATA_RETENTION"

        def work(unit: Unit) -> KinesisStream:
            stream = stream_of(unit.streams, caller, params)
            hours = stream.retention_hours + (change if longer else -change)
            updated = unit.streams.update(
                caller.scope,
                stream.arn,
                expected_version=params["CurrentVersion"],
                new_version=self._new_version(),
                retention_hours=hours,
            )
            _allowed_hours(hours)  # after the version was compared: a stale one is the likelier reason
            caller.record(unit, stream.arn)
            return found(updated)

        self._on_retention_changed(caller.scope, self._store.write(work))
        return {}

    def get_endpoint(self, caller: Caller, params: Params) -> Result:
        """Where the media of a stream is sent to and read from."""
        stream_of(self._store.streams, caller, params)
        if params["APIName"] not in MEDIA_APIS:
            raise NotServed(f"{params['APIName']} is not served; docs/parity.md lists the media operations that are")
        return {"DataEndpoint": self._public_url or caller.endpoint}

    def _new_version(self) -> str:
        return self._new_id().replace("-", "")[:_VERSION_LENGTH]


def _allowed_hours(hours: int) -> int:
    if not 0 <= hours <= RETENTION_HOURS_MAX:
        raise BadRequest(f"the data retention would be {hours} hours; it may be 0 to {RETENTION_HOURS_MAX}")
    return hours


def _described(scope: Scope, stream: KinesisStream) -> dict[str, object]:
    return {
        "DeviceName": stream.device_name,
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "MediaType": stream.media_type,
        "KmsKeyId": stream.kms_key_id or arn_of(scope, "kms", "alias/aws/kinesisvideo"),
        "Version": stream.version,
        "Status": stream.status,
        "CreationTime": stream.created_at,
        "DataRetentionInHours": stream.retention_hours,
    }
