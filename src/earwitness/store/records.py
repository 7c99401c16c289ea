"""What the store keeps, as plain frozen records. Their fields are named as the columns that they are read from.

Secrets, keys, voiceprints, audio and results do not show when a record is printed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from earwitness.store.columns import JsonObject
from earwitness.voice.band import Band
from earwitness.voice.connector import CallLeg
from earwitness.voice.line import Codec, LineChange, LineHealth
from earwitness.voice.task_status import StopReason, TaskStatus, VoiceprintStatus

RecordT = TypeVar("RecordT")

PageKey: TypeAlias = tuple[int | str, ...]
"""Where a page ended; give it back as `after`. Its parts survive JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Whose records a call reads or changes; nothing outside it is ever touched."""

    #: As the caller's key says.
    account_id: str
    #: As the request's signature says.
    region: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[RecordT]):
    """A part of a list."""

    #: At most as many as were asked for.
    items: tuple[RecordT, ...]
    #: Where the next page begins; None on the last page.
    next_key: PageKey | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    """A key that signs requests. Keys belong to an account, in all its Regions."""

    #: What the request names; unique in the whole store.
    key_id: str
    account_id: str
    #: What it may do: admin, operator, reader or producer.
    role: str
    name: str
    #: `enabled` or `disabled`.
    state: str
    secret: str = field(repr=False)
    #: Differs after a rotation; it is no secret.
    version: bytes = field(repr=False)
    #: A rotation does not change it.
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BearerToken:
    """A token of our own API. The token itself is not kept, only its SHA-256."""

    token_id: str
    account_id: str
    role: str
    name: str
    #: `enabled` or `revoked`.
    state: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """A media insights pipeline configuration."""

    configuration_id: str
    #: Unique in account and Region; never changes.
    name: str
    #: Made of the name.
    arn: str
    #: ResourceAccessRoleArn, Elements and, when given, RealTimeAlertConfiguration.
    body: JsonObject
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """A media insights pipeline."""

    pipeline_id: str
    arn: str
    #: The configuration it was created from, which may be gone by now.
    configuration_arn: str
    #: That configuration's body as it was at the creation.
    configuration: JsonObject
    status: str
    #: Type and Status of each element.
    element_statuses: tuple[JsonObject, ...]
    #: The runtime configurations it was created with.
    source: JsonObject
    #: What the caller attached; it may name people.
    runtime_metadata: JsonObject | None = field(repr=False)
    created_at: datetime
    #: Since when it has been paused; None when it is not.
    paused_at: datetime | None
    #: When it stopped or failed; None as long as it is active.
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScopedPipeline:
    """A pipeline and whose it is, for those who look after the pipelines of all accounts."""

    scope: Scope
    pipeline: Pipeline


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceProfileDomain:
    """A group of voice profiles that are searched together."""

    domain_id: str
    arn: str
    #: Need not be unique.
    name: str
    #: Empty when none was given.
    description: str
    #: The key its creator named; kept and answered again.
    kms_key_arn: str
    band: Band
    #: The data key of its voiceprints.
    wrapped_key: bytes = field(repr=False)
    #: Grows by one whenever a voiceprint comes or goes, so that a gallery in memory knows that it is old.
    version: int
    created_at: datetime
    #: When its name or description last changed.
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceProfile:
    """An enrolled voice."""

    profile_id: str
    arn: str
    domain_id: str
    created_at: datetime
    #: When it was last enrolled again.
    updated_at: datetime
    #: When its voiceprints are deleted unless it is enrolled again.
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class KinesisStream:
    """A Kinesis video stream."""

    #: Unique in account and Region.
    name: str
    #: Made of the name and the time of creation.
    arn: str
    #: Changes with every change of the stream.
    version: str
    device_name: str | None
    media_type: str | None
    #: The key its creator named; kept and answered again.
    kms_key_id: str | None
    #: How long fragments are kept; 0 for not beyond the live buffer.
    retention_hours: int
    #: CREATING, ACTIVE, UPDATING or DELETING.
    status: str
    #: The data key of its audio.
    wrapped_key: bytes = field(repr=False)
    created_at: datetime
    #: The node that its media come to; None before the first, and in SQLite.
    home_node: str | None = None
    #: How often it has moved.
    home_epoch: int = 0


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

    #: Whose it is; a worker serves all accounts.
    scope: Scope
    task_id: str
    #: The pipeline it belongs to; it is deleted with it.
    pipeline_id: str
    stream_arn: str
    #: 0 or 1.
    channel_id: int
    #: The domain it searches, which may be gone by now.
    domain_id: str
    #: The same, as the caller named it.
    domain_arn: str
    #: It begins after this fragment; None for the latest.
    start_fragment_number: str | None
    status: TaskStatus
    #: How often it was picked up. Whoever writes with another number than this is refused.
    attempt: int
    #: Why it was asked to stop; None when it was not. DOMAIN_DELETED comes without a stop: the worker fails it.
    stop_reason: StopReason | None
    #: What went wrong, or what it goes on without, in words without personal data; None when nothing did.
    status_message: str | None
    #: Where its worker was: fragment numbers and speech ranges, never audio. None before the first, and when over.
    checkpoint: JsonObject | None = field(repr=False)
    #: The result of its search; None before there is one, and after the deletion of the domain.
    identification: JsonObject | None = field(repr=False)
    #: Whether it made a voiceprint; stays when the voiceprint is deleted.
    voiceprint_status: VoiceprintStatus | None
    #: The profile that was created from it; None when none was, or it is deleted.
    profile_id: str | None
    created_at: datetime
    #: When its status or a result last changed; checkpoints do not count.
    updated_at: datetime
    #: When it was first picked up.
    started_at: datetime | None
    #: When it stopped or failed; None as long as it is active.
    ended_at: datetime | None
    #: The node that runs it; None in SQLite, which has one.
    node_id: str | None = None
    #: The leg of a Voice Connector's call that it was started on; None for a channel of a pipeline.
    call_leg: CallLeg | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVoiceprint:
    """A voiceprint as it is given to the store."""

    #: What made the vector; vectors of different encoders are never compared.
    encoder_id: str
    #: The unit vector: float32, little endian.
    vector: bytes = field(repr=False)
    #: How much speech it was made of.
    net_speech_seconds: float
    #: What was measured of that speech.
    quality: JsonObject
    #: The speech itself, kept only where the operator wants to rebuild voiceprints under a new encoder.
    audio: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskVoiceprint:
    """The voiceprint that a task made, from which a profile can be created for 24 hours."""

    task_id: str
    #: The domain it was made for; no other can use it.
    domain_id: str
    voiceprint: NewVoiceprint
    created_at: datetime
    #: When it is deleted: 24 hours after the later of its making and the end of the task.
    keep_until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileVoiceprint:
    """One voiceprint of a profile, without its vector."""

    #: Unique within the profile.
    voiceprint_id: str
    profile_id: str
    encoder_id: str
    net_speech_seconds: float
    quality: JsonObject
    #: The task that made it; None when it was enrolled otherwise.
    source_task_id: str | None
    #: Where the consent of its owner is recorded, when given; it may name a person.
    consent_reference: str | None = field(repr=False)
    #: Whether its speech is kept.
    has_audio: bool
    created_at: datetime
    #: When it is deleted, unless the profile is enrolled again.
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileEnrolment:
    """A profile that got a voiceprint of a task."""

    profile_id: str
    task_id: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryEntry:
    """One voiceprint as a search needs it."""

    profile_id: str
    voiceprint_id: str
    encoder_id: str
    #: The unit vector: float32, little endian.
    vector: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryPage:
    """A part of a domain's voiceprints.

    Keep the first page's version with the gallery. What changed while the pages were read moved the version beyond it,
    and so is among the changes since.
    """

    #: The domain's version just before this page was read.
    domain_version: int
    #: Ordered by profile and voiceprint.
    page: Page[GalleryEntry]


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryChanges:
    """Profiles whose voiceprints came or went after a version of a domain, and what they have now."""

    #: The version up to which they are told; the domain's own may be later.
    version: int
    profile_ids: frozenset[str]
    #: All voiceprints of these profiles; none of one that is deleted or expired.
    entries: tuple[GalleryEntry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LineVote:
    """One voice that a line is learnt from; kept until the line is learnt, a day at most."""

    #: Counts up within the line.
    number: int
    #: What made the vector.
    encoder_id: str
    #: The unit vector: float32, little endian.
    vector: bytes = field(repr=False)
    #: How much speech it was made of.
    net_speech_seconds: float
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LineVersion:
    """A line as it was from a time on. A line that was never learnt has none."""

    codec: Codec
    #: Counts up within the line.
    number: int
    why: LineChange
    #: How many voices the mean is of; 0 without a mean.
    voices: int
    #: What made the vectors; None without a mean.
    encoder_id: str | None
    #: The version whose mean this one has again; None unless that was asked for.
    reverted_to: int | None
    #: The key that asked for it; None when the service learnt it.
    key_id: str | None
    created_at: datetime
    #: Where the raw embeddings of the line lie: float32, little endian, not of unit length. None: where the shipped do.
    mean: bytes | None = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class LineMonitor:
    """How strangers have scored over the last searches of a line, about twenty: near 0 is well."""

    codec: Codec
    #: How many met voiceprints that did not match, since the line last changed.
    searches: int
    #: Of the scores of these voiceprints; None without any.
    voiceprints_mean: float | None
    #: Their standard deviation.
    voiceprints_spread: float | None
    #: Of the scores between the voices of the last searches; None for too few of them since the service started.
    callers_mean: float | None
    health: LineHealth
    updated_at: datetime


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    """Waits for its turn or for its next attempt."""

    DELIVERED = "delivered"
    """The target took it."""

    PARKED = "parked"
    """Given up; a replay tries again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventDelivery:
    """What became of one event at one target."""

    #: The ARN, URL or file it goes to.
    target: str
    state: DeliveryState
    #: How often it was tried since it was written or replayed.
    attempts: int
    #: Not before this time is it tried (again); without meaning once it is delivered or parked.
    next_attempt_at: datetime
    #: Why the last attempt failed, in constant words.
    last_error: str | None
    delivered_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxEvent:
    """What happened to a pipeline or a task, as receivers are notified of it."""

    #: Its number in the whole store; grows in the order of each pipeline.
    sequence: int
    #: What receivers recognise a repetition by; never changes.
    event_id: str
    #: The pipeline it belongs to; it is deleted with it.
    pipeline_id: str
    #: What it reports, for filters and lists.
    kind: str
    #: Exactly what is delivered; None when it cannot be opened any more: damaged, or its key was destroyed.
    body: bytes | None = field(repr=False)
    #: When it was written, together with what it reports.
    created_at: datetime
    #: One for each target, ordered by target.
    deliveries: tuple[EventDelivery, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedDelivery:
    """One delivery to be made now, by whoever claimed it and nobody else until the claim runs out."""

    #: Whose event.
    scope: Scope
    sequence: int
    event_id: str
    pipeline_id: str
    kind: str
    body: bytes = field(repr=False)
    #: When the event was written.
    created_at: datetime
    target: str
    #: This attempt's number, from 1.
    attempt: int
    #: When the claim runs out, unless it is renewed before.
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenClaim:
    """What became of a client's request token."""

    #: No request with this token came before: go on and create.
    is_new: bool
    #: The earlier request asked for the same; always true of a new one.
    is_same_request: bool
    #: What the first request with this token made.
    reference: str
