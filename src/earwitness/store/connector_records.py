"""What the store keeps of Voice Connectors and of their calls, as plain frozen records.

Secrets and telephone numbers do not show when a record is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
