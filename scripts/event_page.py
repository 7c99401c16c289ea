"""One example of each event that the service sends, made by the functions that make the real ones."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from earwitness.voice import call_events, events
from earwitness.voice.call import AudioCoding
from earwitness.voice.events import DetailStatus, EventDocument, StateChange

AT = datetime(2026, 11, 27, 9, 30, 12, 345_000, tzinfo=UTC)
SUMMARY_AFTER = timedelta(minutes=5)
ENVELOPE = events.Envelope(
    event_id="4e1c1b3a-4f5d-4c55-9d59-0a4d4e1f7a10",
    occurred_at=AT,
    account_id="111122223333",
    region="eu-central-1",
)
_ARN = "arn:aws:chime:eu-central-1:111122223333:"
_PIPELINE = "b1f2c3d4-5e6f-4a7b-8c9d-0e1f2a3b4c5d"
_PIPELINE_ARN = f"{_ARN}media-pipeline/{_PIPELINE}"
_STREAM = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/line-1/1732700000000"
_CONNECTOR = "d3ziq6ahn4upb0y2yxwl1c"
_TRANSACTION = "9a8b7c6d-5e4f-4a3b-9c1d-0e2f4a6b8c0d"
CHANNEL = events.SearchedChannel(
    task_id="2df425f5-433d-4778-9fca-3aaa60aca4fb",
    pipeline_id=_PIPELINE,
    pipeline_arn=_PIPELINE_ARN,
    stream_arn=_STREAM,
    channel_id=0,
    participant_role="CUSTOMER",
)
OF_A_CALL = replace(
    CHANNEL, voice_connector_id=_CONNECTOR, transaction_id=_TRANSACTION, call_id="CA-4711", is_caller=True
)
_PROFILE = "vp-341c3b6f-0f02-436b-a140-83e01d1f6325"
FOUND = (
    events.IdentifiedProfile(voice_profile_id=_PROFILE, confidence=0.9987),
    events.IdentifiedProfile(voice_profile_id="vp-7a0d6f6e-52c3-4f0e-8b6f-3f5b8f0a9a11", confidence=0.0004),
)
CALL = call_events.StreamedCall(
    call_id="CA-4711",
    transaction_id=_TRANSACTION,
    voice_connector_id=_CONNECTOR,
    direction="Inbound",
    from_number="+493012345",
    to_number="+493099999",
)
LEG = call_events.StreamedLeg(
    label="inbound",
    is_caller=True,
    coding=AudioCoding.PCMU,
    rate=8000,
    index=0,
    stream_arn=f"arn:aws:kinesisvideo:eu-central-1:111122223333:stream/ChimeVoiceConnector-{_CONNECTOR}-1/1732700000000",
    start_fragment_number="91343852333181432392682062622220590765191907586",
    started_at=AT,
)


def speaker_search() -> Iterator[tuple[str, str, EventDocument]]:
    """Yield title, meaning and example of each event of a speaker search task."""
    yield (
        "IdentificationSuccessful",
        "After 10 s of speech: somebody was recognised. `results` has every profile at or above the threshold, "
        "best first.",
        events.identification_successful(ENVELOPE, CHANNEL, results=FOUND[:1]),
    )
    yield (
        "IdentificationNoMatchesFound",
        "After 10 s of speech: nobody enrolled is close enough. `results` is an empty list.",
        events.identification_no_matches_found(ENVELOPE, CHANNEL),
    )
    yield (
        "IdentificationFailure",
        "There was no search; `statusMessage` says why.",
        events.identification_failure(
            ENVELOPE,
            CHANNEL,
            status_message="only 4.2 s of speech were heard before the audio ended and 10 s are needed",
        ),
    )
    yield (
        "VoiceprintGenerationSuccess",
        "After 20 s of speech: for 24 hours a profile can be made of the task. The setting `voiceprint_status` chooses "
        "the other spelling of AWS, `VoiceprintGenerationSuccessful`.",
        events.voiceprint_generation_success(ENVELOPE, CHANNEL),
    )
    yield (
        "VoiceprintGenerationFailure",
        "There is no voiceprint; `statusMessage` says why.",
        events.voiceprint_generation_failure(
            ENVELOPE,
            CHANNEL,
            status_message="only 13.8 s of speech were heard before the audio ended and 20 s are needed",
        ),
    )
    yield (
        "A task of a Voice Connector's call",
        "A task that `StartSpeakerSearchTask` of `chime-sdk-voice` started names the call and the leg in place of the "
        "pipeline and the stream. All events above have this form then.",
        events.identification_successful(ENVELOPE, OF_A_CALL, results=FOUND[:1]),
    )


def pipelines() -> Iterator[tuple[str, str, EventDocument]]:
    """Yield title, meaning and example of each event of a pipeline."""
    for change, meaning in _CHANGES.items():
        yield change.value, meaning, events.state_change(ENVELOPE, STATES[change])
    summary = events.PostCallSummary(
        pipeline_id=_PIPELINE,
        pipeline_arn=_PIPELINE_ARN,
        stream_arn=_STREAM,
        channel_id=0,
        best_matched_profile_id=_PROFILE,
        validated_profile_id=_PROFILE,
        updated=(events.ProfileRequest(voice_profile_id=_PROFILE, requested_at=AT),),
    )
    yield (
        "PostCallVoiceAnalytics",
        "Five minutes after a pipeline has ended, for each channel that had a task: the best match, and the profiles "
        "that were made or updated from the call.",
        events.post_call_summary(replace(ENVELOPE, occurred_at=AT + SUMMARY_AFTER), summary),
    )


_STATUS = {
    StateChange.IN_PROGRESS: "InProgress",
    StateChange.PAUSED: "Paused",
    StateChange.STOPPED: "Stopped",
    StateChange.PERMANENT_FAILURE: "Failed",
}
_OF_A_CALL = {
    "callId": CALL.call_id,
    "transactionId": CALL.transaction_id,
    "voiceConnectorId": CALL.voice_connector_id,
    "direction": CALL.direction,
    "fromNumber": CALL.from_number,
    "toNumber": CALL.to_number,
}
CONFIGURATION = f"{_ARN}media-insights-pipeline-configuration/calls"
STATES = {
    StateChange.CREATED: events.PipelineFacts(
        pipeline_arn=_PIPELINE_ARN,
        change=StateChange.CREATED,
        runtime_metadata=_OF_A_CALL,
        configuration_arn=CONFIGURATION,
    ),
    StateChange.CREATE_FAILED: events.PipelineFacts(
        pipeline_arn=None,
        change=StateChange.CREATE_FAILED,
        runtime_metadata=_OF_A_CALL,
        failure_reason="the configuration of the Voice Connector does not exist; associate another",
        failure_origin="Voice Connector",
        http_status_code="404",
        configuration_arn=CONFIGURATION,
    ),
    **{
        change: events.PipelineFacts(
            pipeline_arn=_PIPELINE_ARN,
            change=change,
            elements=(events.ElementState(type="VoiceAnalyticsProcessor", status=status, updated_at=AT),),
            runtime_metadata={"ticket": "4711"},
        )
        for change, status in _STATUS.items()
    },
}
"""What an example tells of its pipeline."""

_CHANGES = {
    StateChange.CREATED: "A pipeline was made for a call of a Voice Connector.",
    StateChange.CREATE_FAILED: "None could be made for such a call, which goes on without.",
    StateChange.IN_PROGRESS: "Audio comes.",
    StateChange.PAUSED: "`UpdateMediaInsightsPipelineStatus` paused it.",
    StateChange.STOPPED: "It has ended: deleted, or without audio for 15 s.",
    StateChange.PERMANENT_FAILURE: "It has ended, and each of its tasks has failed; their own events say why.",
}


def calls() -> Iterator[tuple[str, str, EventDocument]]:
    """Yield title, meaning and example of each event of a Voice Connector's call."""
    for status, meaning in (
        (call_events.StreamingStatus.STARTED, "A leg of a call began."),
        (call_events.StreamingStatus.UPDATED, "Something about the leg changed."),
        (call_events.StreamingStatus.ENDED, "It ended."),
        (call_events.StreamingStatus.FAILED, "It broke off."),
    ):
        yield status.value, meaning, call_events.streaming_status(ENVELOPE, CALL, LEG, status)
    yield (
        "AnalyticsReady",
        "Tasks can be started on the call. What AWS's page nests in `callDetails` is there flat too, because programs "
        "read both.",
        call_events.analytics_ready(ENVELOPE, CALL, LEG),
    )


GROUPS: dict[str, Callable[[], Iterator[tuple[str, str, EventDocument]]]] = {
    "Speaker search": speaker_search,
    "Pipelines": pipelines,
    "Calls of Voice Connectors": calls,
}


def titles() -> set[str]:
    """Return the outcomes that have an example, to be compared with those that the code knows."""
    return {title for group in GROUPS.values() for title, _, _ in group()}


def page() -> str:
    """Return the page of all events. Raise ValueError where an outcome of the code has no example."""
    known = {one.value for kind in (DetailStatus, StateChange, call_events.StreamingStatus) for one in kind}
    missing = known - titles() - {DetailStatus.VOICEPRINT_GENERATION_SUCCESSFUL.value}
    if missing:
        raise ValueError(f"these events have no example: {sorted(missing)}")
    parts = ["# Events", INTRODUCTION.strip()]
    for group, examples in GROUPS.items():
        parts.append(f"## {group}")
        for title, meaning, event in examples():
            shown = json.dumps(json.loads(events.event_body(event)), indent=2)
            parts.append(f"### {title}\n\n{meaning}\n\n```json\n{shown}\n```")
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """
This page shows every event that the service sends, once. The examples are made by the code that makes the real ones.
Shapes and names are those of the Amazon Chime SDK.

- **One event, one id.** `id` is the same on every delivery, and so are the bytes. An event can arrive twice: ignore an
  id that you know.
- **Order.** Events of one pipeline come in order at each sink.
- **Who gets which.** The configuration of the pipeline names sinks; the webhook and the events file get all events
  ([where events go](service.md#where-events-go), [events of calls](connectors.md#what-is-told)).
- **In your tests** they are fixtures: [Test your code offline](testing.md).

What an event leaves out (runners-up, margin, threshold, net speech) is in the [result of its task](api.md#tasks).
"""
