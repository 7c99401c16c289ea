"""Every operation, with stock boto3; PutMedia, which it does not have, with `earwitness.put_media`.

Start a server, then run this; it makes its own resources and deletes them again.

    earwitness serve --dev
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1
    export AWS_ENDPOINT_URL=http://127.0.0.1:4500
    python examples/every_operation.py
"""

import subprocess
import sys
import time
import uuid

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import earwitness
from earwitness.errors import EarwitnessError
from earwitness.samples import first_call


def end_in_a_sentence(kind, error, trace):
    """No traceback when the service is away, a key is wrong or a call has too little speech; the exit code is 1."""
    if issubclass(kind, BotoCoreError | ClientError | EarwitnessError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = end_in_a_sentence
called: dict[str, None] = {}


def client(service: str, **options: str):
    made = boto3.client(service, **options)
    made.meta.events.register("before-call", lambda model, **_: called.setdefault(f"{service} {model.name}"))
    return made


pipelines, voice, kinesis = (client(name) for name in ("chime-sdk-media-pipelines", "chime-sdk-voice", "kinesisvideo"))
name = f"every-operation-{uuid.uuid4().hex[:8]}"

# A Kinesis video stream.
stream = kinesis.create_stream(StreamName=name, DataRetentionInHours=1, Tags={"team": "fraud"})["StreamARN"]
info = kinesis.describe_stream(StreamName=name)["StreamInfo"]
assert info["StreamARN"] == stream
assert info["Status"] == "ACTIVE"
assert kinesis.list_streams(StreamNameCondition={"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": name})[
    "StreamInfoList"
]
kinesis.tag_stream(StreamARN=stream, Tags={"site": "berlin"})
kinesis.untag_stream(StreamARN=stream, TagKeyList=["team"])
assert kinesis.list_tags_for_stream(StreamARN=stream)["Tags"] == {"site": "berlin"}
kinesis.update_stream(StreamARN=stream, CurrentVersion=info["Version"], MediaType="audio/L16")
version = kinesis.describe_stream(StreamName=name)["StreamInfo"]["Version"]
kinesis.update_data_retention(
    StreamARN=stream, CurrentVersion=version, Operation="INCREASE_DATA_RETENTION", DataRetentionChangeInHours=1
)
assert kinesis.describe_stream(StreamName=name)["StreamInfo"]["DataRetentionInHours"] == 2
assert kinesis.get_data_endpoint(StreamARN=stream, APIName="PUT_MEDIA")["DataEndpoint"].startswith("http")

# What SDKs ask of a stream when they start, and the newer tag operations.
assert "ImageGenerationConfiguration" not in kinesis.describe_image_generation_configuration(StreamARN=stream)
off = {
    "Status": "DISABLED",
    "ImageSelectorType": "SERVER_TIMESTAMP",
    "DestinationConfig": {"Uri": "s3://none", "DestinationRegion": "us-east-1"},
    "SamplingInterval": 3000,
    "Format": "JPEG",
}
kinesis.update_image_generation_configuration(StreamARN=stream, ImageGenerationConfiguration=off)
assert "NotificationConfiguration" not in kinesis.describe_notification_configuration(StreamName=name)
kinesis.update_notification_configuration(StreamName=name)
assert kinesis.describe_mapped_resource_configuration(StreamARN=stream)["MappedResourceConfigurationList"] == []
media_storage = kinesis.describe_media_storage_configuration(ChannelName=name)["MediaStorageConfiguration"]
assert media_storage["Status"] == "DISABLED"
storage = kinesis.describe_stream_storage_configuration(StreamARN=stream)["StreamStorageConfiguration"]
assert storage["DefaultStorageTier"] == "HOT"
kinesis.tag_resource(ResourceARN=stream, Tags=[{"Key": "line", "Value": "1"}])
assert kinesis.list_tags_for_resource(ResourceARN=stream)["Tags"] == {"site": "berlin", "line": "1"}
kinesis.untag_resource(ResourceARN=stream, TagKeyList=["line"])

# A domain of voice profiles.
key = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
domain = voice.create_voice_profile_domain(
    Name=name, Description="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": key}
)["VoiceProfileDomain"]
domain_id, domain_arn = domain["VoiceProfileDomainId"], domain["VoiceProfileDomainArn"]
assert voice.get_voice_profile_domain(VoiceProfileDomainId=domain_id)["VoiceProfileDomain"]["Name"] == name
voice.update_voice_profile_domain(VoiceProfileDomainId=domain_id, Description="callers of the hotline")
assert any(
    one["VoiceProfileDomainId"] == domain_id for one in voice.list_voice_profile_domains()["VoiceProfileDomains"]
)
voice.tag_resource(ResourceARN=domain_arn, Tags=[{"Key": "team", "Value": "fraud"}])
assert voice.list_tags_for_resource(ResourceARN=domain_arn)["Tags"] == [{"Key": "team", "Value": "fraud"}]
voice.untag_resource(ResourceARN=domain_arn, TagKeys=["team"])

# A configuration, and a pipeline made from it.
queue = "arn:aws:sqs:us-east-1:000000000000:speaker-events"
elements = [
    {
        "Type": "VoiceAnalyticsProcessor",
        "VoiceAnalyticsProcessorConfiguration": {
            "SpeakerSearchStatus": "Enabled",
            "VoiceToneAnalysisStatus": "Disabled",
        },
    },
    {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": queue}},
]
role = "arn:aws:iam::000000000000:role/earwitness"
configuration = pipelines.create_media_insights_pipeline_configuration(
    MediaInsightsPipelineConfigurationName=name, ResourceAccessRoleArn=role, Elements=elements
)["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
assert pipelines.get_media_insights_pipeline_configuration(Identifier=name)
pipelines.update_media_insights_pipeline_configuration(
    Identifier=configuration, ResourceAccessRoleArn=role, Elements=elements[:1]
)
assert pipelines.list_media_insights_pipeline_configurations()["MediaInsightsPipelineConfigurations"]
pipeline = pipelines.create_media_insights_pipeline(
    MediaInsightsPipelineConfigurationArn=configuration,
    KinesisVideoStreamSourceRuntimeConfiguration={
        "MediaEncoding": "pcm",
        "MediaSampleRate": 8000,
        "Streams": [
            {
                "StreamArn": stream,
                "StreamChannelDefinition": {
                    "NumberOfChannels": 1,
                    "ChannelDefinitions": [{"ChannelId": 0, "ParticipantRole": "CUSTOMER"}],
                },
            }
        ],
    },
    MediaInsightsRuntimeMetadata={"queue": "hotline"},
)["MediaInsightsPipeline"]
pipeline_id, pipeline_arn = pipeline["MediaPipelineId"], pipeline["MediaPipelineArn"]
assert pipelines.get_media_pipeline(MediaPipelineId=pipeline_id)["MediaPipeline"]["MediaInsightsPipeline"]
assert any(one["MediaPipelineId"] == pipeline_id for one in pipelines.list_media_pipelines()["MediaPipelines"])
pipelines.tag_resource(ResourceARN=pipeline_arn, Tags=[{"Key": "call", "Value": "1"}])
assert pipelines.list_tags_for_resource(ResourceARN=pipeline_arn)["Tags"] == [{"Key": "call", "Value": "1"}]
pipelines.untag_resource(ResourceARN=pipeline_arn, TagKeys=["call"])


def start_task() -> str:
    task = pipelines.start_speaker_search_task(Identifier=pipeline_arn, VoiceProfileDomainArn=domain_arn)
    return task["SpeakerSearchTask"]["SpeakerSearchTaskId"]


def wait_until_stopped(task: str) -> None:
    for _ in range(600):
        found = pipelines.get_speaker_search_task(Identifier=pipeline_id, SpeakerSearchTaskId=task)
        if found["SpeakerSearchTask"]["SpeakerSearchTaskStatus"] == "Stopped":
            return
        time.sleep(0.1)
    sys.exit("the task did not stop within a minute")


# A call is heard: the task stops by itself when it has a voiceprint. The caller consents, and is enrolled.
heard = start_task()
earwitness.put_media(first_call("kal"), stream_arn=stream, real_time=False)
called["kinesis-video-media PutMedia"] = None
wait_until_stopped(heard)
profile = voice.create_voice_profile(SpeakerSearchTaskId=heard)["VoiceProfile"]["VoiceProfileId"]
assert voice.get_voice_profile(VoiceProfileId=profile)["VoiceProfile"]["VoiceProfileDomainId"] == domain_id
(listed,) = voice.list_voice_profiles(VoiceProfileDomainId=domain_id)["VoiceProfiles"]
assert listed["VoiceProfileId"] == profile

# A later call of 20 s of speech or more renews the profile with a voiceprint of its own.
heard = start_task()
earwitness.put_media(first_call("kal"), stream_arn=stream, real_time=False)
wait_until_stopped(heard)
voice.update_voice_profile(VoiceProfileId=profile, SpeakerSearchTaskId=heard)

# The media of both calls, from its beginning, and some fragments of it. EBML is what Matroska begins with.
EBML = b"\x1a\x45\xdf\xa3"


def media_client(service: str, operation: str):
    return client(service, endpoint_url=kinesis.get_data_endpoint(StreamARN=stream, APIName=operation)["DataEndpoint"])


live = media_client("kinesis-video-media", "GET_MEDIA")
with live.get_media(StreamARN=stream, StartSelector={"StartSelectorType": "EARLIEST"})["Payload"] as payload:
    assert payload.read(100_000).startswith(EBML)
lister = media_client("kinesis-video-archived-media", "LIST_FRAGMENTS")
hour = {"StartTimestamp": time.time() - 3600, "EndTimestamp": time.time() + 1}
selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": hour}
fragments = lister.list_fragments(StreamARN=stream, FragmentSelector=selector)["Fragments"]
numbers = sorted(one["FragmentNumber"] for one in fragments)
archive = media_client("kinesis-video-archived-media", "GET_MEDIA_FOR_FRAGMENT_LIST")
media = archive.get_media_for_fragment_list(StreamARN=stream, Fragments=numbers[:3])["Payload"].read()
assert media.startswith(EBML)

# A task that is stopped before it heard anything, and a pause.
task_id = start_task()
pipelines.stop_speaker_search_task(Identifier=pipeline_arn, SpeakerSearchTaskId=task_id)
wait_until_stopped(task_id)
pipelines.update_media_insights_pipeline_status(Identifier=pipeline_arn, UpdateStatus="Pause")
pipelines.update_media_insights_pipeline_status(Identifier=pipeline_id, UpdateStatus="Resume")

# A Voice Connector, and a call that a phone system hands over to it: here `earwitness call`, as Twilio does.
connector = voice.create_voice_connector(Name=name, RequireEncryption=False)["VoiceConnector"]["VoiceConnectorId"]
assert voice.get_voice_connector(VoiceConnectorId=connector)["VoiceConnector"]["Name"] == name
voice.update_voice_connector(VoiceConnectorId=connector, Name=f"{name}-trunk", RequireEncryption=False)
assert any(one["VoiceConnectorId"] == connector for one in voice.list_voice_connectors()["VoiceConnectors"])
analytics = {"Disabled": False, "ConfigurationArn": configuration}
voice.put_voice_connector_streaming_configuration(
    VoiceConnectorId=connector,
    StreamingConfiguration={"DataRetentionInHours": 1, "Disabled": False, "MediaInsightsConfiguration": analytics},
)
assert voice.get_voice_connector_streaming_configuration(VoiceConnectorId=connector)["StreamingConfiguration"]
door = f"{voice.meta.endpoint_url.replace('http', 'ws', 1)}/doors/{connector}/twilio"


def transaction() -> str:
    """The call's name, which its pipeline tells; a program learns it from the event AnalyticsReady."""
    for _ in range(600):
        for one in pipelines.list_media_pipelines()["MediaPipelines"]:
            found = pipelines.get_media_pipeline(MediaPipelineId=one["MediaPipelineId"])["MediaPipeline"]
            metadata = found["MediaInsightsPipeline"].get("MediaInsightsRuntimeMetadata", {})
            if metadata.get("voiceConnectorId") == connector:
                return metadata["transactionId"]
        time.sleep(0.1)
    sys.exit("the call did not begin within a minute")


with subprocess.Popen(["earwitness", "call", str(first_call("kal")), "--to", door]) as call:
    task_id = voice.start_speaker_search_task(
        VoiceConnectorId=connector, TransactionId=transaction(), VoiceProfileDomainId=domain_id, CallLeg="Caller"
    )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
    listens = {"VoiceConnectorId": connector, "SpeakerSearchTaskId": task_id}
    assert voice.get_speaker_search_task(**listens)["SpeakerSearchTask"]["CallDetails"]["IsCaller"]
    voice.stop_speaker_search_task(**listens)
    call.wait()
voice.delete_voice_connector_streaming_configuration(VoiceConnectorId=connector)
voice.delete_voice_connector(VoiceConnectorId=connector)

# And everything away again.
pipelines.delete_media_pipeline(MediaPipelineId=pipeline_id)
voice.delete_voice_profile(VoiceProfileId=profile)
pipelines.delete_media_insights_pipeline_configuration(Identifier=name)
voice.delete_voice_profile_domain(VoiceProfileDomainId=domain_id)
kinesis.delete_stream(StreamARN=stream)

for operation in sorted(called):
    print("ok", operation)
