"""Every operation we serve: its handler, who may call it, whether it is quick, and how it differs from AWS.

The table is all there is: the gateway asks it, docs/parity.md is printed from it and the tests run through it. An
operation of the five services that is not in it is refused, with the reason from `REFUSED` if there is one.
"""

from dataclasses import dataclass

from earwitness.access.roles import Role
from earwitness.api import (
    call_tasks,
    configurations,
    domains,
    get_media,
    pipelines,
    profiles,
    put_media,
    search_tasks,
    streams,
    tags,
    voice_connectors,
)
from earwitness.api.context import OperationHandler, StreamHandler

PIPELINES = "chime-sdk-media-pipelines"
VOICE = "chime-sdk-voice"
STREAMS = "kinesisvideo"
MEDIA = "kinesis-video-media"
ARCHIVED_MEDIA = "kinesis-video-archived-media"

_ALL = frozenset(Role) - {Role.MONITOR, Role.AUDITOR}
_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = frozenset({Role.ADMIN, Role.OPERATOR})
_READER = frozenset({Role.ADMIN, Role.OPERATOR, Role.READER})
_PRODUCER = frozenset({Role.ADMIN, Role.PRODUCER})

_NO_IMAGES = "earwitness makes no images. There is no configuration, and Status ENABLED is refused."
_NO_NOTIFICATIONS = "earwitness sends no notifications. There is no configuration, and Status ENABLED is refused."
_STREAM_ARN = "Accepts the ARN of a stream only; there are no signaling channels."
_ONE_TAG_LIMIT = "A resource can have at most 50 tags (in AWS, voice profiles and streams have this limit)."


@dataclass(frozen=True, kw_only=True)
class Served:
    """One operation that is served."""

    #: The service model it is in, and its name there.
    service: str
    operation: str
    #: Who may call it.
    roles: frozenset[Role]
    #: How it differs from AWS, where it does.
    note: str
    #: Whether it only looks up a record or a few. A list takes longer, and reads of voice profiles are audited.
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Called(Served):
    """An operation whose request and answer are whole before the next step."""

    handler: OperationHandler


@dataclass(frozen=True, kw_only=True)
class Opened(Served):
    """An operation whose request or answer is a stream."""

    handler: StreamHandler


def _served(service: str, operation: str, handler: OperationHandler, roles: frozenset[Role], note: str = "") -> Called:
    return Called(service=service, operation=operation, handler=handler, roles=roles, note=note)


def _quick(
    service: str, operation: str, handler: OperationHandler, roles: frozenset[Role] = _READER, note: str = ""
) -> Called:
    return Called(service=service, operation=operation, handler=handler, roles=roles, note=note, quick=True)


def _opened(service: str, operation: str, handler: StreamHandler, roles: frozenset[Role], note: str = "") -> Opened:
    return Opened(service=service, operation=operation, handler=handler, roles=roles, note=note)


TABLE: tuple[Served, ...] = (
    _served(
        PIPELINES,
        "CreateMediaInsightsPipelineConfiguration",
        configurations.create_configuration,
        _ADMIN,
        "A sink needs its InsightsTarget. Transcription, recording and enhancement elements are stored but do nothing.",
    ),
    _quick(PIPELINES, "GetMediaInsightsPipelineConfiguration", configurations.get_configuration),
    _served(
        PIPELINES,
        "UpdateMediaInsightsPipelineConfiguration",
        configurations.update_configuration,
        _ADMIN,
        "The same as for CreateMediaInsightsPipelineConfiguration.",
    ),
    _served(
        PIPELINES,
        "DeleteMediaInsightsPipelineConfiguration",
        configurations.delete_configuration,
        _ADMIN,
        "ConflictException while a pipeline of this configuration is active.",
    ),
    _served(
        PIPELINES,
        "ListMediaInsightsPipelineConfigurations",
        configurations.list_configurations,
        _READER,
        "The list is ordered by name.",
    ),
    _served(
        PIPELINES,
        "CreateMediaInsightsPipeline",
        pipelines.create_pipeline,
        _OPERATOR,
        "Its streams must exist. Elements that do nothing are NotSupported. Recorded sources are stored but not read.",
    ),
    _quick(PIPELINES, "GetMediaPipeline", pipelines.get_pipeline, note="There are only insights pipelines."),
    _served(
        PIPELINES,
        "ListMediaPipelines",
        pipelines.list_pipelines,
        _READER,
        "The list begins with the newest. There are only insights pipelines.",
    ),
    _served(
        PIPELINES,
        "DeleteMediaPipeline",
        pipelines.delete_pipeline,
        _OPERATOR,
        "You can still read a pipeline for 7 days after its end.",
    ),
    _served(
        PIPELINES,
        "UpdateMediaInsightsPipelineStatus",
        pipelines.update_pipeline_status,
        _OPERATOR,
        "After Resume a pipeline has the status NotStarted until audio comes.",
    ),
    _served(
        PIPELINES,
        "StartSpeakerSearchTask",
        search_tasks.start_task,
        _OPERATOR,
        "A channel of a stream can have one active task per domain. ForbiddenException without a consent that the "
        "domain requires (consent.md).",
    ),
    _quick(PIPELINES, "GetSpeakerSearchTask", search_tasks.get_task),
    _served(PIPELINES, "StopSpeakerSearchTask", search_tasks.stop_task, _OPERATOR),
    _quick(PIPELINES, "ListTagsForResource", tags.list_tags, note="For configurations and insights pipelines."),
    _served(PIPELINES, "TagResource", tags.tag_resource, _OPERATOR, _ONE_TAG_LIMIT),
    _served(PIPELINES, "UntagResource", tags.untag_resource, _OPERATOR),
    _served(
        VOICE,
        "CreateVoiceProfileDomain",
        domains.create_domain,
        _ADMIN,
        "The tag `earwitness:band` with the value `wideband` makes a wideband domain, `earwitness:consent:required` "
        "says what needs a consent in it.",
    ),
    _quick(VOICE, "GetVoiceProfileDomain", domains.get_domain),
    _served(VOICE, "UpdateVoiceProfileDomain", domains.update_domain, _ADMIN),
    _served(VOICE, "DeleteVoiceProfileDomain", domains.delete_domain, _ADMIN),
    _served(VOICE, "ListVoiceProfileDomains", domains.list_domains, _READER),
    _served(
        VOICE,
        "CreateVoiceProfile",
        profiles.create_profile,
        _OPERATOR,
        "There is no automatic enrolment: a person is enrolled only by this call. ForbiddenException without a consent "
        "that the domain requires.",
    ),
    _served(VOICE, "GetVoiceProfile", profiles.get_profile, _READER),
    _served(VOICE, "UpdateVoiceProfile", profiles.update_profile, _OPERATOR),
    _served(VOICE, "DeleteVoiceProfile", profiles.delete_profile, _OPERATOR),
    _served(VOICE, "ListVoiceProfiles", profiles.list_profiles, _READER),
    _served(
        VOICE,
        "CreateVoiceConnector",
        voice_connectors.create_connector,
        _ADMIN,
        "Its calls come in by a door (connectors.md); there is no OutboundHostName and no telephone number.",
    ),
    _quick(VOICE, "GetVoiceConnector", voice_connectors.get_connector),
    _served(VOICE, "ListVoiceConnectors", voice_connectors.list_connectors, _READER, "The oldest comes first."),
    _served(VOICE, "UpdateVoiceConnector", voice_connectors.update_connector, _ADMIN),
    _served(
        VOICE,
        "DeleteVoiceConnector",
        voice_connectors.delete_connector,
        _ADMIN,
        "ConflictException while a call of it is in progress.",
    ),
    _served(
        VOICE,
        "PutVoiceConnectorStreamingConfiguration",
        voice_connectors.put_streaming,
        _ADMIN,
        "For calls that come afterwards. The configuration must exist and enable speaker search. EventBridge is the "
        "default bus; SQS and SNS are the queue and topic `ChimeVoiceConnector-Streaming` of the account and Region.",
    ),
    _quick(VOICE, "GetVoiceConnectorStreamingConfiguration", voice_connectors.get_streaming),
    _served(VOICE, "DeleteVoiceConnectorStreamingConfiguration", voice_connectors.delete_streaming, _ADMIN),
    _served(
        VOICE,
        "StartSpeakerSearchTask",
        call_tasks.start_task,
        _OPERATOR,
        "Without CallLeg it hears the caller. One active task per transaction. ConflictException for a domain that a "
        "task of the pipeline searches on the same leg. ForbiddenException without a consent that the domain requires.",
    ),
    _quick(VOICE, "GetSpeakerSearchTask", call_tasks.get_task),
    _served(VOICE, "StopSpeakerSearchTask", call_tasks.stop_task, _OPERATOR),
    _quick(
        VOICE,
        "ListTagsForResource",
        tags.list_tags,
        note="For voice profile domains, voice profiles and Voice Connectors.",
    ),
    _served(VOICE, "TagResource", tags.tag_resource, _OPERATOR, "A domain's tag `earwitness:band` cannot be changed."),
    _served(
        VOICE, "UntagResource", tags.untag_resource, _OPERATOR, "A domain's tag `earwitness:band` cannot be removed."
    ),
    _served(
        STREAMS,
        "CreateStream",
        streams.create_stream,
        _PRODUCER,
        "The stream is ACTIVE at once. The only storage tier is HOT. KmsKeyId is stored and returned, but not used.",
    ),
    _quick(STREAMS, "DescribeStream", streams.describe_stream, _ALL),
    _served(STREAMS, "ListStreams", streams.list_streams, _READER, "The list is ordered by name."),
    _served(STREAMS, "DeleteStream", streams.delete_stream, _ADMIN, "The stream is deleted at once."),
    _served(STREAMS, "UpdateStream", streams.update_stream, _ADMIN),
    _served(STREAMS, "UpdateDataRetention", streams.update_retention, _ADMIN),
    _quick(
        STREAMS,
        "GetDataEndpoint",
        streams.get_data_endpoint,
        _ALL,
        "For PUT_MEDIA, GET_MEDIA, LIST_FRAGMENTS and GET_MEDIA_FOR_FRAGMENT_LIST. All have the same endpoint.",
    ),
    _served(STREAMS, "TagStream", streams.tag_stream, _PRODUCER),
    _served(STREAMS, "UntagStream", streams.untag_stream, _ADMIN),
    _quick(STREAMS, "ListTagsForStream", streams.list_stream_tags),
    _served(STREAMS, "TagResource", streams.tag_stream, _PRODUCER, _STREAM_ARN),
    _served(STREAMS, "UntagResource", streams.untag_stream, _ADMIN, _STREAM_ARN),
    _quick(STREAMS, "ListTagsForResource", streams.list_stream_tags, note=_STREAM_ARN),
    _quick(STREAMS, "DescribeImageGenerationConfiguration", streams.describe_setting, _ALL, _NO_IMAGES),
    _served(STREAMS, "UpdateImageGenerationConfiguration", streams.update_setting, _ADMIN, _NO_IMAGES),
    _quick(STREAMS, "DescribeNotificationConfiguration", streams.describe_setting, _ALL, _NO_NOTIFICATIONS),
    _served(STREAMS, "UpdateNotificationConfiguration", streams.update_setting, _ADMIN, _NO_NOTIFICATIONS),
    _quick(
        STREAMS,
        "DescribeMediaStorageConfiguration",
        streams.describe_media_storage,
        _ALL,
        "There are no signaling channels. The answer is always DISABLED.",
    ),
    _quick(STREAMS, "DescribeStreamStorageConfiguration", streams.describe_storage, _ALL, "The answer is always HOT."),
    _quick(
        STREAMS,
        "DescribeMappedResourceConfiguration",
        streams.describe_mapped_resources,
        _ALL,
        "The list is always empty.",
    ),
    _opened(MEDIA, "PutMedia", put_media.open_put_media, _PRODUCER, "Fragments may be shorter than one second."),
    _opened(
        MEDIA,
        "GetMedia",
        get_media.open_get_media,
        _READER,
        "A stream can have 20 readers (`stream_readers` of the setting `limits`); AWS allows three.",
    ),
    _opened(ARCHIVED_MEDIA, "GetMediaForFragmentList", get_media.open_fragment_list, _READER),
    _served(ARCHIVED_MEDIA, "ListFragments", get_media.list_fragments, _READER),
)

_NO_TONE = "is voice tone analysis: no free model of telephone speech exists, and a score without one would be made up"
_NO_CHANNELS = "is for signaling channels, which earwitness does not have"
_NO_EDGE = "is for edge agents, which earwitness does not have"

REFUSED: dict[tuple[str, str], str] = {
    **{(VOICE, f"{verb}VoiceToneAnalysisTask"): _NO_TONE for verb in ("Start", "Get", "Stop")},
    **{(PIPELINES, f"{verb}VoiceToneAnalysisTask"): _NO_TONE for verb in ("Start", "Get", "Stop")},
    **{(STREAMS, f"{verb}SignalingChannel"): _NO_CHANNELS for verb in ("Create", "Delete", "Describe", "Update")},
    (STREAMS, "ListSignalingChannels"): _NO_CHANNELS,
    (STREAMS, "GetSignalingChannelEndpoint"): _NO_CHANNELS,
    (STREAMS, "UpdateMediaStorageConfiguration"): _NO_CHANNELS,
    (STREAMS, "DescribeEdgeConfiguration"): _NO_EDGE,
    (STREAMS, "DeleteEdgeConfiguration"): _NO_EDGE,
    (STREAMS, "StartEdgeConfigurationUpdate"): _NO_EDGE,
    (STREAMS, "ListEdgeAgentConfigurations"): _NO_EDGE,
    (STREAMS, "UpdateStreamStorageConfiguration"): "cannot change anything: the only storage tier is HOT",
}
"""Why an operation is not served, where there is more to say than that it is not part of speaker search."""

BY_NAME = {(row.service, row.operation): row for row in TABLE}


def why_not(service: str, operation: str) -> str:
    """Return why an operation of AWS's is not served."""
    return REFUSED.get((service, operation), "is not part of speaker search")
