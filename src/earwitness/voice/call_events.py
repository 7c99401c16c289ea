"""The events of a Voice Connector's calls: that one began, changed or ended, and that tasks can be started on it.

Shapes are those of Amazon Chime SDK's notifications (automating-chime-with-cloudwatch-events, va-in-voice-namespace).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from earwitness.voice.call import AudioCoding
from earwitness.voice.events import Envelope, EventDocument, enclosed, iso8601, present


class StreamingStatus(StrEnum):
    """What happened to the audio of a call, in the words of the wire."""

    STARTED = "STARTED"
    UPDATED = "UPDATED"
    ENDED = "ENDED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class StreamedCall:
    """What events tell of a call."""

    call_id: str
    transaction_id: str
    voice_connector_id: str
    #: `Inbound` or `Outbound`.
    direction: str
    #: Empty when nobody told it.
    from_number: str = field(repr=False)
    to_number: str = field(repr=False)
    #: Headers of the INVITE.
    invite_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    #: The metadata document of SIPREC.
    siprec_metadata: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class StreamedLeg:
    """What events tell of one leg of it."""

    label: str
    is_caller: bool
    coding: AudioCoding
    #: Hz.
    rate: int
    #: The place of the leg in its call, from 0.
    index: int
    stream_arn: str
    start_fragment_number: str
    started_at: datetime


def streaming_status(
    envelope: Envelope, call: StreamedCall, leg: StreamedLeg, status: StreamingStatus
) -> EventDocument:
    """Return the event of one leg. `mediaType` says what is in the stream: AWS's are always audio/L16, ours as sent."""
    over = {StreamingStatus.ENDED: "endTime", StreamingStatus.FAILED: "failTime"}.get(status)
    detail: EventDocument = {
        "streamingStatus": status.value,
        "voiceConnectorId": call.voice_connector_id,
        "transactionId": call.transaction_id,
        "callId": call.call_id,
        "direction": call.direction,
        "fromNumber": call.from_number or None,
        "toNumber": call.to_number or None,
        "inviteHeaders": dict(call.invite_headers) or None,
        "siprecMetadata": call.siprec_metadata or None,
        "isCaller": leg.is_caller,
        "mediaType": f"audio/{leg.coding.value}",
        "sdp": {"mediaIndex": leg.index, "mediaLabel": leg.label},
        "streamArn": leg.stream_arn,
        "startFragmentNumber": leg.start_fragment_number,
        "startTime": iso8601(leg.started_at),
        **({} if over is None else {over: iso8601(envelope.occurred_at)}),
        "version": "0",
    }
    kind = "Chime VoiceConnector Streaming Status"
    return enclosed(envelope, kind, detail=present(detail), is_voice_analytics=False)


def analytics_ready(envelope: Envelope, call: StreamedCall, leg: StreamedLeg) -> EventDocument:
    """Return the event that tasks can be started on a call. AWS's page nests what working programs read flat: both."""
    told: EventDocument = {
        "isCaller": leg.is_caller,
        "transactionId": call.transaction_id,
        "voiceConnectorId": call.voice_connector_id,
    }
    flat: EventDocument = {
        "callId": call.call_id,
        "inviteHeaders": dict(call.invite_headers) or None,
        "streamStartTime": iso8601(leg.started_at),
    }
    detail: EventDocument = {"detailStatus": "AnalyticsReady", "callDetails": told, **told, **present(flat)}
    return enclosed(envelope, "VoiceAnalyticsStatus", detail=detail)
