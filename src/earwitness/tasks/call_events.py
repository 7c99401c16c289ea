"""What is told of a Voice Connector's calls, and to whom: events, in the transaction of what they report.

Events of a call that has a pipeline are the pipeline's, and come in one order with its others.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from earwitness.errors import CiphertextRefused, EarwitnessError
from earwitness.store.columns import JsonObject
from earwitness.store.connector_records import ConnectorCall, KeptLeg, VoiceConnector
from earwitness.store.records import Pipeline, Scope
from earwitness.store.store import Unit
from earwitness.tasks.events import EventPublisher
from earwitness.voice.call import CallStarted, CallUpdated
from earwitness.voice.call_events import (
    StreamedCall,
    StreamedLeg,
    StreamingStatus,
    analytics_ready,
    streaming_status,
)
from earwitness.voice.events import EventKind, PipelineFacts, StateChange, state_change

METADATA_CHARACTERS_MAX = 65_536
"""SIPREC metadata and headers that are longer are left out of events: sinks take 256 KB of each."""

_log = logging.getLogger("earwitness.calls")

TargetsOfAccount = Callable[[Scope, Collection[str]], tuple[str, ...]]
"""From an account and AWS's names of notification targets to targets."""


class CallEvents:
    """Writes the events of calls. Its methods run inside a unit."""

    def __init__(self, events: EventPublisher, *, targets_of_account: TargetsOfAccount) -> None:
        self._events = events
        self._targets_of_account = targets_of_account

    def streaming(
        self,
        unit: Unit,
        call: ConnectorCall,
        status: StreamingStatus,
        *,
        legs: Collection[KeptLeg] | None = None,
        told: CallStarted | CallUpdated | None = None,
    ) -> None:
        """Tell the notification targets of the connector what happened to each of these legs, or to all."""
        targets = self._targets_of_account(call.scope, _notification_targets(_connector_of(unit, call)))
        streamed = _streamed(call, told)
        for leg in call.legs if legs is None else legs:
            make = partial(streaming_status, call=streamed, leg=_streamed_leg(leg), status=status)
            owner = call.pipeline_id or call.transaction_id
            self._events.append_to(unit, call.scope, owner, EventKind.STREAMING, make, targets=targets)

    def ready(self, unit: Unit, call: ConnectorCall, pipeline: Pipeline, told: CallStarted | None) -> None:
        """Tell the sinks of the configuration that tasks can be started on the call; once, by its caller's leg."""
        leg = next((leg for leg in call.legs if leg.is_caller), call.legs[0])
        make = partial(analytics_ready, call=_streamed(call, told), leg=_streamed_leg(leg))
        self._events.append(unit, call.scope, pipeline, EventKind.ANALYTICS_READY, make)

    def pipeline_created(self, unit: Unit, call: ConnectorCall, pipeline: Pipeline) -> None:
        """Tell that a pipeline was made for the call."""
        facts = PipelineFacts(
            pipeline_arn=pipeline.arn,
            change=StateChange.CREATED,
            runtime_metadata=runtime_metadata(call),
            configuration_arn=pipeline.configuration_arn,
        )
        self._events.append(unit, call.scope, pipeline, EventKind.STATE_CHANGE, partial(state_change, state=facts))

    def pipeline_failed(
        self, unit: Unit, call: ConnectorCall, *, configuration_arn: str, error: EarwitnessError, http_status: int
    ) -> None:
        """Tell that none could be made, and why; the call goes on."""
        facts = PipelineFacts(
            pipeline_arn=None,
            change=StateChange.CREATE_FAILED,
            runtime_metadata=runtime_metadata(call),
            failure_reason=str(error),
            failure_origin="Voice Connector",
            http_status_code=str(http_status),
            configuration_arn=configuration_arn,
        )
        targets = self._targets_of_account(call.scope, ["EventBridge"])
        make = partial(state_change, state=facts)
        self._events.append_to(unit, call.scope, call.transaction_id, EventKind.STATE_CHANGE, make, targets=targets)


def runtime_metadata(call: ConnectorCall) -> dict[str, str]:
    """Return what the pipeline of a call knows of it, in AWS's words (using-eventbridge-notifications)."""
    told = {
        "callId": call.call_id,
        "transactionId": call.transaction_id,
        "voiceConnectorId": call.connector_id,
        "direction": call.direction,
        "fromNumber": call.from_number,
        "toNumber": call.to_number,
    }
    return {name: value for name, value in told.items() if value}


def _connector_of(unit: Unit, call: ConnectorCall) -> VoiceConnector | None:
    """Return the connector of a call; None when it is gone, or damaged: the call goes on, and ends, all the same."""
    try:
        return unit.connectors.get(call.scope, call.connector_id)
    except CiphertextRefused as error:
        _log.error(
            "the connector of a call cannot be opened; its notification targets are not told",
            extra={"transaction_id": call.transaction_id, "reason": str(error)},
        )
        return None


def _notification_targets(connector: VoiceConnector | None) -> list[str]:
    streaming: Mapping[str, Any] = (connector.streaming if connector else None) or {}  # `Any`: as it was sent
    targets: list[JsonObject] = streaming.get("StreamingNotificationTargets") or []
    return [str(target["NotificationTarget"]) for target in targets if target.get("NotificationTarget")]


def _streamed(call: ConnectorCall, told: CallStarted | CallUpdated | None) -> StreamedCall:
    return StreamedCall(
        call_id=call.call_id,
        transaction_id=call.transaction_id,
        voice_connector_id=call.connector_id,
        direction=call.direction,
        from_number=call.from_number,
        to_number=call.to_number,
        invite_headers=_fitting_headers(told),
        siprec_metadata=_fitting(told),
    )


def _fitting(told: CallStarted | CallUpdated | None) -> str:
    document = "" if told is None else told.siprec_metadata
    return document if len(document) <= METADATA_CHARACTERS_MAX else ""


def _fitting_headers(told: CallStarted | CallUpdated | None) -> Mapping[str, str]:
    if not isinstance(told, CallStarted):
        return {}
    headers = told.invite_headers
    characters = sum(len(name) + len(value) for name, value in headers.items())
    return headers if characters <= METADATA_CHARACTERS_MAX else {}


def _streamed_leg(leg: KeptLeg) -> StreamedLeg:
    return StreamedLeg(
        label=leg.label,
        is_caller=leg.is_caller,
        coding=leg.coding,
        rate=leg.rate,
        index=leg.channel_id,
        stream_arn=leg.stream_arn,
        start_fragment_number=leg.start_fragment_number,
        started_at=leg.started_at,
    )
