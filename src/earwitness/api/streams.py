"""Kinesis video streams, as records: create, describe, change, delete. Their media is another module's business."""

from collections.abc import Callable, Mapping

from earwitness.api.caller import Caller, Handler
from earwitness.api.paging import Pages
from earwitness.api.quotas import Quotas
from earwitness.api.resource_tags import named_tags
from earwitness.errors import BadRequest, NotFound
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

RETENTION_HOURS_MAX = 87_600
"""Ten years (kv-model)."""

ENDPOINTS_SERVED = frozenset({"PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"})
"""Values of APIName that lead somewhere here."""

_LIST_LENGTH_MAX = 10_000


class Streams:
    """The operations on streams."""

    def __init__(
        self,
        *,
        store: Store,
        pages: Pages,
        quotas: Quotas,
        new_version: Callable[[], str],
        public_url: str,
        on_deleted: Callable[[Scope, KinesisStream], None],
        on_retention: Callable[[Scope, KinesisStream], None],
    ) -> None:
        """`public_url` is where clients reach the media operations; where they came from when empty. `on_deleted` and
        `on_retention` let the media log follow, after the record says so."""
        self._store = store
        self._pages = pages
        self._quotas = quotas
        self._new_version = new_version
        self._public_url = public_url
        self._on_deleted = on_deleted
        self._on_retention = on_retention

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CreateStream": self.create,
            "DescribeStream": self.describe,
            "ListStreams": self.list,
            "UpdateStream": self.update,
            "UpdateDataRetention": self.update_retention,
            "DeleteStream": self.delete,
            "GetDataEndpoint": self.data_endpoint,
            "TagStream": self.tag,
            "UntagStream": self.untag,
            "ListTagsForStream": self.tags,
        }

    def create(self, caller: Caller, params: Params) -> Result:
        """Make a stream, ready at once."""
        hours: int = params.get("DataRetentionInHours", 0)
        _require_retention(hours)

        def work(unit: Unit) -> KinesisStream:
            made_ms = round(unit.now.timestamp() * 1_000)
            arn = caller.arn("kinesisvideo", f"stream/{params['StreamName']}/{made_ms}")
            created = unit.streams.create(
                caller.scope,
                name=params["StreamName"],
                arn=arn,
                version=self._new_version(),
                retention_hours=hours,
                status="ACTIVE",
                device_name=params.get("DeviceName"),
                media_type=params.get("MediaType"),
                kms_key_id=params.get("KmsKeyId"),
                limit=self._quotas.streams,
            )
            unit.tags.set(caller.scope, arn, named_tags(params), limit=self._quotas.tags_per_resource)
            caller.record(unit, arn)
            return created

        return {"StreamARN": self._store.write(work).arn}

    def describe(self, caller: Caller, params: Params) -> Result:
        """Describe a stream."""
        return {
            "StreamInfo": _described(
                caller.scope, require_stream(self._store.streams.get(caller.scope, named_stream(params)))
            )
        }

    def list(self, caller: Caller, params: Params) -> Result:
        """By name; those that begin with the condition's value, if one is given."""
        prefix: str = params.get("StreamNameCondition", {}).get("ComparisonValue", "")
        found, following = self._pages.read(
            caller,
            params,
            lambda after, limit: self._store.streams.list(caller.scope, name_prefix=prefix, after=after, limit=limit),
            about=prefix,
            default_length=_LIST_LENGTH_MAX,
        )
        return {"StreamInfoList": [_described(caller.scope, stream) for stream in found], **following}

    def update(self, caller: Caller, params: Params) -> Result:
        """Change what describes it."""
        self._change(
            caller,
            params,
            lambda _present: {"device_name": params.get("DeviceName"), "media_type": params.get("MediaType")},
        )
        return {}

    def update_retention(self, caller: Caller, params: Params) -> Result:
        """Keep media longer or shorter; what is older than a shorter time is deleted at once."""
        hours: int = params["DataRetentionChangeInHours"]
        sign = 1 if params["Operation"] == "INCREASE_DATA_RETENTION" else -1

        def changed(present: KinesisStream) -> dict[str, object]:
            _require_retention(present.retention_hours + sign * hours)
            return {"retention_hours": present.retention_hours + sign * hours}

        self._on_retention(caller.scope, self._change(caller, params, changed))
        return {}

    def delete(self, caller: Caller, params: Params) -> Result:
        """Delete a stream with its media, for good."""

        def work(unit: Unit) -> KinesisStream:
            stream = require_stream(unit.streams.get(caller.scope, params["StreamARN"]))
            unit.streams.delete(caller.scope, stream.name, expected_version=params.get("CurrentVersion"))
            caller.record(unit, stream.arn)
            return stream

        self._on_deleted(caller.scope, self._store.write(work))
        return {}

    def data_endpoint(self, caller: Caller, params: Params) -> Result:
        """Where media goes in and out: here."""
        require_stream(self._store.streams.get(caller.scope, named_stream(params)))
        if params["APIName"] not in ENDPOINTS_SERVED:
            raise BadRequest(
                f"APIName: is not served; docs/parity.md lists what is ({', '.join(sorted(ENDPOINTS_SERVED))})"
            )
        return {"DataEndpoint": self._public_url or caller.endpoint}

    def tag(self, caller: Caller, params: Params) -> Result:
        """Add tags, or give those that are there other values."""

        def work(unit: Unit) -> None:
            stream = require_stream(unit.streams.get(caller.scope, named_stream(params)))
            unit.tags.set(caller.scope, stream.arn, named_tags(params), limit=self._quotas.tags_per_resource)
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def untag(self, caller: Caller, params: Params) -> Result:
        """Remove tags; one that is not there is no error."""

        def work(unit: Unit) -> None:
            stream = require_stream(unit.streams.get(caller.scope, named_stream(params)))
            unit.tags.remove(caller.scope, stream.arn, params["TagKeyList"])
            caller.record(unit, stream.arn)

        self._store.write(work)
        return {}

    def tags(self, caller: Caller, params: Params) -> Result:
        """All tags of a stream; there are too few for pages."""
        stream = require_stream(self._store.streams.get(caller.scope, named_stream(params)))
        return {"Tags": self._store.tags.list(caller.scope, stream.arn)}

    def _change(
        self, caller: Caller, params: Params, changes: Callable[[KinesisStream], Mapping[str, object]]
    ) -> KinesisStream:
        def work(unit: Unit) -> KinesisStream:
            present = require_stream(unit.streams.get(caller.scope, named_stream(params)))
            updated = unit.streams.update(
                caller.scope,
                present.name,
                expected_version=params["CurrentVersion"],
                new_version=self._new_version(),
                **changes(present),  # pyright: ignore[reportArgumentType]  # each names a parameter and fits its type
            )
            caller.record(unit, present.arn)
            return require_stream(updated)

        return self._store.write(work)


def named_stream(params: Params) -> str:
    """The stream's name or ARN. BadRequest unless exactly one of them is given."""
    named = [params[name] for name in ("StreamName", "StreamARN") if params.get(name)]
    if len(named) != 1:
        raise BadRequest("give either StreamName or StreamARN")
    return named[0]


def _require_retention(hours: int) -> None:
    if not 0 <= hours <= RETENTION_HOURS_MAX:
        raise BadRequest(f"the retention would be {hours} hours; it must be 0 to {RETENTION_HOURS_MAX}")


def require_stream(stream: KinesisStream | None) -> KinesisStream:
    """The stream, or NotFound."""
    if stream is None:
        raise NotFound("the Kinesis video stream does not exist in this account and Region; look at its name or ARN")
    return stream


def _described(scope: Scope, stream: KinesisStream) -> dict[str, object]:
    default_key = f"arn:aws:kms:{scope.region}:{scope.account_id}:alias/aws/kinesisvideo"
    return {
        "DeviceName": stream.device_name,
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "MediaType": stream.media_type,
        "KmsKeyId": stream.kms_key_id or default_key,
        "Version": stream.version,
        "Status": stream.status,
        "CreationTime": stream.created_at,
        "DataRetentionInHours": stream.retention_hours,
    }
