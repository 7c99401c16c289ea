"""Records of the audit trail and of its chains."""

from dataclasses import dataclass
from datetime import datetime

from earwitness.store.records import Scope

SERVICE = "service"
"""Who did what nobody asked for just then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Who changed what, or was refused what, when."""

    #: Grows with every entry.
    entry_id: int
    #: Whose records it was about.
    scope: Scope
    time: datetime
    #: The access key or bearer token that asked, or the command or work of ours that did it.
    key_id: str
    operation: str
    #: Empty when it concerns no single resource.
    resource_arn: str
    #: `done`, or the class of the fault.
    outcome: str
    #: The request, as the logs name it.
    request_id: str
    #: Whose chain it is in; empty outside of PostgreSQL and for commands, None from before there were chains.
    node: str | None = None
    #: Its place in that chain, from 1; None before it was sealed.
    number: int | None = None
    #: SHA-256 of it and of all before it in the chain.
    digest: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditChain:
    """Where the chain of a node begins now."""

    node: str
    #: The entry before the first one that is still in the records; 0 while none was taken off.
    start_number: int
    #: That entry's digest, or the genesis.
    start_digest: bytes
    #: How many entries there were without a chain when this one began.
    before: int
    #: The signed statement of which entries were taken off; None while start_number is 0.
    cut: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFilter:
    """Which entries are wanted; None for all."""

    account_id: str | None = None
    region: str | None = None
    #: From this time on.
    since: datetime | None = None
    #: Before this time.
    until: datetime | None = None
    key_id: str | None = None
    operation: str | None = None
    resource_arn: str | None = None
    outcome: str | None = None
    node: str | None = None
