"""Events of tasks and pipelines: what they say of a call, and where they go."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from earwitness.access.caller import arn_of
from earwitness.errors import SinkUnavailable
from earwitness.sinks.aws_clients import SinkClients, SinkSettings
from earwitness.sinks.sink import Sink, sink_for
from earwitness.sinks.targets import SINK_SERVICES
from earwitness.sinks.webhook import WebhookSettings
from earwitness.store.records import Pipeline, Scope, SpeakerSearchTask
from earwitness.store.store import Unit
from earwitness.voice.connector import CallLeg
from earwitness.voice.decision import Decision, Outcome
from earwitness.voice.events import (
    Envelope,
    EventDocument,
    EventKind,
    IdentifiedProfile,
    SearchedChannel,
    event_body,
    identification_no_matches_found,
    identification_successful,
)

STREAMING_TARGET = "ChimeVoiceConnector-Streaming"
"""The queue and the topic of an account that streaming events go to. AWS names none, in its requests or its pages."""

_NOTIFICATION_TARGETS = {
    "EventBridge": ("events", "event-bus/default"),
    "SQS": ("sqs", STREAMING_TARGET),
    "SNS": ("sns", STREAMING_TARGET),
}


WEBHOOK_TARGET = "webhook"
FILE_TARGET = "file"
"""Targets that the settings name. Their addresses are those of the settings when an event is sent, not when it was
written: an address that was wrong, or changed, is put right for what waits too.
"""


class EventPublisher:
    """Writes events into the outbox, in the transaction of what they tell."""

    def __init__(
        self, *, targets_of: Callable[[Pipeline, EventKind], tuple[str, ...]], new_id: Callable[[], str]
    ) -> None:
        self._targets_of = targets_of
        self._new_id = new_id

    def append(
        self, unit: Unit, scope: Scope, pipeline: Pipeline, kind: EventKind, make: Callable[[Envelope], EventDocument]
    ) -> None:
        """Write the event that `make` returns, for all targets of the pipeline."""
        targets = self._targets_of(pipeline, kind)
        self.append_to(unit, scope, pipeline.pipeline_id, kind, make, targets=targets)

    def append_to(
        self,
        unit: Unit,
        scope: Scope,
        owner_id: str,
        kind: EventKind,
        make: Callable[[Envelope], EventDocument],
        *,
        targets: Collection[str],
    ) -> None:
        """Write the event that `make` returns, for these targets. It belongs to the pipeline or call of this id."""
        event_id = self._new_id()
        envelope = Envelope(event_id=event_id, occurred_at=unit.now, account_id=scope.account_id, region=scope.region)
        unit.events.append(
            scope,
            event_id=event_id,
            pipeline_id=owner_id,
            kind=kind.value,
            body=event_body(make(envelope)),
            targets=targets,
        )


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """Where events go, and how."""

    #: the webhook, which gets every event; empty without one
    webhook_url: str = ""
    webhook: WebhookSettings | None = None
    #: a file, as an URL, that gets every event; empty without one
    file_url: str = ""
    #: more files that do, each with its own address as its name
    more_files: tuple[str, ...] = ()
    #: whether state changes go to the default event bus of their account
    eventbridge: bool = False
    sinks: SinkSettings

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Return the targets that get every event."""
        file = (FILE_TARGET,) if self.file_url else ()
        return (*file, *self.more_files, *((WEBHOOK_TARGET,) if self.webhook_url else ()))


class Targets:
    """From a pipeline to the targets of its events, and from a target to its sink."""

    def __init__(self, settings: TargetSettings, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self._clients = SinkClients(settings.sinks)

    def of(self, pipeline: Pipeline, kind: EventKind) -> tuple[str, ...]:
        """Return where an event of a pipeline goes."""
        everywhere = self._settings.everywhere
        if kind is EventKind.STATE_CHANGE:
            return (*everywhere, *([_default_bus(pipeline.arn)] if self._settings.eventbridge else []))
        elements: Any = pipeline.configuration["Elements"]  # `Any`: as the caller sent them, validated then
        sinks = [
            element[f"{element['Type']}Configuration"]["InsightsTarget"]
            for element in elements
            if element["Type"] in SINK_SERVICES
            and (element.get(f"{element['Type']}Configuration") or {}).get("InsightsTarget")
        ]
        return (*everywhere, *sinks)

    def of_account(self, scope: Scope, names: Collection[str]) -> tuple[str, ...]:
        """Return where events go that name no ARN but what AWS calls a notification target: EventBridge, SQS, SNS.

        EventBridge is the default bus of the account; queue and topic have one name in all accounts.
        """
        wanted = [_NOTIFICATION_TARGETS[name] for name in names if name != "EventBridge" or self._settings.eventbridge]
        return (*self._settings.everywhere, *(arn_of(scope, service, resource) for service, resource in wanted))

    def sink(self, target: str) -> Sink:
        """Return the sink of a target. Raise SinkUnavailable where the settings name no address for it any more."""
        address, setting = target, ""
        if target == WEBHOOK_TARGET or target.startswith(("http://", "https://")):  # events of 0.1 have its address
            address, setting = self._settings.webhook_url, "webhook_url"
        elif target == FILE_TARGET:
            address, setting = self._settings.file_url, "events_file"
        if not address:
            raise SinkUnavailable(f"setting {setting} is empty, and events wait for it; set it, or let them expire")
        return sink_for(address, clients=self._clients, webhook=self._settings.webhook, now=self._now)

    def close(self) -> None:
        """Close the connections to all targets."""
        self._clients.close()


def _default_bus(pipeline_arn: str) -> str:
    _, partition, _, region, account, _ = pipeline_arn.split(":", 5)
    return f"arn:{partition}:events:{region}:{account}:event-bus/default"


def live_source_of(pipeline: Pipeline) -> Mapping[str, Any]:  # `Any`: as the caller sent it, validated then
    """Return a pipeline's live source: its streams, their channels and their sample rate."""
    source: Any = pipeline.source.get("KinesisVideoStreamSourceRuntimeConfiguration") or {}
    return source


def channels_declared(pipeline: Pipeline, stream_arn: str) -> int | None:
    """Return how many channels a pipeline's source says that a stream has; None where it says nothing of it."""
    streams: Any = live_source_of(pipeline).get("Streams", ())  # `Any`: as above
    for stream in streams:
        if stream["StreamArn"] == stream_arn:
            definition: Mapping[str, Any] = stream.get("StreamChannelDefinition") or {}
            return definition.get("NumberOfChannels")
    return None


def channel_of(task: SpeakerSearchTask, pipeline: Pipeline) -> SearchedChannel:
    """Return the channel that a task listens to, as its events name it."""
    metadata: Mapping[str, Any] = pipeline.runtime_metadata or {}  # `Any`: what the caller attached
    return SearchedChannel(
        task_id=task.task_id,
        pipeline_id=pipeline.pipeline_id,
        pipeline_arn=pipeline.arn,
        stream_arn=task.stream_arn,
        channel_id=task.channel_id,
        participant_role=_role_of(pipeline, task.stream_arn, task.channel_id),
        voice_connector_id=metadata.get("voiceConnectorId"),
        transaction_id=metadata.get("transactionId"),
        call_id=metadata.get("callId"),
        is_caller=None if task.call_leg is None else task.call_leg is CallLeg.CALLER,
    )


def _role_of(pipeline: Pipeline, stream_arn: str, channel_id: int) -> str | None:
    """Return AGENT or CUSTOMER, if the pipeline's source says which one a channel is."""
    for stream in live_source_of(pipeline).get("Streams", ()):
        if stream["StreamArn"] == stream_arn:
            for definition in stream["StreamChannelDefinition"].get("ChannelDefinitions", ()):
                if definition["ChannelId"] == channel_id:
                    return definition.get("ParticipantRole")
    return None


def named(decision: Decision) -> tuple[IdentifiedProfile, ...]:
    """Return the profiles at or above the threshold, best first; of all voices, if there are several."""
    return named_in(asdict(decision))


def named_in(decision: Mapping[str, Any]) -> tuple[IdentifiedProfile, ...]:
    """Return the same of a decision as it is kept. `Any`: its fields have several types."""
    if decision["outcome"] == Outcome.SEVERAL_VOICES:
        of_all = [profile for voice in decision.get("voices", ()) for profile in named_in(voice)]
        best = {one.voice_profile_id: one for one in sorted(of_all, key=lambda profile: profile.confidence)}
        return tuple(sorted(best.values(), key=lambda profile: -profile.confidence))
    if decision["outcome"] != Outcome.MATCH or decision["threshold"] is None:
        return ()
    return tuple(
        IdentifiedProfile(voice_profile_id=candidate["profile_id"], confidence=candidate["confidence"])
        for candidate in decision["candidates"]
        if candidate["score"] >= decision["threshold"]["score"]
    )


def identification_event(envelope: Envelope, channel: SearchedChannel, decision: Decision) -> EventDocument:
    """Return the event of a search that was made."""
    results = named(decision)
    if not results:
        return identification_no_matches_found(envelope, channel)
    return identification_successful(envelope, channel, results=results)
