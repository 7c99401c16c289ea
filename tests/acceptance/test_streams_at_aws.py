"""A service whose streams lie elsewhere: in another service of ours, which it takes for AWS's Kinesis Video Streams."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from serving import Served, start, stop

import earwitness
from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS

REGION = "us-east-1"
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where the streams are."""
    running = start(tmp_path_factory.mktemp("far"))
    yield running
    stop(running)


@pytest.fixture(scope="module")
def near(far: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where voices are searched for."""
    folder = tmp_path_factory.mktemp("near")
    settings = folder / "settings.toml"
    settings.write_text(
        'kvs_source = "own,000000000000=aws"\n'
        f'kvs_endpoint_url = "{far.url}"\n'
        'kvs_access_key_id = "test"\n'
        'kvs_secret_access_key = "test"\n'
    )
    running = start(folder / "data", settings_file=settings)
    yield running
    stop(running)


class Caller:
    """Somebody who rings: media go to the far service, everything else to the near one."""

    def __init__(self, near: Served, far: Served, clients: ExitStack) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self._session = boto3.Session(region_name=REGION, **keys)
        self._near, self._far = near, far

        def client(service: str, url: str) -> Any:
            return clients.enter_context(closing(self._session.client(service, endpoint_url=url)))

        self.kinesis = client("kinesisvideo", far.url)
        self.own_kinesis = client("kinesisvideo", near.url)
        self.voice = client("chime-sdk-voice", near.url)
        self.pipelines = client("chime-sdk-media-pipelines", near.url)
        processor = {"SpeakerSearchStatus": "Enabled"}
        self._configuration = self.pipelines.create_media_insights_pipeline_configuration(
            MediaInsightsPipelineConfigurationName=f"calls-{id(self)}",
            ResourceAccessRoleArn="arn:aws:iam::000000000000:role/earwitness",
            Elements=[
                {"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": processor},
            ],
        )["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]

    def pipeline(self, stream: str) -> str:
        """A new pipeline on a stream."""
        channels = {"NumberOfChannels": 1, "ChannelDefinitions": [{"ChannelId": 0}]}
        return self.pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self._configuration,
            KinesisVideoStreamSourceRuntimeConfiguration={
                "MediaEncoding": "pcm",
                "MediaSampleRate": 8_000,
                "Streams": [{"StreamArn": stream, "StreamChannelDefinition": channels}],
            },
        )["MediaInsightsPipeline"]["MediaPipelineId"]

    def ring(self, recording: Path, *, stream: str, domain: str, until: str) -> tuple[str, str, list[str]]:
        """A call that is in the stream already, so that nothing has to last as long as it does.

        Returns the task's id and, of its event whose status begins so, the status and the profiles that were found.
        """
        sent = earwitness.put_media(
            recording, stream_arn=stream, real_time=False, endpoint_url=self._far.url, session=self._session
        )
        source = {"StreamArn": stream, "ChannelId": 0, "FragmentNumber": sent.first_fragment_number}
        pipeline = self.pipeline(stream)
        task = self.pipelines.start_speaker_search_task(
            Identifier=pipeline, VoiceProfileDomainArn=domain, KinesisVideoStreamSourceTaskConfiguration=source
        )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
        detail = next(detail for detail in self._details(pipeline) if detail["detailStatus"].startswith(until))
        self.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
        results = detail.get("speakerSearchDetails", {}).get("results", [])
        return task, detail["detailStatus"], [one["voiceProfileId"] for one in results]

    def _details(self, pipeline: str) -> Iterator[dict[str, Any]]:
        """What the events of a pipeline's tasks tell, as they come."""
        after = 0
        while True:
            answer = httpx.get(
                f"{self._near.url}/earwitness/v1/events",
                params={"pipelineId": pipeline, "after": after, "wait": 20},
                headers={"Authorization": "Bearer test"},
                timeout=PATIENCE_SECONDS,
            )
            for event in answer.raise_for_status().json()["events"]:
                after = event["sequence"]
                if event["kind"] == "speaker search":
                    yield event["body"]["detail"]


@pytest.fixture(scope="module")
def caller(near: Served, far: Served) -> Iterator[Caller]:
    with ExitStack() as clients:
        yield Caller(near, far, clients)


@pytest.mark.slow
def test_a_call_in_a_stream_elsewhere_is_followed_and_its_speaker_named(caller: Caller) -> None:
    stream = caller.kinesis.create_stream(StreamName="line", DataRetentionInHours=1)["StreamARN"]
    domain = caller.voice.create_voice_profile_domain(
        Name="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": KEY}
    )["VoiceProfileDomain"]["VoiceProfileDomainArn"]
    where = {"stream": stream, "domain": domain}
    task, status, _ = caller.ring(first_call("sally"), until="Voiceprint", **where)
    assert status == "VoiceprintGenerationSuccess"
    profile = caller.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]
    _, status, named = caller.ring(second_call("sally"), until="Identification", **where)
    assert (status, named) == ("IdentificationSuccessful", [profile])
    _, status, named = caller.ring(first_call("marvin"), until="Identification", **where)
    assert (status, named) == ("IdentificationNoMatchesFound", [])


@pytest.mark.slow
def test_a_pipeline_needs_a_stream_that_exists_there(caller: Caller) -> None:
    here = caller.own_kinesis.create_stream(StreamName="here")["StreamARN"]
    with pytest.raises(caller.pipelines.exceptions.NotFoundException, match="a stream of the source does not exist"):
        caller.pipeline(here)
