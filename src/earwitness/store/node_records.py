"""Records of nodes: the processes that serve the same records, and which of them has what of a stream."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from earwitness.store.records import Scope


class NoteKind(StrEnum):
    """What a node has to look at."""

    TASK = "task"
    """One task has changed, has come to this node, or has left it."""

    TASKS = "tasks"
    """Tasks have come to this node."""

    STREAM = "stream"
    """The retention of a stream has changed, or it was deleted."""

    DOMAIN = "domain"
    """A domain was deleted, on which tasks may work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeNote:
    """Something that a node has to look at."""

    kind: NoteKind
    scope: Scope
    #: The id of the task, or the ARN of the stream.
    subject: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A process that serves these records. Its times are of the database's clock."""

    #: What its media folder is called by; the same after a restart.
    node_id: str
    #: Another text after each start.
    run: str
    host: str
    process: int
    version: str
    internal_url: str
    #: Where clients reach this node and no other; empty where they do not.
    node_url: str
    #: How many tasks it runs, and how many more it would.
    tasks: int
    room: int
    is_draining: bool
    started_at: datetime
    #: It is taken for dead from then on, unless it says again that it lives.
    alive_until: datetime
    #: Since when others have its tasks; None while it serves.
    dead_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamExtent:
    """The part of a stream's media that came to one node, one after the other."""

    node_id: str
    epoch: int
    #: Of the first fragment that may lie there.
    first_sequence: int
