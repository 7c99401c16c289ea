"""For every operation that is served: a call of it that succeeds, over resources of its own."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api_world import KMS_KEY_ARN, MINE, ROLE_ARN, VOICE_ELEMENT, World, live_source

from earwitness.api.operations import ARCHIVED_MEDIA, MEDIA, PIPELINES, STREAMS, VOICE
from earwitness.store.connector_records import ConnectorCall
from earwitness.store.store import Unit
from earwitness.voice.call import AudioCoding, Leg
from earwitness.voice.connector import CallLeg

TAG = [{"Key": "team", "Value": "fraud"}]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """One of each."""

    configuration: str
    pipeline_id: str
    pipeline: str
    domain_id: str
    domain: str
    profile_id: str
    other_domain: str
    task_id: str
    """Waits for a worker."""

    printed_task_id: str
    """Has ended and made a voiceprint."""

    stream: str
    stream_version: str
    fragment: str
    """The number of one that is kept of the stream."""

    connector_id: str
    connector: str
    """Has calls in progress."""

    idle_connector_id: str
    """Has none, and a streaming configuration."""

    transaction_id: str
    """Of a call without a task."""

    call_task_id: str
    """Waits for a worker, on another call."""

    @property
    def names(self) -> set[str]:
        """What nobody else may ever be told."""
        named = {self.configuration, self.pipeline_id, self.domain_id, self.profile_id, self.stream, "secret"}
        return named | {self.connector_id, self.idle_connector_id, self.transaction_id, self.call_task_id}


def _put_media(stream: str) -> dict[str, str]:
    return {"StreamARN": stream, "FragmentTimecodeType": "ABSOLUTE"}


_STREAMING = {"DataRetentionInHours": 1, "Disabled": False}


def make_call(
    world: World,
    connector_id: str,
    configuration: str | None,
    call_id: str,
    *,
    legs: tuple[CallLeg, ...] = tuple(CallLeg),
) -> ConnectorCall:
    """A call in progress, as its door would begin it; with a configuration it has a pipeline."""

    def begin(unit: Unit) -> ConnectorCall:
        call = unit.connector_calls.begin(
            MINE,
            transaction_id=str(uuid.uuid4()),
            connector_id=connector_id,
            call_id=call_id,
            door="siprec",
            direction="Inbound",
            from_number="+49secret",
            to_number="",
        )
        for leg in legs:
            told = Leg(label=leg.value, is_caller=leg is CallLeg.CALLER, coding=AudioCoding.PCMU, rate=8_000)
            call = unit.connector_calls.put_leg(call, told, stream_arn=streams[leg], start_fragment_number="1")
        return call

    streams = {leg: world.make_stream(f"{call_id}-{leg.value}".replace(" ", "-")) for leg in legs}
    call = world.store.write(begin)
    if configuration is None:
        return call
    pipeline = world.make_pipeline(configuration, *streams.values())
    return world.store.write(lambda unit: unit.connector_calls.set_pipeline(call, pipeline["MediaPipelineId"]))


def make_resources(world: World) -> Resources:
    """One of each, in the first account; whatever has a text of its own holds the word secret."""
    configuration = world.make_configuration("secret")["MediaInsightsPipelineConfigurationArn"]
    stream = world.make_stream("secret", DeviceName="secret", Tags={"secret": "secret"})
    version = world.call(STREAMS, "DescribeStream", StreamARN=stream)["StreamInfo"]["Version"]
    sent = world.call(MEDIA, "PutMedia", **_put_media(stream))["Acknowledgements"]
    pipeline = world.make_pipeline(configuration, stream, MediaInsightsRuntimeMetadata={"call": "secret"})
    domain = world.make_domain("secret", Description="secret")
    printed_task_id = world.start_task(pipeline["MediaPipelineId"], domain["VoiceProfileDomainArn"])
    world.end_task(printed_task_id, with_voiceprint=True)
    connector, idle = world.make_connector("secret"), world.make_connector("idle secret")
    world.call(
        VOICE,
        "PutVoiceConnectorStreamingConfiguration",
        VoiceConnectorId=idle["VoiceConnectorId"],
        StreamingConfiguration=_STREAMING,
    )
    connector_id = connector["VoiceConnectorId"]
    of_calls = world.make_configuration("secret-calls")["MediaInsightsPipelineConfigurationArn"]
    heard = make_call(world, connector_id, of_calls, "heard secret")
    call_task = world.call(
        VOICE,
        "StartSpeakerSearchTask",
        VoiceConnectorId=connector_id,
        TransactionId=heard.transaction_id,
        VoiceProfileDomainId=domain["VoiceProfileDomainId"],
    )["SpeakerSearchTask"]
    return Resources(
        connector_id=connector_id,
        connector=connector["VoiceConnectorArn"],
        idle_connector_id=idle["VoiceConnectorId"],
        transaction_id=make_call(world, connector_id, of_calls, "idle secret").transaction_id,
        call_task_id=call_task["SpeakerSearchTaskId"],
        configuration=configuration,
        pipeline_id=pipeline["MediaPipelineId"],
        pipeline=pipeline["MediaPipelineArn"],
        domain_id=domain["VoiceProfileDomainId"],
        domain=domain["VoiceProfileDomainArn"],
        profile_id=world.make_profile(domain["VoiceProfileDomainId"]).profile_id,
        other_domain=world.make_domain("another secret")["VoiceProfileDomainArn"],
        task_id=world.start_task(pipeline["MediaPipelineId"], domain["VoiceProfileDomainArn"]),
        printed_task_id=printed_task_id,
        stream=stream,
        stream_version=version,
        fragment=re.findall(r"\d{20,}", sent)[-1],
    )


Params = Callable[[Resources], dict[str, Any]]


def _stream(**more: Any) -> Params:
    return lambda made: {"StreamARN": made.stream, **more}


def _stream_version(**more: Any) -> Params:
    return lambda made: {"StreamARN": made.stream, "CurrentVersion": made.stream_version, **more}


_CONFIGURATION = {"ResourceAccessRoleArn": ROLE_ARN, "Elements": [VOICE_ELEMENT]}

CREATES: dict[tuple[str, str], Params] = {
    (PIPELINES, "CreateMediaInsightsPipelineConfiguration"): lambda _: {
        "MediaInsightsPipelineConfigurationName": "mine",
        **_CONFIGURATION,
    },
    (VOICE, "CreateVoiceProfileDomain"): lambda _: {
        "Name": "mine",
        "ServerSideEncryptionConfiguration": {"KmsKeyArn": KMS_KEY_ARN},
    },
    (VOICE, "CreateVoiceConnector"): lambda _: {"Name": "mine", "RequireEncryption": False},
    (STREAMS, "CreateStream"): lambda _: {"StreamName": "mine"},
    (STREAMS, "DescribeMediaStorageConfiguration"): lambda _: {"ChannelName": "mine"},
}
"""Calls that name no resource."""

LISTS: dict[tuple[str, str], Params] = {
    (PIPELINES, "ListMediaInsightsPipelineConfigurations"): lambda _: {},
    (PIPELINES, "ListMediaPipelines"): lambda _: {},
    (VOICE, "ListVoiceProfileDomains"): lambda _: {},
    (VOICE, "ListVoiceConnectors"): lambda _: {},
    (STREAMS, "ListStreams"): lambda _: {},
}
"""Calls that name no resource and tell of many."""

NAMED: dict[tuple[str, str], Params] = {
    (PIPELINES, "GetMediaInsightsPipelineConfiguration"): lambda made: {"Identifier": made.configuration},
    (PIPELINES, "UpdateMediaInsightsPipelineConfiguration"): lambda made: {
        "Identifier": made.configuration,
        **_CONFIGURATION,
    },
    (PIPELINES, "CreateMediaInsightsPipeline"): lambda made: {
        "MediaInsightsPipelineConfigurationArn": made.configuration,
        "KinesisVideoStreamSourceRuntimeConfiguration": live_source(made.stream),
    },
    (PIPELINES, "GetMediaPipeline"): lambda made: {"MediaPipelineId": made.pipeline_id},
    (PIPELINES, "ListTagsForResource"): lambda made: {"ResourceARN": made.pipeline},
    (PIPELINES, "TagResource"): lambda made: {"ResourceARN": made.configuration, "Tags": TAG},
    (PIPELINES, "UntagResource"): lambda made: {"ResourceARN": made.pipeline, "TagKeys": ["team"]},
    (PIPELINES, "UpdateMediaInsightsPipelineStatus"): lambda made: {
        "Identifier": made.pipeline,
        "UpdateStatus": "Pause",
    },
    (PIPELINES, "DeleteMediaPipeline"): lambda made: {"MediaPipelineId": made.pipeline_id},
    (PIPELINES, "StartSpeakerSearchTask"): lambda made: {
        "Identifier": made.pipeline,
        "VoiceProfileDomainArn": made.other_domain,
    },
    (PIPELINES, "GetSpeakerSearchTask"): lambda made: {
        "Identifier": made.pipeline,
        "SpeakerSearchTaskId": made.task_id,
    },
    (PIPELINES, "StopSpeakerSearchTask"): lambda made: {
        "Identifier": made.pipeline_id,
        "SpeakerSearchTaskId": made.task_id,
    },
    (VOICE, "CreateVoiceProfile"): lambda made: {"SpeakerSearchTaskId": made.printed_task_id},
    (VOICE, "UpdateVoiceProfile"): lambda made: {
        "VoiceProfileId": made.profile_id,
        "SpeakerSearchTaskId": made.printed_task_id,
    },
    (ARCHIVED_MEDIA, "ListFragments"): _stream(
        FragmentSelector={
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": {"StartTimestamp": 1_700_000_000, "EndTimestamp": 1_800_000_000},
        }
    ),
    (MEDIA, "PutMedia"): lambda made: _put_media(made.stream),
    (MEDIA, "GetMedia"): _stream(StartSelector={"StartSelectorType": "EARLIEST"}),
    (ARCHIVED_MEDIA, "GetMediaForFragmentList"): lambda made: {"StreamARN": made.stream, "Fragments": [made.fragment]},
    (VOICE, "GetVoiceConnector"): lambda made: {"VoiceConnectorId": made.connector_id},
    (VOICE, "UpdateVoiceConnector"): lambda made: {
        "VoiceConnectorId": made.connector_id,
        "Name": "secret",
        "RequireEncryption": False,
    },
    (VOICE, "PutVoiceConnectorStreamingConfiguration"): lambda made: {
        "VoiceConnectorId": made.connector_id,
        "StreamingConfiguration": _STREAMING,
    },
    (VOICE, "GetVoiceConnectorStreamingConfiguration"): lambda made: {"VoiceConnectorId": made.idle_connector_id},
    (VOICE, "StartSpeakerSearchTask"): lambda made: {
        "VoiceConnectorId": made.connector_id,
        "TransactionId": made.transaction_id,
        "VoiceProfileDomainId": made.domain_id,
    },
    (VOICE, "GetSpeakerSearchTask"): lambda made: {
        "VoiceConnectorId": made.connector_id,
        "SpeakerSearchTaskId": made.call_task_id,
    },
    (VOICE, "StopSpeakerSearchTask"): lambda made: {
        "VoiceConnectorId": made.connector_id,
        "SpeakerSearchTaskId": made.call_task_id,
    },
    (VOICE, "DeleteVoiceConnectorStreamingConfiguration"): lambda made: {"VoiceConnectorId": made.idle_connector_id},
    (VOICE, "DeleteVoiceConnector"): lambda made: {"VoiceConnectorId": made.idle_connector_id},
    (VOICE, "GetVoiceProfileDomain"): lambda made: {"VoiceProfileDomainId": made.domain_id},
    (VOICE, "UpdateVoiceProfileDomain"): lambda made: {"VoiceProfileDomainId": made.domain_id, "Name": "secret"},
    (VOICE, "GetVoiceProfile"): lambda made: {"VoiceProfileId": made.profile_id},
    (VOICE, "ListVoiceProfiles"): lambda made: {"VoiceProfileDomainId": made.domain_id},
    (VOICE, "ListTagsForResource"): lambda made: {"ResourceARN": made.domain},
    (VOICE, "TagResource"): lambda made: {"ResourceARN": made.domain, "Tags": TAG},
    (VOICE, "UntagResource"): lambda made: {"ResourceARN": made.domain, "TagKeys": ["team"]},
    (VOICE, "DeleteVoiceProfile"): lambda made: {"VoiceProfileId": made.profile_id},
    (VOICE, "DeleteVoiceProfileDomain"): lambda made: {"VoiceProfileDomainId": made.domain_id},
    (STREAMS, "DescribeStream"): _stream(),
    (STREAMS, "GetDataEndpoint"): _stream(APIName="PUT_MEDIA"),
    (STREAMS, "TagStream"): _stream(Tags={"team": "fraud"}),
    (STREAMS, "UntagStream"): _stream(TagKeyList=["team"]),
    (STREAMS, "ListTagsForStream"): _stream(),
    (STREAMS, "TagResource"): lambda made: {"ResourceARN": made.stream, "Tags": TAG},
    (STREAMS, "UntagResource"): lambda made: {"ResourceARN": made.stream, "TagKeyList": ["team"]},
    (STREAMS, "ListTagsForResource"): lambda made: {"ResourceARN": made.stream},
    (STREAMS, "DescribeImageGenerationConfiguration"): _stream(),
    (STREAMS, "UpdateImageGenerationConfiguration"): _stream(),
    (STREAMS, "DescribeNotificationConfiguration"): _stream(),
    (STREAMS, "UpdateNotificationConfiguration"): _stream(),
    (STREAMS, "DescribeStreamStorageConfiguration"): _stream(),
    (STREAMS, "DescribeMappedResourceConfiguration"): _stream(),
    (STREAMS, "UpdateStream"): _stream_version(MediaType="audio/L16"),
    (STREAMS, "UpdateDataRetention"): _stream_version(
        Operation="INCREASE_DATA_RETENTION", DataRetentionChangeInHours=1
    ),
    (STREAMS, "DeleteStream"): _stream(),
    (PIPELINES, "DeleteMediaInsightsPipelineConfiguration"): lambda made: {"Identifier": made.configuration},
}
"""Calls of a resource by its name."""

CALLS = CREATES | LISTS | NAMED
