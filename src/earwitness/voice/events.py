"""The events that the service sends about calls: what they tell, as values, and their exact JSON.

What belongs here: facts, the shape of each event, and the one way its bytes are made. What must never: a clock, a
random id, a sink, or the decision to send one. Shapes are those of Amazon Chime SDK's notifications; where its
documents leave something open, the docstring says what is emitted.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

EventDocument: TypeAlias = dict[str, object]
"""One event as JSON: its envelope, with `detail` inside."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MILLISECOND = timedelta(milliseconds=1)


class EventKind(StrEnum):
    """What an event tells of; some sinks take only some kinds."""

    SPEAKER_SEARCH = "speaker search"
    STATE_CHANGE = "state change"
    POST_CALL = "post call"
    STREAMING = "streaming status"
    """A call of a Voice Connector began, changed or ended."""

    ANALYTICS_READY = "analytics ready"
    """Tasks can be started on a call of a Voice Connector."""


class StateChange(StrEnum):
    """What happened to a pipeline (`eventType`)."""

    CREATED = "chime:MediaInsightsCreated"
    """For a call of a Voice Connector."""

    CREATE_FAILED = "chime:MediaInsightsCreateFailed"
    """As above; the call goes on without a pipeline."""

    IN_PROGRESS = "chime:MediaInsightsInProgress"
    PAUSED = "chime:MediaInsightsPaused"
    STOPPED = "chime:MediaInsightsStopped"
    PERMANENT_FAILURE = "chime:MediaInsightsPermanentFailure"


class DetailStatus(StrEnum):
    """What a speaker search came to."""

    IDENTIFICATION_SUCCESSFUL = "IdentificationSuccessful"
    IDENTIFICATION_NO_MATCHES_FOUND = "IdentificationNoMatchesFound"
    IDENTIFICATION_FAILURE = "IdentificationFailure"
    VOICEPRINT_GENERATION_SUCCESS = "VoiceprintGenerationSuccess"
    """The spelling of AWS's sample events and of its API."""

    VOICEPRINT_GENERATION_SUCCESSFUL = "VoiceprintGenerationSuccessful"
    """The same outcome, in the spelling of AWS's list of statuses."""

    VOICEPRINT_GENERATION_FAILURE = "VoiceprintGenerationFailure"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What every event says of itself."""

    event_id: str
    """A UUID; the same on every delivery of this event."""

    occurred_at: datetime
    """Aware; when it happened, not when it is sent."""

    account_id: str
    """12 digits."""

    region: str


@dataclass(frozen=True, kw_only=True)
class SearchedChannel:
    """The channel of a stream that a task listens to."""

    task_id: str
    pipeline_id: str
    pipeline_arn: str
    stream_arn: str
    channel_id: int

    participant_role: str | None = None
    """AGENT or CUSTOMER when the channel's definition says so."""

    voice_connector_id: str | None = None
    """From the runtime metadata, when the pipeline serves a Voice Connector call."""

    transaction_id: str | None = None
    """As for the Voice Connector."""

    call_id: str | None = None
    is_caller: bool | None = None
    """Whether it is the caller's leg, of a task that a call was given; such a task has no pipeline in its events."""


@dataclass(frozen=True, kw_only=True)
class IdentifiedProfile:
    """A profile that was named."""

    voice_profile_id: str
    confidence: float
    """Calibrated probability, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ElementState:
    """How one element of a pipeline is."""

    type: str
    status: str
    updated_at: datetime
    status_detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineFacts:
    """What a state change tells of its pipeline."""

    pipeline_arn: str | None
    """None of one that could not be made."""

    change: StateChange

    elements: Sequence[ElementState] = ()
    """Those that have a status; notification sinks have none."""

    runtime_metadata: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What the caller attached; it may name people."""

    failure_reason: str | None = None
    failure_origin: str | None = None
    http_status_code: str | None = None
    configuration_arn: str | None = None
    """Of one that was just made, or could not be."""


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """A profile that was created or updated from the call."""

    voice_profile_id: str
    requested_at: datetime


@dataclass(frozen=True, kw_only=True)
class SummarisedLeg:
    """The leg of a Voice Connector's call that a channel is."""

    call_id: str
    transaction_id: str
    voice_connector_id: str
    is_caller: bool


@dataclass(frozen=True, kw_only=True)
class PostCallSummary:
    """What came of speaker search on one channel, told after the pipeline stopped."""

    pipeline_id: str
    pipeline_arn: str
    stream_arn: str
    channel_id: int

    call: SummarisedLeg | None = None
    """Of a call of a Voice Connector."""

    best_matched_profile_id: str | None = None
    validated_profile_id: str | None = None
    """The profile the application created or updated from the call."""

    created: Sequence[ProfileRequest] = ()
    updated: Sequence[ProfileRequest] = ()


def identification_successful(
    envelope: Envelope, channel: SearchedChannel, *, results: Sequence[IdentifiedProfile]
) -> EventDocument:
    """Return the event that somebody was recognised. Raise ValueError unless `results`, best first, has a profile."""
    if not results:
        raise ValueError("an identification succeeded without a result; use identification_no_matches_found")
    listed = [
        {"voiceProfileId": result.voice_profile_id, "confidenceScore": _confidence(result.confidence)}
        for result in results
    ]
    found: EventDocument = {"speakerSearchDetails": {"results": listed}}
    return _speaker_search(envelope, channel, DetailStatus.IDENTIFICATION_SUCCESSFUL, found)


def identification_no_matches_found(envelope: Envelope, channel: SearchedChannel) -> EventDocument:
    """Return the event that nobody was recognised. Its `results` is an empty list, so that readers by name find one."""
    found: EventDocument = {"speakerSearchDetails": {"results": []}}
    return _speaker_search(envelope, channel, DetailStatus.IDENTIFICATION_NO_MATCHES_FOUND, found)


def identification_failure(envelope: Envelope, channel: SearchedChannel, *, status_message: str) -> EventDocument:
    """Return the event that there was too little speech, or too poor; `status_message` says which."""
    return _speaker_search(envelope, channel, DetailStatus.IDENTIFICATION_FAILURE, {"statusMessage": status_message})


def voiceprint_generation_success(
    envelope: Envelope,
    channel: SearchedChannel,
    *,
    spelling: DetailStatus = DetailStatus.VOICEPRINT_GENERATION_SUCCESS,
) -> EventDocument:
    """Return the event that a voiceprint was made. AWS spells this status in two ways; readers differ in theirs."""
    if spelling not in (DetailStatus.VOICEPRINT_GENERATION_SUCCESS, DetailStatus.VOICEPRINT_GENERATION_SUCCESSFUL):
        raise ValueError(f"{spelling} does not say that a voiceprint was made")
    return _speaker_search(envelope, channel, spelling, {})


def voiceprint_generation_failure(
    envelope: Envelope, channel: SearchedChannel, *, status_message: str
) -> EventDocument:
    """Return the event that no voiceprint could be made; `status_message` says why."""
    return _speaker_search(
        envelope, channel, DetailStatus.VOICEPRINT_GENERATION_FAILURE, {"statusMessage": status_message}
    )


def state_change(envelope: Envelope, state: PipelineFacts) -> EventDocument:
    """Return the event that a pipeline or one of its elements changed. The runtime metadata lies flat in `detail`.

    A caller's pair never takes the place of a key that has a meaning of its own, whether that key is present or not.
    AWS's shape has no `service-type`.
    """
    fixed: EventDocument = {
        "version": "0",
        "mediaInsightsPipelineArn": state.pipeline_arn,
        "eventType": state.change.value,
        "mediaInsightsPipelineElementStatuses": [_element(element) for element in state.elements] or None,
        "failureReason": state.failure_reason,
        "failureOrigin": state.failure_origin,
        "httpStatusCode": state.http_status_code,
        "mediaInsightsPipelineConfigurationArn": state.configuration_arn,
    }
    metadata = {key: value for key, value in state.runtime_metadata.items() if key not in fixed}
    return enclosed(envelope, "Media Insights State Change", detail=present(fixed) | metadata, is_voice_analytics=False)


def post_call_summary(envelope: Envelope, summary: PostCallSummary) -> EventDocument:
    """Return the summary after a call. The lists are always there; a profile id is left out when there is none."""
    outcome: EventDocument = {
        "bestMatchedVoiceProfileId": summary.best_matched_profile_id,
        "customerValidatedCallerIdentity": summary.validated_profile_id,
        "createVoiceProfileTransactions": [_request(request) for request in summary.created],
        "updateVoiceProfileTransactions": [_request(request) for request in summary.updated],
    }
    call: EventDocument = {}
    if summary.call is not None:
        call = {
            "callId": summary.call.call_id,
            "transactionId": summary.call.transaction_id,
            "voiceConnectorId": summary.call.voice_connector_id,
            "isCaller": summary.call.is_caller,
        }
    detail: EventDocument = {
        "detailStatus": "PostCallVoiceAnalytics",
        **call,
        "mediaInsightsPipelineId": summary.pipeline_id,
        "sourceArn": summary.pipeline_arn,
        "streamArn": summary.stream_arn,
        "channelId": summary.channel_id,
        "speakerSearchResults": present(outcome),
    }
    return enclosed(envelope, "VoiceAnalyticsStatus", detail=detail)


def event_body(event: EventDocument) -> bytes:
    """Return the event's bytes, which are made once, kept, and sent unchanged as often as needed.

    They are ASCII on one line: every sink takes that, and nothing in it needs escaping again.
    """
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode("ascii")


def _speaker_search(
    envelope: Envelope, channel: SearchedChannel, status: DetailStatus, extra: EventDocument
) -> EventDocument:
    place: EventDocument = {
        "mediaInsightsPipelineId": channel.pipeline_id,
        "sourceArn": channel.pipeline_arn,
        "streamArn": channel.stream_arn,
        "channelId": channel.channel_id,
        "participantRole": channel.participant_role,
    }
    if channel.is_caller is not None:
        place = {"callId": channel.call_id, "isCaller": channel.is_caller}
    detail: EventDocument = {
        "taskId": channel.task_id,
        "detailStatus": status.value,
        **extra,
        **place,
        "voiceConnectorId": channel.voice_connector_id,
        "transactionId": channel.transaction_id,
    }
    return enclosed(envelope, "SpeakerSearchStatus", detail=present(detail))


def enclosed(
    envelope: Envelope, detail_type: str, *, detail: EventDocument, is_voice_analytics: bool = True
) -> EventDocument:
    """Return an event of this kind: its envelope, with the detail inside."""
    service_type: EventDocument = {"service-type": "VoiceAnalytics"} if is_voice_analytics else {}
    return {
        "version": "0",
        "id": envelope.event_id,
        "detail-type": detail_type,
        **service_type,
        "source": "aws.chime",
        "account": envelope.account_id,
        "time": iso8601(envelope.occurred_at),
        "region": envelope.region,
        "resources": [],
        "detail": detail,
    }


def _element(element: ElementState) -> EventDocument:
    return present(
        {
            "type": element.type,
            "status": element.status,
            "updatedOn": (_aware(element.updated_at) - _EPOCH) // _MILLISECOND,
            "statusDetail": element.status_detail,
        }
    )


def _request(request: ProfileRequest) -> EventDocument:
    return {"voiceProfileId": request.voice_profile_id, "requestTimestamp": iso8601(request.requested_at)}


def _confidence(value: float) -> str:
    if not 0 <= value <= 1:  # NaN is outside too
        raise ValueError("a confidence score outside 0 to 1")
    return f"{value:.8f}"


def iso8601(moment: datetime) -> str:
    """Return the time in milliseconds, cut and not rounded, with Z.

    Parsers of whole seconds and of fractions take it.
    """
    return _aware(moment).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a naive datetime; give it a timezone")
    return moment


def present(values: EventDocument) -> EventDocument:
    """Return what is not None."""
    return {key: value for key, value in values.items() if value is not None}
