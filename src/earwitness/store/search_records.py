"""What the store keeps of the live search, as plain frozen records. Vectors, audio and results do not show in print."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from earwitness.store.columns import JsonObject
from earwitness.store.records import Page, Pipeline, Scope
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class ScopedPipeline:
    """A pipeline and whose it is, for those who look after the pipelines of all accounts."""

    scope: Scope
    """Account and Region."""

    pipeline: Pipeline
    """The pipeline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerSearchTaskState:
    """What is asked of a task again and again; each as the task has it."""

    task_id: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerSearchTask:
    """One search for the speaker of one channel of one stream. Of what was sealed, None is what cannot be opened."""

    scope: Scope
    """Whose it is; a worker serves all accounts."""

    task_id: str
    """Its GUID."""

    pipeline_id: str
    """The pipeline it belongs to; it is deleted with it."""

    stream_arn: str
    """The stream it listens to."""

    channel_id: int
    """The channel of the stream, 0 or 1."""

    domain_id: str
    """The domain it searches, which may be gone by now."""

    domain_arn: str
    """The same, as the caller named it."""

    start_fragment_number: str | None
    """It begins after this fragment; None for the latest."""

    status: TaskStatus
    """Where it is in its life."""

    attempt: int
    """How often it was picked up. Whoever writes with another number than this is refused."""

    stop_reason: StopReason | None
    """Why it was asked to stop; None when it was not. DOMAIN_DELETED comes without a stop: the worker fails it."""

    status_message: str | None
    """What went wrong, or what it goes on without, in words without personal data; None when nothing did."""

    checkpoint: JsonObject | None = field(repr=False)
    """Where its worker was: fragment numbers and speech ranges, never audio. None before the first, and when over."""

    identification: JsonObject | None = field(repr=False)
    """The result of its search; None before there is one, and after the deletion of the domain."""

    voiceprint_status: VoiceprintStatus | None
    """Whether it made a voiceprint; stays when the voiceprint is deleted."""

    profile_id: str | None
    """The profile that was created from it; None when none was, or it is deleted."""

    created_at: datetime
    """When it was accepted."""

    updated_at: datetime
    """When its status or a result last changed; checkpoints do not count."""

    started_at: datetime | None
    """When it was first picked up."""

    ended_at: datetime | None
    """When it stopped or failed; None as long as it is active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVoiceprint:
    """A voiceprint as it is given to the store."""

    encoder_id: str
    """What made the vector; vectors of different encoders are never compared."""

    vector: bytes = field(repr=False)
    """The unit vector: float32, little endian."""

    net_speech_seconds: float
    """How much speech it was made of."""

    quality: JsonObject
    """What was measured of that speech."""

    audio: bytes | None = field(default=None, repr=False)
    """The speech itself, kept only where the operator wants to rebuild voiceprints under a new encoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskVoiceprint:
    """The voiceprint that a task made, from which a profile can be created for 24 hours."""

    task_id: str
    """The task."""

    domain_id: str
    """The domain it was made for; no other can use it."""

    voiceprint: NewVoiceprint
    """What it consists of."""

    created_at: datetime
    """When it was made."""

    keep_until: datetime
    """When it is deleted: 24 hours after the later of its making and the end of the task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileVoiceprint:
    """One voiceprint of a profile, without its vector."""

    voiceprint_id: str
    """Its id within the profile."""

    profile_id: str
    """Whose voice."""

    encoder_id: str
    """What made the vector."""

    net_speech_seconds: float
    """How much speech it was made of."""

    quality: JsonObject
    """What was measured of that speech."""

    source_task_id: str | None
    """The task that made it; None when it was enrolled otherwise."""

    consent_reference: str | None = field(repr=False)
    """Where the consent of its owner is recorded, when given; it may name a person, and lies encrypted."""

    has_audio: bool
    """Whether its speech is kept."""

    created_at: datetime
    """When it was enrolled."""

    expires_at: datetime
    """When it is deleted, unless the profile is enrolled again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryEntry:
    """One voiceprint as a search needs it."""

    profile_id: str
    """Whose voice."""

    voiceprint_id: str
    """Its id within the profile."""

    encoder_id: str
    """What made the vector."""

    vector: bytes = field(repr=False)
    """The unit vector: float32, little endian."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryPage:
    """A part of a domain's voiceprints."""

    domain_version: int
    """The domain's version just before this page was read.

    Keep the first page's with the gallery. What changed while the pages were read moved the version beyond it, and so
    the gallery is seen to be old.
    """

    page: Page[GalleryEntry]
    """Ordered by profile and voiceprint."""


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    """Waits for its turn or for its next attempt."""

    DELIVERED = "delivered"
    """The target took it."""

    PARKED = "parked"
    """Given up; a replay tries again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What became of one event at one target."""

    target: str
    """The ARN, URL or file it goes to."""

    state: DeliveryState
    """Where it is."""

    attempts: int
    """How often it was tried since it was written or replayed."""

    next_attempt_at: datetime
    """Not before this time is it tried (again); without meaning once it is delivered or parked."""

    last_error: str | None
    """Why the last attempt failed, in constant words."""

    delivered_at: datetime | None
    """When the target took it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happened to a pipeline or a task, as it is told to the outside."""

    sequence: int
    """Its number in the whole store; grows in the order of each pipeline."""

    event_id: str
    """What receivers tell a repetition by; never changes."""

    pipeline_id: str
    """The pipeline it belongs to; it is deleted with it."""

    kind: str
    """What it tells of, for filters and lists."""

    body: bytes | None = field(repr=False)
    """Exactly what is delivered; None when it cannot be opened any more: damaged, or its key was destroyed."""

    created_at: datetime
    """When it was written, together with what it reports."""

    deliveries: tuple[Delivery, ...]
    """One for each target, ordered by target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedDelivery:
    """One delivery to be made now, by whoever claimed it and nobody else until the claim runs out."""

    scope: Scope
    """Whose event."""

    sequence: int
    """The event's number."""

    event_id: str
    """The event's id."""

    pipeline_id: str
    """The event's pipeline."""

    kind: str
    """The event's kind."""

    body: bytes = field(repr=False)
    """What to deliver."""

    created_at: datetime
    """When the event was written."""

    target: str
    """Where to."""

    attempt: int
    """This attempt's number, from 1."""

    until: datetime
    """When the claim runs out, unless it is renewed before."""
