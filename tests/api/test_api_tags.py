"""Tags of every resource through botocore."""

from collections.abc import Callable
from typing import Any

import pytest
from api_world import ACCOUNT, OTHER_ACCOUNT, REGION, World, exceptions

from earwitness.api.operations import PIPELINES, STREAMS, VOICE
from earwitness.config.limits import Quotas

TEAM = {"Key": "team", "Value": "fraud"}
SITE = {"Key": "site", "Value": ""}


def configuration(world: World) -> str:
    return world.make_configuration(Tags=[SITE])["MediaInsightsPipelineConfigurationArn"]


def pipeline(world: World) -> str:
    return world.make_pipeline(configuration(world), world.make_stream())["MediaPipelineArn"]


def tags_of(world: World, service: str, arn: str) -> list[dict[str, str]]:
    return world.call(service, "ListTagsForResource", ResourceARN=arn)["Tags"]


KINDS: dict[str, tuple[str, Callable[[World], str]]] = {
    "configuration": (PIPELINES, configuration),
    "pipeline": (PIPELINES, pipeline),
    "domain": (VOICE, lambda world: world.make_domain()["VoiceProfileDomainArn"]),
    "profile": (VOICE, lambda world: world.make_profile(world.make_domain()["VoiceProfileDomainId"]).arn),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tags_of_a_resource(world: World, kind: str) -> None:
    service, make = KINDS[kind]
    arn = make(world)
    world.call(service, "TagResource", ResourceARN=arn, Tags=[TEAM, SITE])
    world.call(service, "TagResource", ResourceARN=arn, Tags=[TEAM | {"Value": "billing"}])
    assert tags_of(world, service, arn) == [SITE, TEAM | {"Value": "billing"}]
    world.call(service, "UntagResource", ResourceARN=arn, TagKeys=["site", "nothing"])
    assert tags_of(world, service, arn) == [TEAM | {"Value": "billing"}]
    assert [entry.operation for entry in world.audit()[:3]] == ["UntagResource", "TagResource", "TagResource"]
    with pytest.raises(exceptions(service).BadRequestException, match="given twice"):
        world.call(service, "TagResource", ResourceARN=arn, Tags=[TEAM, TEAM])


@pytest.mark.parametrize("kind", KINDS)
def test_how_many_tags_there_may_be(make_world: Any, kind: str) -> None:
    service, make = KINDS[kind]
    world = make_world(quotas=Quotas(tags_per_resource=2))
    arn = make(world)
    world.call(service, "TagResource", ResourceARN=arn, Tags=[TEAM, SITE])
    with pytest.raises(exceptions(service).ResourceLimitExceededException):
        world.call(service, "TagResource", ResourceARN=arn, Tags=[{"Key": "third", "Value": ""}])
    assert tags_of(world, service, arn) == [SITE, TEAM]


@pytest.mark.parametrize("operation", ["TagResource", "UntagResource", "ListTagsForResource"])
@pytest.mark.parametrize("kind", KINDS)
def test_tags_of_what_is_not_there(world: World, kind: str, operation: str) -> None:
    service, make = KINDS[kind]
    arn = make(world)
    more: dict[str, Any] = {"TagResource": {"Tags": [TEAM]}, "UntagResource": {"TagKeys": ["team"]}}.get(operation, {})
    absent = [
        arn.replace(ACCOUNT, OTHER_ACCOUNT),
        arn.replace(REGION, "us-west-2"),
        arn + "x",
        arn.replace("arn:aws:", "arn:aws-cn:"),
        arn.replace(":chime:", ":kinesisvideo:"),
        f"arn:aws:chime:{REGION}:{ACCOUNT}:{'vc' if service == VOICE else 'nothing'}/1",
    ]
    if service == PIPELINES:
        absent += ["arnold", "arn:aws"]
    for one in absent:
        with pytest.raises(exceptions(service).NotFoundException):
            world.call(service, operation, ResourceARN=one, **more)


def test_tags_go_with_their_resource(world: World) -> None:
    arn = configuration(world)
    world.call(PIPELINES, "DeleteMediaInsightsPipelineConfiguration", Identifier=arn)
    world.make_configuration()
    assert tags_of(world, PIPELINES, arn) == []


ERRORS = exceptions(STREAMS)


def test_tags_of_a_stream(world: World) -> None:
    arn = world.make_stream("caller", Tags={"site": "Zürich"})
    world.call(STREAMS, "TagStream", StreamName="caller", Tags={"team": "fraud"})
    world.call(STREAMS, "TagResource", ResourceARN=arn, Tags=[{"Key": "call", "Value": "1"}])
    expected = {"call": "1", "site": "Zürich", "team": "fraud"}
    assert world.call(STREAMS, "ListTagsForStream", StreamARN=arn)["Tags"] == expected
    assert world.call(STREAMS, "ListTagsForResource", ResourceARN=arn)["Tags"] == expected
    world.call(STREAMS, "UntagStream", StreamARN=arn, TagKeyList=["team", "nothing"])
    world.call(STREAMS, "UntagResource", ResourceARN=arn, TagKeyList=["call"])
    assert world.call(STREAMS, "ListTagsForStream", StreamName="caller")["Tags"] == {"site": "Zürich"}
    with pytest.raises(ERRORS.InvalidArgumentException, match="one page"):
        world.call(STREAMS, "ListTagsForStream", StreamName="caller", NextToken="AAAA")
    world.call(STREAMS, "DeleteStream", StreamARN=arn)
    world.make_stream("caller")
    assert world.call(STREAMS, "ListTagsForStream", StreamName="caller")["Tags"] == {}


def test_how_many_tags_a_stream_may_have(make_world: Any) -> None:
    world = make_world(quotas=Quotas(tags_per_resource=1))
    arn = world.make_stream("caller", Tags={"site": "berlin"})
    with pytest.raises(ERRORS.TagsPerResourceExceededLimitException):
        world.call(STREAMS, "TagStream", StreamARN=arn, Tags={"team": "fraud"})
    with pytest.raises(ERRORS.TagsPerResourceExceededLimitException):
        world.call(STREAMS, "TagResource", ResourceARN=arn, Tags=[{"Key": "team", "Value": "fraud"}])
