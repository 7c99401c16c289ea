"""The seam between doors and the records: which connectors there are, and what becomes of a call.

`tasks/connector_calls.py` is behind it.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from earwitness.doors.events import CallEnded, CallStarted, CallUpdated, Leg
from earwitness.store.connector_records import DoorAccess
from earwitness.tasks.connector_calls import CONTINUED, KeptCall

__all__ = ["CONTINUED", "Desk", "DoorAccess", "KeptCall"]


class Desk(Protocol):
    """Where doors ask and tell. Its methods are called on the event loop and never block it."""

    async def access(self, connector_id: str) -> DoorAccess | None:
        """Return what is known of a connector, of any account; None when there is none."""
        ...

    async def in_use(self, connector_ids: Collection[str]) -> set[str]:
        """Return which of these connectors, of any account, take calls now."""
        ...

    async def use_nonce(self, access: DoorAccess, nonce: str) -> bool:
        """Return whether nobody has used this nonce of a proved signature before, at any node, before any start."""
        ...

    async def announced(self, call_id: str, *, require: Callable[[DoorAccess], None]) -> DoorAccess | None:
        """Return the connector that a call of this id was announced for, once; None when it was not, or is too old.

        `require` raises for a call that may not come to this connector; the announcement stays.
        """
        ...

    async def begin(self, access: DoorAccess, call: CallStarted, *, door: str) -> KeptCall:
        """Write that a call began, with a stream for each leg, and a pipeline if its connector names a configuration.

        `door` names the protocol. A call of this id that is in progress ends as failed where this one goes on with it,
        or where its node is dead; otherwise Conflict is raised. Raise LimitExceeded or Unavailable when there are too
        many.
        """
        ...

    async def add_leg(self, call: KeptCall, leg: Leg) -> KeptCall:
        """Return the call with a stream for one more leg. A leg whose coding changed keeps its stream."""
        ...

    async def update(self, call: KeptCall, told: CallUpdated) -> None:
        """Write what the phone system says now."""
        ...

    async def end(self, call: KeptCall, ended: CallEnded) -> None:
        """Write that a call ended, after its last fragment was written. A second time changes nothing."""
        ...

    def heard(self, stream_arn: str, *, door: str, size: int) -> None:
        """Note that a fragment of so many bytes of audio was written to this stream, or could not be."""
        ...
