"""Events for tests of handlers are the service's own, in what Lambda wraps them."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from telephone import Telephone

from earwitness.testing import events, inconclusive, match, no_match, start_service
from moto_server import moto

STATUSES = (
    "IdentificationNoMatchesFound",
    "IdentificationFailure",
    "VoiceprintGenerationSuccess",
    "VoiceprintGenerationSuccessful",
    "VoiceprintGenerationFailure",
)


def same(telephone: Telephone, told: dict[str, Any]) -> dict[str, Any]:
    """Return the event for a handler with the facts of one that the service told."""
    detail = told["detail"]
    results = detail.get("speakerSearchDetails", {}).get("results", ())
    reason = {"reason": detail["statusMessage"]} if "statusMessage" in detail else {}
    return events.speaker_search_status(
        detail["detailStatus"],
        profiles={one["voiceProfileId"]: float(one["confidenceScore"]) for one in results},
        task_id=detail["taskId"],
        pipeline_id=detail["mediaInsightsPipelineId"],
        stream_arn=telephone.stream,
        at=datetime.fromisoformat(told["time"]),
        event_id=told["id"],
        **reason,
    )


@pytest.mark.slow
def test_they_are_what_the_service_tells(telephone: Telephone) -> None:
    service = telephone.service
    service.script(no_match())
    first = telephone.ring()
    service.wait_for_task(first)
    profile = telephone.voice.create_voice_profile(SpeakerSearchTaskId=first)["VoiceProfile"]["VoiceProfileId"]
    service.script(match(profile, 0.97), inconclusive())
    for task in (first, None, None):
        ended = service.wait_for_task(task or telephone.ring())
        told = service.events(task_id=ended["taskId"])
        assert len(told) == 2
        assert [same(telephone, one) for one in told] == told
    (begun, *_) = [
        one
        for one in service.events()
        if one["detail"].get("eventType") == "chime:MediaInsightsInProgress"
        and one["detail"]["mediaInsightsPipelineArn"].endswith(telephone.pipeline)
    ]
    at = datetime.fromtimestamp(begun["detail"]["mediaInsightsPipelineElementStatuses"][0]["updatedOn"] / 1000, UTC)
    assert begun == events.pipeline_state_change(
        "chime:MediaInsightsInProgress",
        element_status="InProgress",
        runtime_metadata={"fromNumber": "+4930123"},
        pipeline_id=telephone.pipeline,
        at=at,
        event_id=begun["id"],
    )


@pytest.fixture
def queue() -> Iterator[tuple[Any, str, str]]:
    with moto() as url:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        sqs = boto3.client("sqs", endpoint_url=url, **keys)
        address = sqs.create_queue(QueueName="calls")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=address, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        yield sqs, address, arn


@pytest.mark.slow
def test_scripted_events_are_delivered_to_a_queue_and_read_as_lambda_would(queue: tuple[Any, str, str]) -> None:
    sqs, address, arn = queue
    endpoint = sqs.meta.endpoint_url
    settings = {"sink_endpoint_url": endpoint, "sink_access_key_id": "a", "sink_secret_access_key": "b"}
    with start_service(account_id=arn.split(":")[4], settings=settings) as service:
        sink = {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": arn}}
        telephone = Telephone(service, "line", sinks=[sink])
        service.script(no_match())
        task = telephone.ring()
        service.wait_for_task(task)
        bodies: list[str] = []
        while len(bodies) < 2:
            asked = sqs.receive_message(QueueUrl=address, WaitTimeSeconds=5, MaxNumberOfMessages=10)
            for message in asked.get("Messages", ()):
                sqs.delete_message(QueueUrl=address, ReceiptHandle=message["ReceiptHandle"])
                if json.loads(message["Body"])["detail-type"] == "SpeakerSearchStatus":
                    bodies.append(message["Body"])
        told = service.events(task_id=task)
        assert [record["body"] for record in records(events.in_sqs(*told))] == bodies  # to the byte


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_can_be_made(status: str) -> None:
    detail: Any = events.speaker_search_status(status)["detail"]
    assert detail["detailStatus"] == status


def records(wrapped: dict[str, Any]) -> list[dict[str, Any]]:
    return wrapped["Records"]


def test_what_wraps_them() -> None:
    event = events.speaker_search_status("IdentificationSuccessful", profiles={"vp-2": 0.1, "vp-1": 0.8})
    (sqs,), (sns,), (kinesis,) = map(records, (events.in_sqs(event), events.in_sns(event), events.in_kinesis(event)))
    assert json.loads(sqs["body"]) == event
    assert json.loads(sns["Sns"]["Message"]) == event
    assert json.loads(base64.b64decode(kinesis["kinesis"]["data"])) == event
    assert sqs["messageId"] == records(events.in_sqs(event))[0]["messageId"]
    assert len(records(events.in_sqs(event, event))) == 2


def test_events_that_the_service_never_sends_are_refused() -> None:
    with pytest.raises(ValueError, match="IdentificationMaybe"):
        events.speaker_search_status("IdentificationMaybe")
    with pytest.raises(ValueError, match="without a result"):
        events.speaker_search_status("IdentificationSuccessful")
    with pytest.raises(ValueError, match="outside 0 to 1"):
        events.speaker_search_status("IdentificationSuccessful", profiles={"vp-1": 1.2})
    with pytest.raises(ValueError, match="naive"):
        events.speaker_search_status("IdentificationNoMatchesFound", at=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="Exploded"):
        events.pipeline_state_change("chime:Exploded")


def test_the_summary_after_a_call() -> None:
    event = events.post_call_summary(best_matched_profile_id="vp-1")
    detail: Any = event["detail"]
    assert (event["detail-type"], detail["speakerSearchResults"]["bestMatchedVoiceProfileId"]) == (
        "VoiceAnalyticsStatus",
        "vp-1",
    )
