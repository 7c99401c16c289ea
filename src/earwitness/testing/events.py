"""Events as the service sends them, for tests of whatever handles them: a rule of EventBridge, a queue, a function.

Public API. The bodies are worded by the code that words the service's own (`earwitness.voice.events`); `in_sqs` and its
neighbours put them into what AWS Lambda hands to a function that a queue, a topic or a data stream triggers. With a
Lambda sink, or a rule of EventBridge, the function gets the body itself.
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from earwitness.voice.call import AudioCoding
from earwitness.voice.call_events import StreamedCall, StreamedLeg, StreamingStatus
from earwitness.voice.call_events import analytics_ready as _analytics_ready
from earwitness.voice.call_events import streaming_status as _streaming_status
from earwitness.voice.events import (
    DetailStatus,
    ElementState,
    Envelope,
    EventDocument,
    IdentifiedProfile,
    PipelineFacts,
    PostCallSummary,
    ProfileRequest,
    SearchedChannel,
    StateChange,
    SummarisedLeg,
    event_body,
    identification_failure,
    identification_no_matches_found,
    identification_successful,
    state_change,
    voiceprint_generation_failure,
    voiceprint_generation_success,
)
from earwitness.voice.events import post_call_summary as _post_call_summary

ACCOUNT = "000000000000"
REGION = "us-east-1"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""When events of tests happened, unless a test says otherwise: the same in every run."""

TASK_ID = "11111111-2222-4333-8444-555555555555"
PIPELINE_ID = "66666666-7777-4888-9999-aaaaaaaaaaaa"
STREAM_ARN = f"arn:aws:kinesisvideo:{REGION}:{ACCOUNT}:stream/line/1767323045000"

CALL = StreamedCall(
    call_id="CA-4711",
    transaction_id="22222222-3333-4444-8555-666666666666",
    voice_connector_id="abcdefghijklmnopqrstuv",
    direction="Inbound",
    from_number="+493012345",
    to_number="+493099999",
)
"""A call of a Voice Connector."""

LEG = StreamedLeg(
    label="inbound",
    is_caller=True,
    coding=AudioCoding.PCMU,
    rate=8_000,
    index=0,
    stream_arn=STREAM_ARN,
    start_fragment_number="91343852333181432392682062622220590765191907586",
    started_at=AT,
)
"""The leg of whoever calls."""

_QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:calls"
_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:calls"
_DATA_STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/calls"


def speaker_search_status(
    status: str,
    *,
    profiles: Mapping[str, float] | None = None,
    reason: str = "only 4.0 s of speech were heard before the audio ended and 10 s are needed",
    task_id: str = TASK_ID,
    pipeline_id: str = PIPELINE_ID,
    stream_arn: str = STREAM_ARN,
    channel_id: int = 0,
    participant_role: str | None = None,
    voice_connector_id: str | None = None,
    transaction_id: str | None = None,
    call_id: str | None = None,
    is_caller: bool | None = None,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event of a speaker search task.

    `status` is its `detailStatus`: `IdentificationSuccessful`, with `profiles` by id and their confidence;
    `IdentificationNoMatchesFound`, `VoiceprintGenerationSuccess`; `IdentificationFailure` and
    `VoiceprintGenerationFailure`, with a `reason`. With `is_caller` it is of a task that was started on a call of a
    Voice Connector, and names the call and its leg in place of the pipeline. `at` is aware. The event's id is a new one
    unless it is given. Raise ValueError for another status, and for a success that names nobody.
    """
    envelope = _envelope(account_id, region, at, event_id)
    channel = SearchedChannel(
        task_id=task_id,
        pipeline_id=pipeline_id,
        pipeline_arn=_pipeline_arn(account_id, region, pipeline_id),
        stream_arn=stream_arn,
        channel_id=channel_id,
        participant_role=participant_role,
        voice_connector_id=voice_connector_id,
        transaction_id=transaction_id,
        call_id=call_id,
        is_caller=is_caller,
    )
    match DetailStatus(status):
        case DetailStatus.IDENTIFICATION_SUCCESSFUL:
            ranked = sorted((profiles or {}).items(), key=lambda pair: -pair[1])
            results = [IdentifiedProfile(voice_profile_id=name, confidence=share) for name, share in ranked]
            return identification_successful(envelope, channel, results=results)
        case DetailStatus.IDENTIFICATION_NO_MATCHES_FOUND:
            return identification_no_matches_found(envelope, channel)
        case DetailStatus.IDENTIFICATION_FAILURE:
            return identification_failure(envelope, channel, status_message=reason)
        case DetailStatus.VOICEPRINT_GENERATION_FAILURE:
            return voiceprint_generation_failure(envelope, channel, status_message=reason)
        case spelling:
            return voiceprint_generation_success(envelope, channel, spelling=spelling)


def pipeline_state_change(
    change: str,
    *,
    element_status: str | None = None,
    runtime_metadata: Mapping[str, str] | None = None,
    failure_reason: str | None = None,
    failure_origin: str | None = None,
    http_status_code: str | None = None,
    configuration_arn: str | None = None,
    pipeline_id: str = PIPELINE_ID,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event that a pipeline changed. `change` is its `eventType`: `chime:MediaInsightsInProgress`.

    `element_status` is that of its voice analytics processor, if it has one. Pipelines of calls of Voice Connectors
    tell their `configuration_arn` when they are made, and `failure_origin` and `http_status_code` when they cannot be:
    such an event names no pipeline. Raise ValueError for another change.
    """
    elements: Sequence[ElementState] = ()
    if element_status is not None:
        elements = [ElementState(type="VoiceAnalyticsProcessor", status=element_status, updated_at=at)]
    arn = _pipeline_arn(account_id, region, pipeline_id)
    facts = PipelineFacts(
        pipeline_arn=None if StateChange(change) is StateChange.CREATE_FAILED else arn,
        change=StateChange(change),
        elements=elements,
        runtime_metadata=dict(runtime_metadata or {}),
        failure_reason=failure_reason,
        failure_origin=failure_origin,
        http_status_code=http_status_code,
        configuration_arn=configuration_arn,
    )
    return state_change(_envelope(account_id, region, at, event_id), facts)


def post_call_summary(
    *,
    best_matched_profile_id: str | None = None,
    validated_profile_id: str | None = None,
    created: Mapping[str, datetime] | None = None,
    updated: Mapping[str, datetime] | None = None,
    leg: SummarisedLeg | None = None,
    pipeline_id: str = PIPELINE_ID,
    stream_arn: str = STREAM_ARN,
    channel_id: int = 0,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the summary that comes five minutes after a pipeline has stopped.

    `created` and `updated` are the profiles that were made or updated from the call, with the time of that. `leg` is
    the leg of a Voice Connector's call that the channel is, if it is one.
    """
    summary = PostCallSummary(
        pipeline_id=pipeline_id,
        pipeline_arn=_pipeline_arn(account_id, region, pipeline_id),
        stream_arn=stream_arn,
        channel_id=channel_id,
        call=leg,
        best_matched_profile_id=best_matched_profile_id,
        validated_profile_id=validated_profile_id,
        created=_requests(created),
        updated=_requests(updated),
    )
    return _post_call_summary(_envelope(account_id, region, at, event_id), summary)


def streaming_status(
    status: str,
    *,
    call: StreamedCall | None = None,
    leg: StreamedLeg | None = None,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event of one leg of a Voice Connector's call; `status` is `STARTED`, `UPDATED`, `ENDED` or `FAILED`.

    `dataclasses.replace` makes another call or leg of CALL and LEG. Raise ValueError for another status.
    """
    envelope = _envelope(account_id, region, at, event_id)
    return _streaming_status(envelope, call or CALL, leg or LEG, StreamingStatus(status))


def analytics_ready(
    *,
    call: StreamedCall | None = None,
    leg: StreamedLeg | None = None,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event that tasks can be started on a call of a Voice Connector. Arguments as of `streaming_status`."""
    return _analytics_ready(_envelope(account_id, region, at, event_id), call or CALL, leg or LEG)


def in_sqs(*events: EventDocument) -> EventDocument:
    """Return what Lambda hands to a function that reads these events from a queue."""
    records = [
        {
            "messageId": _same_id(event, "message"),
            "receiptHandle": _same_id(event, "receipt"),
            "body": _text(event),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": _milliseconds(event),
                "SenderId": ACCOUNT,
                "ApproximateFirstReceiveTimestamp": _milliseconds(event),
            },
            "messageAttributes": {},
            "md5OfBody": hashlib.md5(event_body(event), usedforsecurity=False).hexdigest(),
            "eventSource": "aws:sqs",
            "eventSourceARN": _QUEUE,
            "awsRegion": event["region"],
        }
        for event in events
    ]
    return {"Records": records}


def in_sns(*events: EventDocument) -> EventDocument:
    """Return what Lambda hands to a function that is subscribed to a topic."""
    records: list[dict[str, object]] = [
        {
            "EventVersion": "1.0",
            "EventSubscriptionArn": f"{_TOPIC}:{_same_id(event, 'subscription')}",
            "EventSource": "aws:sns",
            "Sns": {
                "Type": "Notification",
                "MessageId": _same_id(event, "message"),
                "TopicArn": _TOPIC,
                "Subject": None,
                "Message": _text(event),
                "Timestamp": event["time"],
                "MessageAttributes": {},
            },
        }
        for event in events
    ]
    return {"Records": records}


def in_kinesis(*events: EventDocument) -> EventDocument:
    """Return what Lambda hands to a function that reads these events from a Kinesis data stream."""
    records = [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": PIPELINE_ID,
                "sequenceNumber": str(number),
                "data": base64.b64encode(event_body(event)).decode("ascii"),
                "approximateArrivalTimestamp": _seconds(event),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"shardId-000000000000:{number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/function",
            "awsRegion": event["region"],
            "eventSourceARN": _DATA_STREAM,
        }
        for number, event in enumerate(events, 1)
    ]
    return {"Records": records}


def _requests(profiles: Mapping[str, datetime] | None) -> tuple[ProfileRequest, ...]:
    made = (profiles or {}).items()
    return tuple(ProfileRequest(voice_profile_id=profile_id, requested_at=at) for profile_id, at in made)


def _envelope(account_id: str, region: str, at: datetime, event_id: str | None) -> Envelope:
    return Envelope(event_id=event_id or str(uuid.uuid4()), occurred_at=at, account_id=account_id, region=region)


def _pipeline_arn(account_id: str, region: str, pipeline_id: str) -> str:
    return f"arn:aws:chime:{region}:{account_id}:media-pipeline/{pipeline_id}"


def _same_id(event: EventDocument, what: str) -> str:
    """Return an id that the same event always gets."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['id']}/{what}"))


def _text(event: EventDocument) -> str:
    return event_body(event).decode("ascii")


def _seconds(event: EventDocument) -> float:
    return datetime.fromisoformat(str(event["time"])).timestamp()


def _milliseconds(event: EventDocument) -> str:
    return str(round(1_000 * _seconds(event)))
