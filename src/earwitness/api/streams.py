"""Kinesis video streams as resources: records, tags, settings. `put_media` and `get_media` have their media."""

from collections.abc import Mapping
from functools import partial

from earwitness.access.caller import Caller, arn_of
from earwitness.api.context import ApiContext, named_tags, require
from earwitness.errors import BadRequest, NotFound, NotServed
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store, Unit
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result
from earwitness.wire.timestamps import EPOCH, MILLISECOND

RETENTION_HOURS_MAX = 87_600
"""Ten years, as in AWS."""

STREAMS_PER_PAGE = 10_000
"""How many streams a list holds when the caller does not say; it is the most that AWS allows."""

STORAGE_TIER = "HOT"
"""There is one kind of storage here, readable at once; so WARM, which is cheaper and slower in AWS, is refused."""

MEDIA_APIS = frozenset(("PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"))
"""What GetDataEndpoint returns an endpoint for."""

MISSING = "the stream does not exist in this account and Region; create it, or look at its name or ARN"

_NOT_DONE = {
    "ImageGenerationConfiguration": "makes no images",
    "NotificationConfiguration": "sends no notifications",
}

_VERSION_LENGTH = 20  # as the versions that AWS gives out


def create_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Make a stream, ready to be written."""
    hours = _allowed_hours(params.get("DataRetentionInHours") or 0)
    storage: Mapping[str, str] = params.get("StreamStorageConfiguration") or {}
    if storage.get("DefaultStorageTier", STORAGE_TIER) != STORAGE_TIER:
        raise BadRequest(f"there is one storage tier here, {STORAGE_TIER}; leave StreamStorageConfiguration out")
    tags = named_tags(params)
    name: str = params["StreamName"]

    def create(unit: Unit) -> KinesisStream:
        created_ms = (unit.now - EPOCH) // MILLISECOND
        created = unit.streams.create(
            caller.scope,
            name=name,
            arn=caller.arn("kinesisvideo", f"stream/{name}/{created_ms}"),
            version=_new_version(context),
            retention_hours=hours,
            status="ACTIVE",
            device_name=params.get("DeviceName"),
            media_type=params.get("MediaType"),
            kms_key_id=params.get("KmsKeyId"),
            limit=context.quotas.streams,
        )
        context.set_tags(unit, caller, created.arn, tags)
        return created

    return {"StreamARN": context.write(caller, create).arn}


def describe_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Describe a stream."""
    return {"StreamInfo": _described(caller.scope, _stream(context.store, caller, params))}


def list_streams(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List streams by name, those whose name begins as asked."""
    condition: Mapping[str, str] | None = params.get("StreamNameCondition")
    prefix = (condition or {}).get("ComparisonValue") or ""
    if condition is not None and not prefix:
        raise BadRequest("StreamNameCondition has no ComparisonValue; give how the names begin, or leave it out")
    read = partial(context.store.streams.list, caller.scope, name_prefix=prefix)
    describe = partial(_described, caller.scope)
    return context.list_page(
        caller, params, "StreamInfoList", read, describe, about=prefix, default_length=STREAMS_PER_PAGE
    )


def delete_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Delete a stream; from then on its media cannot be read."""

    def delete(unit: Unit) -> KinesisStream:
        stream = require(unit.streams.get(caller.scope, params["StreamARN"]), MISSING)
        unit.streams.delete(caller.scope, stream.arn, expected_version=params.get("CurrentVersion"))
        return stream

    stream = context.write(caller, delete)
    # Should the service be killed before this, the sweep deletes media without a record.
    context.run_on_loop(context.streams.delete(caller.scope, stream.arn))
    return {}


def update_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Give a stream another device name or media type."""

    def update(unit: Unit) -> KinesisStream:
        updated = unit.streams.update(
            caller.scope,
            stream_named(params),
            expected_version=params["CurrentVersion"],
            new_version=_new_version(context),
            device_name=params.get("DeviceName"),
            media_type=params.get("MediaType"),
        )
        return require(updated, MISSING)

    context.write(caller, update)
    return {}


def update_retention(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Keep the media of a stream longer, or less long."""
    change: int = params["DataRetentionChangeInHours"]
    longer = params["Operation"] == "INCREASE_DATA_RETENTION"

    def update(unit: Unit) -> KinesisStream:
        stream = _stream(unit, caller, params)
        hours = stream.retention_hours + (change if longer else -change)
        updated = unit.streams.update(
            caller.scope,
            stream.arn,
            expected_version=params["CurrentVersion"],
            new_version=_new_version(context),
            retention_hours=hours,
        )
        _allowed_hours(hours)  # after the version was compared: a stale one is the likelier reason
        return require(updated, MISSING)

    stream = context.write(caller, update)
    context.run_on_loop(context.streams.retain(caller.scope, stream))
    return {}


def get_data_endpoint(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Return where the media of a stream is sent to and read from."""
    stream = _stream(context.store, caller, params)
    if params["APIName"] not in MEDIA_APIS:
        raise NotServed(f"{params['APIName']} is not served; docs/parity.md lists the media operations that are")
    return {"DataEndpoint": context.data_endpoint(stream) or caller.endpoint}  # clients append a path


# Tags and settings of streams.


def tag_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Add tags to a stream, or give them other values."""
    tags = named_tags(params)

    def tag(unit: Unit) -> KinesisStream:
        stream = _stream(unit, caller, params)
        context.set_tags(unit, caller, stream.arn, tags)
        return stream

    context.write(caller, tag)
    return {}


def untag_stream(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Remove tags from a stream; those it does not have are no error."""

    def untag(unit: Unit) -> KinesisStream:
        stream = _stream(unit, caller, params)
        unit.tags.remove(caller.scope, stream.arn, params["TagKeyList"])
        return stream

    context.write(caller, untag)
    return {}


def list_stream_tags(context: ApiContext, caller: Caller, params: Params) -> Result:
    """List the tags of a stream."""
    if params.get("NextToken"):
        raise BadRequest("the tags of a stream come in one page; leave NextToken out")
    return {"Tags": context.store.tags.list(caller.scope, _stream(context.store, caller, params).arn)}


def describe_setting(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Return that a stream has no configuration of images or notifications."""
    _stream(context.store, caller, params)
    return {}


def describe_mapped_resources(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Return that no resource is connected to a stream."""
    _stream(context.store, caller, params)
    return {"MappedResourceConfigurationList": []}


def describe_storage(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Return the storage tier of a stream."""
    stream = _stream(context.store, caller, params)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStorageConfiguration": {"DefaultStorageTier": STORAGE_TIER},
    }


def describe_media_storage(_context: ApiContext, caller: Caller, params: Params) -> Result:
    """Return whether a signaling channel stores its media in a stream: there are none here, so none does."""
    name_or_arn = stream_named(params, name="ChannelName", arn="ChannelARN")
    if name_or_arn.startswith("arn:") and not name_or_arn.startswith(caller.arn("kinesisvideo", "channel/")):
        raise NotFound("the signaling channel does not exist in this account and Region; look at its ARN")
    return {"MediaStorageConfiguration": {"Status": "DISABLED"}}


def update_setting(context: ApiContext, caller: Caller, params: Params) -> Result:
    """Accept a configuration of images or notifications that asks for none."""
    _stream(context.store, caller, params)
    for member, reason in _NOT_DONE.items():
        if (params.get(member) or {}).get("Status") == "ENABLED":
            raise NotServed(f"earwitness {reason}; leave {member} out, or give it Status DISABLED")
    return {}


def stream_named(params: Params, *, name: str = "StreamName", arn: str = "StreamARN") -> str:
    """Return the name or ARN in a request. Raise BadRequest unless it has exactly one of them."""
    given = [params[member] for member in (name, arn) if params.get(member) is not None]
    if len(given) != 1:
        raise BadRequest(f"the request has {len(given) or 'none'} of {name} and {arn}; give one of them")
    return given[0]


def _stream(records: Store | Unit, caller: Caller, params: Params) -> KinesisStream:
    # Operations on tags of resources name a ResourceARN. In AWS these are for signaling channels, of which there are
    # none here; some producers tag streams with them, so they take streams.
    name_or_arn = params.get("ResourceARN") or stream_named(params)
    return require(records.streams.get(caller.scope, name_or_arn), MISSING)


def _new_version(context: ApiContext) -> str:
    return context.new_id().replace("-", "")[:_VERSION_LENGTH]


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
