"""Nodes as others see them: which there are, what they have to look at, and the end of one that died.

A node that says no longer that it lives is taken for dead by another one, in one transaction: its tasks, and the
streams that they listen to, move to nodes that live, and nothing that it still writes is taken (`leading.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from earwitness.store.hot_reads import HotRead, StoredRow
from earwitness.store.leading import DATABASE_CLOCK
from earwitness.store.node_records import Node, NodeNote, NoteKind
from earwitness.store.node_schema import node_notes, nodes, stream_extents
from earwitness.store.records import Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, record, scope_of
from earwitness.store.schema import events, tasks
from earwitness.store.schema import kinesis_streams as streams

BLOCK = 10_000
"""Sequences that a home is given at once: hours of a call, so that the records hear of moves, not of fragments."""

_MOVED_AT_ONCE = 500
"""Streams in one statement."""


_BY_ID = HotRead(select(nodes), nodes.c.node_id)
_NEWS = HotRead(
    select(
        func.count(node_notes.c.number).label("notes"),
        select(func.max(events.c.sequence)).scalar_subquery().label("last_event"),
    ),
    node_notes.c.node_id,
)
_SILENT: ColumnElement[bool] = nodes.c.dead_at.is_(None) & (nodes.c.alive_until <= DATABASE_CLOCK)
_ANY_SILENT = HotRead(select(nodes.c.node_id).where(_SILENT).limit(1))


@dataclass(frozen=True, kw_only=True)
class NodeNews:
    """What a node asks for several times a second, in one read that is compiled once."""

    #: Whether there is something to look at for this node.
    has_notes: bool
    #: The number of the newest event of all accounts; 0 when there is none.
    last_event: int


class NodeReader(Reader):
    """What can be read of nodes."""

    def news(self, node_id: str) -> NodeNews:
        """Return what there is for a node."""
        found = self._session.hot(_NEWS, _news, node_id)
        return found or NodeNews(has_notes=False, last_event=0)

    def is_any_silent(self) -> bool:
        """Return whether a node's lease has run out that was not taken for dead."""
        return self._session.hot(_ANY_SILENT, lambda row: str(row["node_id"])) is not None

    def get(self, node_id: str) -> Node | None:
        """Return the node of this id, or None; dead ones too."""
        return self._session.hot(_BY_ID, _node, node_id)

    def list(self, *, after: PageKey | None = None, limit: int) -> Page[Node]:
        """Return all nodes there ever were, by id."""
        return self._page(_node, select(nodes), order=(nodes.c.node_id,), after=after, limit=limit)

    def is_alive(self, node_id: str) -> bool:
        """Return whether a node lives, as far as the records know."""
        alive = (nodes.c.node_id == node_id) & ALIVE
        return self._session.row(select(nodes.c.node_id).where(alive)) is not None


class NodeWriter(Writer, NodeReader):
    """What can be changed of nodes."""

    def set_draining(self, node_id: str, *, is_draining: bool) -> bool:
        """Have a node take nothing new, or take calls again; False when none of this id serves."""
        serving = (nodes.c.node_id == node_id) & nodes.c.dead_at.is_(None)
        return self._update(nodes, serving, is_draining=int(is_draining)) == 1

    def forget(self, node_id: str) -> bool:
        """Remove a dead node and the word of the media that it had; False when it serves, or is unknown."""
        dead = (nodes.c.node_id == node_id) & nodes.c.dead_at.is_not(None)
        if not self._delete(nodes, dead):
            return False
        self._delete(stream_extents, stream_extents.c.node_id == node_id)
        self._delete(node_notes, node_notes.c.node_id == node_id)
        return True

    def hold(self, node_id: str) -> bool:
        """Return whether this node lives, and keep it from being taken for dead until this transaction ends."""
        living = select(nodes.c.node_id).where(nodes.c.node_id == node_id, nodes.c.dead_at.is_(None))
        return self._session.row(living.with_for_update(read=True, key_share=True)) is not None

    def note(self, node_id: str | None, kind: NoteKind, scope: Scope, subject: str) -> None:
        """Have a node look at something, unless it is ourselves, or there are no nodes."""
        if node_id is not None and node_id != self._writing.node_id:
            self._writing.session.change(
                insert(node_notes).values(node_id=node_id, kind=kind, **asdict(scope), subject=subject)
            )

    def note_all(self, kind: NoteKind, scope: Scope, subject: str, *, among: Sequence[str] | None = None) -> None:
        """Have all other nodes, or those `among` them, look at something."""
        others = select(nodes.c.node_id).where(nodes.c.dead_at.is_(None), nodes.c.node_id != self._writing.node_id)
        chosen = others if among is None else others.where(nodes.c.node_id.in_(among))
        for row in self._session.rows(chosen):
            self.note(row["node_id"], kind, scope, subject)

    def take_notes(self) -> list[NodeNote]:
        """Return what this node has to look at, in the order in which it was written, and delete it."""
        mine = delete(node_notes).where(node_notes.c.node_id == self._writing.node_id)
        rows = self._writing.session.taken(mine.returning(*node_notes.c))
        return [record(NodeNote, row, scope=scope_of(row)) for row in sorted(rows, key=lambda row: row["number"])]

    def bury_one(self) -> str | None:
        """Take a node for dead that is silent, and give its tasks to others; return its id, None when all live.

        The longest silent is the first. A node of which a change is under way lives for certain, and is passed over.
        """
        silent = select(nodes.c.node_id).where(_SILENT)
        found = self._session.row(silent.order_by(nodes.c.alive_until).limit(1).with_for_update(skip_locked=True))
        if found is None:
            return None
        node_id: str = found["node_id"]
        self._update(nodes, nodes.c.node_id == node_id, dead_at=DATABASE_CLOCK)
        self._delete(node_notes, node_notes.c.node_id == node_id)
        self.move_tasks(node_id)
        return node_id

    def move_tasks(self, node_id: str) -> None:
        """Give a node's tasks, and the streams that they listen to, to those that have most room."""
        heirs = self._heirs(node_id)
        if not heirs:
            return
        active = select(tasks.c.account_id, tasks.c.region, tasks.c.stream_arn).where(
            tasks.c.node_id == node_id, tasks.c.ended_at.is_(None)
        )
        keys = [tuple(row.values()) for row in self._session.rows(active.distinct())]
        for heir, place in zip(heirs, range(len(heirs)), strict=True):
            for some in _batches(keys[place :: len(heirs)]):
                self._move(node_id, heir, some)
            self.note(heir, NoteKind.TASKS, Scope(account_id="", region=""), "")

    def take_unplaced_tasks(self) -> int:
        """Run the active tasks that no node has, as those have none that were begun before there were nodes.

        Return how many there were.
        """
        unplaced = tasks.c.node_id.is_(None) & tasks.c.ended_at.is_(None)
        return self._update(tasks, unplaced, node_id=self._writing.node_id)

    def _heirs(self, node_id: str) -> list[str]:
        """Return as many nodes as shall share what another one had, this one if there are no others."""
        living = select(nodes.c.node_id, nodes.c.room).where(
            ALIVE, nodes.c.is_draining == 0, nodes.c.node_id != node_id
        )
        rows = self._session.rows(living.order_by(nodes.c.room.desc(), nodes.c.node_id))
        with_room = [row["node_id"] for row in rows if row["room"] > 0]
        own = self._writing.node_id
        return with_room or [row["node_id"] for row in rows] or ([own] if own not in (None, node_id) else [])

    def _move(self, node_id: str, heir: str, keys: list[tuple[object, ...]]) -> None:
        theirs = tuple_(streams.c.account_id, streams.c.region, streams.c.arn).in_(keys) & (
            streams.c.home_node == node_id
        )
        moved = (
            update(streams)
            .where(theirs)
            .values(home_node=heir, home_epoch=streams.c.home_epoch + 1, sequence_end=streams.c.sequence_end + BLOCK)
        )
        columns = streams.c.account_id, streams.c.region, streams.c.arn, streams.c.home_epoch, streams.c.sequence_end
        for row in self._writing.session.taken(moved.returning(*columns)):
            extent = {
                "stream_arn": row["arn"],
                "epoch": row["home_epoch"],
                "node_id": heir,
                "first_sequence": row["sequence_end"] - BLOCK,
            }
            self._writing.session.change(insert(stream_extents).values(**asdict(scope_of(row)), **extent))
        of_streams = tuple_(tasks.c.account_id, tasks.c.region, tasks.c.stream_arn).in_(keys)
        self._update(tasks, of_streams, tasks.c.node_id == node_id, tasks.c.ended_at.is_(None), node_id=heir)


ALIVE: ColumnElement[bool] = nodes.c.dead_at.is_(None) & (nodes.c.alive_until > DATABASE_CLOCK)
"""Of a node that lives, as far as the records know."""


def _news(row: StoredRow) -> NodeNews:
    return NodeNews(has_notes=row["notes"] > 0, last_event=row["last_event"] or 0)


def _node(row: StoredRow) -> Node:
    return record(Node, row, is_draining=bool(row["is_draining"]))


def _batches(keys: list[tuple[object, ...]]) -> list[list[tuple[object, ...]]]:
    return [keys[start : start + _MOVED_AT_ONCE] for start in range(0, len(keys), _MOVED_AT_ONCE)]
