"""Every operation we serve: who may call it, whether it is quick, and how it differs from AWS.

The table is all there is: the gateway asks it, docs/parity.md is printed from it and the tests run through it. An
operation of the five services that is not in it is refused, with the reason from `REFUSED` if there is one.
"""

from dataclasses import dataclass

from earwitness.api.roles import Role

PIPELINES = "chime-sdk-media-pipelines"
VOICE = "chime-sdk-voice"
STREAMS = "kinesisvideo"
MEDIA = "kinesis-video-media"
ARCHIVED_MEDIA = "kinesis-video-archived-media"

_ALL = frozenset(Role)
_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = frozenset({Role.ADMIN, Role.OPERATOR})
_READER = frozenset({Role.ADMIN, Role.OPERATOR, Role.READER})
_PRODUCER = frozenset({Role.ADMIN, Role.PRODUCER})

_NO_IMAGES = "No images are made: there is no configuration, and one with Status ENABLED is refused."
_NO_NOTIFICATIONS = "No notifications are sent: there is no configuration, and one with Status ENABLED is refused."
_STREAM_ARN = "Takes the ARN of a stream; there are no signaling channels."
_ONE_TAG_LIMIT = "A resource has at most 50 tags, as voice profiles and streams have in AWS."


@dataclass(frozen=True, kw_only=True)
class Served:
    """One operation that is served."""

    service: str
    """The service model it is in."""

    operation: str
    """Its name there."""

    roles: frozenset[Role]
    """Who may call it."""

    quick: bool = False
    """Whether it only looks up a record or a few. A list takes longer, and reads of voice profiles are audited."""

    streams: bool = False
    """Whether its request or its answer is a stream, so that it is opened instead of called."""

    note: str = ""
    """How it differs from AWS, where it does."""


def _served(service: str, operation: str, roles: frozenset[Role], note: str = "") -> Served:
    return Served(service=service, operation=operation, roles=roles, note=note)


def _quick(service: str, operation: str, roles: frozenset[Role] = _READER, note: str = "") -> Served:
    return Served(service=service, operation=operation, roles=roles, note=note, quick=True)


def _streams(service: str, operation: str, roles: frozenset[Role], note: str = "") -> Served:
    return Served(service=service, operation=operation, roles=roles, note=note, streams=True)


TABLE: tuple[Served, ...] = (
    _served(
        PIPELINES,
        "CreateMediaInsightsPipelineConfiguration",
        _ADMIN,
        "A sink needs its InsightsTarget. Transcribe, recording and enhancement elements are kept and told, not run.",
    ),
    _quick(PIPELINES, "GetMediaInsightsPipelineConfiguration"),
    _served(PIPELINES, "UpdateMediaInsightsPipelineConfiguration", _ADMIN, "As for its creation."),
    _served(
        PIPELINES,
        "DeleteMediaInsightsPipelineConfiguration",
        _ADMIN,
        "ConflictException as long as a pipeline made from it is active.",
    ),
    _served(PIPELINES, "ListMediaInsightsPipelineConfigurations", _READER, "By name."),
    _served(
        PIPELINES,
        "CreateMediaInsightsPipeline",
        _OPERATOR,
        "Its streams must exist. Elements that are not run are NotSupported; recorded sources are kept and not read.",
    ),
    _quick(PIPELINES, "GetMediaPipeline", note="Insights pipelines are the only kind."),
    _served(PIPELINES, "ListMediaPipelines", _READER, "The newest first. Insights pipelines are the only kind."),
    _served(PIPELINES, "DeleteMediaPipeline", _OPERATOR, "A pipeline that has ended can still be read for some time."),
    _served(PIPELINES, "UpdateMediaInsightsPipelineStatus", _OPERATOR, "After Resume a pipeline is NotStarted."),
    _served(PIPELINES, "StartSpeakerSearchTask", _OPERATOR, "One active task a stream, channel and domain."),
    _quick(PIPELINES, "GetSpeakerSearchTask"),
    _served(PIPELINES, "StopSpeakerSearchTask", _OPERATOR),
    _quick(PIPELINES, "ListTagsForResource", note="Of configurations and insights pipelines."),
    _served(PIPELINES, "TagResource", _OPERATOR, _ONE_TAG_LIMIT),
    _served(PIPELINES, "UntagResource", _OPERATOR),
    _served(VOICE, "CreateVoiceProfileDomain", _ADMIN, "A tag `earwitness:band` = `wideband` makes a wideband domain."),
    _quick(VOICE, "GetVoiceProfileDomain"),
    _served(VOICE, "UpdateVoiceProfileDomain", _ADMIN),
    _served(VOICE, "DeleteVoiceProfileDomain", _ADMIN),
    _served(VOICE, "ListVoiceProfileDomains", _READER),
    _served(VOICE, "CreateVoiceProfile", _OPERATOR, "Never by itself: nobody is enrolled without being asked."),
    _served(VOICE, "GetVoiceProfile", _READER),
    _served(VOICE, "UpdateVoiceProfile", _OPERATOR),
    _served(VOICE, "DeleteVoiceProfile", _OPERATOR),
    _served(VOICE, "ListVoiceProfiles", _READER),
    _quick(VOICE, "ListTagsForResource", note="Of voice profile domains and voice profiles."),
    _served(VOICE, "TagResource", _OPERATOR, "A domain's tag `earwitness:band` cannot be changed."),
    _served(VOICE, "UntagResource", _OPERATOR, "A domain's tag `earwitness:band` cannot be removed."),
    _served(
        STREAMS,
        "CreateStream",
        _PRODUCER,
        "The stream is ACTIVE at once. There is one storage tier, HOT; WARM is refused. KmsKeyId is kept and told.",
    ),
    _quick(STREAMS, "DescribeStream", _ALL),
    _served(STREAMS, "ListStreams", _READER, "By name."),
    _served(STREAMS, "DeleteStream", _ADMIN, "The stream is gone at once."),
    _served(STREAMS, "UpdateStream", _ADMIN),
    _served(STREAMS, "UpdateDataRetention", _ADMIN),
    _quick(
        STREAMS,
        "GetDataEndpoint",
        _ALL,
        "For PUT_MEDIA, GET_MEDIA, LIST_FRAGMENTS and GET_MEDIA_FOR_FRAGMENT_LIST; one endpoint for all.",
    ),
    _served(STREAMS, "TagStream", _PRODUCER),
    _served(STREAMS, "UntagStream", _ADMIN),
    _quick(STREAMS, "ListTagsForStream"),
    _served(STREAMS, "TagResource", _PRODUCER, _STREAM_ARN),
    _served(STREAMS, "UntagResource", _ADMIN, _STREAM_ARN),
    _quick(STREAMS, "ListTagsForResource", note=_STREAM_ARN),
    _quick(STREAMS, "DescribeImageGenerationConfiguration", _ALL, _NO_IMAGES),
    _served(STREAMS, "UpdateImageGenerationConfiguration", _ADMIN, _NO_IMAGES),
    _quick(STREAMS, "DescribeNotificationConfiguration", _ALL, _NO_NOTIFICATIONS),
    _served(STREAMS, "UpdateNotificationConfiguration", _ADMIN, _NO_NOTIFICATIONS),
    _quick(STREAMS, "DescribeMediaStorageConfiguration", _ALL, "There are no signaling channels; each is DISABLED."),
    _quick(STREAMS, "DescribeStreamStorageConfiguration", _ALL, "Always HOT."),
    _quick(STREAMS, "DescribeMappedResourceConfiguration", _ALL, "Nothing is ever mapped."),
    _streams(MEDIA, "PutMedia", _PRODUCER, "Fragments may be shorter than a second."),
    _streams(MEDIA, "GetMedia", _READER, "Twenty readers a stream unless set otherwise; AWS allows three."),
    _streams(ARCHIVED_MEDIA, "GetMediaForFragmentList", _READER),
    _served(ARCHIVED_MEDIA, "ListFragments", _READER),
)

_NO_CALLS = "needs Voice Connector calls; use the operation of media pipelines"
_NO_TONE = "is voice tone analysis, which earwitness does not do"
_NO_CHANNELS = "is for signaling channels, of which there are none"
_NO_EDGE = "is for edge agents, of which there are none"

REFUSED: dict[tuple[str, str], str] = {
    **{(VOICE, f"{verb}SpeakerSearchTask"): _NO_CALLS for verb in ("Start", "Get", "Stop")},
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
    (STREAMS, "UpdateStreamStorageConfiguration"): "has nothing to change; there is one storage tier, HOT",
}
"""Why an operation is not served, where there is more to say than that it is not part of speaker search."""

BY_NAME = {(row.service, row.operation): row for row in TABLE}


def why_not(service: str, operation: str) -> str:
    """Why an operation of AWS's is not served."""
    return REFUSED.get((service, operation), "is not part of speaker search")
