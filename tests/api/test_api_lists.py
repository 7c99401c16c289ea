"""Long lists: complete, without duplicates, and with tokens that nobody can make up or carry elsewhere."""

import base64
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from api_world import ACCOUNT, KMS_KEY_ARN, MINE, OTHER_ACCOUNT, OTHER_REGION, REGION, World, exceptions, key_of

from earwitness.access.roles import Role
from earwitness.api.operations import PIPELINES, STREAMS, VOICE
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.voice.band import Band

LISTS = {
    (PIPELINES, "ListMediaInsightsPipelineConfigurations"): (
        "MediaInsightsPipelineConfigurations",
        "MediaInsightsPipelineConfigurationArn",
    ),
    (PIPELINES, "ListMediaPipelines"): ("MediaPipelines", "MediaPipelineArn"),
    (VOICE, "ListVoiceProfileDomains"): ("VoiceProfileDomains", "VoiceProfileDomainArn"),
    (VOICE, "ListVoiceProfiles"): ("VoiceProfiles", "VoiceProfileArn"),
    (VOICE, "ListVoiceConnectors"): ("VoiceConnectors", "VoiceConnectorArn"),
    (STREAMS, "ListStreams"): ("StreamInfoList", "StreamARN"),
}
each = pytest.mark.parametrize(("service", "operation"), LISTS, ids=[operation for _, operation in LISTS])
BAD_TOKEN = {
    PIPELINES: exceptions(PIPELINES).BadRequestException,
    VOICE: exceptions(VOICE).BadRequestException,
    STREAMS: exceptions(STREAMS).InvalidArgumentException,
}


def fill(world: World, count: int, scope: Scope = MINE) -> None:
    """So many of each resource, past the wire, some hundreds in one transaction."""

    def work(unit: Unit, numbers: Sequence[int]) -> None:
        def arn(service: str, resource: str) -> str:
            return f"arn:aws:{service}:{scope.region}:{scope.account_id}:{resource}"

        for number in numbers:
            _add_one(unit, scope, number, arn)

    for first in range(0, count, 200):
        world.store.write(partial(work, numbers=range(first, min(first + 200, count))))


def _add_one(unit: Unit, scope: Scope, number: int, arn: Any) -> None:
    name = f"n{number:04}"
    guid = f"00000000-0000-0000-0000-00000000{number:04}"
    unit.configurations.create(
        scope,
        configuration_id=guid,
        name=name,
        arn=arn("chime", f"media-insights-pipeline-configuration/{name}"),
        body={"Elements": []},
    )
    connector_id = f"{scope.account_id}{scope.region.replace('-', '')}{number:04}"
    unit.connectors.create(scope, connector_id=connector_id, arn=arn("chime", f"vc/{connector_id}"), name=name, body={})
    unit.pipelines.create(
        scope,
        pipeline_id=guid,
        arn=arn("chime", f"media-pipeline/{guid}"),
        configuration_arn="",
        configuration={},
        status="NotStarted",
        element_statuses=[],
        source={},
        runtime_metadata=None,
    )
    unit.domains.create(
        scope,
        domain_id=f"vpd-{name}",
        arn=arn("chime", f"voice-profile-domain/vpd-{name}"),
        name=name,
        description="",
        kms_key_arn=KMS_KEY_ARN,
        band=Band.TELEPHONE,
    )
    unit.profiles.create(
        scope,
        profile_id=f"vp-{name}",
        domain_id="vpd-n0000",
        arn=arn("chime", f"voice-profile/vp-{name}"),
        expires_at=unit.now + timedelta(days=1),
    )
    unit.streams.create(
        scope,
        name=name,
        arn=arn("kinesisvideo", f"stream/{name}/1"),
        version="v1",
        retention_hours=0,
        status="ACTIVE",
    )


def of_domain(operation: str) -> dict[str, str]:
    return {"VoiceProfileDomainId": "vpd-n0000"} if operation == "ListVoiceProfiles" else {}


def pages(world: World, service: str, operation: str, **more: Any) -> Iterator[list[str]]:
    """The ARNs on each page."""
    items, arn = LISTS[service, operation]
    token: dict[str, str] = {}
    while True:
        answer = world.call(service, operation, **of_domain(operation), **token, **more)
        yield [item[arn] for item in answer[items]]
        if "NextToken" not in answer:
            return
        token = {"NextToken": answer["NextToken"]}


@pytest.mark.slow
def test_two_thousand_of_each(world: World) -> None:
    fill(world, 2000)
    for service, operation in LISTS:
        found = list(pages(world, service, operation, MaxResults=100))
        assert [len(page) for page in found] == [100] * 20
        everything = [arn for page in found for arn in page]
        assert len(set(everything)) == 2000
    [all_at_once] = pages(world, STREAMS, "ListStreams")
    assert len(all_at_once) == 2000
    assert [len(page) for page in pages(world, PIPELINES, "ListMediaPipelines")] == [100] * 20


@each
def test_what_comes_and_goes_meanwhile_moves_nothing(world: World, service: str, operation: str) -> None:
    fill(world, 9)
    seen: list[str] = []
    for page in pages(world, service, operation, MaxResults=2):
        seen += page
        if len(seen) == 4:
            world.make_configuration("a-newer-one")
            world.make_stream("a-newer-one")
            world.call(VOICE, "DeleteVoiceProfile", VoiceProfileId="vp-n0001")
    assert len(set(seen)) == len(seen) == 9


@each
def test_how_long_a_page_may_be(world: World, service: str, operation: str) -> None:
    fill(world, 3)
    most = 10_000 if service == STREAMS else 100
    assert [len(page) for page in pages(world, service, operation, MaxResults=most)] == [3]
    assert [len(page) for page in pages(world, service, operation, MaxResults=3)] == [3]
    with pytest.raises(BAD_TOKEN[service], match="MaxResults"):
        world.call(service, operation, MaxResults=most + 1, **of_domain(operation))


def first_token(world: World, service: str, operation: str, **more: Any) -> str:
    return world.call(service, operation, MaxResults=1, **of_domain(operation), **more)["NextToken"]


@each
def test_tokens_belong_to_one_list(world: World, service: str, operation: str) -> None:
    fill(world, 3)
    fill(world, 3, Scope(account_id=OTHER_ACCOUNT, region=REGION))
    fill(world, 3, Scope(account_id=ACCOUNT, region=OTHER_REGION))
    token = first_token(world, service, operation)
    sealed = bytearray(base64.b64decode(token))
    sealed[len(sealed) // 2] ^= 1
    others = {key: first_token(world, *key) for key in LISTS if key != (service, operation)}
    bad = [
        *others.values(),
        base64.b64encode(sealed).decode(),
        token[:-4],
        token + token,
        "AAAA",
        base64.b64encode(b'["n0000"]').decode(),
        first_token(world, service, operation, key_id=key_of(Role.ADMIN, OTHER_ACCOUNT)),
        first_token(world, service, operation, region=OTHER_REGION),
    ]
    for one in bad:
        with pytest.raises(BAD_TOKEN[service], match="NextToken"):
            world.call(service, operation, NextToken=one, **of_domain(operation))
    again = world.call(service, operation, key_id=key_of(Role.READER), NextToken=token, **of_domain(operation))
    assert len(again[LISTS[service, operation][0]]) == 2
    assert len(world.call(service, operation, NextToken="", **of_domain(operation))[LISTS[service, operation][0]]) == 3


def test_tokens_belong_to_one_filter(world: World) -> None:
    fill(world, 3)
    condition = {"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "n00"}
    token = first_token(world, STREAMS, "ListStreams", StreamNameCondition=condition)
    others: list[dict[str, Any]] = [{}, {"StreamNameCondition": condition | {"ComparisonValue": "n0"}}]
    for other in others:
        with pytest.raises(BAD_TOKEN[STREAMS], match="NextToken"):
            world.call(STREAMS, "ListStreams", NextToken=token, **other)
    token = first_token(world, VOICE, "ListVoiceProfiles")
    with pytest.raises(BAD_TOKEN[VOICE], match="NextToken"):
        world.call(VOICE, "ListVoiceProfiles", NextToken=token, VoiceProfileDomainId="vpd-n0001")
