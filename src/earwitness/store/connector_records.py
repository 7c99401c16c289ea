"""What the store keeps of Voice Connectors and of their calls, as plain frozen records.

Secrets and telephone numbers do not show when a record is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from earwitness.store.columns import JsonObject
from earwitness.store.records import Scope
from earwitness.voice.call import AudioCoding
from earwitness.voice.connector import CallLeg, CallStatus, DoorSecret


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorSettings:
    """Which calls a connector takes."""

    #: None.
    disabled: bool = False
    #: Addresses and networks that calls may come from, where a protocol has no other proof; empty: loopback only.
    allowed_networks: tuple[str, ...] = ()
    #: The label of the caller's leg where a protocol does not say who called; empty: by the protocol's rule.
    caller_label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorAccess:
    """What a door knows of a Voice Connector: whose it is, and how a phone system proves that it may send calls."""

    scope: Scope
    connector_id: str
    #: Not in use: its calls are refused.
    disabled: bool
    #: TLS only, media too.
    require_encryption: bool
    #: Addresses and networks that calls may come from, where a protocol has no other proof; empty: loopback only.
    allowed_networks: tuple[str, ...]
    secrets: Mapping[DoorSecret, str] = field(repr=False)
    #: The label of the caller's leg where a protocol does not say who called; empty: by the protocol's rule.
    caller_label: str


def is_disabled(door_disabled: bool, streaming: JsonObject | None) -> bool:
    """Return whether a connector takes no calls, by its door or by its streaming configuration."""
    return door_disabled or bool((streaming or {}).get("Disabled"))


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceConnector:
    """A Voice Connector."""

    scope: Scope
    #: As AWS writes them, 22 lower-case letters and digits; unique over all accounts.
    connector_id: str
    arn: str
    name: str
    #: What AWS has of it beside: AwsRegion, RequireEncryption, IntegrationType, NetworkType.
    body: JsonObject
    #: Its StreamingConfiguration as it was sent; None without one.
    streaming: JsonObject | None
    door: DoorSettings
    secrets: Mapping[DoorSecret, str] = field(repr=False)
    created_at: datetime
    updated_at: datetime

    @property
    def access(self) -> DoorAccess:
        """Return what a door knows of it."""
        return DoorAccess(
            scope=self.scope,
            connector_id=self.connector_id,
            disabled=is_disabled(self.door.disabled, self.streaming),
            require_encryption=bool(self.body.get("RequireEncryption")),
            allowed_networks=self.door.allowed_networks,
            secrets=self.secrets,
            caller_label=self.door.caller_label,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLeg:
    """A leg of a call, and the stream that its audio goes to."""

    #: What the protocol calls it.
    label: str
    is_caller: bool
    coding: AudioCoding
    #: Hz.
    rate: int
    stream_arn: str
    #: What a pipeline calls its channel: 0 for the first leg, 1 for the second.
    channel_id: int
    #: A number before that of its first fragment and behind all earlier ones.
    start_fragment_number: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ActiveCall:
    """What is to be known of a call in progress to end it, whatever else of its record is damaged."""

    scope: Scope
    transaction_id: str
    started_at: datetime
    #: The node that it came to; None in SQLite.
    node_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectorCall:
    """A call of a connector; kept for seven days after its end."""

    scope: Scope
    #: A UUID of ours.
    transaction_id: str
    #: The connector it came by, which may be gone by now.
    connector_id: str
    #: The phone system's name for it.
    call_id: str
    #: The protocol it came by.
    door: str
    #: `Inbound` or `Outbound`.
    direction: str
    #: None when its connector named no configuration, or no pipeline could be made.
    pipeline_id: str | None
    status: CallStatus
    #: Why it ended, in words without personal data; None before that.
    reason: str | None
    from_number: str = field(repr=False)
    to_number: str = field(repr=False)
    started_at: datetime
    ended_at: datetime | None
    #: In the order in which they came.
    legs: tuple[KeptLeg, ...]

    def leg(self, which: CallLeg) -> KeptLeg | None:
        """Return the first leg of the caller, or of the other party; None when there is no such leg."""
        wanted = which is CallLeg.CALLER
        return next((leg for leg in self.legs if leg.is_caller == wanted), None)
