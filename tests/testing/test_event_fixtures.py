"""Every event that docs/events.md lists can be made for tests, and is made as the page shows it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import event_page
import pytest

from earwitness.testing import events
from earwitness.voice.events import StateChange

PROFILE = event_page.FOUND[0].voice_profile_id
ENVELOPE: dict[str, Any] = {
    "account_id": event_page.ENVELOPE.account_id,
    "region": event_page.ENVELOPE.region,
    "at": event_page.AT,
    "event_id": event_page.ENVELOPE.event_id,
}
CHANNEL = {
    "task_id": event_page.CHANNEL.task_id,
    "pipeline_id": event_page.CHANNEL.pipeline_id,
    "stream_arn": event_page.CHANNEL.stream_arn,
    "participant_role": event_page.CHANNEL.participant_role,
}
OF_A_CALL = {
    "task_id": event_page.OF_A_CALL.task_id,
    "voice_connector_id": event_page.OF_A_CALL.voice_connector_id,
    "transaction_id": event_page.OF_A_CALL.transaction_id,
    "call_id": event_page.OF_A_CALL.call_id,
    "is_caller": event_page.OF_A_CALL.is_caller,
}
FOUND = {PROFILE: event_page.FOUND[0].confidence}
TOO_LITTLE = "only {} s of speech were heard before the audio ended and {} s are needed"


def state_change(change: StateChange) -> dict[str, Any]:
    facts = event_page.STATES[change]
    return events.pipeline_state_change(
        change,
        element_status=facts.elements[0].status if facts.elements else None,
        runtime_metadata=facts.runtime_metadata,
        failure_reason=facts.failure_reason,
        failure_origin=facts.failure_origin,
        http_status_code=facts.http_status_code,
        configuration_arn=facts.configuration_arn,
        pipeline_id=event_page.CHANNEL.pipeline_id,
        **ENVELOPE,
    )


def summary() -> dict[str, Any]:
    return events.post_call_summary(
        best_matched_profile_id=PROFILE,
        validated_profile_id=PROFILE,
        updated={PROFILE: event_page.AT},
        pipeline_id=event_page.CHANNEL.pipeline_id,
        stream_arn=event_page.CHANNEL.stream_arn,
        **{**ENVELOPE, "at": event_page.AT + event_page.SUMMARY_AFTER},
    )


search = partial(events.speaker_search_status, **ENVELOPE)
call = {"call": event_page.CALL, "leg": event_page.LEG, **ENVELOPE}
MADE: dict[str, Callable[[], dict[str, Any]]] = {
    "IdentificationSuccessful": lambda: search("IdentificationSuccessful", profiles=FOUND, **CHANNEL),
    "IdentificationNoMatchesFound": lambda: search("IdentificationNoMatchesFound", **CHANNEL),
    "IdentificationFailure": lambda: search("IdentificationFailure", reason=TOO_LITTLE.format(4.2, 10), **CHANNEL),
    "VoiceprintGenerationSuccess": lambda: search("VoiceprintGenerationSuccess", **CHANNEL),
    "VoiceprintGenerationFailure": lambda: search(
        "VoiceprintGenerationFailure", reason=TOO_LITTLE.format(13.8, 20), **CHANNEL
    ),
    "A task of a Voice Connector's call": lambda: search("IdentificationSuccessful", profiles=FOUND, **OF_A_CALL),
    **{change.value: partial(state_change, change) for change in StateChange},
    "PostCallVoiceAnalytics": summary,
    **{
        status: partial(events.streaming_status, status, **call) for status in ("STARTED", "UPDATED", "ENDED", "FAILED")
    },
    "AnalyticsReady": partial(events.analytics_ready, **call),
}
SHOWN = {title: event for group in event_page.GROUPS.values() for title, _, event in group()}


def test_there_is_one_for_every_event_of_the_page() -> None:
    assert MADE.keys() == SHOWN.keys()


@pytest.mark.parametrize("title", SHOWN)
def test_it_is_the_event_that_the_page_shows(title: str) -> None:
    assert MADE[title]() == SHOWN[title]


def test_a_leg_of_a_call_is_summed_up() -> None:
    leg = events.SummarisedLeg(call_id="CA-1", transaction_id="t", voice_connector_id="v", is_caller=False)
    detail: Any = events.post_call_summary(leg=leg, created={PROFILE: events.AT})["detail"]
    assert {name: detail[name] for name in ("callId", "transactionId", "voiceConnectorId", "isCaller")} == {
        "callId": "CA-1",
        "transactionId": "t",
        "voiceConnectorId": "v",
        "isCaller": False,
    }
    assert detail["speakerSearchResults"]["createVoiceProfileTransactions"] == [
        {"voiceProfileId": PROFILE, "requestTimestamp": "2026-01-02T03:04:05.000Z"}
    ]


def test_calls_without_facts_of_their_own_are_the_same_ones() -> None:
    first, ready = events.streaming_status("STARTED"), events.analytics_ready()
    details: list[Any] = [first["detail"], ready["detail"]]
    assert details[0]["callId"] == details[1]["callId"] == events.CALL.call_id
    with pytest.raises(ValueError, match="BEGUN"):
        events.streaming_status("BEGUN")
