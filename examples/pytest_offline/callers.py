"""A small application: it asks who is calling, and enrols callers who agree. Stock boto3 and nothing of earwitness."""

import json

import boto3

ROLE = "arn:aws:iam::000000000000:role/speaker-search"
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
SURE = 0.9


class Callers:
    """Knows a domain of voices and a configuration of pipelines."""

    def __init__(self) -> None:
        self.voice = boto3.client("chime-sdk-voice")
        self.pipelines = boto3.client("chime-sdk-media-pipelines")
        self.names: dict[str, str] = {}  # by voice profile
        self.on_the_line: dict[str, str] = {}  # by task: what the agent's screen shows
        search = {"SpeakerSearchStatus": "Enabled"}
        self.domain = self.voice.create_voice_profile_domain(
            Name="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": KEY}
        )["VoiceProfileDomain"]["VoiceProfileDomainArn"]
        self.configuration = self.pipelines.create_media_insights_pipeline_configuration(
            MediaInsightsPipelineConfigurationName="who-is-calling",
            ResourceAccessRoleArn=ROLE,
            Elements=[{"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": search}],
        )["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]

    def answer(self, stream_arn: str, number: str) -> str:
        """A call comes in: search for its speaker. Returns the task's id."""
        stream = {"StreamArn": stream_arn, "StreamChannelDefinition": {"NumberOfChannels": 1}}
        pipeline = self.pipelines.create_media_insights_pipeline(
            MediaInsightsPipelineConfigurationArn=self.configuration,
            KinesisVideoStreamSourceRuntimeConfiguration={
                "Streams": [stream],
                "MediaEncoding": "pcm",
                "MediaSampleRate": 8000,
            },
            MediaInsightsRuntimeMetadata={"fromNumber": number},
        )["MediaInsightsPipeline"]["MediaPipelineId"]
        task = self.pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=self.domain)
        return task["SpeakerSearchTask"]["SpeakerSearchTaskId"]

    def handle(self, event: dict, _context: object = None) -> None:
        """The Lambda function: takes the events of speaker search, one or several from a queue."""
        for one in [json.loads(record["body"]) for record in event.get("Records", ())] or [event]:
            if one["detail-type"] == "SpeakerSearchStatus":
                self._show(one["detail"])

    def enrol(self, task_id: str, name: str) -> str:
        """The caller agreed: know this voice from now on. Returns the profile's id."""
        profile = self.voice.create_voice_profile(SpeakerSearchTaskId=task_id)["VoiceProfile"]["VoiceProfileId"]
        self.names[profile] = name
        return profile

    def _show(self, detail: dict) -> None:
        status, task_id = detail["detailStatus"], detail["taskId"]
        if status == "IdentificationSuccessful":
            results = detail["speakerSearchDetails"]["results"]
            names = [self.names.get(one["voiceProfileId"], "somebody enrolled elsewhere") for one in results]
            sure = len(results) == 1 and float(results[0]["confidenceScore"]) >= SURE
            self.on_the_line[task_id] = names[0] if sure else f"perhaps {' or '.join(names)}: ask"
        elif status == "IdentificationNoMatchesFound":
            self.on_the_line[task_id] = "nobody we know"
        elif status == "IdentificationFailure":
            self.on_the_line[task_id] = f"no answer: {detail['statusMessage']}"
