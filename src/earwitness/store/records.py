"""What the store keeps, as plain frozen records. Secrets and keys do not show when a record is printed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from earwitness.store.columns import JsonObject

RecordT = TypeVar("RecordT")

PageKey: TypeAlias = tuple[int | str, ...]
"""Where a page ended; give it back as `after`. Its parts survive JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Whose records a call speaks of; nothing outside it is ever read or changed."""

    account_id: str
    """The account, as the caller's key says."""

    region: str
    """The Region, as the request's signature says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[RecordT]):
    """A part of a list."""

    items: tuple[RecordT, ...]
    """At most as many as were asked for."""

    next_key: PageKey | None
    """Where the next page begins; None on the last page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKey:
    """A key that signs requests. Keys belong to an account, in all its Regions."""

    key_id: str
    """What the request names; unique in the whole store."""

    account_id: str
    """The account it acts in."""

    role: str
    """What it may do: admin, operator, reader or producer."""

    name: str
    """What people call it."""

    state: str
    """`enabled` or `disabled`."""

    secret: str = field(repr=False)
    """What the request is signed with."""

    created_at: datetime
    """When it was made; a rotation does not change it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BearerToken:
    """A token of our own API. The token itself is not kept, only its SHA-256."""

    token_id: str
    """What it is called when it is listed or revoked."""

    account_id: str
    """The account it acts in."""

    role: str
    """What it may do, as for an access key."""

    name: str
    """What people call it."""

    state: str
    """`enabled` or `revoked`."""

    created_at: datetime
    """When it was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """A media insights pipeline configuration."""

    configuration_id: str
    """Its GUID."""

    name: str
    """Unique in account and Region; never changes."""

    arn: str
    """Made of the name."""

    body: JsonObject
    """ResourceAccessRoleArn, Elements and, when given, RealTimeAlertConfiguration."""

    created_at: datetime
    """When it was made."""

    updated_at: datetime
    """When its body last changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """A media insights pipeline."""

    pipeline_id: str
    """Its GUID."""

    arn: str
    """Made of the id."""

    configuration_arn: str
    """The configuration it was created from, which may be gone by now."""

    configuration: JsonObject
    """That configuration's body as it was at the creation."""

    status: str
    """Where it is in its life cycle."""

    element_statuses: tuple[JsonObject, ...]
    """Type and Status of each element."""

    source: JsonObject
    """The runtime configurations it was created with."""

    runtime_metadata: JsonObject | None = field(repr=False)
    """What the caller attached; it may name people, and lies encrypted."""

    created_at: datetime
    """When it was made."""

    paused_at: datetime | None
    """Since when it has been paused; None when it is not."""

    ended_at: datetime | None
    """When it stopped or failed; None as long as it is active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceProfileDomain:
    """A group of voice profiles that are searched together."""

    domain_id: str
    """Its opaque id."""

    arn: str
    """Made of the id."""

    name: str
    """What people call it; need not be unique."""

    description: str
    """Empty when none was given."""

    kms_key_arn: str
    """The key its creator named; kept and told again."""

    band: str
    """`telephone` or `wideband`."""

    wrapped_key: bytes = field(repr=False)
    """The data key of its voiceprints, wrapped for `store.owners.domain_owner`."""

    version: int
    """Grows whenever a voiceprint comes, changes or goes, so that a gallery in memory knows that it is old."""

    created_at: datetime
    """When it was made."""

    updated_at: datetime
    """When its name or description last changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceProfile:
    """An enrolled voice."""

    profile_id: str
    """Its opaque id."""

    arn: str
    """Made of the id."""

    domain_id: str
    """The domain it is searched in."""

    created_at: datetime
    """When it was enrolled."""

    updated_at: datetime
    """When it was last enrolled again."""

    expires_at: datetime
    """When its voiceprint is deleted unless it is enrolled again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KinesisStream:
    """A Kinesis video stream."""

    name: str
    """Unique in account and Region."""

    arn: str
    """Made of the name and the time of creation."""

    version: str
    """Changes with every change of the stream."""

    device_name: str | None
    """The device that writes it, when given."""

    media_type: str | None
    """Its media type, when given."""

    kms_key_id: str | None
    """The key its creator named, when given; kept and told again."""

    retention_hours: int
    """How long fragments are kept; 0 for not beyond the live buffer."""

    status: str
    """CREATING, ACTIVE, UPDATING or DELETING."""

    wrapped_key: bytes = field(repr=False)
    """The data key of its audio, wrapped for `store.owners.stream_owner`."""

    created_at: datetime
    """When it was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What became of a client's request token."""

    is_new: bool
    """No request with this token came before: go on and create."""

    is_same_request: bool
    """The earlier request asked for the same; always true of a new one."""

    reference: str
    """What the first request with this token made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Who changed what, or was refused what, when."""

    entry_id: int
    """Its number; grows."""

    time: datetime
    """When it was written."""

    key_id: str
    """The access key or bearer token that asked."""

    operation: str
    """What was asked for."""

    resource_arn: str
    """What it was asked of; empty when it concerns no single resource."""

    outcome: str
    """`done`, or the class of the fault."""

    request_id: str
    """The request, as the logs name it."""
