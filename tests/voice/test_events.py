"""Events have the exact JSON that readers of AWS's notifications know."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.voice.events import (
    DetailStatus,
    ElementState,
    Envelope,
    IdentifiedProfile,
    PipelineFacts,
    PostCallSummary,
    ProfileRequest,
    SearchedChannel,
    StateChange,
    event_body,
    identification_failure,
    identification_no_matches_found,
    identification_successful,
    post_call_summary,
    state_change,
    voiceprint_generation_failure,
    voiceprint_generation_success,
)

NOON = datetime(2026, 11, 24, 12, 0, 0, 250_900, tzinfo=UTC)
PIPELINE_ARN = "arn:aws:chime:us-east-1:012345678901:media-pipeline/p-1"
STREAM_ARN = "arn:aws:kinesisvideo:us-east-1:012345678901:stream/calls/1"
ENVELOPE = Envelope(event_id="e-1", occurred_at=NOON, account_id="012345678901", region="us-east-1")
CHANNEL = SearchedChannel(
    task_id="t-1", pipeline_id="p-1", pipeline_arn=PIPELINE_ARN, stream_arn=STREAM_ARN, channel_id=1
)
STATE = PipelineFacts(pipeline_arn=PIPELINE_ARN, change=StateChange.IN_PROGRESS)
SUMMARY = PostCallSummary(pipeline_id="p-1", pipeline_arn=PIPELINE_ARN, stream_arn=STREAM_ARN, channel_id=1)


def sent(event: dict[str, object]) -> Any:
    """What a reader reads."""
    return json.loads(event_body(event))


def test_identification_successful() -> None:
    event = identification_successful(
        ENVELOPE, CHANNEL, results=[IdentifiedProfile(voice_profile_id="vp-1", confidence=0.94567891234)]
    )
    assert sent(event) == {
        "version": "0",
        "id": "e-1",
        "detail-type": "SpeakerSearchStatus",
        "service-type": "VoiceAnalytics",
        "source": "aws.chime",
        "account": "012345678901",
        "time": "2026-11-24T12:00:00.250Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "taskId": "t-1",
            "detailStatus": "IdentificationSuccessful",
            "speakerSearchDetails": {"results": [{"voiceProfileId": "vp-1", "confidenceScore": "0.94567891"}]},
            "mediaInsightsPipelineId": "p-1",
            "sourceArn": PIPELINE_ARN,
            "streamArn": STREAM_ARN,
            "channelId": 1,
        },
    }


def test_results_keep_their_order_and_a_success_has_some() -> None:
    results = [IdentifiedProfile(voice_profile_id=name, confidence=value) for name, value in [("b", 1), ("a", 0.5)]]
    listed = sent(identification_successful(ENVELOPE, CHANNEL, results=results))["detail"]["speakerSearchDetails"]
    assert listed["results"] == [
        {"voiceProfileId": "b", "confidenceScore": "1.00000000"},
        {"voiceProfileId": "a", "confidenceScore": "0.50000000"},
    ]
    with pytest.raises(ValueError, match="without a result"):
        identification_successful(ENVELOPE, CHANNEL, results=[])


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        identification_successful(
            ENVELOPE, CHANNEL, results=[IdentifiedProfile(voice_profile_id="vp-1", confidence=confidence)]
        )


def test_no_match_lists_nobody() -> None:
    detail = sent(identification_no_matches_found(ENVELOPE, CHANNEL))["detail"]
    assert detail["detailStatus"] == "IdentificationNoMatchesFound"
    assert detail["speakerSearchDetails"] == {"results": []}
    assert "statusMessage" not in detail


@pytest.mark.parametrize(
    ("build", "status"),
    [
        (identification_failure, "IdentificationFailure"),
        (voiceprint_generation_failure, "VoiceprintGenerationFailure"),
    ],
)
def test_a_failure_says_why(build: Any, status: str) -> None:
    detail = sent(build(ENVELOPE, CHANNEL, status_message="only 4.0 s of speech"))["detail"]
    assert (detail["detailStatus"], detail["statusMessage"]) == (status, "only 4.0 s of speech")
    assert "speakerSearchDetails" not in detail


def test_a_voiceprints_success_in_both_spellings() -> None:
    by_default = sent(voiceprint_generation_success(ENVELOPE, CHANNEL))["detail"]
    assert by_default["detailStatus"] == "VoiceprintGenerationSuccess"
    assert "speakerSearchDetails" not in by_default
    other = voiceprint_generation_success(ENVELOPE, CHANNEL, spelling=DetailStatus.VOICEPRINT_GENERATION_SUCCESSFUL)
    assert sent(other)["detail"]["detailStatus"] == "VoiceprintGenerationSuccessful"
    with pytest.raises(ValueError, match="does not say"):
        voiceprint_generation_success(ENVELOPE, CHANNEL, spelling=DetailStatus.IDENTIFICATION_FAILURE)


def test_what_is_known_of_a_channel_is_told() -> None:
    channel = replace(CHANNEL, channel_id=0, participant_role="AGENT", voice_connector_id="vc", transaction_id="tr")
    detail = sent(identification_no_matches_found(ENVELOPE, channel))["detail"]
    assert detail["channelId"] == 0
    assert (detail["participantRole"], detail["voiceConnectorId"], detail["transactionId"]) == ("AGENT", "vc", "tr")


def test_a_state_change() -> None:
    state = replace(
        STATE,
        elements=[
            ElementState(type="VoiceAnalyticsProcessor", status="InProgress", updated_at=NOON),
            ElementState(type="S3RecordingSink", status="Failed", updated_at=NOON, status_detail="no bucket"),
        ],
        runtime_metadata={"fromNumber": "+15550100", "queue": "7"},
    )
    assert sent(state_change(ENVELOPE, state)) == {
        "version": "0",
        "id": "e-1",
        "detail-type": "Media Insights State Change",
        "source": "aws.chime",
        "account": "012345678901",
        "time": "2026-11-24T12:00:00.250Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "version": "0",
            "mediaInsightsPipelineArn": PIPELINE_ARN,
            "eventType": "chime:MediaInsightsInProgress",
            "mediaInsightsPipelineElementStatuses": [
                {"type": "VoiceAnalyticsProcessor", "status": "InProgress", "updatedOn": 1795521600250},
                {
                    "type": "S3RecordingSink",
                    "status": "Failed",
                    "updatedOn": 1795521600250,
                    "statusDetail": "no bucket",
                },
            ],
            "fromNumber": "+15550100",
            "queue": "7",
        },
    }
    assert "+15550100" not in repr(state)


def test_fixed_keys_win_over_metadata() -> None:
    fixed = {"version": "x", "eventType": "x", "mediaInsightsPipelineArn": "x", "failureReason": "x"}
    metadata = {**fixed, "mediaInsightsPipelineElementStatuses": "x"}
    detail = sent(state_change(ENVELOPE, replace(STATE, runtime_metadata=metadata)))["detail"]
    assert "x" not in detail.values()
    failed = replace(STATE, change=StateChange.PERMANENT_FAILURE, failure_reason="denied", runtime_metadata=metadata)
    assert sent(state_change(ENVELOPE, failed))["detail"]["failureReason"] == "denied"


def test_a_post_call_summary() -> None:
    later = NOON + timedelta(minutes=2)
    summary = replace(
        SUMMARY,
        best_matched_profile_id="vp-1",
        validated_profile_id="vp-2",
        created=[ProfileRequest(voice_profile_id="vp-2", requested_at=NOON)],
        updated=[ProfileRequest(voice_profile_id="vp-1", requested_at=later)],
    )
    event = sent(post_call_summary(ENVELOPE, summary))
    assert (event["detail-type"], event["service-type"]) == ("VoiceAnalyticsStatus", "VoiceAnalytics")
    assert event["detail"] == {
        "detailStatus": "PostCallVoiceAnalytics",
        "mediaInsightsPipelineId": "p-1",
        "sourceArn": PIPELINE_ARN,
        "streamArn": STREAM_ARN,
        "channelId": 1,
        "speakerSearchResults": {
            "bestMatchedVoiceProfileId": "vp-1",
            "customerValidatedCallerIdentity": "vp-2",
            "createVoiceProfileTransactions": [
                {"voiceProfileId": "vp-2", "requestTimestamp": "2026-11-24T12:00:00.250Z"}
            ],
            "updateVoiceProfileTransactions": [
                {"voiceProfileId": "vp-1", "requestTimestamp": "2026-11-24T12:02:00.250Z"}
            ],
        },
    }


def test_a_post_call_summary_of_nothing() -> None:
    assert sent(post_call_summary(ENVELOPE, SUMMARY))["detail"]["speakerSearchResults"] == {
        "createVoiceProfileTransactions": [],
        "updateVoiceProfileTransactions": [],
    }


def test_times_are_told_in_utc_and_must_have_a_zone() -> None:
    there = replace(ENVELOPE, occurred_at=NOON.astimezone(timezone(timedelta(hours=9))))
    assert sent(identification_no_matches_found(there, CHANNEL))["time"] == "2026-11-24T12:00:00.250Z"
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive"):
        identification_no_matches_found(replace(ENVELOPE, occurred_at=naive), CHANNEL)
    element = ElementState(type="VoiceAnalyticsProcessor", status="InProgress", updated_at=naive)
    with pytest.raises(ValueError, match="naive"):
        state_change(ENVELOPE, replace(STATE, elements=[element]))


@given(st.dictionaries(st.text(), st.text()))
def test_any_metadata_becomes_one_line_of_ascii_and_comes_back(metadata: dict[str, str]) -> None:
    event = state_change(ENVELOPE, replace(STATE, runtime_metadata=metadata))
    body = event_body(event)
    assert body.isascii()
    assert b"\n" not in body
    assert json.loads(body) == event
    assert event_body(state_change(ENVELOPE, replace(STATE, runtime_metadata=dict(metadata)))) == body
