"""What an application does with calls: stock boto3 clients, the producer, and the events that come of it."""

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import soundfile
from botocore.config import Config
from serving import Served

import earwitness
from patience import PATIENCE_SECONDS, until

KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
ROLE = "arn:aws:iam::000000000000:role/earwitness"
ENDED = {"Stopped", "Failed"}

Event = dict[str, Any]


class Application:
    """A program that uses a service. Names are its own, so that several may live on one service."""

    def __init__(
        self,
        served: Served,
        name: str,
        *,
        access_key: str = "test",
        secret: str = "test",  # noqa: S107
        sinks: Sequence[Any] = (),
    ) -> None:
        self.url, self.data, self.name = served.url, served.data, name
        self.session = boto3.Session(access_key, secret, region_name="us-east-1")
        config = Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE_SECONDS)
        self.kinesis, self.voice, self.pipelines = (
            self.session.client(service, endpoint_url=served.url, config=config)
            for service in ("kinesisvideo", "chime-sdk-voice", "chime-sdk-media-pipelines")
        )
        self._sinks = sinks
        self._configuration = ""

    def close(self) -> None:
        for client in (self.kinesis, self.voice, self.pipelines):
            client.close()

    def stream(self, name: str) -> str:
        made = self.kinesis.create_stream(StreamName=f"{self.name}-{name}", DataRetentionInHours=1)
        return str(made["StreamARN"])

    def domain(self, name: str) -> str:
        made = self.voice.create_voice_profile_domain(
            Name=name, ServerSideEncryptionConfiguration={"KmsKeyArn": KMS_KEY}
        )
        return str(made["VoiceProfileDomain"]["VoiceProfileDomainArn"])

    def configuration(self) -> str:
        if not self._configuration:
            made = self.pipelines.create_media_insights_pipeline_configuration(
                MediaInsightsPipelineConfigurationName=self.name,
                ResourceAccessRoleArn=ROLE,
                Elements=[
                    {
                        "Type": "VoiceAnalyticsProcessor",
                        "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
                    },
                    *self._sinks,
                ],
            )["MediaInsightsPipelineConfiguration"]
            self._configuration = made["MediaInsightsPipelineConfigurationArn"]
        return self._configuration

    def pipeline(self, *streams: str, channels: int = 1, **more: Any) -> str:
        source = {
            "Streams": [
                {"StreamArn": arn, "StreamChannelDefinition": {"NumberOfChannels": channels}} for arn in streams
            ],
            "MediaEncoding": "pcm",
            "MediaSampleRate": 8000,
        }
        made = self.pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self.configuration(),
            KinesisVideoStreamSourceRuntimeConfiguration=source,
            **more,
        )
        return str(made["MediaInsightsPipeline"]["MediaPipelineId"])

    def start(self, pipeline: str, domain: str, **more: Any) -> str:
        made = self.pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=domain, **more)
        return str(made["SpeakerSearchTask"]["SpeakerSearchTaskId"])

    def task(self, pipeline: str, task: str) -> dict[str, Any]:
        found = self.pipelines.get_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
        return found["SpeakerSearchTask"]

    def status(self, pipeline: str, task: str) -> str:
        return str(self.task(pipeline, task)["SpeakerSearchTaskStatus"])

    def pipeline_status(self, pipeline: str) -> str:
        found = self.pipelines.get_media_pipeline(MediaPipelineId=pipeline)
        return str(found["MediaPipeline"]["MediaInsightsPipeline"]["Status"])

    def send(self, audio: Any, stream: str, **more: Any) -> Any:
        return earwitness.put_media(
            audio, stream_arn=stream, real_time=False, session=self.session, endpoint_url=self.url, **more
        )

    def call(self, recording: Path, *, stream: str, domain: str, **more: Any) -> tuple[str, list[Event]]:
        """One call from its ring to its end: the task, and the details of its two events."""
        pipeline = self.pipeline(stream, **more)
        task = self.start(pipeline, domain)
        self.send(recording, stream)
        self.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
        until(lambda: len(self.results(task)) == 2)
        return task, self.results(task)

    def events(self) -> list[Event]:
        """Everything told so far by the service; a line that is being written is not."""
        file = self.data / "events.jsonl"
        lines = file.read_text("utf-8").splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def results(self, task: str) -> list[Event]:
        """The details of a task's events."""
        return [event["detail"] for event in self.events() if event["detail"].get("taskId") == task]


class Paced:
    """A line that speaks faster than people do: so many seconds between two seconds of audio."""

    def __init__(self, recording: Path, pace_seconds: float) -> None:
        self._pcm, self._at, self._pace = pcm(recording).getvalue(), 0, pace_seconds

    def read(self, size: int) -> bytes:
        time.sleep(self._pace * size / 16_000)
        self._at += size
        return self._pcm[self._at - size : self._at]


def pcm(recording: Path, *, seconds: float | None = None) -> io.BytesIO:
    """The beginning of a sample call as raw 16-bit samples at 8 kHz."""
    samples, rate = soundfile.read(recording, dtype="int16")
    return io.BytesIO(samples[: None if seconds is None else round(seconds * rate)].astype("<i2").tobytes())


def silence(seconds: float) -> io.BytesIO:
    return io.BytesIO(np.zeros(round(seconds * 8_000), "<i2").tobytes())


def connector_of(app: Application, name: str, *, is_encrypted: bool = False) -> str:
    """Make a Voice Connector that keeps audio for an hour; return its id."""
    made = app.voice.create_voice_connector(Name=name, RequireEncryption=is_encrypted)["VoiceConnector"]
    connector = str(made["VoiceConnectorId"])
    app.voice.put_voice_connector_streaming_configuration(
        VoiceConnectorId=connector, StreamingConfiguration={"DataRetentionInHours": 1, "Disabled": False}
    )
    return connector


def streams_of(app: Application, connector: str) -> list[str]:
    """Return the ARNs of the streams of its calls."""
    return [
        str(stream["StreamARN"])
        for stream in app.kinesis.list_streams()["StreamInfoList"]
        if stream["StreamName"].startswith(f"ChimeVoiceConnector-{connector}-")
    ]


def kept_fragments(app: Application, arn: str, *, media: bool = False) -> tuple[list[Event], bytes]:
    """Return what a stream lists of its fragments, and their media if they are asked for."""
    endpoint = app.kinesis.get_data_endpoint(StreamARN=arn, APIName="LIST_FRAGMENTS")["DataEndpoint"]
    client = app.session.client("kinesis-video-archived-media", endpoint_url=endpoint)
    selector = {
        "FragmentSelectorType": "SERVER_TIMESTAMP",
        "TimestampRange": {"StartTimestamp": "2020-01-01", "EndTimestamp": "2120-01-01"},
    }
    try:
        found = client.list_fragments(StreamARN=arn, MaxResults=1_000, FragmentSelector=selector)["Fragments"]
        numbers = sorted(one["FragmentNumber"] for one in found)
        if not media or not numbers:
            return found, b""
        answer = client.get_media_for_fragment_list(StreamARN=arn, Fragments=numbers)
        with answer["Payload"] as payload:
            return found, payload.read()
    finally:
        client.close()


def kept_seconds(app: Application, arn: str) -> int:
    """Return how much a stream keeps."""
    found, _ = kept_fragments(app, arn)
    return sum(one["FragmentLengthInMilliseconds"] for one in found) // 1_000
