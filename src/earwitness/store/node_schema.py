"""The tables of nodes: the processes that serve the same records in PostgreSQL, and where each stream's media lie.

In SQLite, which one process serves, they are empty.
"""

from sqlalchemy import ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from earwitness.store.columns import numbered, scope, text, time, whole, word
from earwitness.store.node_records import NoteKind
from earwitness.store.tables import COUNT, STATE, metadata

NODE = "the id of a node, which its media folder holds"

nodes = Table(
    "nodes",
    metadata,
    text("node_id", NODE),
    text("run", "a random text that a process made at its start"),
    text("host", "the name of the machine that serves"),
    whole("process", "the number of the process that serves"),
    text("version", "the version of earwitness that it runs"),
    text("internal_url", "where other nodes reach it"),
    text("node_url", "where clients reach it and no other node; empty where they do not"),
    whole("tasks", "how many tasks it runs"),
    whole("room", "how many more it would run"),
    whole("is_draining", "1 when it takes nothing new"),
    time("started_at"),
    time("alive_until", says="a time"),
    time("dead_at", says="a time", nullable=True),
    PrimaryKeyConstraint("node_id"),
    # In a unique key, so that PostgreSQL lets nobody change it while a transaction of the process holds the row's key.
    UniqueConstraint("run"),
)
"""Times in here are those of the database's clock."""

node_notes = Table(
    "node_notes",
    metadata,
    numbered("number", COUNT),
    text("node_id", NODE),
    word(NoteKind, "kind", STATE),
    *scope(),
    text("subject", "the id of a task, the ARN of a stream, or nothing"),
    Index("node_notes_by_node", "node_id", "number"),
)
"""What a node has to look at, in the transaction that changed it; the node deletes what it has read."""

stream_extents = Table(
    "stream_extents",
    metadata,
    *scope(),
    text("stream_arn", "the ARN of the stream, which holds its name"),
    whole("epoch", "how often the stream had moved when this node became its home"),
    text("node_id", NODE),
    whole("first_sequence", "the first fragment that may lie there; those of the next home lie behind it"),
    PrimaryKeyConstraint("account_id", "region", "stream_arn", "epoch"),
    ForeignKeyConstraint(
        ["account_id", "region", "stream_arn"],
        ["kinesis_streams.account_id", "kinesis_streams.region", "kinesis_streams.arn"],
        ondelete="CASCADE",
    ),
    Index("stream_extents_by_node", "node_id"),
)
"""Which node has which part of a stream's media."""
