"""Who is calling? Stock boto3 for AWS's calls, `earwitness.put_media` for the audio, events from earwitness's own API.

    earwitness serve --dev                  # in another terminal
    python examples/live_call.py FIRST_CALL SECOND_CALL STRANGER

A caller rings and is not known, is enrolled with their consent, rings again and is named; then somebody else rings.
"""

import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3

import earwitness

URL = os.environ.setdefault("AWS_ENDPOINT_URL", "http://127.0.0.1:4500")
TOKEN = os.environ.get("EARWITNESS_TOKEN", "test")
FAST = os.environ.get("EARWITNESS_DEMO_FAST") == "1"
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
ROLE = "arn:aws:iam::000000000000:role/earwitness"

kinesis, voice, pipelines = map(boto3.client, ("kinesisvideo", "chime-sdk-voice", "chime-sdk-media-pipelines"))

stream = kinesis.create_stream(StreamName="line-1", DataRetentionInHours=1)["StreamARN"]
domain = voice.create_voice_profile_domain(Name="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": KEY})
domain_arn = domain["VoiceProfileDomain"]["VoiceProfileDomainArn"]
processor = {
    "Type": "VoiceAnalyticsProcessor",
    "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
}
configuration = pipelines.create_media_insights_pipeline_configuration(
    MediaInsightsPipelineConfigurationName="who-is-calling", ResourceAccessRoleArn=ROLE, Elements=[processor]
)["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
channel = {"NumberOfChannels": 1, "ChannelDefinitions": [{"ChannelId": 0, "ParticipantRole": "CUSTOMER"}]}
source = {
    "Streams": [{"StreamArn": stream, "StreamChannelDefinition": channel}],
    "MediaEncoding": "pcm",
    "MediaSampleRate": 8000,
}


def listen_to(recording: str) -> str:
    """One call: a pipeline, a task, the audio, and the two events that come of it. Returns the task's id."""
    print(f"\n{recording} rings")
    pipeline = pipelines.create_media_insights_pipeline(
        MediaInsightsPipelineConfigurationArn=configuration, KinesisVideoStreamSourceRuntimeConfiguration=source
    )["MediaInsightsPipeline"]["MediaPipelineId"]
    task = pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=domain_arn)
    task_id = task["SpeakerSearchTask"]["SpeakerSearchTaskId"]
    with ThreadPoolExecutor() as line:
        call = line.submit(earwitness.put_media, recording, stream_arn=stream, real_time=not FAST)
        for event in events_of(pipeline):
            show(event["detail"])
            if event["detail"]["detailStatus"].startswith("Voiceprint"):
                break
        call.result()
    pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    return task_id


def events_of(pipeline: str):
    """The events of a pipeline as they come. Where an SQS queue or an SNS topic is at hand, read them there."""
    after = 0
    while True:
        url = f"{URL}/earwitness/v1/events?pipelineId={pipeline}&after={after}&wait=20"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        ) as answer:
            for event in json.load(answer)["events"]:
                after = event["sequence"]
                if event["kind"] == "speaker search":
                    yield event["body"]


def show(detail: dict) -> None:
    results = detail.get("speakerSearchDetails", {}).get("results", [])
    named = ", ".join(f"{one['voiceProfileId']} ({float(one['confidenceScore']):.1%})" for one in results)
    print(f"  {detail['detailStatus']}  {named or detail.get('statusMessage', '')}")


first_call, second_call, stranger = sys.argv[1:4]
task_id = listen_to(first_call)
profile = voice.create_voice_profile(SpeakerSearchTaskId=task_id)["VoiceProfile"]["VoiceProfileId"]
print(f"  with the caller's consent enrolled as {profile}")
listen_to(second_call)
listen_to(stranger)
