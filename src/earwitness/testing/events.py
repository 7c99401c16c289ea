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

from earwitness.voice.events import (
    DetailStatus,
    ElementState,
    Envelope,
    EventDocument,
    IdentifiedProfile,
    PipelineFacts,
    PostCallSummary,
    SearchedChannel,
    StateChange,
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
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event of a speaker search task.

    `status` is its `detailStatus`: `IdentificationSuccessful`, with `profiles` by id and their confidence;
    `IdentificationNoMatchesFound`, `VoiceprintGenerationSuccess`; `IdentificationFailure` and
    `VoiceprintGenerationFailure`, with a `reason`. `at` is aware. The event's id is a new one unless it is given. Raise
    ValueError for another status, and for a success that names nobody.
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
    pipeline_id: str = PIPELINE_ID,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the event that a pipeline changed. `change` is its `eventType`: `chime:MediaInsightsInProgress`.

    `element_status` is that of its voice analytics processor, if it has one. Raise ValueError for another change.
    """
    elements: Sequence[ElementState] = ()
    if element_status is not None:
        elements = [ElementState(type="VoiceAnalyticsProcessor", status=element_status, updated_at=at)]
    facts = PipelineFacts(
        pipeline_arn=_pipeline_arn(account_id, region, pipeline_id),
        change=StateChange(change),
        elements=elements,
        runtime_metadata=dict(runtime_metadata or {}),
        failure_reason=failure_reason,
    )
    return state_change(_envelope(account_id, region, at, event_id), facts)


def post_call_summary(
    *,
    best_matched_profile_id: str | None = None,
    validated_profile_id: str | None = None,
    pipeline_id: str = PIPELINE_ID,
    stream_arn: str = STREAM_ARN,
    channel_id: int = 0,
    account_id: str = ACCOUNT,
    region: str = REGION,
    at: datetime = AT,
    event_id: str | None = None,
) -> EventDocument:
    """Return the summary that comes five minutes after a pipeline has stopped."""
    summary = PostCallSummary(
        pipeline_id=pipeline_id,
        pipeline_arn=_pipeline_arn(account_id, region, pipeline_id),
        stream_arn=stream_arn,
        channel_id=channel_id,
        best_matched_profile_id=best_matched_profile_id,
        validated_profile_id=validated_profile_id,
    )
    return _post_call_summary(_envelope(account_id, region, at, event_id), summary)


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
