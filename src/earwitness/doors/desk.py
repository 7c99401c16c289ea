"""The seam between doors and the records: which connectors there are, and what becomes of a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from earwitness.doors.events import CallEnded, CallStarted, CallUpdated, Leg
from earwitness.fragments.stream import FragmentStream
from earwitness.store.records import Scope
from earwitness.voice.connector import DoorSecret


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


@dataclass(frozen=True, kw_only=True)
class KeptCall:
    """A call that is in the records."""

    access: DoorAccess
    #: What it is known by from now on: a UUID.
    transaction_id: str
    call_id: str
    #: Where each leg's fragments go, by label.
    streams: Mapping[str, FragmentStream] = field(repr=False)
    #: ARNs, by label.
    stream_arns: Mapping[str, str]


class Desk(Protocol):
    """Where doors ask and tell. Its methods are called on the event loop and never block it."""

    async def access(self, connector_id: str) -> DoorAccess | None:
        """Return what is known of a connector, of any account; None when there is none."""
        ...

    async def announced(self, call_id: str) -> DoorAccess | None:
        """Return the connector that a call of this id was announced for, once; None when it was not, or is too old."""
        ...

    async def begin(self, access: DoorAccess, call: CallStarted, *, door: str) -> KeptCall:
        """Write that a call began, with a stream for each leg, and a pipeline if its connector names a configuration.

        `door` names the protocol. Raise Conflict when a call of this id is in progress, LimitExceeded or Unavailable
        when there are too many.
        """
        ...

    async def add_leg(self, call: KeptCall, leg: Leg) -> KeptCall:
        """Return the call with a stream for one more leg, or for a leg whose coding changed."""
        ...

    async def update(self, call: KeptCall, told: CallUpdated) -> None:
        """Write what the phone system says now."""
        ...

    async def end(self, call: KeptCall, ended: CallEnded) -> None:
        """Write that a call ended. A second time changes nothing."""
        ...

    def heard(self, stream_arn: str) -> None:
        """Note that a fragment of this stream was written."""
        ...
