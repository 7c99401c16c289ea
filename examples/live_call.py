"""Who is calling? Stock boto3 for AWS's calls, `earwitness.put_media` for the audio, events from earwitness's own API.

earwitness serve --dev                                        # in another terminal
export AWS_ENDPOINT_URL=http://127.0.0.1:4500 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
python examples/live_call.py FIRST_CALL SECOND_CALL STRANGER  # three recordings; `make demo` does all of this
"""

import json
import os
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import earwitness
from earwitness.errors import EarwitnessError

if len(sys.argv) != 4 or "AWS_ENDPOINT_URL" not in os.environ:
    sys.exit(__doc__)


def end_in_a_sentence(kind, error, trace):
    """No traceback when the service is away, a key is wrong or a recording cannot be read; the exit code is 1."""
    if issubclass(kind, BotoCoreError | ClientError | EarwitnessError | OSError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = end_in_a_sentence

EVENTS = f"{os.environ['AWS_ENDPOINT_URL']}/earwitness/v1/events"
BEARER = {"Authorization": f"Bearer {os.environ.get('EARWITNESS_TOKEN', 'test')}"}
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
TRUSTED = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
ROLE = "arn:aws:iam::000000000000:role/earwitness"

kinesis, voice, pipelines = map(boto3.client, ("kinesisvideo", "chime-sdk-voice", "chime-sdk-media-pipelines"))
REGION = kinesis.meta.region_name
name = f"line-{time.time_ns()}"

stream = kinesis.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
domain = voice.create_voice_profile_domain(Name="callers", ServerSideEncryptionConfiguration={"KmsKeyArn": KEY})
domain_arn = domain["VoiceProfileDomain"]["VoiceProfileDomainArn"]
search = {"SpeakerSearchStatus": "Enabled"}
elements = [{"Type": "VoiceAnalyticsProcessor", "VoiceAnalyticsProcessorConfiguration": search}]
configuration = pipelines.create_media_insights_pipeline_configuration(
    MediaInsightsPipelineConfigurationName=name, ResourceAccessRoleArn=ROLE, Elements=elements
)["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
streams = [{"StreamArn": stream, "StreamChannelDefinition": {"NumberOfChannels": 1}}]
source = {"Streams": streams, "MediaEncoding": "pcm", "MediaSampleRate": 8000}


def listen_to(recording: str, until: str) -> str:
    """One call: a pipeline, a task, the audio, and events until one whose status begins so. Returns the task's id."""
    print(f"\n{Path(recording).name} is calling")
    pipeline = pipelines.create_media_insights_pipeline(
        MediaInsightsPipelineConfigurationArn=configuration, KinesisVideoStreamSourceRuntimeConfiguration=source
    )["MediaInsightsPipeline"]["MediaPipelineId"]
    started = pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=domain_arn)
    task = {"Identifier": pipeline, "SpeakerSearchTaskId": started["SpeakerSearchTask"]["SpeakerSearchTaskId"]}
    with ThreadPoolExecutor() as line:
        call = line.submit(earwitness.put_media, recording, stream_arn=stream)
        for detail in details_of(pipeline):
            results = detail.get("speakerSearchDetails", {}).get("results", [])
            named = ", ".join(f"{one['voiceProfileId']} ({float(one['confidenceScore']):.1%})" for one in results)
            print(f"  {detail['detailStatus']}  {named or detail.get('statusMessage', '')}")
            if detail["detailStatus"] == "VoiceprintGenerationFailure":
                call.result()  # a recording that cannot be read or sent says so itself
                sys.exit("  no voiceprint: the recording needs 20 s of speech; silence does not count")
            if detail["detailStatus"].startswith(until):
                break
        call.result()
    pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    while pipelines.get_speaker_search_task(**task)["SpeakerSearchTask"]["SpeakerSearchTaskStatus"] == "Stopping":
        time.sleep(0.1)  # the line is free for the next call when its task has ended
    return task["SpeakerSearchTaskId"]


def details_of(pipeline: str):
    """The events of a pipeline's tasks as they come; an SQS, SNS, Lambda or Kinesis sink gets the same."""
    after = 0
    while True:
        asked = Request(f"{EVENTS}?region={REGION}&pipelineId={pipeline}&after={after}&wait=20", headers=BEARER)
        try:
            with urlopen(asked, context=TRUSTED) as answer:
                events = json.load(answer)["events"]
        except ConnectionError:  # the node that was asked is gone; another one has the same events
            time.sleep(1)
            continue
        for event in events:
            after = event["sequence"]
            if event["kind"] == "speaker search":
                yield event["body"]["detail"]


first_call, second_call, stranger = sys.argv[1:]
heard = listen_to(first_call, until="Voiceprint")
profile = voice.create_voice_profile(SpeakerSearchTaskId=heard)["VoiceProfile"]["VoiceProfileId"]
print(f"  with the caller's consent enrolled as {profile}")
listen_to(second_call, until="Identification")
listen_to(stranger, until="Identification")
