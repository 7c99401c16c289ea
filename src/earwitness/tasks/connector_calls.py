"""Calls of Voice Connectors: what becomes of one in the records."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from earwitness.fragments.stream import FragmentStream
from earwitness.store.connector_records import DoorAccess


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
