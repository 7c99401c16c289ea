"""A service whose streams lie elsewhere: in another service of ours, which it takes for AWS's Kinesis Video Streams."""

import re
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest
from serving import ROOT, Served, start, stop

from earwitness.samples import first_call, second_call


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where the streams are."""
    running = start(tmp_path_factory.mktemp("far"))
    yield running
    stop(running)


@pytest.fixture(scope="module")
def near(far: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where voices are searched for."""
    settings = {
        "EARWITNESS_KVS_SOURCE_BY_ACCOUNT": "000000000000=aws",
        "EARWITNESS_KVS_ENDPOINT_URL": far.url,
        "EARWITNESS_KVS_ACCESS_KEY_ID": "test",
        "EARWITNESS_KVS_SECRET_ACCESS_KEY": "test",
    }
    running = start(tmp_path_factory.mktemp("near"), settings=settings)
    yield running
    stop(running)


@pytest.mark.slow
def test_a_call_in_a_stream_elsewhere_is_followed_and_its_speaker_named(near: Served, far: Served) -> None:
    environment = near.environment | {"AWS_ENDPOINT_URL_KINESIS_VIDEO": far.url, "EARWITNESS_DEMO_FAST": "1"}
    calls = [first_call("sally"), second_call("sally"), first_call("otto")]
    done = subprocess.run(
        [sys.executable, "live_call.py", *map(str, calls)],
        env=environment,
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    _, first, second, stranger = re.split(r"^.* rings$", done.stdout, flags=re.MULTILINE)
    enrolled = re.search(r"enrolled as (\S+)", first)
    assert enrolled
    assert enrolled[1] in second
    assert enrolled[1] not in stranger
    for events in (first, second, stranger):
        assert "VoiceprintGenerationSuccess" in events


@pytest.mark.slow
def test_a_pipeline_needs_a_stream_that_exists_there(near: Served) -> None:
    keys = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    pipelines = boto3.client("chime-sdk-media-pipelines", endpoint_url=near.url, **keys)
    kinesis = boto3.client("kinesisvideo", endpoint_url=near.url, **keys)
    here = kinesis.create_stream(StreamName="here")["StreamARN"]
    configuration = pipelines.create_media_insights_pipeline_configuration(
        MediaInsightsPipelineConfigurationName="c",
        ResourceAccessRoleArn="arn:aws:iam::000000000000:role/earwitness",
        Elements=[{"Type": "VoiceAnalyticsProcessor"}],
    )["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
    channel = {"NumberOfChannels": 1, "ChannelDefinitions": [{"ChannelId": 0}]}
    with pytest.raises(pipelines.exceptions.NotFoundException, match="Kinesis video stream"):
        pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=configuration,
            KinesisVideoStreamSourceRuntimeConfiguration={
                "MediaEncoding": "pcm",
                "MediaSampleRate": 8_000,
                "Streams": [{"StreamArn": here, "StreamChannelDefinition": channel}],
            },
        )
    for client in (pipelines, kinesis):
        client.close()
