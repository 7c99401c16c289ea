"""Pipelines through botocore: their sources, their life, and what else asks of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_world import ACCOUNT, MINE, OTHER_ACCOUNT, REGION, VOICE_ELEMENT, World, exceptions, live_source

from earwitness.api.operations import PIPELINES, STREAMS
from earwitness.config.limits import Quotas
from earwitness.store.records import Scope
from earwitness.voice.task_status import StopReason, TaskStatus

ERRORS = exceptions(PIPELINES)
LIVE = "KinesisVideoStreamSourceRuntimeConfiguration"
RECORDED = "KinesisVideoStreamRecordingSourceRuntimeConfiguration"


def get(world: World, pipeline_id: str) -> dict[str, Any]:
    got = world.call(PIPELINES, "GetMediaPipeline", MediaPipelineId=pipeline_id)
    return got["MediaPipeline"]["MediaInsightsPipeline"]


def move(world: World, identifier: str, update_status: str) -> None:
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=identifier, UpdateStatus=update_status)


def delete(world: World, pipeline_id: str) -> None:
    world.call(PIPELINES, "DeleteMediaPipeline", MediaPipelineId=pipeline_id)


def made(world: World, **more: Any) -> dict[str, Any]:
    arn = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    return world.make_pipeline(arn, world.make_stream(), **more)


def recorded_source(*arns: str, seconds: int = 60) -> dict[str, Any]:
    start = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    times = {"StartTimestamp": start, "EndTimestamp": start + timedelta(seconds=seconds)}
    selector = {"FragmentSelectorType": "ProducerTimestamp", "TimestampRange": times}
    return {"Streams": [{"StreamArn": arn} for arn in arns], "FragmentSelector": selector}


def test_a_pipeline_is_told_as_it_was_made(world: World) -> None:
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    source = live_source(world.make_stream("agent"), world.make_stream("caller"), channels=2)
    source["Streams"][0]["FragmentNumber"] = "91343852333181432392682062622220590765191907586"
    metadata = {"callId": "+49 30 1234567"}
    pipeline = world.make_pipeline(configuration, **{LIVE: source}, MediaInsightsRuntimeMetadata=metadata)
    assert get(world, pipeline["MediaPipelineId"]) == pipeline
    arn = f"arn:aws:chime:{REGION}:{ACCOUNT}:media-pipeline/{pipeline['MediaPipelineId']}"
    assert isinstance(pipeline.pop("CreatedTimestamp"), datetime)
    assert pipeline.pop("MediaPipelineId") == arn[-36:]
    assert pipeline == {
        "MediaPipelineArn": arn,
        "MediaInsightsPipelineConfigurationArn": configuration,
        "Status": "NotStarted",
        LIVE: source,
        "MediaInsightsRuntimeMetadata": metadata,
        "ElementStatuses": [{"Type": "VoiceAnalyticsProcessor", "Status": "NotStarted"}],
    }
    assert world.audit()[0].resource_arn == arn
    assert "1234567" not in str(world.store.pipelines.get(MINE, arn))


def test_a_recorded_source_comes_back_with_its_times(world: World) -> None:
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    source = recorded_source(world.make_stream())
    sink = {"Destination": "arn:aws:s3:::calls", "RecordingFileFormat": "Wav"}
    request = {"MediaInsightsPipelineConfigurationArn": configuration, RECORDED: source}
    answer = world.call(PIPELINES, "CreateMediaInsightsPipeline", **request, S3RecordingSinkRuntimeConfiguration=sink)
    pipeline = answer["MediaInsightsPipeline"]
    assert pipeline[RECORDED] == source
    assert pipeline["S3RecordingSinkRuntimeConfiguration"] == sink
    assert get(world, pipeline["MediaPipelineId"]) == pipeline


def test_a_pipeline_keeps_the_configuration_it_was_made_from(world: World) -> None:
    types = ["VoiceAnalyticsProcessor", "AmazonTranscribeProcessor", "S3RecordingSink", "VoiceEnhancementSink"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"
    elements = [VOICE_ELEMENT, *[{"Type": kind} for kind in types[1:]]]
    elements.append({"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": queue}})
    configuration = world.make_configuration("calls", *elements)["MediaInsightsPipelineConfigurationArn"]
    pipeline = world.make_pipeline(configuration, world.make_stream())
    assert pipeline["ElementStatuses"] == [
        {"Type": kind, "Status": "NotStarted" if kind == types[0] else "NotSupported"} for kind in types
    ]
    world.call(
        PIPELINES,
        "UpdateMediaInsightsPipelineConfiguration",
        Identifier="calls",
        ResourceAccessRoleArn="arn:aws:iam::1:role/x",
        Elements=[VOICE_ELEMENT],
    )
    kept = world.store.pipelines.get(MINE, pipeline["MediaPipelineId"])
    assert kept and kept.configuration["Elements"] == elements


def test_sources_that_cannot_be(world: World) -> None:
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    arn = world.make_stream()
    channel = {"ChannelId": 0}
    twice = {"NumberOfChannels": 2, "ChannelDefinitions": [channel, channel]}
    many = {"NumberOfChannels": 1, "ChannelDefinitions": [channel, {"ChannelId": 1}]}
    good = live_source(arn)

    def with_definition(definition: dict[str, Any]) -> dict[str, Any]:
        return {LIVE: {**good, "Streams": [{"StreamArn": arn, "StreamChannelDefinition": definition}]}}

    refused: list[tuple[str, dict[str, Any]]] = [
        ("one source", {}),
        ("one source", {LIVE: good, RECORDED: recorded_source(arn)}),
        ("a stream twice", {LIVE: live_source(arn, arn)}),
        ("a ChannelId twice", with_definition(twice)),
        ("defines 2 channels of 1", with_definition(many)),
        ("MediaEncoding: must be one of pcm", {LIVE: {**good, "MediaEncoding": "opus"}}),
        ("MediaSampleRate: must be 8000 to 48000", {LIVE: {**good, "MediaSampleRate": 96_000}}),
        ("has 3 entries", {LIVE: live_source(arn, arn, arn)}),
        ("NumberOfChannels: must be 1 to 2", with_definition({"NumberOfChannels": 3})),
        ("ends before it begins", {RECORDED: recorded_source(arn, seconds=0)}),
        ("no StreamArn", {RECORDED: {**recorded_source(arn), "Streams": [{}]}}),
        ("StreamArn: must match", {LIVE: live_source(arn[:-1] + "x")}),
    ]
    for message, source in refused:
        with pytest.raises(ERRORS.BadRequestException, match=message):
            world.call(
                PIPELINES, "CreateMediaInsightsPipeline", MediaInsightsPipelineConfigurationArn=configuration, **source
            )
    mono = with_definition({"NumberOfChannels": 1, "ChannelDefinitions": [{"ChannelId": 1}]})
    assert world.make_pipeline(configuration, **mono)  # in a mono stream the number is a label


def test_what_a_pipeline_is_made_of_must_exist(world: World) -> None:
    configuration = world.make_configuration("arnold")["MediaInsightsPipelineConfigurationArn"]
    stream = world.make_stream()
    foreign = stream.replace(ACCOUNT, OTHER_ACCOUNT)
    for arns in ([stream, foreign], [stream[:-1] + "0"], [stream.replace(REGION, "eu-west-1")]):
        with pytest.raises(ERRORS.NotFoundException, match="stream"):
            world.make_pipeline(configuration, *arns)
    for name in (configuration.replace("arnold", "others"), "arnold"):
        with pytest.raises(ERRORS.NotFoundException, match="configuration"):
            world.make_pipeline(name, stream)
    assert world.call(PIPELINES, "ListMediaPipelines")["MediaPipelines"] == []


def test_streams_may_lie_elsewhere(make_world: Any) -> None:
    asked: list[tuple[Scope, str]] = []

    def exists(scope: Scope, arn: str) -> bool:
        asked.append((scope, arn))
        return True

    world = make_world(stream_exists=exists)
    arn = f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/in-aws/1562589645061"
    world.make_pipeline(world.make_configuration()["MediaInsightsPipelineConfigurationArn"], arn)
    assert asked == [(MINE, arn)]


def test_pause_and_resume(world: World) -> None:
    pipeline = made(world)
    pipeline_id, arn = pipeline["MediaPipelineId"], pipeline["MediaPipelineArn"]
    with pytest.raises(ERRORS.ConflictException, match="the pipeline is NotStarted and cannot be resumed"):
        move(world, pipeline_id, "Resume")
    move(world, arn, "Pause")
    paused = get(world, pipeline_id)
    assert (paused["Status"], paused["ElementStatuses"][0]["Status"]) == ("Paused", "Paused")
    record = world.store.pipelines.get(MINE, arn)
    assert record and record.paused_at == world.clock.now
    with pytest.raises(ERRORS.ConflictException, match="cannot be paused"):
        move(world, pipeline_id, "Pause")
    move(world, pipeline_id, "Resume")
    assert get(world, pipeline_id)["Status"] == "NotStarted"
    record = world.store.pipelines.get(MINE, arn)
    assert record and record.paused_at is None
    with pytest.raises(ERRORS.BadRequestException):
        move(world, pipeline_id, "Stop")


def test_deletion(world: World) -> None:
    pipeline_id = made(world)["MediaPipelineId"]
    delete(world, pipeline_id)
    ended = get(world, pipeline_id)
    assert (ended["Status"], ended["ElementStatuses"][0]["Status"]) == ("Stopped", "Stopped")
    record = world.store.pipelines.get(MINE, pipeline_id)
    assert record and record.ended_at
    delete(world, pipeline_id)  # 204 again
    assert world.store.pipelines.get(MINE, pipeline_id) == record
    for update_status in ("Pause", "Resume"):
        with pytest.raises(ERRORS.ConflictException, match="make another pipeline"):
            move(world, pipeline_id, update_status)


def test_a_pipeline_whose_task_runs_is_stopping(world: World) -> None:
    pipeline_id = made(world)["MediaPipelineId"]
    task_id = world.start_task(pipeline_id, world.make_domain()["VoiceProfileDomainArn"])
    assert get(world, pipeline_id)["Status"] == "Initializing"
    delete(world, pipeline_id)
    delete(world, pipeline_id)
    assert get(world, pipeline_id)["Status"] == "Stopping"
    task = world.store.tasks.get(MINE, task_id)
    assert task and (task.status, task.stop_reason) == (TaskStatus.STOPPING, StopReason.PIPELINE_STOPPED)
    assert set(world.changed) == {pipeline_id}
    with pytest.raises(ERRORS.ConflictException):
        move(world, pipeline_id, "Resume")


def test_a_pause_stops_tasks_for_good(world: World) -> None:
    pipeline_id = made(world)["MediaPipelineId"]
    task_id = world.start_task(pipeline_id, world.make_domain()["VoiceProfileDomainArn"])
    move(world, pipeline_id, "Pause")
    task = world.store.tasks.get(MINE, task_id)
    assert task and (task.status, task.stop_reason) == (TaskStatus.STOPPING, StopReason.PIPELINE_PAUSED)
    move(world, pipeline_id, "Resume")
    assert get(world, pipeline_id)["Status"] == "NotStarted"


def test_the_newest_pipeline_comes_first(world: World) -> None:
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    stream = world.make_stream()
    pipelines = [world.make_pipeline(configuration, stream) for _ in range(3)]
    delete(world, pipelines[0]["MediaPipelineId"])
    listed = world.call(PIPELINES, "ListMediaPipelines")["MediaPipelines"]
    keys = ("MediaPipelineId", "MediaPipelineArn")
    assert listed == [{key: pipeline[key] for key in keys} for pipeline in reversed(pipelines)]


def test_a_token_makes_one_pipeline(world: World) -> None:
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    stream = world.make_stream()
    pipeline = world.make_pipeline(configuration, stream, ClientRequestToken="call-1")
    world.call(STREAMS, "DeleteStream", StreamARN=stream)
    assert world.make_pipeline(configuration, stream, ClientRequestToken="call-1") == pipeline
    with pytest.raises(ERRORS.BadRequestException, match="ClientRequestToken"):
        world.make_pipeline(configuration, world.make_stream("other"), ClientRequestToken="call-1")


def test_only_active_pipelines_count(make_world: Any) -> None:
    world = make_world(quotas=Quotas(active_pipelines=1))
    configuration = world.make_configuration()["MediaInsightsPipelineConfigurationArn"]
    stream = world.make_stream()
    first = world.make_pipeline(configuration, stream)
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        world.make_pipeline(configuration, stream)
    delete(world, first["MediaPipelineId"])
    world.make_pipeline(configuration, stream)


def test_pipelines_nobody_made(world: World) -> None:
    pipeline_id = "01234567-89ab-cdef-0123-456789abcdef"
    arn = f"arn:aws:chime:{REGION}:{ACCOUNT}:media-pipeline/{pipeline_id}"
    for call in (get, delete):
        with pytest.raises(ERRORS.NotFoundException):
            call(world, pipeline_id)
        with pytest.raises(ERRORS.BadRequestException):
            call(world, arn)
    for identifier in (pipeline_id, arn, "x"):
        with pytest.raises(ERRORS.NotFoundException):
            move(world, identifier, "Pause")
