"""Configurations through botocore: what is taken, how it is told, and what is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from api_world import ACCOUNT, REGION, ROLE_ARN, VOICE_ELEMENT, World, exceptions

from earwitness.api.operations import PIPELINES
from earwitness.config.limits import Quotas

ERRORS = exceptions(PIPELINES)
SINKS = {
    "KinesisDataStreamSink": "kinesis:{place}:stream/events",
    "LambdaFunctionSink": "lambda:{place}:function:on-event",
    "SqsQueueSink": "sqs:{place}:events",
    "SnsTopicSink": "sns:{place}:events",
}


def sink(kind: str, *, place: str = f"{REGION}:{ACCOUNT}", suffix: str = "") -> dict[str, Any]:
    target = f"arn:aws:{SINKS[kind].format(place=place)}{suffix}"
    return {"Type": kind, f"{kind}Configuration": {"InsightsTarget": target}}


def update(world: World, identifier: str, *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return world.call(
        PIPELINES,
        "UpdateMediaInsightsPipelineConfiguration",
        Identifier=identifier,
        ResourceAccessRoleArn=ROLE_ARN,
        Elements=list(elements),
        **more,
    )["MediaInsightsPipelineConfiguration"]


def get(world: World, identifier: str) -> dict[str, Any]:
    got = world.call(PIPELINES, "GetMediaInsightsPipelineConfiguration", Identifier=identifier)
    return got["MediaInsightsPipelineConfiguration"]


def delete(world: World, identifier: str) -> None:
    world.call(PIPELINES, "DeleteMediaInsightsPipelineConfiguration", Identifier=identifier)


def test_a_configuration_is_told_as_it_was_made(world: World) -> None:
    alerts = {"Disabled": True, "Rules": [{"Type": "Sentiment"}]}
    elements = [
        VOICE_ELEMENT,
        *[sink(kind) for kind in SINKS],
        {"Type": "S3RecordingSink", "S3RecordingSinkConfiguration": {"Destination": "arn:aws:s3:::calls"}},
        {"Type": "VoiceEnhancementSink", "VoiceEnhancementSinkConfiguration": {"Disabled": False}},
        {
            "Type": "AmazonTranscribeProcessor",
            "AmazonTranscribeProcessorConfiguration": {"LanguageCode": "en-US", "ContentRedactionType": "PII"},
        },
    ]
    made = world.make_configuration("calls", *elements, RealTimeAlertConfiguration=alerts)
    arn = f"arn:aws:chime:{REGION}:{ACCOUNT}:media-insights-pipeline-configuration/calls"
    assert made.pop("CreatedTimestamp") == made.pop("UpdatedTimestamp") > datetime(2026, 1, 1, tzinfo=UTC)
    assert len(made.pop("MediaInsightsPipelineConfigurationId")) == 36
    assert made == {
        "MediaInsightsPipelineConfigurationName": "calls",
        "MediaInsightsPipelineConfigurationArn": arn,
        "ResourceAccessRoleArn": ROLE_ARN,
        "RealTimeAlertConfiguration": alerts,
        "Elements": elements,
    }
    assert get(world, "calls") == get(world, arn)
    assert get(world, arn)["Elements"] == elements
    assert [(entry.operation, entry.resource_arn) for entry in world.audit()] == [
        ("CreateMediaInsightsPipelineConfiguration", arn)
    ]


def test_an_update_replaces_all_but_the_name(world: World) -> None:
    made = world.make_configuration("calls", VOICE_ELEMENT, RealTimeAlertConfiguration={"Disabled": True})
    updated = update(world, "calls", sink("SqsQueueSink"))
    assert updated["Elements"] == [sink("SqsQueueSink")]
    assert "RealTimeAlertConfiguration" not in updated
    assert updated["CreatedTimestamp"] == made["CreatedTimestamp"] < updated["UpdatedTimestamp"]
    assert get(world, "calls") == updated
    with pytest.raises(ERRORS.NotFoundException):
        update(world, "nobody", VOICE_ELEMENT)
    with pytest.raises(ERRORS.BadRequestException, match="several elements"):
        update(world, "calls", VOICE_ELEMENT, VOICE_ELEMENT)


TRANSCRIBE = {"Type": "AmazonTranscribeProcessor"}
TRANSCRIBE_BOTH = {"ContentIdentificationType": "PII", "ContentRedactionType": "PII"}
REFUSED: list[tuple[str, list[dict[str, Any]]]] = [
    ("several elements of type SqsQueueSink", [sink("SqsQueueSink"), sink("SqsQueueSink", suffix="2")]),
    ("exclude each other", [TRANSCRIBE, {"Type": "AmazonTranscribeCallAnalyticsProcessor"}]),
    ("add an S3RecordingSink", [VOICE_ELEMENT, {"Type": "VoiceEnhancementSink"}]),
    ("member of another type", [{"Type": "SnsTopicSink", **{k: v for k, v in VOICE_ELEMENT.items() if k != "Type"}}]),
    ("member of another type", [{**VOICE_ELEMENT, "VoiceEnhancementSinkConfiguration": {"Disabled": True}}]),
    ("give one of them", [{**TRANSCRIBE, "AmazonTranscribeProcessorConfiguration": TRANSCRIBE_BOTH}]),
    ("without InsightsTarget", [{"Type": "SqsQueueSink"}]),
    ("without InsightsTarget", [{"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {}}]),
    ("must be one of", [{"Type": "Nonsense"}]),
    *[("another account", [sink(kind, place=f"{REGION}:999988887777")]) for kind in SINKS],
    *[("is in eu-west-1", [sink(kind, place=f"eu-west-1:{ACCOUNT}")]) for kind in SINKS],
    (
        "is of sqs",
        [{"Type": "SnsTopicSink", "SnsTopicSinkConfiguration": sink("SqsQueueSink")["SqsQueueSinkConfiguration"]}],
    ),
]


@pytest.mark.parametrize(("message", "elements"), REFUSED)
def test_elements_that_do_not_go_together(world: World, message: str, elements: list[dict[str, Any]]) -> None:
    with pytest.raises(ERRORS.BadRequestException, match=message):
        world.make_configuration("calls", *elements)
    assert world.audit() == ()


@pytest.mark.parametrize(
    "target",
    [
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue/MyQueue",
        "arn:aws:sqs:us-west-2:1111111111:queue/MyQueue",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls.fifo",
        "arn:a",
    ],
)
def test_a_target_that_aws_takes_is_taken_with_a_warning(
    world: World, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Terraform's tests have such. What is sent there fails (tests/sinks/test_targets.py)."""
    element = {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": target}}
    assert world.make_configuration("calls", element)["Elements"] == [element]
    assert "events to a sink will fail" in caplog.text
    assert target not in caplog.text


def test_a_configuration_is_found_by_its_guid_too(world: World) -> None:
    made = world.make_configuration("calls")
    guid = made["MediaInsightsPipelineConfigurationId"]
    assert get(world, guid) == get(world, guid.upper()) == get(world, "calls")
    assert update(world, guid, VOICE_ELEMENT)["Elements"] == [VOICE_ELEMENT]
    world.make_configuration(guid)
    assert get(world, guid)["MediaInsightsPipelineConfigurationName"] == guid
    delete(world, guid)
    delete(world, guid)
    with pytest.raises(ERRORS.NotFoundException):
        get(world, "calls")


def test_a_name_is_taken_once(world: World) -> None:
    world.make_configuration("calls")
    with pytest.raises(ERRORS.BadRequestException, match="choose another name"):
        world.make_configuration("calls")
    delete(world, "calls")
    world.make_configuration("calls")


@pytest.mark.parametrize("name", ["a" * 65, "a b", "a/b", "äö", "..\n"])
def test_names_that_the_model_refuses(world: World, name: str) -> None:
    with pytest.raises(ERRORS.BadRequestException, match="MediaInsightsPipelineConfigurationName"):
        world.make_configuration(name)


def test_deletion(world: World) -> None:
    arn = world.make_configuration("calls")["MediaInsightsPipelineConfigurationArn"]
    pipeline = world.make_pipeline(arn, world.make_stream())
    with pytest.raises(ERRORS.ConflictException, match="delete them first"):
        delete(world, "calls")
    world.call(PIPELINES, "DeleteMediaPipeline", MediaPipelineId=pipeline["MediaPipelineId"])
    delete(world, arn)
    for call in (get, delete):
        with pytest.raises(ERRORS.NotFoundException):
            call(world, "calls")


def test_a_token_makes_one_configuration(world: World) -> None:
    made = world.make_configuration("calls", ClientRequestToken="token-1")
    assert world.make_configuration("calls", ClientRequestToken="token-1") == made
    with pytest.raises(ERRORS.BadRequestException, match="ClientRequestToken"):
        world.make_configuration("others", ClientRequestToken="token-1")
    assert len(world.audit()) == 1
    delete(world, "calls")
    with pytest.raises(ERRORS.NotFoundException, match="use a new token"):
        world.make_configuration("calls", ClientRequestToken="token-1")


def test_the_quota(make_world: Any) -> None:
    world = make_world(quotas=Quotas(configurations=1, tags_per_resource=1))
    tags = [{"Key": name, "Value": ""} for name in "ab"]
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        world.make_configuration("calls", Tags=tags)
    world.make_configuration("calls", Tags=tags[:1])  # what was refused left nothing behind
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        world.make_configuration("others")
