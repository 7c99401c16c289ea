"""Homes of streams: the one node that a stream's media come to, and which parts of them lie on others.

A node becomes a home by a comparison with the epoch that it knew, so that of two that try at once one does. Every home
gets sequences of its own, above all that were given out before, so that fragment numbers grow over moves. Tasks on a
stream are run by its home.
"""

from dataclasses import asdict, dataclass

from sqlalchemy import Text, cast, func, insert, select

from earwitness.errors import Conflict, NotFound
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.node_records import NoteKind, StreamExtent
from earwitness.store.node_schema import stream_extents
from earwitness.store.nodes import BLOCK, NodeWriter
from earwitness.store.records import Scope
from earwitness.store.repository import Reader, Writer, in_scope
from earwitness.store.schema import kinesis_streams as streams
from earwitness.store.schema import tasks
from earwitness.store.session import Writing

_EXTENTS = HotRead(
    select(
        func.aggregate_strings(
            cast(stream_extents.c.epoch, Text)
            + " "
            + cast(stream_extents.c.first_sequence, Text)
            + " "
            + cast(stream_extents.c.node_id, Text),
            ",",
        ).label("parts")
    ),
    stream_extents.c.account_id,
    stream_extents.c.region,
    stream_extents.c.stream_arn,
)
"""All parts of a stream in one row, because each task on it asks for them as it begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamHome:
    """A stream that this node is the home of."""

    epoch: int
    #: The sequences that it may give out: from the first to before the end.
    first_sequence: int
    end_sequence: int
    #: Active tasks on the stream that another node was to run until now: each its pipeline and its own id.
    tasks: tuple[tuple[str, str], ...]


class HomeReader(Reader):
    """What can be read of where media lie."""

    def extents(self, scope: Scope, stream_arn: str) -> list[StreamExtent]:
        """Return the parts of a stream's media in the order of their fragments; the last is its home's."""
        return self._session.hot(_EXTENTS, _extents, scope.account_id, scope.region, stream_arn) or []


class HomeWriter(Writer, HomeReader):
    """What can be changed of where media lie."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing)
        self._nodes = NodeWriter(writing)

    def become(self, scope: Scope, stream_arn: str, *, expected_epoch: int, sequence_min: int = 1) -> StreamHome:
        """Make this node the home of a stream, and the one that runs its tasks.

        `sequence_min` is where this node's own media of the stream go on. Raise NotFound without such a stream,
        Conflict when it has another epoch by now: another node was faster.
        """
        row = self._session.row(_home(scope, stream_arn).with_for_update())
        own = self._writing.node_id
        if row is None or own is None:
            raise NotFound("the stream does not exist, or was deleted; look at its ARN")
        if row["home_epoch"] != expected_epoch:
            raise Conflict("another node became the home of this stream; connect again")
        first, epoch = max(row["sequence_end"], sequence_min), expected_epoch + 1
        self._update(
            streams,
            in_scope(streams, scope, arn=stream_arn),
            home_node=own,
            home_epoch=epoch,
            sequence_end=first + BLOCK,
        )
        # Media of before there were nodes lie on the first one that has them.
        begins = 1 if expected_epoch == 0 and sequence_min > 1 else first
        extent = {"stream_arn": stream_arn, "epoch": epoch, "node_id": own, "first_sequence": begins}
        self._writing.session.change(insert(stream_extents).values(**asdict(scope), **extent))
        moved = self._take_tasks(scope, stream_arn, own)
        return StreamHome(epoch=epoch, first_sequence=first, end_sequence=first + BLOCK, tasks=moved)

    def extend(self, scope: Scope, stream_arn: str, *, epoch: int) -> int:
        """Give the home of a stream more sequences; return before which they end.

        Raise Conflict when this node is its home no longer.
        """
        row = self._session.row(_home(scope, stream_arn).with_for_update())
        if row is None or (row["home_node"], row["home_epoch"]) != (self._writing.node_id, epoch):
            raise Conflict("another node is the home of this stream now; connect again")
        end = int(row["sequence_end"]) + BLOCK
        self._update(streams, in_scope(streams, scope, arn=stream_arn), sequence_end=end)
        return end

    def runner_of(self, scope: Scope, stream_arn: str) -> str | None:
        """Return the node that is to run a task on this stream; None where there are no nodes.

        It stays the stream's home, and alive, until this transaction ends.
        """
        own = self._writing.node_id
        if own is None:
            return None
        row = self._session.row(_home(scope, stream_arn).with_for_update(read=True))
        home = None if row is None else row["home_node"]
        return home if home is not None and home != own and self._nodes.hold(home) else own

    def _take_tasks(self, scope: Scope, stream_arn: str, own: str) -> tuple[tuple[str, str], ...]:
        """Run the stream's tasks here from now on, and let those nodes know that ran them."""
        active = in_scope(tasks, scope, stream_arn=stream_arn, ended_at=None) & (tasks.c.node_id != own)
        columns = tasks.c.pipeline_id, tasks.c.task_id, tasks.c.node_id
        rows = self._session.rows(select(*columns).where(active).order_by(tasks.c.task_id).with_for_update())
        for row in rows:
            self._update(tasks, in_scope(tasks, scope, task_id=row["task_id"]), node_id=own)
            self._nodes.note(row["node_id"], NoteKind.TASK, scope, row["task_id"])
        return tuple((row["pipeline_id"], row["task_id"]) for row in rows)


def _extents(row: StoredRow) -> list[StreamExtent]:
    parts = [part.split(" ", 2) for part in (row["parts"] or "").split(",") if part]
    extents = [
        StreamExtent(epoch=int(epoch), first_sequence=int(first), node_id=node_id) for epoch, first, node_id in parts
    ]
    return sorted(extents, key=lambda extent: extent.epoch)


def _home(scope: Scope, stream_arn: str) -> Query:
    columns = streams.c.home_node, streams.c.home_epoch, streams.c.sequence_end
    return select(*columns).where(in_scope(streams, scope, arn=stream_arn))
