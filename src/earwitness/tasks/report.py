"""What tasks tell: a result as it is kept, and the event that goes out with it."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from earwitness.store.records import Pipeline, Scope, SpeakerSearchTask
from earwitness.voice.decision import Decision, Outcome
from earwitness.voice.events import (
    Envelope,
    EventDocument,
    IdentifiedProfile,
    SearchedChannel,
    identification_no_matches_found,
    identification_successful,
)


def channel_of(task: SpeakerSearchTask, pipeline: Pipeline) -> SearchedChannel:
    """The channel that a task listens to, as its events name it."""
    metadata: Mapping[str, Any] = pipeline.runtime_metadata or {}  # `Any`: what the caller attached
    return SearchedChannel(
        task_id=task.task_id,
        pipeline_id=pipeline.pipeline_id,
        pipeline_arn=pipeline.arn,
        stream_arn=task.stream_arn,
        channel_id=task.channel_id,
        participant_role=role_of(pipeline, task.stream_arn, task.channel_id),
        voice_connector_id=metadata.get("voiceConnectorId"),
        transaction_id=metadata.get("transactionId"),
    )


def role_of(pipeline: Pipeline, stream_arn: str, channel_id: int) -> str | None:
    """AGENT or CUSTOMER, where the pipeline's source says so."""
    for stream in _runtime_of(pipeline).get("Streams", ()):
        if stream["StreamArn"] == stream_arn:
            for definition in stream["StreamChannelDefinition"].get("ChannelDefinitions", ()):
                if definition["ChannelId"] == channel_id:
                    return definition.get("ParticipantRole")
    return None


def declared_rate_of(pipeline: Pipeline) -> int:
    """MediaSampleRate of the pipeline's source, which counts where the stream itself states none."""
    return int(_runtime_of(pipeline).get("MediaSampleRate", 8_000))


def _runtime_of(pipeline: Pipeline) -> Mapping[str, Any]:  # `Any`: as the caller sent it, validated then
    source: Any = pipeline.source.get("KinesisVideoStreamSourceRuntimeConfiguration") or {}
    return source


def envelope_of(scope: Scope, *, event_id: str, now: datetime) -> Envelope:
    """What an event says of itself."""
    return Envelope(event_id=event_id, occurred_at=now, account_id=scope.account_id, region=scope.region)


def identification_record(decision: Decision) -> dict[str, object]:
    """A decision as it is kept for seven days: everything needed to judge it."""
    return asdict(decision)


def named(decision: Decision) -> tuple[IdentifiedProfile, ...]:
    """The profiles at or above the threshold, best first; empty without a match. Of all voices, if several."""
    if decision.outcome is Outcome.SEVERAL_VOICES:
        of_all = [profile for voice in decision.voices for profile in named(voice)]
        best = {one.voice_profile_id: one for one in sorted(of_all, key=lambda profile: profile.confidence)}
        return tuple(sorted(best.values(), key=lambda profile: -profile.confidence))
    if decision.outcome is not Outcome.MATCH or decision.threshold is None:
        return ()
    return tuple(
        IdentifiedProfile(voice_profile_id=candidate.profile_id, confidence=candidate.confidence)
        for candidate in decision.candidates
        if candidate.score >= decision.threshold.score
    )


def identification_event(envelope: Envelope, channel: SearchedChannel, decision: Decision) -> EventDocument:
    """The event of a search that was made."""
    results = named(decision)
    if not results:
        return identification_no_matches_found(envelope, channel)
    return identification_successful(envelope, channel, results=results)
