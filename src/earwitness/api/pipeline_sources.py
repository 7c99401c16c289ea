"""What a media insights pipeline hears: the runtime configurations it is created with, checked, kept and told again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, cast

from earwitness.errors import BadRequest
from earwitness.store.columns import JsonObject
from earwitness.wire.scalars import Params

LIVE = "KinesisVideoStreamSourceRuntimeConfiguration"
RECORDED = "KinesisVideoStreamRecordingSourceRuntimeConfiguration"
_KEPT = (LIVE, RECORDED, "S3RecordingSinkRuntimeConfiguration")

_Structure: TypeAlias = Mapping[str, Any]  # `Any`: members of an input shape, validated by the wire room


def stream_arns(params: Params) -> list[str]:
    """The streams that a request names as its source.

    Raises BadRequest unless there is one source, its streams differ, and their channels can be told apart.
    """
    live, recorded = params.get(LIVE), params.get(RECORDED)
    if (live is None) == (recorded is None):
        raise BadRequest(f"a pipeline has one source; give either {LIVE} or {RECORDED}")
    arns = _live_streams(live) if live is not None else _recorded_streams(cast("_Structure", recorded))
    if len(set(arns)) != len(arns):
        raise BadRequest("Streams names a stream twice; give its channels in one entry")
    return arns


def kept_source(params: Params) -> JsonObject:
    """What the store keeps of a request: its runtime configurations, as JSON."""
    return {name: _with_times(params[name], datetime.isoformat) for name in _KEPT if params.get(name) is not None}


def told_source(source: JsonObject) -> dict[str, object]:
    """The runtime configurations again, as the output shape has them."""
    return {name: _with_times(cast("_Structure", value), datetime.fromisoformat) for name, value in source.items()}


def _live_streams(source: _Structure) -> list[str]:
    streams: Sequence[_Structure] = source["Streams"]
    for index, stream in enumerate(streams):
        definition: _Structure = stream["StreamChannelDefinition"]
        ids = [channel["ChannelId"] for channel in definition.get("ChannelDefinitions") or ()]
        at = f"Streams[{index}].StreamChannelDefinition"
        if len(ids) > definition["NumberOfChannels"]:
            raise BadRequest(f"{at} defines {len(ids)} channels of {definition['NumberOfChannels']}; leave one out")
        if len(set(ids)) != len(ids):
            raise BadRequest(f"{at} defines a ChannelId twice; number the channels 0 and 1")
    return [stream["StreamArn"] for stream in streams]


def _recorded_streams(source: _Structure) -> list[str]:
    times: _Structure = source["FragmentSelector"]["TimestampRange"]
    if times["StartTimestamp"] >= times["EndTimestamp"]:
        raise BadRequest("TimestampRange ends before it begins; give a StartTimestamp before the EndTimestamp")
    arns = [stream.get("StreamArn") for stream in source["Streams"]]
    if None in arns:
        raise BadRequest("a stream of the recording source has no StreamArn; give one")
    return arns


def _with_times(configuration: _Structure, change: Any) -> dict[str, object]:  # `Any`: text to time, or time to text
    """The configuration with its two times, if it has such, changed."""
    selector: _Structure | None = configuration.get("FragmentSelector")
    if selector is None:
        return dict(configuration)
    times = {name: change(time) for name, time in selector["TimestampRange"].items()}
    return {**configuration, "FragmentSelector": {**selector, "TimestampRange": times}}
