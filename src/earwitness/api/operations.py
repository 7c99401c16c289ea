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
    _served(PIPELINES, "CreateMediaInsightsPipelineConfiguration", _ADMIN),
    _quick(PIPELINES, "GetMediaInsightsPipelineConfiguration"),
    _served(PIPELINES, "UpdateMediaInsightsPipelineConfiguration", _ADMIN),
    _served(PIPELINES, "DeleteMediaInsightsPipelineConfiguration", _ADMIN),
    _served(PIPELINES, "ListMediaInsightsPipelineConfigurations", _READER),
    _served(PIPELINES, "CreateMediaInsightsPipeline", _OPERATOR),
    _quick(PIPELINES, "GetMediaPipeline"),
    _served(PIPELINES, "ListMediaPipelines", _READER),
    _served(PIPELINES, "DeleteMediaPipeline", _OPERATOR),
    _served(PIPELINES, "UpdateMediaInsightsPipelineStatus", _OPERATOR),
    _served(PIPELINES, "StartSpeakerSearchTask", _OPERATOR, "One active task a stream, channel and domain."),
    _quick(PIPELINES, "GetSpeakerSearchTask"),
    _served(PIPELINES, "StopSpeakerSearchTask", _OPERATOR),
    _quick(PIPELINES, "ListTagsForResource"),
    _served(PIPELINES, "TagResource", _OPERATOR),
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
    _quick(VOICE, "ListTagsForResource"),
    _served(VOICE, "TagResource", _OPERATOR),
    _served(VOICE, "UntagResource", _OPERATOR),
    _served(STREAMS, "CreateStream", _PRODUCER, "The stream is ACTIVE at once."),
    _quick(STREAMS, "DescribeStream", _ALL),
    _served(STREAMS, "ListStreams", _READER),
    _served(STREAMS, "UpdateStream", _ADMIN),
    _served(STREAMS, "UpdateDataRetention", _ADMIN),
    _served(STREAMS, "DeleteStream", _ADMIN),
    _quick(
        STREAMS,
        "GetDataEndpoint",
        _ALL,
        "For media in and out and lists of fragments; not for HLS and clips.",
    ),
    _served(STREAMS, "TagStream", _PRODUCER),
    _served(STREAMS, "UntagStream", _ADMIN),
    _quick(STREAMS, "ListTagsForStream", _ALL),
    _served(STREAMS, "TagResource", _PRODUCER, "For streams; there are no signaling channels."),
    _served(STREAMS, "UntagResource", _ADMIN, "For streams; there are no signaling channels."),
    _quick(STREAMS, "ListTagsForResource", _ALL, "For streams; there are no signaling channels."),
    _quick(STREAMS, "DescribeImageGenerationConfiguration", _ALL, "Always off."),
    _served(STREAMS, "UpdateImageGenerationConfiguration", _ADMIN, "Takes DISABLED only."),
    _quick(STREAMS, "DescribeNotificationConfiguration", _ALL, "Always off."),
    _served(STREAMS, "UpdateNotificationConfiguration", _ADMIN, "Takes DISABLED only."),
    _quick(STREAMS, "DescribeMappedResourceConfiguration", _ALL, "Always empty."),
    _quick(STREAMS, "DescribeStreamStorageConfiguration", _ALL, "One tier, told as HOT."),
    _streams(MEDIA, "PutMedia", _PRODUCER, "Fragments may be shorter than a second."),
    _streams(MEDIA, "GetMedia", _READER, "Twenty readers a stream unless set otherwise; AWS allows three."),
    _streams(ARCHIVED_MEDIA, "GetMediaForFragmentList", _READER),
    _served(ARCHIVED_MEDIA, "ListFragments", _READER),
)

REFUSED: dict[tuple[str, str], str] = {
    (VOICE, "StartSpeakerSearchTask"): "needs Voice Connector calls; use the operation of media pipelines",
    (VOICE, "GetSpeakerSearchTask"): "needs Voice Connector calls; use the operation of media pipelines",
    (VOICE, "StopSpeakerSearchTask"): "needs Voice Connector calls; use the operation of media pipelines",
}
"""Why an operation is not served, where there is more to say than that it is not part of speaker search."""

BY_NAME = {(row.service, row.operation): row for row in TABLE}


def why_not(service: str, operation: str) -> str:
    """Why an operation of AWS's is not served."""
    return REFUSED.get((service, operation), "is not part of speaker search")
