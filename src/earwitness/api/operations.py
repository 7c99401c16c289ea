"""Every operation we serve: who may call it, whether it is quick, and how it differs from AWS.

The table is all there is: the gateway asks it, docs/parity.md is printed from it and the tests run through it. An
operation of the five services that is not in it is refused, with the reason from `REFUSED` if there is one.
"""

from dataclasses import dataclass

from earwitness.access.roles import Role

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

_NO_IMAGES = "earwitness makes no images. There is no configuration, and Status ENABLED is refused."
_NO_NOTIFICATIONS = "earwitness sends no notifications. There is no configuration, and Status ENABLED is refused."
_STREAM_ARN = "Accepts the ARN of a stream only; there are no signaling channels."
_ONE_TAG_LIMIT = "A resource can have at most 50 tags (in AWS, voice profiles and streams have this limit)."


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
        "A sink needs its InsightsTarget. Transcription, recording and enhancement elements are stored but do nothing.",
    ),
    _quick(PIPELINES, "GetMediaInsightsPipelineConfiguration"),
    _served(
        PIPELINES,
        "UpdateMediaInsightsPipelineConfiguration",
        _ADMIN,
        "The same as for CreateMediaInsightsPipelineConfiguration.",
    ),
    _served(
        PIPELINES,
        "DeleteMediaInsightsPipelineConfiguration",
        _ADMIN,
        "ConflictException while a pipeline of this configuration is active.",
    ),
    _served(PIPELINES, "ListMediaInsightsPipelineConfigurations", _READER, "The list is ordered by name."),
    _served(
        PIPELINES,
        "CreateMediaInsightsPipeline",
        _OPERATOR,
        "Its streams must exist. Elements that do nothing are NotSupported. Recorded sources are stored but not read.",
    ),
    _quick(PIPELINES, "GetMediaPipeline", note="There are only insights pipelines."),
    _served(
        PIPELINES, "ListMediaPipelines", _READER, "The list begins with the newest. There are only insights pipelines."
    ),
    _served(PIPELINES, "DeleteMediaPipeline", _OPERATOR, "You can still read a pipeline for 7 days after its end."),
    _served(
        PIPELINES,
        "UpdateMediaInsightsPipelineStatus",
        _OPERATOR,
        "After Resume a pipeline has the status NotStarted until audio comes.",
    ),
    _served(
        PIPELINES, "StartSpeakerSearchTask", _OPERATOR, "A channel of a stream can have one active task per domain."
    ),
    _quick(PIPELINES, "GetSpeakerSearchTask"),
    _served(PIPELINES, "StopSpeakerSearchTask", _OPERATOR),
    _quick(PIPELINES, "ListTagsForResource", note="For configurations and insights pipelines."),
    _served(PIPELINES, "TagResource", _OPERATOR, _ONE_TAG_LIMIT),
    _served(PIPELINES, "UntagResource", _OPERATOR),
    _served(
        VOICE,
        "CreateVoiceProfileDomain",
        _ADMIN,
        "The tag `earwitness:band` with the value `wideband` makes a wideband domain.",
    ),
    _quick(VOICE, "GetVoiceProfileDomain"),
    _served(VOICE, "UpdateVoiceProfileDomain", _ADMIN),
    _served(VOICE, "DeleteVoiceProfileDomain", _ADMIN),
    _served(VOICE, "ListVoiceProfileDomains", _READER),
    _served(
        VOICE,
        "CreateVoiceProfile",
        _OPERATOR,
        "There is no automatic enrolment: a person is enrolled only by this call.",
    ),
    _served(VOICE, "GetVoiceProfile", _READER),
    _served(VOICE, "UpdateVoiceProfile", _OPERATOR),
    _served(VOICE, "DeleteVoiceProfile", _OPERATOR),
    _served(VOICE, "ListVoiceProfiles", _READER),
    _quick(VOICE, "ListTagsForResource", note="For voice profile domains and voice profiles."),
    _served(VOICE, "TagResource", _OPERATOR, "A domain's tag `earwitness:band` cannot be changed."),
    _served(VOICE, "UntagResource", _OPERATOR, "A domain's tag `earwitness:band` cannot be removed."),
    _served(
        STREAMS,
        "CreateStream",
        _PRODUCER,
        "The stream is ACTIVE at once. The only storage tier is HOT. KmsKeyId is stored and returned, but not used.",
    ),
    _quick(STREAMS, "DescribeStream", _ALL),
    _served(STREAMS, "ListStreams", _READER, "The list is ordered by name."),
    _served(STREAMS, "DeleteStream", _ADMIN, "The stream is deleted at once."),
    _served(STREAMS, "UpdateStream", _ADMIN),
    _served(STREAMS, "UpdateDataRetention", _ADMIN),
    _quick(
        STREAMS,
        "GetDataEndpoint",
        _ALL,
        "For PUT_MEDIA, GET_MEDIA, LIST_FRAGMENTS and GET_MEDIA_FOR_FRAGMENT_LIST. All have the same endpoint.",
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
    _quick(
        STREAMS,
        "DescribeMediaStorageConfiguration",
        _ALL,
        "There are no signaling channels. The answer is always DISABLED.",
    ),
    _quick(STREAMS, "DescribeStreamStorageConfiguration", _ALL, "The answer is always HOT."),
    _quick(STREAMS, "DescribeMappedResourceConfiguration", _ALL, "The list is always empty."),
    _streams(MEDIA, "PutMedia", _PRODUCER, "Fragments may be shorter than one second."),
    _streams(
        MEDIA,
        "GetMedia",
        _READER,
        "A stream can have 20 readers (`stream_readers` of the setting `limits`); AWS allows three.",
    ),
    _streams(ARCHIVED_MEDIA, "GetMediaForFragmentList", _READER),
    _served(ARCHIVED_MEDIA, "ListFragments", _READER),
)

_NO_CALLS = "needs Voice Connector calls; use the operation with the same name in media pipelines"
_NO_TONE = "is voice tone analysis, which earwitness does not do"
_NO_CHANNELS = "is for signaling channels, which earwitness does not have"
_NO_EDGE = "is for edge agents, which earwitness does not have"

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
    (STREAMS, "UpdateStreamStorageConfiguration"): "cannot change anything: the only storage tier is HOT",
}
"""Why an operation is not served, where there is more to say than that it is not part of speaker search."""

BY_NAME = {(row.service, row.operation): row for row in TABLE}


def why_not(service: str, operation: str) -> str:
    """Why an operation of AWS's is not served."""
    return REFUSED.get((service, operation), "is not part of speaker search")
