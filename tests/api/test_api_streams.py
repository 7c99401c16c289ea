"""Streams through botocore: their life, and what producers ask of them before they send."""

import re
from typing import Any

import pytest
from api_world import ACCOUNT, OTHER_ACCOUNT, REGION, World, exceptions, key_of

from earwitness.access.roles import Role
from earwitness.api.operations import STREAMS
from earwitness.config.limits import Quotas

ERRORS = exceptions(STREAMS)
BY_NAME_OR_ARN = [
    "DescribeStream",
    "GetDataEndpoint",
    "ListTagsForStream",
    "TagStream",
    "UntagStream",
    "UpdateStream",
    "UpdateDataRetention",
    "DescribeImageGenerationConfiguration",
    "UpdateImageGenerationConfiguration",
    "DescribeNotificationConfiguration",
    "UpdateNotificationConfiguration",
    "DescribeStreamStorageConfiguration",
    "DescribeMappedResourceConfiguration",
]
MORE: dict[str, dict[str, Any]] = {
    "GetDataEndpoint": {"APIName": "PUT_MEDIA"},
    "TagStream": {"Tags": {"team": "fraud"}},
    "UntagStream": {"TagKeyList": ["team"]},
    "UpdateStream": {"CurrentVersion": "v1"},
    "UpdateDataRetention": {
        "CurrentVersion": "v1",
        "Operation": "INCREASE_DATA_RETENTION",
        "DataRetentionChangeInHours": 1,
    },
}


def info(world: World, name: str = "caller") -> dict[str, Any]:
    return world.call(STREAMS, "DescribeStream", StreamName=name)["StreamInfo"]


def change_retention(world: World, hours: int, *, version: str | None = None) -> None:
    world.call(
        STREAMS,
        "UpdateDataRetention",
        StreamName="caller",
        CurrentVersion=version or info(world)["Version"],
        Operation="INCREASE_DATA_RETENTION" if hours > 0 else "DECREASE_DATA_RETENTION",
        DataRetentionChangeInHours=abs(hours),
    )


def test_a_stream_is_told_as_it_was_made(world: World) -> None:
    given = {
        "DeviceName": "gateway-1",
        "MediaType": "audio/L16",
        "KmsKeyId": "arn:aws:kms:us-east-1:1:key/1",
        "DataRetentionInHours": 24,
    }
    arn = world.make_stream("caller", **given, StreamStorageConfiguration={"DefaultStorageTier": "HOT"})
    told = info(world)
    assert world.call(STREAMS, "DescribeStream", StreamARN=arn)["StreamInfo"] == told
    created = told.pop("CreationTime")
    assert arn == f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/caller/{round(created.timestamp() * 1000)}"
    assert re.fullmatch("[0-9a-zA-Z]{20}", told.pop("Version"))
    assert told == {"StreamName": "caller", "StreamARN": arn, "Status": "ACTIVE", **given}
    assert world.audit()[0].resource_arn == arn


def test_a_stream_of_nothing_but_a_name(world: World) -> None:
    arn = world.make_stream()
    told = info(world)
    assert told["KmsKeyId"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/kinesisvideo"
    assert told["DataRetentionInHours"] == 0
    assert "DeviceName" not in told
    assert world.call(STREAMS, "ListStreams")["StreamInfoList"] == [told]
    with pytest.raises(ERRORS.ResourceInUseException):
        world.make_stream()
    assert world.call(STREAMS, "DescribeStream", StreamARN=arn)


@pytest.mark.parametrize(
    "more",
    [
        {"DataRetentionInHours": 87_601},
        {"StreamStorageConfiguration": {"DefaultStorageTier": "WARM"}},
        {"MediaType": "audio"},
        {"Tags": {f"tag{number}": "" for number in range(51)}},
    ],
)
def test_streams_that_cannot_be(world: World, more: dict[str, Any]) -> None:
    with pytest.raises(ERRORS.InvalidArgumentException):
        world.make_stream(**more)
    assert world.call(STREAMS, "ListStreams")["StreamInfoList"] == []


def test_how_many_streams_there_may_be(make_world: Any) -> None:
    world = make_world(quotas=Quotas(streams=1))
    world.make_stream("one")
    with pytest.raises(ERRORS.AccountStreamLimitExceededException):
        world.make_stream("two")


def test_a_list_by_the_beginning_of_the_name(world: World) -> None:
    for name in ("agent-1", "agent-2", "caller-1", "Agent-3"):
        world.make_stream(name)

    def names(**condition: str) -> list[str]:
        answer = world.call(STREAMS, "ListStreams", StreamNameCondition=condition)
        return [stream["StreamName"] for stream in answer["StreamInfoList"]]

    assert names(ComparisonOperator="BEGINS_WITH", ComparisonValue="agent-") == ["agent-1", "agent-2"]
    assert names(ComparisonValue="x") == []
    for condition in ({}, {"ComparisonOperator": "BEGINS_WITH"}):
        with pytest.raises(ERRORS.InvalidArgumentException, match="ComparisonValue"):
            names(**condition)


def test_updates_need_the_present_version(world: World) -> None:
    arn = world.make_stream("caller", MediaType="audio/L16")
    version = info(world)["Version"]
    world.call(STREAMS, "UpdateStream", StreamARN=arn, CurrentVersion=version, DeviceName="gateway-2")
    told = info(world)
    assert (told["DeviceName"], told["MediaType"]) == ("gateway-2", "audio/L16")
    assert told["Version"] != version
    with pytest.raises(ERRORS.VersionMismatchException):
        world.call(STREAMS, "UpdateStream", StreamARN=arn, CurrentVersion=version)
    with pytest.raises(ERRORS.VersionMismatchException):
        change_retention(world, 1, version=version)
    with pytest.raises(ERRORS.VersionMismatchException):
        world.call(STREAMS, "DeleteStream", StreamARN=arn, CurrentVersion=version)
    assert info(world) == told


def test_retention(world: World) -> None:
    told = world.media.streams.told
    world.make_stream("caller", DataRetentionInHours=2)
    change_retention(world, 22)
    change_retention(world, -24)
    assert told == [("kept", "caller", 24), ("kept", "caller", 0)]
    version = info(world)["Version"]
    for hours in (-1, 87_601):
        with pytest.raises(ERRORS.InvalidArgumentException, match="0 to 87600"):
            change_retention(world, hours)
    with pytest.raises(ERRORS.VersionMismatchException):
        change_retention(world, -1, version="stale")
    assert info(world)["Version"] == version
    change_retention(world, 87_600)
    assert told[2:] == [("kept", "caller", 87_600)]


def test_deletion(world: World) -> None:
    told = world.media.streams.told
    arn = world.make_stream()
    version = info(world)["Version"]
    world.call(STREAMS, "DeleteStream", StreamARN=arn, CurrentVersion=version)
    assert told == [("deleted", arn, 0)]
    with pytest.raises(ERRORS.ResourceNotFoundException):
        world.call(STREAMS, "DeleteStream", StreamARN=arn)
    again = world.make_stream()
    assert again != arn
    with pytest.raises(ERRORS.ResourceNotFoundException):
        world.call(STREAMS, "DeleteStream", StreamARN=arn)  # a stream of the same name, but another one
    assert len(told) == 1


@pytest.mark.parametrize("operation", BY_NAME_OR_ARN)
def test_a_stream_has_one_name_in_a_request(world: World, operation: str) -> None:
    arn = world.make_stream()
    more = MORE.get(operation, {})
    both: list[dict[str, str]] = [{}, {"StreamName": "caller", "StreamARN": arn}]
    for names in both:
        with pytest.raises(ERRORS.InvalidArgumentException, match="give one of them"):
            world.call(STREAMS, operation, **names, **more)
    for absent in ({"StreamName": "nobody"}, {"StreamARN": arn.replace(ACCOUNT, OTHER_ACCOUNT)}):
        with pytest.raises(ERRORS.ResourceNotFoundException):
            world.call(STREAMS, operation, **absent, **more)


def test_where_the_media_goes(make_world: Any) -> None:
    world, behind_a_proxy = make_world(), make_world(public_url="https://media.example.net/")
    served = ["PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"]
    for one, url in ((world, "http://localhost:8123"), (behind_a_proxy, "https://media.example.net")):
        one.make_stream()
        for name in served:
            answer = one.call(STREAMS, "GetDataEndpoint", StreamName="caller", APIName=name)
            assert answer["DataEndpoint"] == url
    for name in ("GET_HLS_STREAMING_SESSION_URL", "GET_CLIP"):
        with pytest.raises(ERRORS.InvalidArgumentException, match=r"docs/parity\.md"):
            world.call(STREAMS, "GetDataEndpoint", StreamName="caller", APIName=name)


def test_what_a_producer_asks_before_it_sends(world: World) -> None:
    """The order of the C producer: describe, create when it is not there, tag, and ask for the endpoint."""
    producer = key_of(Role.PRODUCER)
    with pytest.raises(ERRORS.ResourceNotFoundException):
        world.call(STREAMS, "DescribeStream", key_id=producer, StreamName="caller")
    created = world.call(
        STREAMS, "CreateStream", key_id=producer, StreamName="caller", DeviceName="d", DataRetentionInHours=2
    )
    arn = created["StreamARN"]
    tags = [{"Key": "site", "Value": "berlin"}]
    world.call(STREAMS, "TagResource", key_id=producer, ResourceARN=arn, Tags=tags)
    for names in ({"StreamName": "caller"}, {"StreamARN": arn}):
        world.call(STREAMS, "TagStream", key_id=producer, Tags={"site": "berlin"}, **names)
        assert world.call(STREAMS, "DescribeStream", key_id=producer, **names)["StreamInfo"]["Status"] == "ACTIVE"
        assert world.call(STREAMS, "GetDataEndpoint", key_id=producer, APIName="PUT_MEDIA", **names)
        for setting in ("ImageGeneration", "Notification"):
            answer = world.call(STREAMS, f"Describe{setting}Configuration", key_id=producer, **names)
            assert f"{setting}Configuration" not in answer
        storage = world.call(STREAMS, "DescribeStreamStorageConfiguration", key_id=producer, **names)
        assert storage["StreamARN"] == arn
        assert storage["StreamStorageConfiguration"] == {"DefaultStorageTier": "HOT"}
        mapped = world.call(STREAMS, "DescribeMappedResourceConfiguration", key_id=producer, **names)
        assert mapped["MappedResourceConfigurationList"] == []
    for channel in ({"ChannelName": "c"}, {"ChannelARN": arn.replace("stream/", "channel/")}):
        answer = world.call(STREAMS, "DescribeMediaStorageConfiguration", key_id=producer, **channel)
        assert answer["MediaStorageConfiguration"] == {"Status": "DISABLED"}


def test_signaling_channels_elsewhere(world: World) -> None:
    arn = f"arn:aws:kinesisvideo:{REGION}:{OTHER_ACCOUNT}:channel/c/1"
    with pytest.raises(ERRORS.ResourceNotFoundException):
        world.call(STREAMS, "DescribeMediaStorageConfiguration", ChannelARN=arn)
    with pytest.raises(ERRORS.InvalidArgumentException):
        world.call(STREAMS, "DescribeMediaStorageConfiguration")


@pytest.mark.parametrize("status", ["ENABLED", "DISABLED"])
def test_settings_that_ask_for_what_is_not_done(world: World, status: str) -> None:
    world.make_stream()
    images = {
        "Status": status,
        "ImageSelectorType": "SERVER_TIMESTAMP",
        "DestinationConfig": {"Uri": "s3://bucket", "DestinationRegion": "us-east-1"},
        "SamplingInterval": 3000,
        "Format": "JPEG",
    }
    notifications = {"Status": status, "DestinationConfig": {"Uri": "sns://topic"}}
    for name, setting in (("ImageGeneration", images), ("Notification", notifications)):
        operation = f"Update{name}Configuration"
        given: dict[str, Any] = {f"{name}Configuration": setting}
        world.call(STREAMS, operation, StreamName="caller")
        if status == "DISABLED":
            world.call(STREAMS, operation, StreamName="caller", **given)
            continue
        with pytest.raises(ERRORS.InvalidArgumentException, match=r"earwitness (makes no images|sends no notific)"):
            world.call(STREAMS, operation, StreamName="caller", **given)
