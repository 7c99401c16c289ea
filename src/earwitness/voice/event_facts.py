"""What events tell, as values: the facts that `events` puts into AWS's words.

What belongs here: facts and their units. What must never: a key or a format of JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class StateChange(StrEnum):
    """What happened to a pipeline (`eventType`)."""

    IN_PROGRESS = "chime:MediaInsightsInProgress"
    PAUSED = "chime:MediaInsightsPaused"
    STOPPED = "chime:MediaInsightsStopped"
    TEMPORARY_FAILURE = "chime:MediaInsightsTemporaryFailure"
    PERMANENT_FAILURE = "chime:MediaInsightsPermanentFailure"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What every event says of itself."""

    event_id: str
    """A UUID; the same on every delivery of this event."""

    occurred_at: datetime
    """Aware; when it happened, not when it is sent."""

    account_id: str
    """12 digits."""

    region: str


@dataclass(frozen=True, kw_only=True)
class SearchedChannel:
    """The channel of a stream that a task listens to."""

    task_id: str
    pipeline_id: str
    pipeline_arn: str
    stream_arn: str
    channel_id: int

    participant_role: str | None = None
    """AGENT or CUSTOMER when the channel's definition says so."""

    voice_connector_id: str | None = None
    """From the runtime metadata, when the pipeline serves a Voice Connector call."""

    transaction_id: str | None = None
    """As for the Voice Connector."""


@dataclass(frozen=True, kw_only=True)
class IdentifiedProfile:
    """A profile that was named."""

    voice_profile_id: str
    confidence: float
    """Calibrated probability, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ElementState:
    """How one element of a pipeline is."""

    type: str
    status: str
    updated_at: datetime
    status_detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineFacts:
    """What a state change tells of its pipeline."""

    pipeline_arn: str
    change: StateChange

    elements: Sequence[ElementState] = ()
    """Those that have a status; notification sinks have none."""

    runtime_metadata: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What the caller attached; it may name people."""

    failure_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """A profile that was created or updated from the call."""

    voice_profile_id: str
    requested_at: datetime


@dataclass(frozen=True, kw_only=True)
class PostCallSummary:
    """What came of speaker search on one channel, told after the pipeline stopped."""

    pipeline_id: str
    pipeline_arn: str
    stream_arn: str
    channel_id: int

    best_matched_profile_id: str | None = None
    validated_profile_id: str | None = None
    """The profile the application created or updated from the call."""

    created: Sequence[ProfileRequest] = ()
    updated: Sequence[ProfileRequest] = ()
