"""What tests of `earwitness.testing` need of a program: a domain, a line, and calls that come in on it."""

from typing import Any

from earwitness.testing import EarwitnessService

KEY = {"KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"}
ROLE = "arn:aws:iam::000000000000:role/earwitness"


class Telephone:
    """A program that asks who is calling; each has a line and a domain of its own."""

    def __init__(self, service: EarwitnessService, name: str, *, sinks: list[dict[str, Any]] | None = None) -> None:
        self.service = service
        self.voice = service.client("chime-sdk-voice")
        self.pipelines = service.client("chime-sdk-media-pipelines")
        self.stream: str = service.client("kinesisvideo").create_stream(StreamName=name, DataRetentionInHours=1)[
            "StreamARN"
        ]
        self.domain = self.voice.create_voice_profile_domain(Name=name, ServerSideEncryptionConfiguration=KEY)[
            "VoiceProfileDomain"
        ]
        search = {"SpeakerSearchStatus": "Enabled"}
        elements = [{"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": search}, *(sinks or ())]
        made = self.pipelines.create_media_insights_pipeline_configuration(
            MediaInsightsPipelineConfigurationName=name, ResourceAccessRoleArn=ROLE, Elements=elements
        )
        self.configuration = made["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
        self.pipeline = ""

    def ring(self, caller: str = "+4930123", *, domain_arn: str | None = None) -> str:
        """A call comes in; return the id of its task."""
        stream = {"StreamArn": self.stream, "StreamChannelDefinition": {"NumberOfChannels": 1}}
        source = {"Streams": [stream], "MediaEncoding": "pcm", "MediaSampleRate": 8000}
        self.pipeline = self.pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self.configuration,
            KinesisVideoStreamSourceRuntimeConfiguration=source,
            MediaInsightsRuntimeMetadata={"fromNumber": caller},
        )["MediaInsightsPipeline"]["MediaPipelineId"]
        task = self.pipelines.start_speaker_search_task(
            Identifier=self.pipeline, VoiceProfileDomainArn=domain_arn or self.domain["VoiceProfileDomainArn"]
        )
        return task["SpeakerSearchTask"]["SpeakerSearchTaskId"]

    def hang_up(self) -> None:
        """The call ends, as its program says."""
        self.pipelines.delete_media_pipeline(MediaPipelineId=self.pipeline)

    def statuses(self, task_id: str) -> list[str]:
        """Return what the events of a task told."""
        return [event["detail"]["detailStatus"] for event in self.service.events(task_id=task_id)]
