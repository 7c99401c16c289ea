"""The tables of the audit trail: its entries, and where the chain over those of each node begins."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from earwitness.store.columns import digest, numbered, scope, text, time, where, whole
from earwitness.store.node_schema import NODE
from earwitness.store.tables import COUNT, ID, STATE, metadata

audit_entries = Table(
    "audit_entries",
    metadata,
    numbered("entry_id", COUNT),
    *scope(),
    text("key_id", "the id of the key that asked, or the command that did it"),
    text("operation", STATE),
    text("resource_arn", "the ARN of what was asked for; a stream's holds its name"),
    text("outcome", STATE),
    text("request_id", ID),
    time("time"),
    text("node", f"{NODE}; empty for commands and in SQLite, null from before there were chains", nullable=True),
    whole("number", "its place in the chain of the node; null before it was sealed", nullable=True),
    digest("digest", "SHA-256 of the entry and of all before it in the chain", nullable=True),
    Index("audit_entries_by_account", "account_id", "region", "entry_id"),
    Index("audit_entries_by_time", "time"),
    Index("audit_entries_by_chain", "node", "number", unique=True, **where("number IS NOT NULL")),
    Index("audit_entries_unsealed", "node", "entry_id", **where("number IS NULL AND node IS NOT NULL")),
)

audit_chains = Table(
    "audit_chains",
    metadata,
    text("node", f"{NODE}; empty for commands and in SQLite"),
    whole("start_number", COUNT),
    digest("start_digest", "of the entry before the first one that is kept"),
    whole("before", "how many entries there were without a chain when it began"),
    text("cut", "a signed statement of which entries were taken off", nullable=True),
    time("created_at"),
    PrimaryKeyConstraint("node"),
)
"""Where the chain over the audit entries of each node begins."""
